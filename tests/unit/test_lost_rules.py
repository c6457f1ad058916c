"""Which rules of security groups OVN lost: those without an ACL, and without one that is alike.

And which address groups and translations.
"""

from types import SimpleNamespace
from typing import Any

import pytest

from isthmus.federation.lost_rules import (
    Losses,
    confirm_lost,
    find_lost,
    find_lost_addresses,
    find_untranslated,
)


def rule(rule_id: str, **changes: Any) -> Any:
    base = {
        "id": rule_id,
        "security_group_id": "group",
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "port_range_min": 22,
        "port_range_max": 22,
        "remote_group_id": None,
        "remote_address_group_id": None,
        "remote_ip_prefix": "10.0.0.0/24",
    }
    return SimpleNamespace(**{**base, **changes})


def lost(*rules: Any, there: tuple[str, ...] = ()) -> list[str]:
    return [one["id"] for one in find_lost(rules, set(there))]


def test_a_rule_without_an_acl_is_lost() -> None:
    one, two = rule("a"), rule("b", port_range_min=80)
    assert lost(one, two, there=("a", "b")) == []
    assert lost(one, two, there=("a",)) == ["b"]
    assert list(find_lost([one], ())) == [{"id": "a", "security_group_id": "group"}]


def test_rules_that_come_to_the_same_have_one_acl() -> None:
    same = rule("b", remote_ip_prefix="10.0.0.7/24")
    assert lost(rule("a"), same, there=("a",)) == []
    assert lost(rule("a"), same, there=("b",)) == []
    assert lost(rule("a"), same) == ["a", "b"]


@pytest.mark.parametrize(
    "change",
    [
        {"security_group_id": "another"},
        {"direction": "egress"},
        {"ethertype": "IPv6"},
        {"protocol": None},
        {"remote_group_id": "group"},
        {"remote_address_group_id": "x"},
        {"remote_ip_prefix": None},
        {"remote_ip_prefix": "10.0.0.0/25"},
    ],
)
def test_rules_that_differ_have_an_acl_each(change: dict[str, Any]) -> None:
    assert lost(rule("a"), rule("b", **change), there=("a",)) == ["b"]


def test_a_prefix_that_is_none_is_no_error() -> None:
    assert lost(rule("a", remote_ip_prefix="10.0.0.0/99")) == ["a"]


def test_address_groups_are_compared_by_what_addresses_mean() -> None:
    wanted = {"a": {"10.0.0.1/32", "2001:DB8::/64"}, "b": {"10.0.0.2/32"}, "c": set[str]()}
    same = {"a": {"10.0.0.1/32", "2001:db8::/64"}, "b": {"10.0.0.2/32"}}
    assert list(find_lost_addresses(wanted, same)) == []
    other = {"a": {"10.0.0.1/32"}, "b": {"10.0.0.2/32", "10.0.0.3/32"}, "c": {"10.0.0.4/32"}}
    assert list(find_lost_addresses(wanted, other)) == [
        {"id": "a", "missing": ["2001:db8::/64"], "extra": []},
        {"id": "b", "missing": [], "extra": ["10.0.0.3/32"]},
        {"id": "c", "missing": [], "extra": ["10.0.0.4/32"]},
    ]


def test_one_translation_for_all_subnets_is_enough_and_one_for_another_address_is_not() -> None:
    wanted = {"r": ("203.0.113.7", {"10.0.0.0/24", "10.0.1.0/24"})}

    def find(*rows: tuple[str, str]) -> list[str]:
        return [one["internal"] for one in find_untranslated(wanted, {"r": set(rows)})]

    assert find(("203.0.113.7", "0.0.0.0/0")) == []
    assert find(("203.0.113.7", "10.0.0.0/24"), ("203.0.113.7", "10.0.1.0/24")) == []
    assert find(("203.0.113.7", "10.0.0.0/24")) == ["10.0.1.0/24"]
    assert find(("203.0.113.8", "0.0.0.0/0")) == ["10.0.0.0/24", "10.0.1.0/24"]
    assert [one["router_id"] for one in find_untranslated(wanted, {})] == ["r", "r"]


def confirm(*looks: Losses) -> Losses:
    """Look as often as `looks` says; one look more raises."""
    left = iter(looks)
    found = confirm_lost(lambda: next(left))
    assert list(left) == []
    return found


def test_where_nothing_is_lost_nobody_looks_again() -> None:
    nothing: Losses = {"lost": [], "lost_addresses": []}
    assert confirm(nothing) == nothing


def test_what_changes_while_one_looks_is_not_lost() -> None:
    def route(word: str) -> dict[str, Any]:
        return {"code": "router.no_route", "id": "r", "evidence": word}

    lost = confirm({"lost": [route("a"), route("b")]}, {"lost": [route("b"), route("c")]})
    assert lost == {"lost": [route("b")]}


def test_an_address_group_that_changes_all_the_time_has_lost_what_it_lacks_all_the_time() -> None:
    def group(missing: list[str], extra: list[str]) -> Losses:
        return {"lost_addresses": [{"id": "g", "missing": missing, "extra": extra}]}

    assert confirm(group(["a", "b"], ["x"]), group(["b", "c"], [])) == group(["b"], [])
    assert confirm(group(["a"], ["x"]), group(["b"], ["y"])) == {"lost_addresses": []}
    assert confirm(group(["a"], []), {"lost_addresses": []}) == {"lost_addresses": []}
