"""What a broken world is found to be: each case has one thing wrong, and the code that names it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.tables.world import AG, DATAPATH, NET, OTHER, PG, A, B, Tables, ask, healthy, rule

from isthmus.diagnose.check.look import Hop
from isthmus.diagnose.document import to_document
from isthmus.diagnose.judge import State, Word
from isthmus.diagnose.lab_repair import render_in_lab
from isthmus.diagnose.question import Direction
from isthmus.diagnose.world import Source, Unseen
from isthmus.model.verdict import Severity

CENTRAL = (Source.CENTRAL, "central")
N1, N2 = (Source.NEUTRON, "s1"), (Source.NEUTRON, "s2")
NB1, NB2 = (Source.NB, "s1"), (Source.NB, "s2")
SB1, SB2 = (Source.SB, "s1"), (Source.SB, "s2")
H1, H2 = (Source.HOST, "h1"), (Source.HOST, "h2")

Break = Callable[[Tables], Any]


def put(place: tuple[Source, str], table: str, key: str, value: Any, **change: Any) -> Break:
    """Change the row that has a value."""

    def do(tables: Tables) -> None:
        rows = [one for one in tables[place][table] if one.get(key) == value]
        assert rows, (place, table, key, value)
        for row in rows:
            row.update({name.replace("__", ":"): new for name, new in change.items()})

    return do


def drop(place: tuple[Source, str], table: str, key: str, value: Any) -> Break:
    """Remove the row that has a value."""

    def do(tables: Tables) -> None:
        rows = tables[place][table]
        kept = [one for one in rows if one.get(key) != value]
        assert len(kept) < len(rows)
        rows[:] = kept

    return do


def add(place: tuple[Source, str], table: str, **row: Any) -> Break:
    """Add a row."""
    return lambda tables: tables[place][table].append(
        {name.replace("__", ":"): value for name, value in row.items()}
    )


def rules(*wanted: dict[str, Any], stateful: bool = True, places: Any = (CENTRAL, N1, N2)) -> Break:
    """Give the group other rules, in all tiers; OVN's ACLs are left as they are."""

    def do(tables: Tables) -> None:
        for place in places:
            group = tables[place]["security_group"][0]
            group.update(security_group_rules=list(wanted), stateful=stateful)

    return do


def both(*changes: Break) -> Break:
    def do(tables: Tables) -> None:
        for one in changes:
            one(tables)

    return do


OUT = rule("egress")


def web(**more: Any) -> dict[str, Any]:
    ports = {"protocol": "tcp", "port_range_min": 443, "port_range_max": 443}
    return rule("ingress", **{**ports, **more})


#: code: (what is wrong, the word)
BLOCKED: dict[str, Break] = {
    "port.admin_down": both(
        put(N1, "port", "id", A, admin_state_up=False, status="DOWN"),
        put(NB1, "Logical_Switch_Port", "name", A, enabled=False),
    ),
    "network.admin_down": put(CENTRAL, "network", "id", NET, admin_state_up=False),
    "port.unbound": put(N1, "port", "id", A, binding__host_id="", binding__vif_type="unbound"),
    "port.binding_failed": put(N1, "port", "id", A, binding__vif_type="binding_failed"),
    "lsp.no_parent": put(N1, "port", "id", A, device_owner="trunk:subport", device_id="trunk"),
    "port.no_address": put(N1, "port", "id", A, fixed_ips=[]),
    "policy.no_groups": put(N2, "port", "id", B, security_groups=[]),
    "policy.egress.none": rules(web(remote_group_id="sg-one")),
    "policy.ingress.none": rules(OUT),
    "policy.ingress.family": rules(OUT, web(ethertype="IPv6")),
    "policy.ingress.protocol": rules(OUT, rule("ingress", protocol="udp")),
    "policy.ingress.port": rules(OUT, web(port_range_max=444, port_range_min=444)),
    "policy.ingress.remote_group": rules(OUT, web(remote_group_id=OTHER)),
    "policy.ingress.address_group": rules(OUT, web(remote_address_group_id="ag-else")),
    "policy.ingress.remote_prefix": rules(OUT, web(remote_ip_prefix="192.0.2.0/24")),
    "policy.egress.remote_prefix": rules(
        rule("egress", remote_ip_prefix="192.0.2.0/24"), web(remote_group_id="sg-one")
    ),
    "policy.egress.port": rules(
        rule("egress", protocol="tcp", port_range_min=80, port_range_max=80), web()
    ),
    "policy.stateless_return": rules(
        rule("egress", protocol="tcp", port_range_min=443, port_range_max=443), web(),
        stateful=False,
    ),
    "acl.missing": drop(NB2, "ACL", "_uuid", "a-to-lport"),
    "acl.not_in_port_group": put(NB2, "Port_Group", "name", PG, ports=[f"u-{A}"]),
    "acl.address_set": put(SB2, "Address_Set", "name", f"{PG}_ip4", addresses=["10.0.0.6"]),
    "group.not_at_site": drop(N2, "security_group", "id", "sg-one"),
    "switch.missing": drop(NB1, "Logical_Switch", "name", f"neutron-{NET}"),
    "lsp.missing": drop(NB1, "Logical_Switch_Port", "name", A),
    "lsp.disabled": put(NB1, "Logical_Switch_Port", "name", A, enabled=[False]),
    "lsp.port_security": put(
        NB1, "Logical_Switch_Port", "name", A, port_security=["fa:16:3e:00:00:05 10.0.0.9"]
    ),
    "lsp.virtual": put(
        NB1, "Logical_Switch_Port", "name", A, type="virtual",
        options={"requested-tnl-key": "11", "virtual-parents": "port-v,port-w"},
    ),
    "northd.no_binding": drop(SB1, "Port_Binding", "logical_port", A),
    "binding.no_chassis": put(SB1, "Port_Binding", "logical_port", A, chassis=[]),
    "binding.wrong_chassis": put(SB1, "Port_Binding", "logical_port", A, chassis="u-c2"),
    "binding.not_up": put(SB1, "Port_Binding", "logical_port", A, up=[False]),
    "binding.key": put(SB1, "Port_Binding", "logical_port", A, tunnel_key=12),
    "network.datapath_key": put(SB2, "Datapath_Binding", "_uuid", "dp", tunnel_key=DATAPATH + 1),
    "network.not_present": drop(CENTRAL, "site_presence", "site", "s2"),
    "network.missing": drop(N2, "network", "id", NET),
    "subnet.missing": drop(N2, "subnet", "id", "sub"),
    "shadow.unreported": both(
        drop(N1, "site_shadow", "id", B), drop(NB1, "Logical_Switch_Port", "name", B)
    ),
    "shadow.missing": drop(NB1, "Logical_Switch_Port", "name", B),
    "shadow.type": put(NB1, "Logical_Switch_Port", "name", B, type=""),
    "shadow.key": put(
        NB1, "Logical_Switch_Port", "name", B,
        options={"requested-tnl-key": "23", "requested-chassis": "c2"},
    ),
    "shadow.chassis": put(
        NB1, "Logical_Switch_Port", "name", B,
        options={"requested-tnl-key": "22", "requested-chassis": "c9"},
    ),
    "shadow.addresses": put(
        NB1, "Logical_Switch_Port", "name", B, addresses=["fa:16:3e:00:00:06 10.0.0.9"]
    ),
    "shadow.disabled": put(NB1, "Logical_Switch_Port", "name", B, enabled=[False]),
    "shadow.unbound": put(SB1, "Port_Binding", "logical_port", B, chassis=[]),
    "shadow.stale_chassis": put(N1, "site_shadow", "id", B, chassis="c1"),
    "shadow.stale_addresses": put(N1, "site_shadow", "id", B, addresses=["10.0.0.9"]),
    "port.key_changed": both(
        put(SB2, "Port_Binding", "logical_port", B, tunnel_key=23),
        put(NB2, "Logical_Switch_Port", "name", B,
            options={"requested-tnl-key": "23", "requested-chassis": "c2"}),
    ),
    "remote_chassis.missing": drop(SB1, "Chassis", "name", "c2"),
    "remote_chassis.not_remote": put(SB1, "Chassis", "name", "c2", other_config={}),
    "remote_chassis.encap_ip": put(SB1, "Encap", "chassis_name", "c2", ip="172.30.2.99"),
    "chassis.missing": put(SB1, "Chassis", "name", "c1", hostname="else"),
    "chassis.encap_type": put(SB2, "Encap", "chassis_name", "c2", type="vxlan"),
    "chassis.encap_twice": both(
        put(SB2, "Encap", "chassis_name", "c2", ip="172.30.1.11"),
        put(SB1, "Encap", "chassis_name", "c2", ip="172.30.1.11"),
    ),
    "host.vswitchd_hung": put(H1, "daemon", "name", "ovs-vswitchd", state="hung", said="no answer"),
    "host.vswitchd_dead": put(H1, "daemon", "name", "ovs-vswitchd", state="dead", said="gone"),
    "host.conntrack_full": put(H1, "conntrack", "most", 3000000, count=3000001),
    "host.no_interface": drop(H1, "Interface", "iface_id", A),
    "host.interface_twice": add(H1, "Interface", name="tap2", iface_id=A),
    "host.interface_error": put(H1, "Interface", "iface_id", A, ofport=-1, error="no such device"),
    "host.tap_down": put(H1, "Interface", "iface_id", A, link_state="down"),
    "host.no_tunnel": drop(H1, "Interface", "name", "ovn-1"),
    "host.not_interconn": lambda t: t[H1]["Open_vSwitch"][0]["external_ids"].pop(
        "ovn-is-interconn"
    ),
    "host.encap_ip": lambda t: t[H1]["Open_vSwitch"][0]["external_ids"].update(
        {"ovn-encap-ip": "172.30.1.99"}
    ),
    "host.no_flow": put(H1, "flow", "to", B, count=0),
}  # fmt: skip

DEGRADED: dict[str, Break] = {
    "port.not_active": put(N1, "port", "id", A, status="DOWN"),
    "metadata.agent_behind": put(
        SB1, "Chassis_Private", "name", "c1", external_ids={"neutron:ovn-metadata-sb-cfg": "3"}),
    "metadata.no_address": put(N1, "metadata_port", "network_id", NET, fixed_ips=[]),
    "lsp.addresses": put(NB1, "Logical_Switch_Port", "name", A, addresses=["fa:16:3e:00:00:05"]),
    "port.address_twice": add(
        N2, "twin", id="port-c", network_id=NET, mac_address="fa:16:3e:00:00:09",
        fixed_ips=[{"ip_address": "10.0.0.5"}],
    ),
    "port.mac_twice": add(
        N2, "twin", id="port-c", network_id=NET, mac_address="fa:16:3e:00:00:05", fixed_ips=[]
    ),
    "group.rules_differ": rules(OUT, web(), rule("ingress", protocol="udp"), places=(CENTRAL,)),
    "dhcp.no_options": put(NB1, "Logical_Switch_Port", "name", A, dhcpv4_options=[]),
    "policy.no_dhcp": rules(
        rule("egress", protocol="tcp"), web(remote_group_id="sg-one")
    ),
    "lsp.migrating": put(
        NB1, "Logical_Switch_Port", "name", A,
        options={"requested-tnl-key": "11", "requested-chassis": "h1,h3"},
    ),
    "host.tap_mtu": put(H1, "Interface", "iface_id", A, mtu=1400),
    "host.bridge_twice": lambda t: t[H1]["Open_vSwitch"][0]["external_ids"].update(
        {"ovn-bridge-mappings": "physnet1:br-ex, physnet2:br-ex,physnet3:br-two"}
    ),
    "northd.behind": put(NB1, "NB_Global", "nb_cfg", 7, nb_cfg=9),
    "chassis.behind": put(SB1, "Chassis_Private", "name", "c1", nb_cfg=3),
    "chassis.private_orphan": put(SB1, "Chassis_Private", "name", "c1", chassis=[]),
    "chassis.twice": add(SB1, "Chassis", _uuid="u-c9", name="c9", hostname="h1", other_config={}),
    "chassis.address_claimed": add(
        SB1, "Encap", _uuid="e9", chassis_name="c9", ip="172.30.2.11", type="geneve"
    ),
    "mtu.sites_differ": put(N2, "network", "id", NET, mtu=1400),
    "mtu.too_large": put(H1, "route", "dev", "br-phys", mtu=1450),
    "site.disabled": put(CENTRAL, "site", "name", "s2", state="disabled"),
    "site.unreachable": put(CENTRAL, "site", "name", "s2", reachability="unreachable"),
    "job.parked": add(
        CENTRAL, "site_job", id="j", site="s1", type="network", resource_id=NET, state="parked",
        last_error="no such type",
    ),
    "job.waiting": add(
        CENTRAL, "site_job", id="j", site="s1", type="network", resource_id=NET, state="waiting"
    ),
    "report.refused": add(
        CENTRAL, "site_refusal", id="r", site="s2", type="port", resource_id=B, reason="not yours"
    ),
    "host.controller_hung": put(
        H1, "daemon", "name", "ovn-controller", state="hung", said="no answer in 2 s"
    ),
    "host.controller_disconnected": put(
        H1, "daemon", "name", "ovn-controller", state="not connected", said="not connected"
    ),
    "host.controller_dead": put(H1, "daemon", "name", "ovn-controller", state="dead", said="gone"),
}  # fmt: skip


_OF_ROUTERS = {
    Hop.GATEWAY, Hop.ROUTE, Hop.TRANSIT, Hop.EXIT, Hop.OUTSIDE, Hop.ENTRY,
}  # fmt: skip


def test_a_subport_is_plugged_in_by_its_parent() -> None:
    tables = healthy()
    put(N1, "port", "id", A, device_owner="trunk:subport", device_id="trunk")(tables)
    put(NB1, "Logical_Switch_Port", "name", A, parent_name=["parent"], tag=[7])(tables)
    put(H1, "Interface", "name", "tap1", iface_id="parent")(tables)
    assert ask(tables).word is Word.REACHABLE, ask(tables).blockers


def test_a_healthy_pair_is_reachable() -> None:
    found = ask(healthy())
    assert found.blockers == ()
    assert found.word is Word.REACHABLE
    states = {step.state for step in found.path if step.hop not in _OF_ROUTERS}
    assert states == {State.PASSES}
    others = {step.state for step in found.path if step.hop in _OF_ROUTERS}
    assert others == {State.NOT_APPLICABLE}
    assert {step.direction for step in found.path} == set(Direction)


@pytest.mark.parametrize("code", BLOCKED)
def test_what_blocks_is_named_first(code: str) -> None:
    tables = healthy()
    BLOCKED[code](tables)
    found = ask(tables)
    assert found.word is Word.BLOCKED, [one.verdict.code for one in found.blockers]
    assert found.blockers[0].verdict.code == code, [one.verdict.code for one in found.blockers]
    assert State.STOPS in {step.state for step in found.path}
    _is_complete(found.blockers[0].verdict)


@pytest.mark.parametrize("code", DEGRADED)
def test_what_hinders_is_named_first(code: str) -> None:
    tables = healthy()
    DEGRADED[code](tables)
    found = ask(tables)
    assert found.word is Word.DEGRADED, [one.verdict.code for one in found.blockers]
    assert found.blockers[0].verdict.code == code, [one.verdict.code for one in found.blockers]
    _is_complete(found.blockers[0].verdict)


def _is_complete(verdict: Any) -> None:
    assert verdict.subject.name
    assert verdict.message
    assert verdict.evidence
    assert verdict.remedy


@pytest.mark.parametrize("first", ["shadow.missing", "host.no_interface", "policy.ingress.none"])
@pytest.mark.parametrize("second", ["port.admin_down", "remote_chassis.encap_ip"])
def test_two_faults_are_both_named(first: str, second: str) -> None:
    tables = healthy()
    BLOCKED[first](tables)
    BLOCKED[second](tables)
    codes = {one.verdict.code for one in ask(tables).blockers}
    assert {first, second} <= codes


def test_that_there_is_no_tunnel_follows_from_a_hypervisor_that_makes_none() -> None:
    tables = healthy()
    put(H1, "Open_vSwitch", "external_ids", tables[H1]["Open_vSwitch"][0]["external_ids"],
        external_ids={"ovn-encap-ip": "172.30.1.11"})(tables)  # fmt: skip
    for row in tables[H1]["Interface"]:
        row["options"] = {}
    codes = [one.verdict.code for one in ask(tables).blockers]
    assert codes == ["host.not_interconn"]


@pytest.mark.parametrize("source", [Source.NB, Source.SB])
@pytest.mark.parametrize("place", ["s1", "s2"])
def test_without_the_rows_of_a_site_it_is_not_told(source: Source, place: str) -> None:
    found = ask(healthy(), unseen=(Unseen(source, place, "no way in"),))
    assert found.word is Word.UNDETERMINED
    assert found.blockers == ()
    assert any(f"{source} {place}: no way in" == why for why in found.report.unseen)
    assert State.NOT_SEEN in {step.state for step in found.path}


def test_what_is_seen_to_block_blocks_whatever_else_was_not_seen() -> None:
    tables = healthy()
    BLOCKED["policy.ingress.none"](tables)
    lost = tuple(Unseen(one, "s2", "cut") for one in (Source.NEUTRON, Source.NB, Source.SB))
    found = ask(tables, unseen=lost)
    assert found.word is Word.BLOCKED
    assert found.blockers[0].verdict.code == "policy.ingress.none"


def test_a_hypervisor_that_was_not_looked_at_does_not_keep_from_telling() -> None:
    found = ask(healthy(), unseen=(Unseen(Source.HOST, "h1", "no way in"),))
    assert found.word is Word.REACHABLE
    steps = {(one.direction, one.hop): one.state for one in found.path}
    assert steps[Direction.THERE, Hop.SENDER_TAP] is State.NOT_SEEN


def test_who_may_not_see_sites_is_not_told_that_a_network_is_not_there() -> None:
    tables = healthy()
    tables[CENTRAL]["site"].clear()
    tables[CENTRAL]["site_presence"].clear()
    found = ask(tables)
    assert found.word is Word.UNDETERMINED
    assert found.blockers == ()


def test_a_cut_site_is_not_taken_for_one_that_has_unbound_its_port() -> None:
    tables = healthy()
    put(CENTRAL, "port", "id", B, binding__host_id="s2/h2", status="DOWN")(tables)
    lost = tuple(Unseen(one, "s2", "cut") for one in (Source.NEUTRON, Source.NB, Source.SB))
    found = ask(tables, unseen=lost)
    assert found.word is Word.UNDETERMINED
    assert found.blockers == ()


def test_without_rows_of_routers_a_way_between_networks_is_not_told() -> None:
    tables = healthy()
    for place in (N2, CENTRAL):
        put(place, "port", "id", B, network_id="other")(tables)
    tables[CENTRAL]["site_presence"].append(
        {**tables[CENTRAL]["site_presence"][1], "network_id": "other"}
    )
    tables[NB2]["Logical_Switch"].append({"_uuid": "other", "name": "neutron-other", "acls": []})
    tables[N2]["network"].append({"id": "other", "mtu": 1442, "admin_state_up": True})
    found = ask(tables)
    assert found.word is Word.UNDETERMINED
    assert found.blockers == ()
    assert any("subnet" in why for why in found.report.unseen)


def test_an_address_that_is_not_its_own_is_spoofed() -> None:
    found = ask(healthy(), address="10.0.0.99")
    assert found.blockers[0].verdict.code == "port.spoofed_address"
    tables = healthy()
    put(N1, "port", "id", A, allowed_address_pairs=[{"ip_address": "10.0.0.0/24"}])(tables)
    codes = {one.verdict.code for one in ask(tables, address="10.0.0.99").blockers}
    assert "port.spoofed_address" not in codes


def test_an_address_group_lets_its_members_pass() -> None:
    tables = healthy()
    rules(OUT, web(remote_address_group_id=AG))(tables)
    assert not [one for one in ask(tables).blockers if one.verdict.code.startswith("policy")]


def test_what_ovn_lets_pass_against_the_rules_is_told_too() -> None:
    tables = healthy()
    rules(OUT)(tables)
    found = ask(tables)
    codes = {one.verdict.code: one.verdict.severity for one in found.blockers}
    assert codes == {
        "policy.ingress.none": Severity.BROKEN, "acl.extra": Severity.DEGRADED
    }  # fmt: skip


def test_an_acl_that_cannot_be_read_is_not_guessed() -> None:
    tables = healthy()
    put(NB2, "ACL", "_uuid", "a-to-lport", match="outport == @pg_sg_one && mystery == 3")(tables)
    found = ask(tables)
    assert found.word is Word.UNDETERMINED
    assert [one.verdict.code for one in found.blockers] == ["acl.not_understood"]


def test_a_check_that_fails_says_nothing_and_stops_no_other() -> None:
    tables = healthy()
    put(N1, "site_shadow", "id", B, port_key="many")(tables)
    found = ask(tables)
    assert found.word is Word.UNDETERMINED
    assert any("the check failed" in why for why in found.report.unseen)


def test_ports_without_port_security_are_not_filtered() -> None:
    tables = healthy()
    for place, port_id in ((N1, A), (N2, B)):
        put(place, "port", "id", port_id, port_security_enabled=False, security_groups=[])(tables)
    for place in (NB1, NB2):
        put(place, "Port_Group", "name", PG, ports=[])(tables)
        put(place, "Port_Group", "name", "neutron_pg_drop", ports=[])(tables)
    assert ask(tables, "udp/53").word is Word.REACHABLE


@pytest.mark.parametrize("code", [*BLOCKED, *DEGRADED])
def test_in_a_lab_no_repair_is_for_services_of_the_machine(code: str) -> None:
    tables = healthy()
    (BLOCKED | DEGRADED)[code](tables)
    found = ask(tables)
    for shown, meant in zip(to_document(found, lab="op")["blockers"], found.blockers, strict=True):
        remedy = shown["remedy"]
        assert "systemctl" not in remedy.partition("#")[0]
        for name in ("vswitchd", "controller", "northd"):
            if f"systemctl start ovs-{name}" in meant.verdict.remedy:
                assert re.fullmatch(rf"isthmus lab start h\d\.{name} --name op", remedy)
        for command in re.findall(r"isthmus lab (?:start|kill|shell) [^;#]*", remedy):
            assert "--name op" in command
    assert to_document(found)["blockers"][0]["remedy"] == found.blockers[0].verdict.remedy


def test_repairs_in_a_lab() -> None:
    hung = "on h1: kill -CONT $(pidof ovs-vswitchd) || systemctl restart ovs-vswitchd"
    assert render_in_lab("on h1: ovs-appctl dpctl/ct-set-maxconns 9", "lab") == (
        "isthmus lab shell h1 -- sh -c 'ovs-appctl -t $OVS_RUNDIR/vswitchd.ctl "
        "dpctl/ct-set-maxconns 9'"
    )
    again = "on h1: ovn-appctl -t ovn-controller inc-engine/recompute"
    for said in (again, f"{again}, or restart ovn-controller"):
        assert render_in_lab(said, "op") == (
            "isthmus lab shell --name op h1 -- sh -c 'ovn-appctl -t $(ls -t "
            "$OVN_RUNDIR/ovn-controller.*.ctl | head -1) inc-engine/recompute'"
        )
    assert render_in_lab(hung, "lab") == "isthmus lab kill h1.vswitchd --signal CONT"
    behind = "systemctl restart ovn-northd   # at site s1; see its log first"
    assert render_in_lab(behind, "lab") == (
        "isthmus lab kill s1.northd; isthmus lab start s1.northd   # see its log first"
    )
    row = "ovn-nbctl lsp-set-addresses U 'fa:16 10.0.0.1'   # at site s1"
    assert render_in_lab(row, "lab") == (
        "isthmus lab shell s1 -- ovn-nbctl lsp-set-addresses U 'fa:16 10.0.0.1'"
    )
    for same in ("isthmus site enable s1", "on h1: ip link show x; restart the server"):
        assert render_in_lab(same, "lab") == same


@pytest.mark.parametrize(("port", "records", "told"), [
    (53, [], True), (53, ["d"], False), (54, ["d"], True),
])  # fmt: skip
def test_ovn_lets_in_what_comes_from_port_53_where_a_switch_has_names(
    port: int, records: list[str], told: bool
) -> None:
    tables = healthy()
    lets_in = rule("ingress", protocol="udp", port_range_min=port, port_range_max=port)
    rules(rule("egress"), lets_in, stateful=False)(tables)
    put(NB1, "Logical_Switch", "name", f"neutron-{NET}", dns_records=records)(tables)
    codes = [one.verdict.code for one in ask(tables, service=f"udp/{port}").blockers]
    assert ("policy.stateless_return" in codes) is told, codes
