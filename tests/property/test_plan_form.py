"""The form of a router's exits: what is decided comes back as it was, and nothing else is taken."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.test_exits import SITES, TRANSIT, worlds
from tests.tables.exits import external, floating, forwarding, gateway, router, site, subnet

from isthmus import errors
from isthmus.federation.exits.decide import decide_exits
from isthmus.model.exits.plan import MOST_FORWARDED, SitePlan
from isthmus.model.exits.plan_form import MOST, from_form, to_form
from isthmus.model.exits.request import Direction, Hypervisor, Limit
from isthmus.model.site import SiteName

HYPERVISOR = Hypervisor(chassis="hv-1", hostname="host-1", encap_ip="192.0.2.1")


_RATES = st.none() | st.integers(1, (1 << 32) - 1)
LIMITS = st.builds(
    Limit,
    direction=st.sampled_from(Direction),
    max_kbps=_RATES,
    burst_kbps=_RATES,
    dscp=st.none() | st.integers(0, 63),
)


@st.composite
def plans(draw: st.DrawFn) -> SitePlan:
    """Plans as they are decided, of routers of any form."""
    router, networks, sites = draw(worlds())
    known = draw(st.sets(st.sampled_from(SITES)))
    transit = replace(TRANSIT, arrives_at={SiteName(one): HYPERVISOR for one in known})
    limited = draw(st.booleans())
    ids = [getattr(one, "floating_ip_id", one.id) for one in router.answered]
    limits = draw(st.lists(LIMITS, max_size=2, unique_by=lambda one: one.direction))
    gateways = frozenset(replace(one, port_id="p") for one in router.gateways)
    said = frozenset((one, tuple(limits)) for one in ids if limited and limits)
    router = replace(router, gateways=gateways, limits=said)
    decided = decide_exits(router, networks, sites, transit).sites
    return draw(st.sampled_from([SitePlan(), *decided.values()]))


@given(plans())
def test_a_plan_is_the_same_after_it_was_sent(plan: SitePlan) -> None:
    sent = json.loads(json.dumps(to_form(plan)))
    assert from_form(sent) == plan
    assert to_form(from_form(sent)) == sent


@given(plans())
def test_what_a_newer_peer_adds_is_left_alone(plan: SitePlan) -> None:
    sent = {**to_form(plan), "weather": "fine"}
    assert from_form(sent) == plan


def test_a_plan_of_before_there_were_forwardings_is_read_and_is_equal() -> None:
    """A site keeps its plans in this form, and compares them with what central decides."""
    plan = SitePlan()
    assert not {"forwarded", "limits"} & to_form(plan).keys()
    assert from_form(to_form(plan)) == plan


ODD: Any = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.just("::ffff:1.2.3.4%1"),
    st.just("a" * 300),
)


def _spoil(draw: Any, value: Any) -> Any:
    """Put something else in some place of a form."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: _spoil(draw, value[name])}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], _spoil(draw, value[place]), *value[place + 1 :]]
    return draw(ODD)


@given(plans(), st.data())
def test_nothing_that_is_no_plan_passes_or_fails_otherwise(plan: SitePlan, data: Any) -> None:
    spoilt = _spoil(data.draw, to_form(plan))
    try:
        read = from_form(spoilt)
    except errors.ProtocolError:
        return
    assert from_form(to_form(read)) == read


def _full() -> dict[str, Any]:
    """Return the form of a plan in which everything is."""
    networks = [external("ext", "s1", "172.16.0.0/24")]
    asked = router(
        [subnet("net", "10.0.0.0/24", "s1 s2")],
        [gateway("ext", "172.16.0.10")],
        [floating("f1", "172.16.0.50", "ext", "10.0.0.5", "s2")],
        forwardings=[forwarding("p1", "tcp:172.16.0.51:80-81", "ext", "10.0.0.6:90-91", "s2")],
    )
    decided = decide_exits(asked, networks, [site("s1"), site("s2")], TRANSIT)
    form = to_form(decided.sites[SiteName("s1")])
    assert all(form[name] for name in ("transit", "floating", "snats", "routes", "forwarded"))
    return form


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("routes 0 destination", "10.0.0.1/24"),
        ("routes 0 destination", "::/0"),
        ("routes 0 next_hop", "fe80::1%eth0"),
        ("routes 0 purpose", "spite"),
        ("routes", [{}] * (MOST + 1)),
        ("snats 0 internal", "fd00::/64"),
        ("snats 0 external", "fd00::1"),
        ("floating 0 external", "172.16.0.50 && 1"),
        ("floating 0 mac", "ff:ff:ff:ff:ff:ff"),
        ("floating 0 at_home", "yes"),
        ("floating 0 port_id", "a b"),
        ("forwarded 0 protocol", "sctp"),
        ("forwarded 0 outside first", 0),
        ("forwarded 0 outside last", 1 << 16),
        ("forwarded 0 outside last", 79),
        ("forwarded 0 outside last", 80 + MOST_FORWARDED),
        ("forwarded 0 inside last", 92),
        ("forwarded 0 internal", "fd00::1"),
        ("forwarded 0 answers", None),
        ("forwarded 0 replies", {}),
        ("forwarded 0", {}),
        ("transit port_key", 0),
        ("transit port_key", 1 << 15),
        ("transit port_key", 2),
        ("transit datapath_key", 1 << 24),
        ("transit addresses", ["10.9.9.9", "fd00::1"]),
        ("transit addresses", []),
        ("transit peers 0 port_key", True),
        ("transit peers 0 hypervisor", {"chassis": "x", "hostname": "y", "encap_ip": "127.0.0.1"}),
        ("exits", {"5": {"lack": "no gateway"}}),
        ("exits 4 lack", "no patience"),
        ("exits 4", None),
        ("gateway_network_id", "a" * 37),
    ],
)
def test_each_value_has_its_bounds(path: str, value: Any) -> None:
    form = _full()
    *names, last = path.split()
    place: Any = form
    for name in names:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[int(last) if isinstance(place, list) else last] = value
    with pytest.raises(errors.ProtocolError):
        from_form(form)
