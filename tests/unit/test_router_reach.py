"""Where routers are, and where the networks that they join have to be."""

import dataclasses

import pytest

from isthmus.federation.router_reach import RouterFacts, find_joined_at, plan_reach
from isthmus.model.site import SiteName

ONE, TWO, THREE = SiteName("one"), SiteName("two"), SiteName("three")
ZONES = {ONE: ("az1",), TWO: ("az2",), THREE: ("az2", "az3")}


def router(name: str, networks: str, *zones: str) -> RouterFacts:
    return RouterFacts(id=name, network_ids=frozenset(networks), zones=frozenset(zones))


def leaving(one: RouterFacts, *sites: SiteName) -> RouterFacts:
    return dataclasses.replace(one, exits=frozenset(sites))


CASES = {
    "nothing is anywhere": ([router("r", "ab")], {}, {"r": set()}, []),
    "no interface": ([router("r", "")], {}, {"r": set()}, []),
    "one network, two sites": (
        [router("r", "a")],
        {"a": {ONE, TWO}},
        {"r": {ONE, TWO}},
        [],
    ),
    "each network at a site of its own": (
        [router("r", "ab")],
        {"a": {ONE}, "b": {TWO}},
        {"r": {ONE, TWO}},
        [("a", TWO), ("b", ONE)],
    ),
    "a network that is nowhere comes along": (
        [router("r", "ab")],
        {"a": {ONE}},
        {"r": {ONE}},
        [("b", ONE)],
    ),
    "all is there": (
        [router("r", "ab")],
        {"a": {ONE, TWO}, "b": {TWO, ONE}},
        {"r": {ONE, TWO}},
        [],
    ),
    "over two routers": (
        [router("r", "ab"), router("s", "bc")],
        {"a": {ONE}, "c": {THREE}},
        {"r": {ONE, THREE}, "s": {ONE, THREE}},
        [("a", THREE), ("b", ONE), ("b", THREE), ("c", ONE)],
    ),
    "a circle of routers": (
        [router("r", "ab"), router("s", "bc"), router("t", "ca")],
        {"b": {TWO}},
        {"r": {TWO}, "s": {TWO}, "t": {TWO}},
        [("a", TWO), ("c", TWO)],
    ),
    "a gateway takes the router along and no network": (
        [leaving(router("r", "ab"), TWO)],
        {"a": {ONE}},
        {"r": {ONE, TWO}},
        [("b", ONE)],
    ),
    "a gateway where nothing else is": ([leaving(router("r", ""), TWO)], {}, {"r": {TWO}}, []),
    "where another router joins them they have to be": (
        [leaving(router("r", "a"), TWO), router("s", "ab")],
        {"a": {ONE}, "b": {THREE}},
        {"r": {ONE, TWO, THREE}, "s": {ONE, THREE}},
        [("a", THREE), ("b", ONE)],
    ),
    "a local router stays where it is for": (
        [router("r", "a", "az1")],
        {"a": {ONE, TWO}},
        {"r": {ONE}},
        [],
    ),
    "a local router brings its networks to its own site alone": (
        [router("r", "ab", "az2")],
        {"a": {ONE}, "b": {TWO}},
        {"r": {TWO}},
        [("a", TWO)],
    ),
    "a local router whose networks are elsewhere is nowhere": (
        [router("r", "ab", "az2")],
        {"a": {ONE}},
        {"r": set()},
        [],
    ),
    "a zone of two sites": (
        [router("r", "ab", "az2")],
        {"a": {ONE, TWO, THREE}},
        {"r": {TWO, THREE}},
        [("b", THREE), ("b", TWO)],
    ),
    "a local router beside one over all sites": (
        [router("r", "ab"), router("l", "a", "az1"), router("m", "b", "az2")],
        {"a": {ONE}, "b": {TWO}},
        {"r": {ONE, TWO}, "l": {ONE}, "m": {TWO}},
        [("a", TWO), ("b", ONE)],
    ),
    "a site that is not known any more": (
        [router("r", "ab", "az1")],
        {"a": {SiteName("gone")}},
        {"r": set()},
        [],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_where_routers_and_their_networks_are(name: str) -> None:
    routers, present, wanted, missing = CASES[name]
    reach = plan_reach(routers, present, ZONES)
    assert {one: set(sites) for one, sites in reach.routers.items()} == wanted
    assert list(reach.missing) == missing


@pytest.mark.parametrize("name", CASES)
def test_what_is_planned_needs_nothing_more(name: str) -> None:
    routers, present, _, _ = CASES[name]
    first = plan_reach(routers, present, ZONES)
    after = {one: set(sites) for one, sites in present.items()}
    for network, site in first.missing:
        after.setdefault(network, set()).add(site)
    again = plan_reach(routers, after, ZONES)
    assert again.missing == ()
    assert again.routers == first.routers


@pytest.mark.parametrize(
    ("network", "site", "leaving"),
    [
        ("a", ONE, "abc"),
        ("c", ONE, "abc"),
        ("a", TWO, "a"),  # the routers are not there
        ("d", ONE, "d"),  # a router of another site alone joins it
    ],
)
def test_networks_leave_a_site_with_what_routers_join_there(
    network: str, site: SiteName, leaving: str
) -> None:
    routers = [router("r", "ab"), router("s", "bc"), router("l", "cd", "az2")]
    where = {"r": {ONE}, "s": {ONE}, "l": {TWO}}
    assert find_joined_at(network, site, routers, where) == set(leaving)
