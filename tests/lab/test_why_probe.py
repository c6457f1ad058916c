"""`isthmus why --probe --capture`: packets are sent, where they are lost is told, nothing stays."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.person import COMMAND, Person

from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
READ_S = "120"
#: How long packets may need to find their way on a busy machine, in seconds.
PACKET_S = 180
CIDR = "10.97.0.0/24"
#: What is brought about and named here.
CODES = frozenset({"guest.refuses", "guest.silent", "probe.silent", "probe.mtu"})


class Pair:
    """Two servers of one network, one at each site."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.network = ""
        self.address = ""
        self.tap = ""

    def make(self) -> None:
        central = self.person.network("central")
        self.network = central.create_network(name="probe").id
        central.create_subnet(network_id=self.network, ip_version=4, cidr=CIDR)
        for site in ("site1", "site2"):
            self.person.run("network", "extend", self.network, site, "--wait", READ_S)
        self.person.server("probe-a", "site1", self.network)
        row = self.person.server("probe-b", "site2", self.network)
        (self.address,) = row["addresses"]
        self.host, self.tap = row["host"], f"tap{row['port_id'][:11]}"

    def remove(self) -> None:
        for name in ("probe-a", "probe-b"):
            self.person.run("lab", "server", "delete", name)
        self.person.network("central").delete_network(self.network)

    def passes(self) -> bool:
        return self.person.ping("probe-a", self.address, count=1)

    def why(self, *more: str) -> dict[str, Any]:
        words = ("why", "probe-a", "probe-b", *more, "--timeout", READ_S, "-o", "json")
        done = self.person.run(*words, check=False)
        assert done.returncode in (0, 4, 5, 6), done.stderr
        return dict(json.loads(done.stdout))

    def list_packets(self) -> list[int]:
        """List the processes that send packets to the receiver, or look out for them."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended
            if b"packets.py" in words and self.address.encode() in words:
                found.append(int(folder.name))
        return found


@pytest.fixture(scope="module")
def pair(lab: OpenLab) -> Iterator[Pair]:
    made = Pair(Person(lab.plan))
    made.make()
    try:
        until(made.passes, what="packets pass", timeout_s=PACKET_S)
        yield made
    finally:
        made.remove()


def test_packets_are_sent_and_seen_at_each_hop(pair: Pair) -> None:
    found = pair.why("--capture")
    assert found["verdict"] == "reachable", found["blockers"]
    states = {one["probe"].partition(" ")[0]: one["state"] for one in found["probes"]}
    assert states["ping"] == states["ARP"] == states["DHCPDISCOVER"] == "answered", found["probes"]
    large = [one for one in found["probes"] if "one piece" in one["probe"]]
    assert [one["state"] for one in large] == ["answered"], large
    assert len(found["seen"]) == 6
    assert all(one["requests"] and one["replies"] for one in found["seen"]), found["seen"]
    assert pair.list_packets() == []


def test_a_port_at_which_nothing_listens_is_told_from_one_that_is_shut(pair: Pair) -> None:
    found = pair.why("tcp/4477", "--capture")
    assert (found["verdict"], found["blockers"][0]["code"]) == ("blocked", "guest.refuses")
    assert found["probes"][0]["state"] == "refused"


def test_a_guest_that_does_not_answer_has_got_the_packet(pair: Pair) -> None:
    words = ("lab", "exec", "probe-b", "--", "sysctl", "-q", "-w")
    pair.person.run(*words, "net.ipv4.icmp_echo_ignore_all=1")
    try:
        found = pair.why("--capture")
    finally:
        pair.person.run(*words, "net.ipv4.icmp_echo_ignore_all=0")
    assert (found["verdict"], found["blockers"][0]["code"]) == ("blocked", "guest.silent")
    assert found["last_seen"] == (
        "the packet was last seen where it reaches the receiver, and not where the reply leaves "
        "the receiver"
    )


def test_the_network_between_hypervisors_loses_it(pair: Pair) -> None:
    pair.person.run("lab", "link", "cut", "site2")
    try:
        found = pair.why("--capture")
    finally:
        pair.person.run("lab", "link", "restore", "site2")
    assert found["blockers"][0]["code"] in {"probe.silent", "site.unreachable"}
    assert "probe.silent" in [one["code"] for one in found["blockers"]]
    assert "leaves in a tunnel from" in found["last_seen"]
    assert found["last_seen"].endswith(f"not where it comes in a tunnel to {pair.host}")
    healthy = "reachable"  # central looks after a site anew after a while
    until(lambda: pair.why()["verdict"] == healthy, what="all is well", timeout_s=PACKET_S)


def test_a_frame_that_is_too_large_for_the_guest_is_told(pair: Pair) -> None:
    link = ("lab", "exec", "probe-b", "--", "ip", "link", "set", "eth0", "mtu")
    pair.person.run(*link, "1300")
    try:
        found = pair.why("--probe")
    finally:
        pair.person.run(*link, "1442")
    assert (found["verdict"], found["blockers"][0]["code"]) == ("degraded", "probe.mtu")


def test_nothing_stays_when_the_command_is_killed(pair: Pair) -> None:
    plan = pair.person.plan
    words = ("why", "probe-a", "probe-b", "--capture", "--timeout", READ_S)
    with subprocess.Popen(
        [COMMAND, *words],
        env=pair.person.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as one:
        until(pair.list_packets, what="packets are sent", timeout_s=PACKET_S)
        one.kill()
    until(lambda: not pair.list_packets(), what=f"nothing is left in {plan.name}", timeout_s=60)
