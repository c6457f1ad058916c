"""What `isthmus why` reads of a real OVN and makes of its ACLs: ovn-trace is the oracle."""

import random
import time
from typing import Any

import pytest

from isthmus import errors
from isthmus.clients.machine import shell
from isthmus.clients.ovsdb.select import RemoteDatabase
from isthmus.diagnose.collect import ovn
from isthmus.diagnose.collect.tasks import gather
from isthmus.diagnose.evaluate import acl
from isthmus.diagnose.evaluate.match import Scope
from isthmus.diagnose.evaluate.policy import Peer, decide
from isthmus.diagnose.evaluate.render import render_match
from isthmus.diagnose.question import Direction, End, Packet, Way
from isthmus.diagnose.world import Row, Source
from isthmus.facts.ovsdb import Select
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = pytest.mark.ovn

GROUP = "g1"
MACS = {"a": "fa:16:3e:00:00:05", "b": "fa:16:3e:00:00:06"}
IPS = {"a": "10.0.0.5", "b": "10.0.0.6"}
#: Rule sets and packets for each of them; a trace takes some 50 ms.
SETS, PACKETS = 6, 8


def port(name: str) -> dict[str, Any]:
    return {"id": name, "name": name, "network_id": "n", "mac_address": MACS[name],
            "fixed_ips": [{"ip_address": IPS[name]}], "security_groups": [GROUP]}  # fmt: skip


def draw_rules(seed: random.Random) -> list[dict[str, Any]]:
    """Draw some rules as Neutron has them."""
    rules = []
    for number in range(seed.randint(4, 10)):
        protocol = seed.choice([None, "tcp", "udp", "icmp"])
        low = seed.choice([None, 80, 443]) if protocol in ("tcp", "udp") else None
        rules.append(
            {
                "id": f"r{number}",
                "direction": seed.choice(["ingress", "egress"]),
                "ethertype": seed.choice(["IPv4", "IPv4", "IPv6"]),
                "protocol": protocol,
                "port_range_min": low,
                "port_range_max": None if low is None else seed.choice([low, 500]),
                "remote_ip_prefix": seed.choice([None, "10.0.0.0/24", "10.0.0.4/31"])
                if number % 2
                else None,
                "remote_group_id": seed.choice([None, GROUP]) if not number % 2 else None,
                "security_group_id": GROUP,
            }
        )
    for one in rules:
        if one["ethertype"] == "IPv6":
            one["remote_ip_prefix"] = None
    return rules


def write(site: OvnDatabases, rules: list[dict[str, Any]]) -> None:
    """Write switch, ports, groups and ACLs as ML2/OVN does."""
    site.nbctl("--if-exists", "ls-del", "neutron-n")
    words = ["ls-add", "neutron-n"]
    for name, mac in MACS.items():
        words += ["--", "lsp-add", "neutron-n", name]
        words += ["--", "lsp-set-addresses", name, f"{mac} {IPS[name]}"]
    site.nbctl(*words)
    for group in (f"pg_{GROUP}", "neutron_pg_drop"):
        site.nbctl("--if-exists", "destroy", "Port_Group", group)
        site.nbctl("pg-add", group, "a", "b")
    for way, side in (("from-lport", "inport"), ("to-lport", "outport")):
        match = f"{side} == @neutron_pg_drop && ip"
        site.nbctl("--type=port-group", "acl-add", "neutron_pg_drop", way, "1001", match, "drop")
    for rule in rules:
        way = "to-lport" if rule["direction"] == "ingress" else "from-lport"
        where = ("--may-exist", "--type=port-group", "acl-add", f"pg_{GROUP}", way, "1002")
        site.nbctl(*where, render_match(rule), "allow-related")
    site.nbctl("--wait=sb", "sync")


def draw_packet(seed: random.Random) -> Packet:
    protocol = seed.choice(["tcp", "udp", "icmp"])
    return Packet(
        family=4,
        source=IPS["a"],
        target=IPS["b"],
        protocol=protocol,
        target_port=None if protocol == "icmp" else seed.choice([80, 443, 600]),
        icmp_type=8 if protocol == "icmp" else None,
    )


def trace(site: OvnDatabases, packet: Packet) -> bool:
    """Tell whether ovn-trace outputs a packet to its port."""
    tail = f"{packet.protocol}.dst == {packet.target_port}"
    if packet.protocol == "icmp":
        tail = "icmp4.type == 8"
    flow = (
        f'inport == "a" && eth.src == {MACS["a"]} && eth.dst == {MACS["b"]} && '
        f"ip4.src == {packet.source} && ip4.dst == {packet.target} && ip.ttl == 64 && "
        f"{'icmp4' if packet.protocol == 'icmp' else packet.protocol} && {tail}"
    )
    said = shell.run(
        ["ovn-trace", f"--db={site.sb_remote}", "--ct=new", "--ct=new", "neutron-n", flow]
    ).stdout
    return 'output to "b"' in said


def read(site: OvnDatabases) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    nb = RemoteDatabase(site.nb_remote, "OVN_Northbound", 30)
    sb = RemoteDatabase(site.sb_remote, "OVN_Southbound", 30)
    found = gather(
        [*ovn.tasks("s", nb, sb, (port("a"), port("b")))], time.monotonic() + 60, lambda: "t"
    )
    assert found.unseen == []
    north, south = (found.seen[one, "s"].tables for one in (Source.NB, Source.SB))
    return ({k: list(v) for k, v in north.items()}, {k: list(v) for k, v in south.items()})


def passes(north: dict[str, list[Row]], south: dict[str, list[Row]], packet: Packet) -> bool:
    ends = [End(asked=one, port=port(one), address=IPS[one]) for one in ("a", "b")]
    way = Way(Direction.THERE, ends[0], ends[1], packet)
    names = {row["_uuid"]: row["name"] for row in north["Logical_Switch_Port"]}
    sets = {row["name"]: frozenset(row["addresses"]) for row in south["Address_Set"]}
    scope = Scope(acl.list_fields(packet, way), acl.members(north["Port_Group"], names), sets)
    found = [acl.decide(north["ACL"], one, scope).allowed for one in ("from-lport", "to-lport")]
    assert None not in found
    return all(found)


def test_acls_and_rules_say_what_ovn_trace_says(databases: OvnDatabases) -> None:
    seed = random.Random(12)
    answers = []
    for _ in range(SETS):
        rules = draw_rules(seed)
        write(databases, rules)
        north, south = read(databases)
        groups = [{"id": GROUP, "security_group_rules": rules}]
        for _ in range(PACKETS):
            packet = draw_packet(seed)
            expected = trace(databases, packet)
            told = f"{packet}: {rules}"
            assert passes(north, south, packet) is expected, told
            out = decide(groups, "egress", packet, Peer(IPS["b"], frozenset({GROUP})))
            into = decide(groups, "ingress", packet, Peer(IPS["a"], frozenset({GROUP})))
            assert (out.allowed and into.allowed) is expected, told
            answers.append(expected)
    assert len(set(answers)) == 2, "both answers were seen"


def test_rows_are_read_as_they_are(databases: OvnDatabases) -> None:
    write(databases, [])
    databases.nbctl("lsp-set-options", "a", "requested-tnl-key=7")
    databases.nbctl("--wait=sb", "sync")
    _, south = read(databases)
    keys = {row["logical_port"]: row["tunnel_key"] for row in south["Port_Binding"]}
    assert keys["a"] == 7
    north, _ = read(databases)
    rows = {row["name"]: row for row in north["Logical_Switch_Port"]}
    assert rows["a"]["options"] == {"requested-tnl-key": "7"}
    assert rows["a"]["addresses"] == [f"{MACS['a']} {IPS['a']}"]
    assert rows["b"]["enabled"] == []
    assert len(north["Port_Group"]) == 2


def test_a_database_that_is_away_is_unreachable(databases: OvnDatabases) -> None:
    databases.kill("nb")
    nb = RemoteDatabase(databases.nb_remote, "OVN_Northbound", 2)

    def refused() -> bool:
        with pytest.raises(errors.Unreachable, match="OVN_Northbound"):
            nb.select([Select("NB_Global")])
        return True

    until(refused, what="a refusal")
