"""More that can be wrong: each fault has a code, a word, and a twin that is well."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.tables.routed_faults import OUT, OUT_OVER_TRANSIT, TO_FIP, Question
from tests.tables.routed_world import GW, NEAR_PORT, PUBLIC, ask_routed, routed
from tests.tables.test_diagnose import (
    CENTRAL,
    N1,
    N2,
    NB1,
    SB1,
    SB2,
    Break,
    add,
    both,
    put,
    rules,
)
from tests.tables.world import NET, SUBNET, A, B, Tables, ask, healthy, rule

from isthmus.diagnose.judge import Diagnosis, Word

VRRP4, VRRP6 = "00:00:5e:00:01:07", "00:00:5e:00:02:07"
MAC_A, MAC_B = "fa:16:3e:00:00:05", "fa:16:3e:00:00:06"


@dataclass(frozen=True, slots=True)
class Case:
    """One fault."""

    change: Break
    twin: Break  #: a change that looks like it, and of which the code is not told
    word: Word = Word.DEGRADED
    question: Question | None = None  #: through routers; None: in the small world
    family: int = 4

    def build(self, change: Break) -> Diagnosis:
        """Return what is found where something was changed."""
        if self.question:
            tables = routed()
            change(tables)
            return ask_routed(tables, *self.question)
        tables = healthy()
        change(tables)
        return ask(tables, family=self.family)


def options(**change: str | None) -> Break:
    """Change DHCP options of the first site; None takes one away."""

    def do(tables: Tables) -> None:
        held = tables[NB1]["DHCP_Options"][0]["options"]
        for name, value in change.items():
            held.pop(name, None)
            if value is not None:
                held[name] = value

    return do


def pair(address: str, mac: str, guard: str = "") -> Break:
    """Give A an allowed address pair, and OVN what it is to let pass besides its own."""

    def do(tables: Tables) -> None:
        for place in (CENTRAL, N1):
            put(place, "port", "id", A, allowed_address_pairs=[
                {"ip_address": address, "mac_address": mac}])(tables)  # fmt: skip
        for row in tables[NB1]["Logical_Switch_Port"]:
            if row["name"] == A and guard:
                row["port_security"].append(guard)

    return do


def six(guard: str) -> Break:
    """Give both ends IPv6, and let OVN's port security of A have an entry for it."""

    def do(tables: Tables) -> None:
        for found in tables.values():
            for row in (*found.get("port", ()), *found.get("twin", ())):
                last = {A: 5, B: 6}[row["id"]]
                row["fixed_ips"].append({"subnet_id": "six", "ip_address": f"fd00::{last}"})
            for row in found.get("site_shadow", ()):
                row["addresses"].append(f"fd00::{ {A: 5, B: 6}[row['id']] }")
            for row in found.get("Logical_Switch_Port", ()):
                last = {A: 5, B: 6}[row["name"]]
                row["addresses"] = [f"{row['addresses'][0]} fd00::{last}"]
                if row["port_security"]:
                    row["port_security"] = [*row["addresses"]]
            for row in found.get("ACL", ()):
                row["match"] = row["match"].replace("ip4", "ip6").replace(
                    "ip6.src == $pg_sg_one_ip6 && ", "")  # fmt: skip
        rules(rule("egress", ethertype="IPv6"), rule("ingress", ethertype="IPv6"))(tables)
        put(NB1, "Logical_Switch_Port", "name", A,
            port_security=[f"{MAC_A} 10.0.0.5", guard])(tables)  # fmt: skip

    return do


def nothing(tables: Tables) -> None:
    """Change nothing."""


def distributed(owner: str, bound: str) -> Break:
    """Let the floating IP of B be translated at its port."""
    return both(
        put(NB1, "NAT", "external_ip", PUBLIC, external_mac="fa:16:3e:00:09:09", logical_port=B),
        put(N2, "port", "id", B, device_owner=owner),
        put(SB1, "Port_Binding", "logical_port", B, type=bound),
    )


def limited(*rules_of: dict[str, Any]) -> Break:
    return both(
        *(put(one, "port", "id", A, qos_policy_id="qos") for one in (CENTRAL, N1)),
        add(CENTRAL, "qos_policy", id="qos", rules=[*rules_of]),
    )


def owned(shared: bool, *policies: dict[str, Any]) -> Break:
    """Let the network be another project's than the port."""
    return both(
        put(N1, "port", "id", A, project_id="mine"), put(N2, "port", "id", B, project_id="mine"),
        put(CENTRAL, "network", "id", NET, project_id="theirs", shared=shared),
        *(add(CENTRAL, "rbac_policy", object_id=NET, object_type="network", **one)
          for one in policies),
    )  # fmt: skip


def left(place: Any, total: int, used: int) -> Break:
    one = {"subnet_id": SUBNET, "cidr": "10.0.0.0/24", "total_ips": total, "used_ips": used}
    return put(place, "network_ip_availability", "network_id", NET, subnet_ip_availability=[one])


def learned(key: int, addresses: str = "unknown") -> Break:
    """Let OVN have learned where B's address is."""
    return both(
        put(NB1, "Logical_Switch_Port", "name", B, addresses=[addresses]),
        add(SB1, "FDB", _uuid="f", mac=MAC_B, dp_key=16711690, port_key=key),
    )


def monitored(status: str, port: int = 443) -> Break:
    return add(SB2, "Service_Monitor", _uuid="m", logical_port=B, ip="10.0.0.6", protocol=["tcp"],
               port=port, status=[status])  # fmt: skip


def segments(*tags: int) -> Break:
    """Put the network and another one on one physical network."""

    def do(tables: Tables) -> None:
        tables[NB1]["segment"] = [
            {"switch": f"neutron-{name}", "name": f"provnet-{name}",
             "options": {"network_name": "fabric"},
             "tag": [tag]} for name, tag in zip((NET, "other"), tags, strict=True)
        ]  # fmt: skip

    return do


def session(status: str, chassis: object) -> Break:
    return both(
        add(SB1, "BFD", _uuid="b", logical_port=f"lrp-{GW}", dst_ip="198.51.100.1", status=status),
        put(SB1, "router_binding", "logical_port", f"cr-lrp-{GW}", chassis=chassis),
    )


def external_port(chassis: str) -> Break:
    """Let A be the port of a NIC's own, which a hypervisor stands in for."""

    def do(tables: Tables) -> None:
        tables[SB1]["Chassis"].append({
            "_uuid": "u-c9", "name": "c9", "hostname": "h9", "other_config": {}})  # fmt: skip
        put(SB1, "Port_Binding", "logical_port", A, type="external", chassis=chassis)(tables)
        put(N1, "port", "id", A, binding__vif_type="hw_veb")(tables)

    return do


def used(count: int) -> Break:
    """Let the ports' project have so many of ten."""
    return both(
        *(put(one, "port", "id", A, project_id="mine") for one in (CENTRAL, N1)),
        add(CENTRAL, "quota_detail", id="q", project_id="mine", resource="port", limit=10,
            reserved=0, used=count),
    )  # fmt: skip


LIMIT = {"id": "r", "type": "bandwidth_limit", "max_kbps": 800, "direction": "egress"}
POLICY = {"action": "access_as_shared", "target_tenant": "mine"}
Build = Callable[[], Diagnosis]

MORE: dict[str, Case] = {
    "dhcp.bad_option": Case(options(domain_name='"ex\nample"'), options(domain_name='"other"')),
    "dhcp.no_metadata_route": Case(
        options(classless_static_route=None),
        both(options(classless_static_route=None),
             put(N1, "metadata_port", "network_id", NET, fixed_ips=[])),
    ),
    "dhcp.other_metadata_route": Case(
        options(classless_static_route="{169.254.169.254/32,10.0.0.7}"),
        options(classless_static_route="{169.254.169.254/32,10.0.0.96}"),
    ),
    "dhcp.mtu": Case(options(mtu="1500"), options(mtu="1400")),
    "dhcp.no_name_server": Case(
        options(dns_server=None), options(dns_server="{192.0.2.99}"), Word.REACHABLE
    ),
    "subnet.full": Case(left(CENTRAL, 253, 253), left(CENTRAL, 253, 252), Word.REACHABLE),
    "lease.exhausted": Case(
        left(N1, 16, 16), both(left(N1, 16, 16), left(CENTRAL, 9, 9)), Word.REACHABLE
    ),
    "quota.used_up": Case(used(10), used(9), Word.REACHABLE),
    "network.not_shared": Case(owned(False), owned(False, POLICY)),
    "qos.limit": Case(
        limited(LIMIT), limited({"id": "r", "type": "dscp_marking", "dscp_mark": 8}),
        Word.REACHABLE,
    ),
    "lsp.pair_missing": Case(
        pair("10.0.0.200", VRRP4), pair("10.0.0.200", VRRP4, f"{VRRP4} 10.0.0.200")
    ),
    "port.vrrp_mac": Case(
        pair("10.0.0.200", VRRP6, f"{VRRP6} 10.0.0.200"),
        pair("10.0.0.200", VRRP4, f"{VRRP4} 10.0.0.200"),
    ),
    "lsp.neighbour_security": Case(
        six(f"{VRRP6} fd00::5"), six(f"{MAC_A} fd00::5"), Word.BLOCKED, family=6
    ),
    "fdb.stale": Case(learned(99), learned(22), Word.BLOCKED),
    "lb.member_offline": Case(monitored("offline"), monitored("offline", 80)),
    "segment.twice": Case(segments(7, 7), segments(7, 8)),
    "nat.distributed_unbound": Case(
        distributed("Octavia", ""), distributed("compute:x", ""), Word.BLOCKED, TO_FIP
    ),
    "lrp.centralised": Case(
        put(NB1, "Logical_Router_Port", "name", f"lrp-{NEAR_PORT}",
            options={"reside-on-redirect-chassis": "true"}),
        put(NB1, "Logical_Router_Port", "name", f"lrp-{NEAR_PORT}",
            options={"reside-on-redirect-chassis": "false"}),
        Word.REACHABLE, OUT,
    ),
    "bfd.next_hop_down": Case(
        session("down", "u-c1"), session("up", "u-c1"), Word.DEGRADED, OUT_OVER_TRANSIT
    ),
    "lsp.external_elsewhere": Case(
        external_port("u-c9"), external_port("u-c1"), Word.DEGRADED, OUT
    ),
}  # fmt: skip
#: Of what is told behind its cause: code and cause.
BEHIND: dict[str, tuple[Case, str]] = {
    "bfd.orphan": (
        Case(session("up", []), session("up", "u-c1"), Word.BLOCKED, OUT), "gateway.not_claimed"
    ),
}  # fmt: skip
