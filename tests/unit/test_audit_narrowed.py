"""The audit of one network: what its ports name is compared as well, and nothing else is."""

import copy
from typing import Any

from tests.unit.test_audit import GROUP, NET, SUB, World, run, world

from isthmus.federation.audits.holdings import parse_holdings
from isthmus.operate.audit import _concerns, _to_job

_TIERS = ("central", "one", "two")


def _add(state: World, kind: str, part: str, **row: Any) -> None:
    """Put an object at central and at site one, and map it there."""
    for name in ("central", "one"):
        state[name].setdefault(part, []).append(copy.deepcopy(row))
    mapping = {"type": kind, "resource_id": row["id"], "site": "one", "withdrawn": False}
    state["central"]["mappings"].append(mapping)


def _narrowed() -> World:
    state = world()
    _add(state, "security_group", "security_groups", id="remote", description="", rule_texts=[])
    _add(state, "security_group", "security_groups", id="other", description="", rule_texts=[])
    _add(state, "address_group", "address_groups", id="set", addresses=["192.0.2.0/24"])
    _add(state, "qos_policy", "policies", id="policy", rules=["bandwidth_limit 1"])
    _add(state, "qos_policy", "policies", id="unused", rules=["bandwidth_limit 1"])
    _add(state, "trunk", "trunks", id="t", port_id="port1", sub_ports=["vlan 7 far"], name="")
    _add(state, "trunk", "trunks", id="s", port_id="far", sub_ports=["vlan 7 port1"], name="")
    _add(state, "trunk", "trunks", id="u", port_id="far", sub_ports=["vlan 7 farther"], name="")
    for name in _TIERS:
        state[name]["network_id"] = NET
        group = next(one for one in state[name]["security_groups"] if one["id"] == GROUP)
        group["rule_texts"] = ["r1 ingress IPv4 tcp 1 2 None remote set"]
        for port in state[name]["ports"]:
            port["qos_policy_id"] = "policy"
    return state


def _change(state: World, part: str, row_id: str, **values: Any) -> list[tuple[str, str]]:
    """Change an object at site one; gives code and id of each finding."""
    changed = copy.deepcopy(state)
    (row,) = (one for one in changed["one"][part] if one["id"] == row_id)
    row |= values
    return [(one.code, one.subject.name) for one in run(changed)]


def test_what_a_network_names_is_compared() -> None:
    state = _narrowed()
    assert run(state) == []
    groups = "security_groups"
    assert _change(state, groups, GROUP, rules=["r1"]) == [("security_group.different", GROUP)]
    found = _change(state, groups, "remote", description="x")
    assert found == [("security_group.different", "remote")]
    found = _change(state, "address_groups", "set", addresses=[])
    assert found == [("address_group.different", "set")]
    assert _change(state, "policies", "policy", rules=[]) == [("qos_policy.different", "policy")]
    for trunk in ("t", "s"):
        assert _change(state, "trunks", trunk, name="x") == [("trunk.different", trunk)]


def test_what_it_does_not_name_is_not_compared() -> None:
    state = _narrowed()
    for part, row_id, values in (
        ("security_groups", "other", {"description": "x"}),
        ("policies", "unused", {"rules": []}),
        ("trunks", "u", {"name": "x"}),
    ):
        assert _change(state, part, row_id, **values) == []
        whole = copy.deepcopy(state)
        for name in _TIERS:
            del whole[name]["network_id"]
        assert [one for _, one in _change(whole, part, row_id, **values)] == [row_id]


def test_what_the_site_s_port_names_by_itself_is_told_of_the_port_alone() -> None:
    """Central is not asked for it, and does not say that it is there rightly."""
    state = _narrowed()
    state["central"]["mappings"] = [
        one for one in state["central"]["mappings"] if one["resource_id"] != "other"
    ]
    here = {"type": "security_group", "resource_id": "other", "site": "one", "withdrawn": False}
    state["one"]["mappings"] = [here]
    state["one"]["ports"][0]["security_groups"] = [GROUP, "other"]
    assert [one.code for one in run(state)] == ["port.different"]


def test_a_job_of_what_a_network_names_is_told() -> None:
    state = _narrowed()
    state["central"]["mappings"] = [
        one for one in state["central"]["mappings"] if one["resource_id"] not in ("other", "u")
    ] + [{"type": "network", "resource_id": "joined", "site": "one", "withdrawn": False}]
    central = parse_holdings(state["central"])
    for kind, row_id, told in (
        ("network", NET, True),
        ("subnet", SUB, True),
        ("shadow", "port1", True),
        ("security_group", GROUP, True),
        ("qos_policy", "policy", True),
        ("trunk", "t", True),
        ("lease", "lease3", True),
        ("network", "joined", False),
        ("security_group", "other", False),
        ("trunk", "u", False),
    ):
        row = dict.fromkeys(("created_at", "changed_at"), "2026-01-01T00:00:00")
        row |= {"id": "j", "site": "one", "type": kind, "resource_id": row_id, "state": "parked"}
        job = _to_job({**row, "generation": 1, "attempts": 1, "not_before": None, "last_error": ""})
        assert _concerns(job, NET, central) is told, row_id
