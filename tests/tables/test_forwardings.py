"""Where port forwardings are answered, and by which site replies return: the table of cases."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.tables.exits import (
    external,
    floating,
    forwarding,
    gateway,
    router,
    show,
    site,
    transit,
)
from tests.tables.test_exits import (
    AT1,
    AT2,
    EXT1,
    EXT2,
    GW1,
    GW2,
    NET_A,
    OUT1,
    OUT2,
    S1,
    S2,
    SNAT1,
    SNAT2,
    T2,
    Case,
)

from isthmus import errors
from isthmus.federation.exits.decide import decide_exits
from isthmus.federation.exits.refusal import list_refusals, require_possible
from isthmus.model.exits.plan import MOST_FORWARDED, without_transit
from isthmus.model.exits.request import Forwarding
from isthmus.model.site import SiteName

WEB = forwarding("w", "tcp:172.16.1.50:80", "ext1", "10.0.1.5:8080", "s1")
FAR = replace(WEB, home=SiteName("s2"))
BY_1 = "s2 v4: transit s1 ext1 100.64.0.1"
OUTSIDE = "s1 outside tcp 172.16.1.50:80 to 10.0.1.5:8080"
INSIDE = "s2 inside tcp 172.16.1.50:80 to 10.0.1.5:8080"
BACK = ", replies not to 10.0.1.0/24 100.64.0.0/17: via 100.64.0.1"


def case(*forwardings: Forwarding, **more: Any) -> Case:
    """Return a case of a router with both gateways; what is expected is put in."""
    expected = more.pop("expected", [])
    gateways = more.pop("gateways", [GW1, GW2])
    subnets = more.pop("subnets", [NET_A])
    floating_ips = more.pop("floating_ips", [])
    asked = router(subnets, gateways, floating_ips, forwardings=forwardings)
    return Case(asked, expected, **more)


CASES: Mapping[str, Case] = {
    "at home": case(WEB, gateways=[GW1], expected=[OUT1, SNAT1, OUTSIDE, BY_1, INSIDE]),
    "before its port lives anywhere": case(
        replace(WEB, home=None), gateways=[GW1], expected=[OUT1, SNAT1, OUTSIDE, BY_1, INSIDE]
    ),
    "of the site by which the port's site leaves": case(
        FAR, gateways=[GW1], expected=[OUT1, SNAT1, OUTSIDE, BY_1, INSIDE]
    ),
    "of another site than the port's site leaves by": case(
        FAR, expected=[OUT1, SNAT1, OUTSIDE, OUT2, SNAT2, INSIDE + BACK]
    ),
    "at home with an exit: no policy, and no transit network": case(
        WEB, expected=[OUT1, SNAT1, OUTSIDE, OUT2, SNAT2, INSIDE], transit=None
    ),
    "one server, ports of two sites": case(
        FAR,
        forwarding("x", "udp:172.16.2.50:53", "ext2", "10.0.1.5:53", "s2"),
        expected=[
            OUT1,
            SNAT1,
            OUTSIDE,
            "s1 inside udp 172.16.2.50:53 to 10.0.1.5:53",
            OUT2,
            SNAT2,
            INSIDE + BACK,
            "s2 outside udp 172.16.2.50:53 to 10.0.1.5:53",
        ],
    ),
    "ranges, each to its own port and all to one": case(
        forwarding("w", "tcp:172.16.1.50:8000-8009", "ext1", "10.0.1.5:9000-9009", "s1"),
        forwarding("x", "udp:172.16.1.50:8000-8009", "ext1", "10.0.1.5:53", "s1"),
        gateways=[GW1],
        expected=[
            OUT1,
            SNAT1,
            "s1 outside tcp 172.16.1.50:8000-8009 to 10.0.1.5:9000-9009",
            "s1 outside udp 172.16.1.50:8000-8009 to 10.0.1.5:53",
            BY_1,
            "s2 inside tcp 172.16.1.50:8000-8009 to 10.0.1.5:9000-9009",
            "s2 inside udp 172.16.1.50:8000-8009 to 10.0.1.5:53",
        ],
    ),
    "to a subnet that is not present at the exit": case(
        forwarding("w", "tcp:172.16.1.50:80", "ext1", "10.2.0.5:80", "s2"),
        subnets=[AT2],
        gateways=[GW1],
        expected=[
            OUT1,
            "s1 subnet 10.2.0.0/24 via 100.64.0.2 at s2",
            "s1 snat 10.2.0.0/24 as 172.16.1.10",
            "s1 outside tcp 172.16.1.50:80 to 10.2.0.5:80",
            BY_1,
            "s2 inside tcp 172.16.1.50:80 to 10.2.0.5:80",
        ],
    ),
    "an exit without next hop is answered by policy to its own network": case(
        FAR,
        expected=[
            "s1 v4: transit s2 ext2 100.64.0.2",
            SNAT1,
            OUTSIDE,
            OUT2,
            SNAT2,
            f"{INSIDE}, replies not to 10.0.1.0/24 100.64.0.0/17 only to 172.16.1.0/24: "
            "via 100.64.0.1",
        ],
        networks=(external("ext1", "s1", "172.16.1.0/24!"), EXT2),
    ),
    "waits for transit addresses": case(
        FAR,
        expected=[OUT1, SNAT1, OUT2, SNAT2, "w idle: no transit", "wanted: s1 s2"],
        transit=None,
    ),
    "its exit is disabled": case(
        FAR, expected=[OUT2, SNAT2, "w idle: no site"], sites=(site("s1", "disabled"), S2)
    ),
    "its exit is not heard, and may answer": case(
        FAR,
        expected=[OUT1, SNAT1, OUTSIDE, OUT2, SNAT2, INSIDE + BACK],
        sites=(site("s1", silent=True), S2),
    ),
    "no gateway on its network": case(
        FAR,
        gateways=[GW2],
        expected=[
            "s1 v4: transit s2 ext2 100.64.0.2",
            OUT2,
            SNAT2,
            "w idle: no gateway on its network",
        ],
    ),
    "no interface on its subnet": case(
        FAR,
        subnets=[AT1],
        gateways=[GW1],
        expected=[OUT1, "s1 snat 10.1.0.0/24 as 172.16.1.10", "w idle: no subnet"],
    ),
    "beside a floating IP of the same address": case(
        WEB,
        gateways=[GW1],
        floating_ips=[floating("f", "172.16.1.60", "ext1", "10.0.1.5", "s1")],
        expected=[
            OUT1,
            SNAT1,
            "s1 nat 172.16.1.60 for 10.0.1.5 at home",
            BY_1,
            "w idle: the address has a floating IP",
        ],
    ),
    "of a floating IP that is associated itself": case(
        WEB,
        gateways=[GW1],
        floating_ips=[
            replace(floating("f", "172.16.1.50", "ext1", "10.0.1.6", "s1"), id=WEB.floating_ip_id)
        ],
        expected=[
            OUT1,
            SNAT1,
            "s1 nat 172.16.1.50 for 10.0.1.6 at home",
            BY_1,
            "w idle: the address has a floating IP",
        ],
    ),
    "the same port outside twice": case(
        WEB,
        forwarding("x", "tcp:172.16.1.50:79-81", "ext1", "10.0.1.6:9", "s1"),
        gateways=[GW1],
        expected=[OUT1, SNAT1, OUTSIDE, BY_1, INSIDE, "x idle: another forwarding has these ports"],
    ),
    "the same port inside twice, of two sites": case(
        FAR,
        forwarding("x", "tcp:172.16.2.50:80", "ext2", "10.0.1.5:8080", "s2"),
        expected=[
            OUT1,
            SNAT1,
            OUTSIDE,
            OUT2,
            SNAT2,
            INSIDE + BACK,
            "x idle: another forwarding has these ports",
        ],
    ),
    "the same ports of another protocol": case(
        WEB,
        forwarding("x", "udp:172.16.1.50:80", "ext1", "10.0.1.5:8080", "s1"),
        gateways=[GW1],
        expected=[
            OUT1,
            SNAT1,
            OUTSIDE,
            "s1 outside udp 172.16.1.50:80 to 10.0.1.5:8080",
            BY_1,
            INSIDE,
            "s2 inside udp 172.16.1.50:80 to 10.0.1.5:8080",
        ],
    ),
    "more ports inside than outside": case(
        WEB,
        forwarding("x", "tcp:172.16.1.50:81", "ext1", "10.0.1.6:200-210", "s1"),
        gateways=[GW1],
        expected=[
            OUT1,
            SNAT1,
            OUTSIDE,
            BY_1,
            INSIDE,
            "x idle: ports inside are neither one nor as many as outside",
        ],
    ),
    "more than a router forwards": case(
        WEB,
        forwarding("x", f"udp:172.16.1.50:1-{MOST_FORWARDED}", "ext1", "10.0.1.5:53", "s1"),
        gateways=[GW1],
        expected=[OUT1, SNAT1, OUTSIDE, BY_1, INSIDE, "x idle: the router forwards too many ports"],
    ),
}


@pytest.mark.parametrize("one", CASES.values(), ids=CASES.keys())
def test_decision(one: Case) -> None:
    plan = decide_exits(one.router, one.networks, one.sites, one.transit)
    assert show(plan) == one.expected


#: Cases in which something is asked for that can never be, and how that is refused.
REFUSED = {
    "no gateway on its network": ["floating-ip-without-gateway"],
    "no interface on its subnet": ["floating-ip-without-subnet"],
    "beside a floating IP of the same address": ["forwarding-beside-floating-ip"],
    "of a floating IP that is associated itself": ["forwarding-beside-floating-ip"],
    "the same port outside twice": ["forwarding-collides"],
    "the same port inside twice, of two sites": ["forwarding-collides"],
    "more ports inside than outside": ["forwarding-uneven"],
    "more than a router forwards": ["forwarding-too-many"],
}


@pytest.mark.parametrize("name", CASES)
def test_what_can_never_be_is_refused_by_name(name: str) -> None:
    one = CASES[name]
    found = list_refusals(one.router, one.networks, one.sites, one.transit)
    assert [refusal.name.value for refusal in found] == REFUSED.get(name, [])
    if found:
        with pytest.raises(errors.Conflict):
            require_possible(one.router, one.networks, one.sites, one.transit)


def test_a_port_out_of_reach_is_refused() -> None:
    asked = router(
        [AT1],
        [GW1],
        forwardings=[forwarding("w", "tcp:172.16.1.50:80", "ext1", "10.1.0.5:80", "s2")],
    )
    (found,) = list_refusals(asked, [EXT1], [S1, S2], T2)
    assert (found.name.value, found.subject) == ("floating-ip-out-of-reach", "w")


def test_whose_ports_they_are_is_said() -> None:
    one = CASES["the same port outside twice"]
    (found,) = list_refusals(one.router, one.networks, one.sites, one.transit)
    assert "port forwarding w" in found.message


def test_which_of_two_floating_ips_excludes_a_forwarding_is_said() -> None:
    for name, said in (
        ("of a floating IP that is associated itself", "172.16.1.50 is associated"),
        ("beside a floating IP of the same address", "10.0.1.5 has a floating IP"),
    ):
        one = CASES[name]
        (found,) = list_refusals(one.router, one.networks, one.sites, one.transit)
        assert said in found.message


def test_without_a_transit_network_nobody_replies_by_it() -> None:
    one = CASES["of another site than the port's site leaves by"]
    plan = decide_exits(one.router, one.networks, one.sites, one.transit)
    far = plan.sites[SiteName("s2")]
    assert far.forwarded[0].replies is not None
    (left,) = without_transit(far).forwarded
    assert left == replace(far.forwarded[0], replies=None)


def test_a_shared_fabric_answers_where_the_seat_is() -> None:
    fabric = external("fabric", "s1 s2", "172.16.9.0/24")
    asked = router(
        [NET_A],
        [gateway("fabric", "172.16.9.10", default=True)],
        forwardings=[forwarding("w", "tcp:172.16.9.50:80", "fabric", "10.0.1.5:80", "s2")],
    )
    for sites, seat in (((S1, S2), "s1"), ((site("s1", "disabled"), S2), "s2")):
        plan = decide_exits(asked, [fabric], sites, transit("s1 s2"))
        answering = [name for name, at in plan.sites.items() if at.forwarded[0].answers]
        assert answering == [seat]
