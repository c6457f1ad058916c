"""All pairs of ports: what is said of those that are alike is what each would be told itself."""

import random
from itertools import permutations
from typing import Any

import pytest
from bench import why_dump
from tests.tables.grown import grow
from tests.tables.grown_rows import make_dump

from isthmus import errors
from isthmus.diagnose.collect.world import collect_scene
from isthmus.diagnose.dump.form import Dump
from isthmus.diagnose.dump.recorded import Recorded
from isthmus.diagnose.judge import judge_as_seen
from isthmus.diagnose.question import PING, Service
from isthmus.diagnose.sweep.alike import group_alike
from isthmus.diagnose.sweep.pairs import MOST_PORTS, ask_pairs, list_ports
from isthmus.diagnose.world import Source

HTTPS = Service("tcp", 443)


def small(ports: int = 24) -> tuple[Dump, list[str]]:
    """Return a cloud of few ports on four hypervisors, in which all is well."""
    cloud = why_dump.Cloud(4, ports)
    return why_dump.make_dump(cloud), [cloud.port_id(one) for one in range(ports)]


def ask(dump: Dump, one: str, other: str, service: Service) -> tuple[str, str]:
    ways = Recorded(dump)
    try:
        scene = collect_scene(ways, one, other, timeout_s=600, now=ways.now, service=service)
    except errors.IsthmusError:
        return "not asked", ""
    found = judge_as_seen(scene.world, scene.source, scene.target, service, scene.family)
    code = found.blockers[0].verdict.code if found.blockers else ""
    return found.word.value, code


def compare(dump: Dump, ports: list[str], service: Service, most: int, seed: int) -> int:
    """Compare with what pairs are told one by one; gives how many groups there are."""
    found = ask_pairs(dump, ports, service)
    asked = [*permutations(ports, 2)]
    for one, other in random.Random(seed).sample(asked, min(most, len(asked))):
        answer = found.find(one, other)
        assert (answer.word, answer.code) == ask(dump, one, other, service), (one, other)
    assert sum(found.count().values()) == len(asked)
    return len(found.groups)


@pytest.mark.parametrize("seed", range(1, 7))
def test_in_a_cloud_out_of_a_seed_each_pair_is_told_what_it_would_be_told(seed: int) -> None:
    cloud = grow(seed)
    ports = [one.id for one in cloud.servers][:12]
    compare(make_dump(cloud), ports, random.Random(seed).choice((PING, HTTPS)), 30, seed)


BREAKS: dict[str, tuple[Source, str, str, dict[str, Any]]] = {
    "nothing": (Source.NB, "none", "name", {}),
    "a switch port is disabled": (Source.NB, "Logical_Switch_Port", "name", {"enabled": [False]}),
    "a key differs": (Source.SB, "Port_Binding", "logical_port", {"tunnel_key": 77}),
    "port security names nobody": (
        Source.NB, "Logical_Switch_Port", "name", {"port_security": ["02:00:00:00:00:01 10.0.0.99"]}
    ),
    "a port is down": (Source.NEUTRON, "port", "id", {"admin_state_up": False}),
    "no group": (Source.NEUTRON, "port", "id", {"security_groups": []}),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_who_is_not_like_the_others_is_asked_for_by_itself(name: str) -> None:
    dump, ports = small()
    source, table, key, values = BREAKS[name]
    for (where, _), tables in dump.tables.items():
        rows: list[Any] = tables.get(table, []) if where is source else []
        for row in rows:
            if row.get(key) == ports[5]:
                row.update(values)
    groups = compare(dump, ports, PING, 40, 5)
    whole = len(group_alike(small()[0], ports))
    assert groups == (whole if name == "nothing" else whole + 1), (groups, whole)


def test_a_rule_for_one_address_parts_whom_it_is_for() -> None:
    dump, ports = small()
    for tables in dump.tables.values():
        groups: list[Any] = tables.get("security_group", [])
        for group in groups:
            for rule in group["security_group_rules"]:
                if rule["direction"] == "ingress":
                    rule |= {"remote_group_id": None, "remote_ip_prefix": "10.0.0.13/32"}
    alone = [one for one in group_alike(dump, ports) if one == [ports[3]]]
    assert alone
    compare(dump, ports, PING, 40, 6)


def test_several_processes_say_the_same() -> None:
    dump, ports = small(60)
    assert ask_pairs(dump, ports, workers=2) == ask_pairs(dump, ports)


def test_too_many_ports_are_refused() -> None:
    dump, ports = small(30)
    assert sorted(list_ports(dump)) == sorted(ports)
    assert list_ports(dump, ["11111111-0000-4000-8000-000000000000"])
    assert list_ports(dump, ["another"]) == []
    cloud = why_dump.Cloud(4, MOST_PORTS + 1)
    with pytest.raises(errors.Invalid, match="--network"):
        list_ports(why_dump.make_dump(cloud))
