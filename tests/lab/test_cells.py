"""The life of cells in a lab, by the commands of a person, while servers are pinged.

The tests are one story, in order: what one leaves is what the next begins with.
"""

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.conftest import Silent, new_name
from tests.lab.test_compute import CENTRAL, Cloud

from isthmus import errors
from isthmus.lab.capability import check_machine
from isthmus.lab.compute.services import find_home
from isthmus.testing.needed import lack
from isthmus.testing.until import until
from isthmus.wiring.compute.lab_nova import request_compute
from isthmus.wiring.lab import choose_topology, machine_tools, open_labs

pytestmark = [pytest.mark.lab, pytest.mark.stress, pytest.mark.timeout(1200)]

ISTHMUS = Path(sys.executable).parent / "isthmus"
#: Where each server is at the beginning; `a` pings all others.
SERVERS = {"a": "site1-h1", "b": "site1-h3", "c": "site1-h3", "d": "site1-h2"}
CELLS = {"site1-h1": "cell1", "site1-h2": "cell2", "site1-h3": "cell1"}


class Cells(Cloud):
    """The lab, and an operator with `isthmus cell`."""

    @property
    def home(self) -> Path:
        return find_home(self.lab.plan, self.lab.plan.sites[0])

    def command(self, *words: str) -> list[str]:
        """Return the command with what says which Nova is meant."""
        own = ["--lab", self.lab.plan.name]
        if words[0] not in {"add", "split", "drain", "advise"}:
            own = ["--nova-conf", str(self.home / "nova.conf")]
        if words[0] in {"verify", "move-host", "capacity"}:
            own += ["--placement-conf", str(self.home / "placement.conf")]
        return [str(ISTHMUS), "cell", *words, *own]

    def run(self, *words: str, code: int) -> tuple[str, str]:
        env = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(self.lab.plan.clouds_file)}
        done = subprocess.run(
            self.command(*words), env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout, done.stderr

    def cell(self, *words: str, code: int = 0) -> str:
        """Run `isthmus cell`, and give all that it says."""
        return "".join(self.run(*words, code=code))

    def rows(self, *words: str, code: int = 0) -> Any:
        """Run it, and give what it prints."""
        return json.loads(self.run(*words, "-o", "json", code=code)[0])

    def servers(self) -> dict[str, str]:
        """Return the cell of each server."""
        found = self.rows("servers", "--all-projects", "--fields", "name,cell,status")
        assert {row["status"] for row in found} == {"ACTIVE"}
        return {row["name"]: row["cell"] for row in found}

    def boot(self, name: str, host: str = "") -> None:
        boot = ["--image", "guest", "--flavor", "m1.nano", "--network", "net1", "--wait", name]
        if host:
            boot += ["--availability-zone", f"nova:{host}"]
        self.say("demo-site1", "server", "create", *boot)

    def audit(self) -> None:
        """Check that nothing is wrong with the cells."""
        assert self.rows("verify") == []


class Pings:
    """Pings from `a`, which run until they are counted."""

    def __init__(self, cloud: Cells, addresses: dict[str, str]) -> None:
        netns = cloud.lab.find_netns("a")
        self._all = {
            name: subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{netns}", "--", "ping", "-n", "-i", "0.2", address],
                stdout=subprocess.PIPE,
                text=True,
            )
            for name, address in addresses.items()
        }

    def count(self) -> dict[str, tuple[int, int]]:
        """End them; give for each how many were sent and how many were lost."""
        found = {}
        for name, process in self._all.items():
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=30)
            match = re.search(r"(\d+) packets transmitted, (\d+) received", said)
            assert match is not None, said
            sent, received = int(match[1]), int(match[2])
            found[name] = (sent, sent - received)
        return found

    def close(self) -> None:
        for process in self._all.values():
            process.kill()
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cells]:
    """One site with three hypervisors in two cells, and four servers that know each other."""
    try:
        check_machine(machine_tools(), compute=True)
        request = request_compute(2)
    except (errors.Refused, errors.Unsupported) as refusal:
        lack(refusal.message)
    labs, name = open_labs(), new_name()
    try:
        topology = choose_topology(None, 1, 3)
        yield Cells(labs.up(name, topology, reporter=Silent(), compute=request))
    finally:
        with contextlib.suppress(errors.NotFound):
            labs.down(name)


@contextlib.contextmanager
def pinging(cloud: Cells) -> Iterator[dict[str, tuple[int, int]]]:
    """Ping all servers meanwhile; what was sent and lost is filled in at the end."""
    addresses = {name: cloud.address("site1", name, "net1") for name in SERVERS if name != "a"}
    for address in addresses.values():
        until(functools.partial(cloud.pings, "a", address), timeout_s=120)
    found: dict[str, tuple[int, int]] = {}
    pings = Pings(cloud, addresses)
    try:
        yield found
        found |= pings.count()
    finally:
        pings.close()


def test_servers_in_each_cell_are_one_list(cloud: Cells) -> None:
    cloud.say(CENTRAL, "network", "create", "net1")
    cloud.say(
        CENTRAL, "subnet", "create", "--network", "net1", "--subnet-range", "10.9.0.0/24", "s1"
    )
    cloud.say(CENTRAL, "security", "group", "rule", "create", "--protocol", "icmp", "default")
    for name, host in SERVERS.items():
        cloud.cell("disable", "cell1" if CELLS[host] == "cell2" else "cell2")
        others = [one for one in CELLS if one != host]
        for one in others:
            cloud.say("site1", "compute", "service", "set", "--disable", one, "nova-compute")
        cloud.boot(name)
        for one in others:
            cloud.say("site1", "compute", "service", "set", "--enable", one, "nova-compute")
        cloud.cell("enable", "cell1" if CELLS[host] == "cell2" else "cell2")
    assert {name: cloud.host("site1", name) for name in SERVERS} == SERVERS
    rows = cloud.rows("servers", "--all-projects", "--sort", "created_at")
    assert [row["name"] for row in rows] == list(SERVERS)
    assert cloud.servers() == {name: CELLS[host] for name, host in SERVERS.items()}
    cloud.audit()


def test_a_cell_whose_database_is_lost_is_named_and_the_rest_is_listed(cloud: Cells) -> None:
    lost = str(cloud.show("site1", "d")["id"])
    client = ["mariadb", "--no-defaults", f"--socket={cloud.home}/mariadb.sock", "-uroot", "-e"]
    api = "UPDATE nova_api.cell_mappings SET database_connection = {} WHERE name = 'cell2'"
    read = [*client[:-1], "-N", "-e"]
    sql = "SELECT database_connection FROM nova_api.cell_mappings WHERE name = 'cell2'"
    before = subprocess.run([*read, sql], capture_output=True, text=True, check=True).stdout.strip()
    gone = before.replace("/nova_cell2", "/nova_gone")
    try:
        subprocess.run([*client, api.format(f"'{gone}'")], check=True)
        said = cloud.cell("servers", "--all-projects", "--fields", "name,cell,status", code=1)
        assert said.count("cell1") == 3
        assert "Cell cell2 does not answer, 1 server of it UNKNOWN" in said
        states = {row["name"]: row["database"] for row in cloud.rows("list", code=1)}
        assert states["cell1"] == "answers"
        assert "nova_gone" in states["cell2"]
        # Nova's API, whose lists are ours: what is there, and why a page cannot go on from there.
        every = ("server", "list", "--all-projects")
        names = {row["Name"] for row in cloud.ask("site1", *every)}
        assert names == {name for name, host in SERVERS.items() if CELLS[host] == "cell1"}
        with pytest.raises(AssertionError, match="is in cell cell2, which does not answer"):
            cloud.say("site1", *every, "--deleted", "--limit", "1", "--marker", lost)
    finally:
        subprocess.run([*client, api.format(f"'{before}'")], check=True)
    cloud.audit()


def test_one_cell_is_enough_and_the_numbers_say_so(cloud: Cells) -> None:
    rows = cloud.rows("advise", "--for", "6")
    assert {row["cell"]: row["advice"] for row in rows} == {"cell1": "stay", "cell2": "stay"}
    assert rows[0]["shared_with"] == ["cell2"]
    names = {one["measure"] for one in rows[0]["numbers"]}
    assert {"memory of RabbitMQ", "connections of the database"} < names
    assert rows[0]["statements_s"] > 0
    rows = cloud.rows("advise", "--for", "1", "--most-hosts", "2", code=1)
    assert {row["cell"]: row["advice"] for row in rows} == {"cell1": "split", "cell2": "stay"}


def test_a_cell_is_added_and_taken_back(cloud: Cells) -> None:
    steps = cloud.rows("add", "cell4", "--dry-run")
    assert {row["state"] for row in steps} == {"to do", "left out"}
    assert len(cloud.rows("list")) == 3
    cloud.cell("add", "cell4")
    assert cloud.rows("show", "cell4")["services"] == {"nova-conductor up": 1}
    cloud.audit()
    cloud.cell("add", "cell4", "--roll-back", "--yes", "--confirm", "cell4")
    assert len(cloud.rows("list")) == 3
    assert not [one for one in cloud.lab.ledger.read().programs if "cell4" in one]
    assert not list(cloud.home.glob("*cell4*.conf"))


def test_a_cell_is_split_in_two_and_no_ping_is_lost(cloud: Cells) -> None:
    with pinging(cloud) as lost:
        cloud.cell(
            *("split", "cell1", "--hosts", "site1-h3", "--to", "cell3", "--yes"),
            *("--canary-image", "guest", "--canary-flavor", "m1.nano", "--os-cloud", "site1"),
        )
    assert cloud.servers() == {"a": "cell1", "b": "cell3", "c": "cell3", "d": "cell2"}
    assert {one for _, one in lost.values()} == {0}, lost
    assert min(sent for sent, _ in lost.values()) > 100
    cloud.audit()
    cloud.say("demo-site1", "server", "reboot", "--hard", "--wait", "b")
    until(lambda: cloud.pings("a", cloud.address("site1", "b", "net1")), timeout_s=120)


def test_a_drain_that_is_killed_goes_on_and_no_ping_is_lost(cloud: Cells) -> None:
    """It is killed where the host is fenced and its nova-compute stopped: the worst there is."""
    with pinging(cloud) as lost:
        words = cloud.command("drain", "cell2", "--to", "cell1", "--yes", "--renumber")
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if "starts with the queue" in line:
                    process.kill()
                    break
        assert process.returncode == -signal.SIGKILL
        (left,) = cloud.rows("drain", "cell2", "--to", "cell1", "--dry-run")
        assert left["state"] == "on its way"
        began = time.monotonic()
        cloud.cell("drain", "cell2", "--to", "cell1", "--yes", "--renumber")
        assert time.monotonic() - began < 300
    assert cloud.servers() == {"a": "cell1", "b": "cell3", "c": "cell3", "d": "cell1"}
    assert {one for _, one in lost.values()} == {0}, lost
    cloud.audit()


def test_the_empty_cell_is_removed_and_new_servers_go_to_the_others(cloud: Cells) -> None:
    said = cloud.cell("remove", "cell1", "--yes", "--confirm", "cell1", code=2)
    assert "delete them first" in said
    cloud.cell("remove", "cell2", "--yes", "--confirm", "cell2")
    assert [row["name"] for row in cloud.rows("list")] == ["cell0", "cell1", "cell3"]
    for name in ("e", "f"):
        cloud.boot(name)
    assert {cloud.servers()[name] for name in ("e", "f")} <= {"cell1", "cell3"}
    cloud.audit()


def test_a_split_is_undone_with_all_that_came_since(cloud: Cells) -> None:
    with pinging(cloud) as lost:
        cloud.cell(
            *("split", "cell1", "--to", "cell3", "--roll-back", "--renumber"),
            *("--yes", "--confirm", "cell3"),
        )
    assert set(cloud.servers().values()) == {"cell1"}
    assert {one for _, one in lost.values()} == {0}, lost
    assert [row["name"] for row in cloud.rows("list")] == ["cell0", "cell1"]
    cloud.audit()
    for name in (*SERVERS, "e", "f"):
        cloud.say("demo-site1", "server", "delete", "--wait", name)
    cloud.audit()
