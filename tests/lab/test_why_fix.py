"""`isthmus why --fix`: the printed repair is done as it is printed, and packets pass then.

What routers do is in `test_why.py`, where a person types the repair.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.lab.person import Person

from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.stress,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
READ_S = "120"
#: How long packets may need to find their way on a busy machine, in seconds.
PACKET_S = 180
CIDR = "10.98.0.0/24"


class Pair:
    """Two servers of one network, one at each site, in a security group of their own."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.central = person.network("central")
        self.ids: dict[str, str] = {}
        self.address = ""

    def make(self) -> None:
        network = self.central.create_network(name="fix").id
        self.central.create_subnet(network_id=network, ip_version=4, cidr=CIDR)
        for site in ("site1", "site2"):
            self.person.run("network", "extend", network, site, "--wait", READ_S)
        one = self.person.server("fix-a", "site1", network)
        other = self.person.server("fix-b", "site2", network)
        (self.address,) = other["addresses"]
        (group,) = self.central.get_port(other["port_id"]).security_group_ids
        self.ids |= {
            "network": network, "a": one["port_id"], "b": other["port_id"], "group": group,
            "pg": f"pg_{group.replace('-', '_')}", "host_a": one["host"], "host_b": other["host"],
            "tap_b": f"tap{other['port_id'][:11]}", "mac_b": other["mac_address"],
            "ip_b": self.address,
        }  # fmt: skip

    def remove(self) -> None:
        for name in ("fix-a", "fix-b"):
            self.person.run("lab", "server", "delete", name)
        self.central.delete_network(self.ids["network"])

    def passes(self) -> bool:
        return self.person.ping("fix-a", self.address, count=1)

    def shell(self, place: str, *words: str) -> str:
        """Run a command at a place; words in braces are ids."""
        asked = [word.format(**self.ids) for word in words]
        return self.person.run("lab", "shell", place.format(**self.ids), "--", *asked).stdout

    def why(self, *more: str) -> tuple[dict[str, Any], str]:
        words = ("why", "fix-a", "fix-b", *more, "--timeout", READ_S, "-o", "json")
        done = self.person.run(*words, check=False)
        assert done.returncode in (0, 4, 5, 6), done.stderr
        return dict(json.loads(done.stdout)), done.stderr


Inject = Callable[[Pair], object]


def at(place: str, *words: str) -> Inject:
    return lambda pair: pair.shell(place, *words)


def lab(*words: str) -> Inject:
    return lambda pair: pair.person.run("lab", *(one.format(**pair.ids) for one in words))


def shut_down(pair: Pair) -> None:
    pair.central.update_port(pair.ids["b"], is_admin_state_up=False)


def let_nothing_in(pair: Pair) -> None:
    for rule in pair.central.security_group_rules(security_group_id=pair.ids["group"]):
        if rule.direction == "ingress" and rule.ether_type == "IPv4":
            pair.central.delete_security_group_rule(rule.id)


def move_tunnel(pair: Pair) -> None:
    """Change what site1 has of the tunnel's end at the other hypervisor."""
    words = ("--bare", "--columns=_uuid", "find", "Encap")
    chassis = pair.shell("site1", "ovn-sbctl", "--bare", "--columns=name", "find", "Chassis",
                         "hostname=site2/{host_b}").strip()  # fmt: skip
    uuid = pair.shell("site1", "ovn-sbctl", *words, f"chassis_name={chassis}").strip()
    pair.shell("site1", "ovn-sbctl", "set", "Encap", uuid, "ip=192.0.2.99")


def leave_group(pair: Pair) -> None:
    row = pair.shell("site2", "ovn-nbctl", "--bare", "--columns=_uuid", "find",
                     "Logical_Switch_Port", "name={b}").strip()  # fmt: skip
    pair.shell("site2", "ovn-nbctl", "remove", "Port_Group", "{pg}", "ports", row)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, and how it is named."""

    code: str
    cause: Inject


SWITCH_PORT = ("ovn-nbctl", "set", "Logical_Switch_Port", "{b}")
FAULTS = (
    Fault("port.admin_down", shut_down),
    Fault("policy.ingress.family", let_nothing_in),
    Fault("lsp.port_security",
          at("site2", "ovn-nbctl", "lsp-set-port-security", "{b}", "{mac_b} 10.98.0.250")),
    Fault("lsp.missing", at("site2", "ovn-nbctl", "lsp-del", "{b}")),
    Fault("acl.not_in_port_group", leave_group),
    Fault("shadow.disabled", at("site1", *SWITCH_PORT, "enabled=false")),
    Fault("shadow.key", at("site1", *SWITCH_PORT, "options:requested-tnl-key=9999")),
    Fault("remote_chassis.encap_ip", move_tunnel),
    Fault("host.tap_down", at("{host_b}", "ip", "link", "set", "{tap_b}", "down")),
    Fault("host.not_interconn",
          at("{host_a}", "ovs-vsctl", "remove", "Open_vSwitch", ".", "external_ids",
             "ovn-is-interconn")),
    Fault("host.conntrack_full",
          at("{host_b}", "sh", "-c",
             "ovs-appctl -t $OVS_RUNDIR/vswitchd.ctl dpctl/ct-set-maxconns 1")),
    Fault("host.vswitchd_dead", lab("kill", "{host_b}.vswitchd")),
    Fault("host.vswitchd_hung", lab("kill", "{host_b}.vswitchd", "--signal", "STOP")),
)  # fmt: skip


@pytest.fixture(scope="module")
def pair(lab: OpenLab) -> Iterator[Pair]:
    made = Pair(Person(lab.plan))
    made.make()
    try:
        until(made.passes, what="packets pass", timeout_s=PACKET_S)
        yield made
    finally:
        made.remove()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.code)
def test_the_repair_is_predicted_and_done_and_packets_pass(pair: Pair, fault: Fault) -> None:
    fault.cause(pair)
    until(lambda: not pair.passes(), what=f"{fault.code} stops packets", timeout_s=PACKET_S)

    def named() -> bool:
        """Ask; a change at central takes a moment to come to a site."""
        codes = [one["code"] for one in pair.why()[0]["blockers"]]
        return codes[:1] == [fault.code]

    until(named, what=f"{fault.code} is named first", timeout_s=PACKET_S)
    found, said = pair.why("--fix", "--yes")
    assert "will be:   " in said
    assert f"{fault.code} is gone" in said, said
    assert found["verdict"] in {"reachable", "degraded"}, (said, found["blockers"])
    until(pair.passes, what=f"packets pass after {said}", timeout_s=PACKET_S)
    reachable = "reachable"  # the next fault finds all well
    until(lambda: pair.why()[0]["verdict"] == reachable, what="all is well", timeout_s=PACKET_S)


def test_nothing_is_done_where_nobody_agrees(pair: Pair) -> None:
    link = ("ip", "link", "set", "{tap_b}")
    pair.shell("{host_b}", *link, "down")
    try:
        until(lambda: not pair.passes(), what="the tap is down", timeout_s=PACKET_S)
        found, said = pair.why("--fix")
        assert found["blockers"][0]["code"] == "host.tap_down"
        assert "Nothing was done" in said
        assert "will be:   reachable" in said
        assert not pair.passes()
    finally:
        pair.shell("{host_b}", *link, "up")
    until(pair.passes, what="packets pass again", timeout_s=PACKET_S)
