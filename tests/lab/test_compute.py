"""A lab with Nova, used with the stock client: servers in two sites on a network of central's.

The tests are the life of two servers, in order: what one leaves is what the next begins with.
"""

import contextlib
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.conftest import Silent, new_name

from isthmus import errors
from isthmus.lab.capability import check_machine
from isthmus.lab.opened import OpenLab
from isthmus.lab.plan import prefix
from isthmus.testing.needed import lack
from isthmus.testing.until import until
from isthmus.wiring.compute.lab_nova import request_compute
from isthmus.wiring.lab import choose_topology, machine_tools, open_labs

pytestmark = [pytest.mark.lab, pytest.mark.stress]

CLIENT = Path(sys.executable).parent / "openstack"
CENTRAL = "demo-central"
USER_DATA = "#!/bin/sh\necho user data speaks on $(hostname)\n"


class Cloud:
    """The lab, and a person with the client."""

    def __init__(self, lab: OpenLab) -> None:
        self.lab = lab
        self._env = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(lab.plan.clouds_file)}

    def say(self, cloud: str, *words: str) -> str:
        """Run the client, and give what it says."""
        command = [str(CLIENT), "--os-cloud", cloud, *words]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, cloud: str, *words: str) -> Any:
        """Run the client, and give what it shows."""
        return json.loads(self.say(cloud, *words, "-f", "json"))

    def show(self, site: str, name: str) -> dict[str, Any]:
        """Show a server, as an administrator sees it."""
        found: dict[str, Any] = self.ask(site, "server", "show", name)
        return found

    def address(self, site: str, name: str, network: str) -> str:
        return str(self.show(site, name)["addresses"][network][0])

    def host(self, site: str, name: str) -> str:
        return str(self.show(site, name)["OS-EXT-SRV-ATTR:host"])

    def await_status(self, site: str, name: str, status: str) -> None:
        until(lambda: self.show(site, name)["status"] == status, timeout_s=120)

    def pings(self, server: str, address: str) -> bool:
        code, _ = self.lab.servers.run(server, ["ping", "-n", "-c", "1", "-W", "1", address])
        return code == 0

    def guest(self, name: str) -> dict[str, Any]:
        """Return what the hypervisor keeps about a guest."""
        row = self.lab.ledger.read().find_guest(name)
        assert row is not None
        file = self.lab.plan.folder / "guests" / row["uuid"] / "guest.json"
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    def links(self, name: str) -> set[str]:
        _, told = self.lab.servers.run(name, ["ip", "-brief", "link"])
        return set(re.findall(r"^(eth\d+)", told, re.MULTILINE))


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """Two sites with two hypervisors each, and a Nova each."""
    try:
        check_machine(machine_tools(), compute=True, metadata=True)
        request = request_compute(metadata=True)
    except (errors.Refused, errors.Unsupported) as refusal:
        lack(refusal.message)
    labs, name = open_labs(), new_name()
    try:
        topology = choose_topology(None, 2, 2)
        yield Cloud(labs.up(name, topology, reporter=Silent(), compute=request))
    finally:
        with contextlib.suppress(errors.NotFound):
            labs.down(name)


def test_servers_of_two_sites_boot_on_a_network_that_they_know_by_name(
    cloud: Cloud, tmp_path: Path
) -> None:
    cloud.say(CENTRAL, "network", "create", "net1")
    cloud.say(
        CENTRAL, "subnet", "create", "--network", "net1", "--subnet-range", "10.9.0.0/24", "s1"
    )
    cloud.say(CENTRAL, "security", "group", "rule", "create", "--protocol", "icmp", "default")
    script = tmp_path / "user-data"
    script.write_text(USER_DATA)
    for site, name in (("site1", "a"), ("site2", "b")):
        boot = ("--image", "guest", "--flavor", "m1.nano", "--network", "net1")
        cloud.say(f"demo-{site}", "server", "create", *boot, "--user-data", str(script), name)
    cloud.await_status("site1", "a", "ACTIVE")
    cloud.await_status("site2", "b", "ACTIVE")
    address = cloud.address("site2", "b", "net1")
    until(lambda: cloud.pings("a", address), timeout_s=120)


def test_the_console_shows_that_config_drive_and_user_data_came(cloud: Cloud) -> None:
    def told() -> bool:
        text = cloud.say("demo-site1", "console", "log", "show", "a")
        return "user data speaks on a" in text and "Metadata by config drive: a" in text

    until(told, timeout_s=60)


def test_the_metadata_service_knows_each_server(cloud: Cloud) -> None:
    """Both are on one network, which an agent of each site serves."""
    url = "http://169.254.169.254/openstack/latest/meta_data.json"

    def is_told(name: str, uuid: str) -> bool:
        return uuid in cloud.lab.servers.run(name, ["curl", "-s", "-m", "10", url])[1]

    for site, name in (("site1", "a"), ("site2", "b")):
        uuid = cloud.show(site, name)["id"]
        heard = functools.partial(is_told, name, uuid)
        until(heard, what=f"{name} hears who it is", timeout_s=180)


def test_a_server_that_is_stopped_answers_no_more_and_starts_again(cloud: Cloud) -> None:
    address = cloud.address("site1", "a", "net1")
    until(lambda: cloud.pings("b", address), timeout_s=60)
    cloud.say("demo-site1", "server", "stop", "a")
    cloud.await_status("site1", "a", "SHUTOFF")
    assert cloud.guest("a")["process"] is None
    cloud.say("demo-site1", "server", "start", "a")
    cloud.await_status("site1", "a", "ACTIVE")
    until(lambda: cloud.pings("b", address), timeout_s=60)


@pytest.mark.parametrize("how", ["--soft", "--hard"])
def test_a_reboot_is_another_first_process(how: str, cloud: Cloud) -> None:
    before = cloud.guest("a")["process"]
    cloud.say("demo-site1", "server", "reboot", how, "--wait", "a")
    assert cloud.guest("a")["process"] not in [None, before]
    address = cloud.address("site1", "a", "net1")
    until(lambda: cloud.pings("b", address), timeout_s=60)


def test_a_network_is_added_and_removed(cloud: Cloud) -> None:
    cloud.say(CENTRAL, "network", "create", "net2")
    cloud.say(
        CENTRAL, "subnet", "create", "--network", "net2", "--subnet-range", "10.8.0.0/24", "s2"
    )
    cloud.say("demo-site1", "server", "add", "network", "a", "net2")
    address = cloud.address("site1", "a", "net2")

    def has_it() -> bool:
        return address in cloud.lab.servers.run("a", ["ip", "-brief", "addr"])[1]

    until(has_it, timeout_s=60)
    assert cloud.links("a") == {"eth0", "eth1"}
    cloud.say("demo-site1", "server", "remove", "network", "a", "net2")
    until(lambda: cloud.links("a") == {"eth0"}, timeout_s=60)


def test_a_resize_moves_it_and_a_migration_is_taken_back(cloud: Cloud) -> None:
    address, host = cloud.address("site1", "a", "net1"), cloud.host("site1", "a")
    cloud.say("demo-site1", "server", "resize", "--flavor", "m1.tiny", "--wait", "a")
    cloud.say("demo-site1", "server", "resize", "confirm", "a")
    cloud.await_status("site1", "a", "ACTIVE")
    assert cloud.show("site1", "a")["flavor"]["name"] == "m1.tiny"
    moved = cloud.host("site1", "a")
    assert moved != host, "the other hypervisor has more room"
    until(lambda: cloud.pings("b", address), timeout_s=60)
    cloud.say("site1", "server", "migrate", "--wait", "a")
    assert cloud.host("site1", "a") == host
    cloud.say("site1", "server", "migration", "revert", "a")
    cloud.await_status("site1", "a", "ACTIVE")
    assert cloud.host("site1", "a") == moved
    until(lambda: cloud.pings("b", address), timeout_s=60)


def test_a_server_goes_to_another_hypervisor_under_a_ping_from_the_other_site(
    cloud: Cloud,
) -> None:
    address, host = cloud.address("site1", "a", "net1"), cloud.host("site1", "a")
    process = cloud.guest("a")["process"]
    netns = cloud.lab.servers.get_netns("b")
    ping = ["ip", "netns", "exec", netns, "ping", "-n", "-i", "0.1", address]
    with subprocess.Popen(ping, stdout=subprocess.PIPE, text=True) as pinging:
        cloud.say("site1", "server", "migrate", "--live-migration", "--wait", "a")
        until(lambda: cloud.host("site1", "a") != host, timeout_s=120)
        cloud.await_status("site1", "a", "ACTIVE")
        until(lambda: cloud.pings("b", address), timeout_s=60)
        pinging.send_signal(2)
        told, _ = pinging.communicate(timeout=30)
    sent, heard = map(int, re.findall(r"(\d+) packets transmitted, (\d+) received", told)[0])
    # How many are lost is a matter of how soon the other site hears of the move: what follows
    # says that it is heard of.
    assert sent >= heard > 0, told[-400:]
    assert cloud.guest("a")["process"] == process


def test_nothing_is_left_of_servers_that_are_deleted(cloud: Cloud) -> None:
    plan = cloud.lab.plan
    for site, name in (("site1", "a"), ("site2", "b")):
        cloud.say(f"demo-{site}", "server", "delete", "--wait", name)
        ports = cloud.ask(site, "port", "list", "--long")
        assert [one for one in ports if one["Device Owner"].startswith("compute:")] == []
    assert list((plan.folder / "guests").iterdir()) == []
    assert cloud.lab.ledger.read().guests == {}
    assert list(Path("/run/netns").glob(f"{prefix(plan.name)}i-*")) == []
    for host in plan.hypervisors:
        socket = plan.host_dir(host) / "db.sock"
        words = ["ovs-vsctl", f"--db=unix:{socket}", "list-ports", "br-int"]
        left = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        assert [one for one in left if one.startswith("tap")] == []
    for tier in plan.sites:
        socket = plan.tier_dir(tier) / "compute" / "mariadb.sock"
        query = "SELECT count(*) FROM placement.allocations"
        words = ["mariadb", "--no-defaults", f"--socket={socket}", "-uroot", "-Ne", query]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "0\n"
