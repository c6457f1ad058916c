"""Exits: what holds for every router, every site and every order of what is known.

The data plane is played by a few lines that know nothing of the decision's reasons: they follow
policies and routes from site to site as OVN would.
"""

import ipaddress
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st
from tests.tables.exits import (
    external,
    floating,
    forwarding,
    gateway,
    router,
    site,
    subnet,
    transit,
)

from isthmus.federation.exits.decide import decide_exits
from isthmus.federation.exits.refusal import list_refusals
from isthmus.model.exits.plan import Exit, ExitPlan, Forwarded, Purpose, Way
from isthmus.model.exits.request import ExternalNetwork, RouterFacts, SiteFacts
from isthmus.model.site import SiteName, SiteState

_T = TypeVar("_T")

SITES = ("s1", "s2", "s3")
OUTSIDE = IPv4Address("198.51.100.1")
TRANSIT = transit(" ".join(SITES))

_some_sites = st.sets(st.sampled_from(SITES), min_size=1).map(lambda some: " ".join(sorted(some)))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[RouterFacts, list[ExternalNetwork], list[SiteFacts]]:
    sites = [
        site(
            name,
            draw(st.sampled_from(["enabled", "draining", "disabled"])),
            silent=draw(st.booleans()),
            by=" ".join(draw(st.permutations(SITES))[: draw(st.integers(0, 3))]),
        )
        for name in SITES
    ]
    networks, gateways = [], []
    for number in range(draw(st.integers(0, 3))):
        end = draw(st.sampled_from(["", "!"]))
        networks.append(external(f"ext{number}", draw(_some_sites), f"172.16.{number}.0/24{end}"))
        gateways.append(gateway(f"ext{number}", f"172.16.{number}.10", default=draw(st.booleans())))
    subnets = [
        subnet(f"net{number}", f"10.0.{number}.0/24", draw(_some_sites))
        for number in range(draw(st.integers(0, 3)))
    ]
    # As Neutron gives them: an address of the network, one of each network for an internal one, and
    # that has one home.
    ways = draw(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(5, 6)),
            max_size=3,
            unique=True,
        )
    )
    some = st.sampled_from([None, *SITES])
    homes = {one: draw(some) for one in sorted({(to, last) for _, to, last in ways})}
    floating_ips = [
        floating(
            f"f{number}",
            f"172.16.{at}.{50 + number}",
            f"ext{at}",
            f"10.0.{to}.{last}",
            homes[to, last],
        )
        for number, (at, to, last) in enumerate(ways)
    ]
    # Some of them to addresses that have floating IPs, some to ports that others have.
    asked = draw(
        st.lists(
            st.tuples(
                st.integers(0, 2),
                st.integers(0, 2),
                st.integers(6, 7),
                st.sampled_from(["tcp", "udp"]),
                st.integers(80, 82),
            ),
            max_size=4,
        )
    )
    for _, to, last, _, _ in asked:
        if (to, last) not in homes:
            homes[to, last] = draw(some)
    forwardings = [
        forwarding(
            f"p{number}",
            f"{protocol}:172.16.{at}.40:{port}-{port + number % 2}",
            f"ext{at}",
            f"10.0.{to}.{last}:{port}",
            homes[to, last],
        )
        for number, (at, to, last, protocol, port) in enumerate(asked)
    ]
    made = router(subnets, gateways, floating_ips, forwardings=forwardings)
    return made, networks, sites


def leave(
    plan: ExitPlan,
    at: str,
    source: IPv4Address,
    to: IPv4Address = OUTSIDE,
    connected: str | None = None,
    of: Forwarded | None = None,
) -> list[SiteName]:
    """Follow a packet to the outside: the sites that it passes, the last one sends it out.

    The site that the destination's network is connected to looks nothing up. What is a reply of a
    forwarded port meets the policies for that port as well.
    """
    passed = [SiteName(at)]
    while passed[-1] != connected:
        here = plan.sites[passed[-1]]
        rules = [
            *here.policies,
            *(
                one.replies
                for one in here.forwarded
                if one.replies is not None and of is not None and _is_of(one, of)
            ),
        ]
        policies = [
            one
            for one in rules
            if one.source == source and (not one.only or any(to in part for part in one.only))
        ]
        assert len(policies) <= 1
        ways: list[tuple[Way, SiteName]] = [(Way.TRANSIT, one.site) for one in policies]
        ways += [(one.way, one.site) for one in here.routes if one.purpose is Purpose.DEFAULT]
        if not ways:
            return passed
        way, site = ways[0]
        if way is Way.LOCAL:
            assert site == passed[-1]
            return passed
        assert site not in passed, f"a loop: {passed} and {site} again"
        passed.append(site)
    return passed


def _is_of(one: Forwarded, of: Forwarded) -> bool:
    """Tell whether a reply of one forwarding's port is taken for one of another's."""
    return (one.protocol, one.internal) == (of.protocol, of.internal) and one.inside.overlaps(
        of.inside
    )


def arrive(facts: RouterFacts, plan: ExitPlan, at: str, to: IPv4Address) -> bool:
    """Tell whether a packet for an internal address gets from a site to where its network is."""
    passed = [SiteName(at)]
    while True:
        if any(to in one.cidr and passed[-1] in one.sites for one in facts.subnets):
            return True
        ways = [
            one.site
            for one in plan.sites[passed[-1]].routes
            if one.purpose is Purpose.SUBNET and to in one.destination
        ]
        if not ways:
            return False
        assert ways[0] not in passed, f"a loop: {passed} and {ways[0]} again"
        passed.append(ways[0])


@given(worlds())
def test_every_site_has_at_most_one_exit(
    world: tuple[RouterFacts, list[ExternalNetwork], list[SiteFacts]],
) -> None:
    facts, networks, sites = world
    plan = decide_exits(facts, networks, sites, TRANSIT)
    seats = [seat for seat in plan.seats.values() if seat is not None]
    assert len(seats) == len(set(seats))
    where = {network.id: network.sites for network in networks}
    assert all(seat in where[key[0]] for key, seat in plan.seats.items() if seat is not None)
    for name, at in plan.sites.items():
        defaults = [one for one in at.routes if one.purpose is Purpose.DEFAULT]
        assert len(defaults) <= len(at.exits)
        assert all(
            one.way is Way.TRANSIT or one.site == name
            for one in at.exits.values()
            if isinstance(one, Exit)
        )


@given(worlds())
def test_replies_come_back_the_way_that_packets_went(
    world: tuple[RouterFacts, list[ExternalNetwork], list[SiteFacts]],
) -> None:
    facts, networks, sites = world
    plan = decide_exits(facts, networks, sites, TRANSIT)
    states = {one.name: one.state for one in sites}
    # From any address of any subnet at any site: who translates it also brings the reply back.
    for one in facts.subnets:
        assert isinstance(one.cidr, ipaddress.IPv4Network)
        usable = [name for name in one.sites if states[name] is not SiteState.DISABLED]
        for start in usable:
            passed = leave(plan, start, one.cidr[9])
            assert len(passed) <= 2
            assert arrive(facts, plan, passed[-1], one.cidr[9])
    # And from outside to a floating IP: the reply leaves where the floating IP is.
    homes = {one.id: one for one in facts.floating_ips}
    for name, at in plan.sites.items():
        found = at.exits.get(4)
        leads_on = isinstance(found, Exit) and found.way is Way.LOCAL
        for nat in at.floating:
            home = homes[nat.floating_ip_id].home
            subnets = [one for one in facts.subnets if nat.internal in one.cidr]
            assert subnets
            if home in plan.sites and home in subnets[0].sites:
                assert home is not None
                assert arrive(facts, plan, name, nat.internal)
                leave(plan, home, nat.internal)  # without a loop, to wherever it is
                if leads_on and home != name:
                    assert leave(plan, home, nat.internal)[-1] == name
                if home != name:  # hosts on the floating IP's own network
                    passed = leave(plan, home, nat.internal, nat.external, connected=name)
                    assert passed[-1] == name


@given(worlds())
def test_replies_of_a_forwarded_port_leave_where_it_is_answered(
    world: tuple[RouterFacts, list[ExternalNetwork], list[SiteFacts]],
) -> None:
    facts, networks, sites = world
    plan = decide_exits(facts, networks, sites, TRANSIT)
    homes = {one.id: one.home for one in facts.forwardings}
    works = homes.keys() - plan.idle.keys()
    for name, at in plan.sites.items():
        assert {one.forwarding_id for one in at.forwarded} == works
        found = at.exits.get(4)
        leads_on = isinstance(found, Exit) and found.way is Way.LOCAL
        for one in at.forwarded:
            home = homes[one.forwarding_id]
            subnets = [net for net in facts.subnets if one.internal in net.cidr]
            if not one.answers or home is None or home not in plan.sites:
                continue
            if home not in subnets[0].sites:
                continue
            assert arrive(facts, plan, name, one.internal)
            leave(plan, home, one.internal, of=one)  # without a loop, to wherever it is
            if leads_on and home != name:
                assert leave(plan, home, one.internal, of=one)[-1] == name
            if home != name:  # hosts on the floating IP's own network
                passed = leave(plan, home, one.internal, one.external, connected=name, of=one)
                assert passed[-1] == name
    answering = [
        one.forwarding_id for at in plan.sites.values() for one in at.forwarded if one.answers
    ]
    assert sorted(answering) == sorted(works)


@given(worlds(), st.randoms(use_true_random=False))
def test_no_order_means_anything(
    world: tuple[RouterFacts, list[ExternalNetwork], list[SiteFacts]], random: Random
) -> None:
    facts, networks, sites = world
    plan = decide_exits(facts, networks, sites, TRANSIT)
    refusals = list_refusals(facts, networks, sites, TRANSIT)
    again, others = list(networks), list(sites)
    random.shuffle(again)
    random.shuffle(others)

    def mixed(some: frozenset[_T]) -> frozenset[_T]:
        listed = list(some)
        random.shuffle(listed)
        return frozenset(listed)

    shuffled = replace(
        facts,
        subnets=mixed(facts.subnets),
        gateways=mixed(facts.gateways),
        floating_ips=mixed(facts.floating_ips),
        forwardings=mixed(facts.forwardings),
    )
    other = decide_exits(shuffled, again, others, TRANSIT)
    assert other == plan
    assert list(other.sites) == list(plan.sites)
    assert list_refusals(shuffled, again, others, TRANSIT) == refusals


@given(worlds())
def test_nothing_that_central_does_not_hear_moves_an_address(
    world: tuple[RouterFacts, list[ExternalNetwork], list[SiteFacts]],
) -> None:
    facts, networks, sites = world
    heard = [replace(one, is_reachable=True) for one in sites]
    assert (
        decide_exits(facts, networks, heard, TRANSIT).seats
        == decide_exits(facts, networks, sites, TRANSIT).seats
    )
