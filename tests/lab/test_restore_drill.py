"""The drill of docs/howto/restore.md: each tier back to a backup, while ports are made."""

import collections
import contextlib
import ipaddress
import itertools
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.conftest import Silent, need_lab, new_name
from tests.lab.person import Person

from isthmus import errors
from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until
from isthmus.wiring.lab import choose_topology, open_labs

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.stress,
    pytest.mark.timeout(2400),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

#: How long the audit may take to be clean behind a step (the issue's number).
CLEAN_S = 300


@pytest.fixture
def own_lab() -> Iterator[OpenLab]:
    """A lab that nobody else stands in: its tiers go back in time."""
    need_lab()
    labs, name = open_labs(), new_name()
    try:
        yield labs.up(name, choose_topology(None, 2, 1), reporter=Silent())
    finally:
        with contextlib.suppress(errors.NotFound):
            labs.down(name)


class Drill:
    """A lab, its person, and ports that are made all the time."""

    def __init__(self, lab: OpenLab) -> None:
        self.lab = lab
        self.person = Person(lab.plan)
        api = lab.tools.open_api(lab.plan.clouds_file, "central")
        body = {"network": {"name": "drill"}}
        self.network = str(api.call("POST", "/v2.0/networks", body=body)["network"]["id"])
        subnet = {"network_id": self.network, "ip_version": 4, "cidr": "10.66.0.0/22"}
        api.call("POST", "/v2.0/subnets", body={"subnet": subnet})
        self._subnet = subnet
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.made: collections.Counter[str] = collections.Counter()

    def folder(self, tier: str) -> Path:
        plan = self.lab.plan
        return plan.tier_dir(next(one for one in plan.tiers if one.name == tier))

    def back_up(self, tier: str) -> Path:
        copy = self.folder(tier) / "backup.db"
        copy.unlink(missing_ok=True)
        with (
            contextlib.closing(sqlite3.connect(self.folder(tier) / "neutron.db")) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        return copy

    def restore(self, tier: str, copy: Path) -> None:
        """Stop the tier's Neutron, put its database back, say so, start it: as the how-to says."""
        other = "xjob" if tier == "central" else "maintenance"
        names = [f"{tier}.neutron", f"{tier}.{other}"]
        for name in names:
            self.lab.kill(name, signal.SIGKILL)
        for name in names:
            until(lambda name=name: self.state(name) == "down", what=f"{name} ended")  # type: ignore[misc]
        for end in ("", "-wal", "-shm"):
            (self.folder(tier) / f"neutron.db{end}").unlink(missing_ok=True)
        shutil.copy(copy, self.folder(tier) / "neutron.db")
        self.person.run("restored", "--config-file", str(self.folder(tier) / "neutron.conf"))
        for name in names:
            self.lab.start(name)

    def state(self, name: str) -> str:
        return next(
            str(one["state"]) for one in self.lab.summarise()["processes"] if one["name"] == name
        )

    def keep_making(self) -> None:
        """Make ports at every tier from now on; a tier that refuses or is away is asked again."""
        for cloud in ("central", "site1", "site2"):
            thread = threading.Thread(target=self._make, args=(cloud,))
            thread.start()
            self._threads.append(thread)

    def stop_making(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._stop.clear()

    def _make(self, cloud: str) -> None:
        api = self.lab.tools.open_api(self.lab.plan.clouds_file, cloud)
        while not self._stop.is_set():
            with contextlib.suppress(errors.IsthmusError):
                body = {"port": {"network_id": self.network, "name": f"drill-{cloud}"}}
                api.call("POST", "/v2.0/ports", body=body)
                self.made[cloud] += 1
            self._stop.wait(0.5)

    def make(self, cloud: str, count: int) -> None:
        before = self.made[cloud]
        until(lambda: self.made[cloud] >= before + count, timeout_s=300, what=f"ports at {cloud}")

    def ports(self, cloud: str) -> dict[str, set[str]]:
        """Give the addresses of the network's ports by their ids, as a tier has them."""
        api = self.lab.tools.open_api(self.lab.plan.clouds_file, cloud)
        rows = api.get_all("port", network_id=self.network)
        return {row["id"]: {one["ip_address"] for one in row["fixed_ips"]} for row in rows}

    def remove_lost(self) -> None:
        """Take away from OVN what Neutron lost and central never heard of, as the how-to says."""
        said = self.person.run("audit", "--wait", "60", "-o", "json", check=False).stdout
        for one in json.loads(said or "[]"):
            if one["message"] == "logical switch port that Neutron does not know":
                database = f"--db=unix:{self.folder(one['place'])}/nb.sock"
                subprocess.run(["ovn-nbctl", database, "lsp-del", one["name"]], check=True)

    def check(self, step: str) -> None:
        """See that no address is there twice, in any tier or between them, and that all agree."""
        began = time.monotonic()
        self.remove_lost()
        self.person.agree(CLEAN_S)
        seconds = time.monotonic() - began
        owners: dict[str, set[str]] = collections.defaultdict(set)
        for cloud in ("central", "site1", "site2"):
            for port, addresses in self.ports(cloud).items():
                for one in addresses:
                    owners[one].add(port)
        # Each site has its own port for DHCP and metadata, of which no other tier knows; of none
        # may two have one address.
        twice = {one: ports for one, ports in owners.items() if len(ports) > 1}
        assert not twice, twice
        made = ", ".join(f"{number} at {cloud}" for cloud, number in sorted(self.made.items()))
        sys.stdout.write(
            f"\n{step}: ports made so far: {made}; addresses looked at: {len(owners)}, twice: 0; "
            f"the audit was clean after {seconds:.0f} s\n"
        )
        blocks = sorted(
            (int(row["first"]), int(row["last"]), row["site"])
            for row in self.person.json("lease", "list")
            if row["kind"] == "subnet"
        )
        for left, right in itertools.pairwise(blocks):
            assert left[1] < right[0], (left, right)
        shown = self.person.run("status", "-o", "json", check=False)
        assert not [row for row in json.loads(shown.stdout) if row["waits_for"]]

    def server_address(self, name: str) -> str:
        (row,) = [one for one in self.lab.servers.list_rows() if one["name"] == name]
        return next(str(one) for one in row["addresses"] if ipaddress.ip_address(one).version == 4)


def remove_and_make_again(drill: Drill) -> None:
    """Remove site1 and add it under its name, as the how-to says."""
    person = drill.person
    row = next(one for one in person.json("site", "list") if one["name"] == "site1")
    person.run("site", "disable", "site1")
    said = person.run("site", "delete", "site1", "--yes", "--confirm", "site1").stderr
    assert f"gone/{row['id']}" in said
    assert [one["incarnation"] for one in person.json("gone", "list")] == [f"gone/{row['id']}"]
    drill.make("site2", 3)
    words = ["--region", row["region"], "--service-user", row["service_user"]]
    for zone in row["availability_zones"]:
        words += ["--zone", zone]
    for prefix in row["tunnel_prefixes"]:
        words += ["--tunnel-prefix", prefix]
    person.run("site", "create", "site1", *words)


def test_each_tier_comes_back_from_a_backup(own_lab: OpenLab) -> None:
    drill = Drill(own_lab)
    person = drill.person
    for name, site in (("a1", "site1"), ("b1", "site2")):
        person.server(name, site, drill.network)
    backups = {tier: drill.back_up(tier) for tier in ("site1", "central")}
    # What an hour brings: a server, ports, some of them gone again.
    person.server("a2", "site1", drill.network)
    drill.keep_making()
    try:
        for cloud in ("central", "site1", "site2"):
            drill.make(cloud, 5)
        api: Any = own_lab.tools.open_api(own_lab.plan.clouds_file, "site1")
        old = api.get_all("port", network_id=drill.network, name="drill-site1")[0]
        api.call("DELETE", f"/v2.0/ports/{old['id']}")

        drill.restore("site1", backups["site1"])
        for cloud in ("site1", "central"):
            drill.make(cloud, 3)
    finally:
        drill.stop_making()
    drill.check("site1 restored")
    assert drill.server_address("a2") in set().union(*drill.ports("site1").values())

    drill.keep_making()
    try:
        drill.restore("central", backups["central"])
        for cloud in ("central", "site2"):
            drill.make(cloud, 3)
    finally:
        drill.stop_making()
    drill.check("central restored")

    drill.keep_making()
    try:
        remove_and_make_again(drill)
        drill.make("site1", 3)
    finally:
        drill.stop_making()
    drill.check("site1 removed and made again")
    assert person.json("gone", "list") == []
    address = drill.server_address("a2")
    assert address in set().union(*drill.ports("site1").values())
    until(lambda: person.ping("b1", address), timeout_s=120, what="a server from the other site")
