"""By which site each router's traffic leaves and returns: what is given, and what is decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from tests.tables.exits import (
    external,
    extra,
    floating,
    gateway,
    router,
    show,
    site,
    subnet,
    transit,
)

from isthmus import errors
from isthmus.federation.exits.decide import decide_exits
from isthmus.federation.exits.refusal import list_refusals, require_possible
from isthmus.model.exits.request import (
    Direction,
    ExternalNetwork,
    Limit,
    RouterFacts,
    SiteFacts,
    Transit,
)

S1, S2, S3 = site("s1"), site("s2"), site("s3")
EXT1 = external("ext1", "s1", "172.16.1.0/24")
EXT2 = external("ext2", "s2", "172.16.2.0/24")
DUAL1 = external("dual1", "s1", "172.16.1.0/24", "2001:db8:1::/64")
SHARED = external("fabric", "s1 s2", "172.16.9.0/24")
NET_A = subnet("a", "10.0.1.0/24", "s1 s2")
A3 = subnet("a", "10.0.1.0/24", "s1 s2 s3")
A6 = subnet("a6", "fd00:a::/64", "s1 s2")
AT1 = subnet("one", "10.1.0.0/24", "s1")
AT2 = subnet("two", "10.2.0.0/24", "s2")
GW1, GW2 = gateway("ext1", "172.16.1.10", default=True), gateway("ext2", "172.16.2.10")
GW_DUAL = gateway("dual1", "172.16.1.10", "2001:db8:1::10", default=True)
GW_SHARED = gateway("fabric", "172.16.9.10", default=True)
T2, T3 = transit("s1 s2"), transit("s1 s2 s3")
SLOW = Limit(Direction.EGRESS, max_kbps=3000)
SNAT1 = "s1 snat 10.0.1.0/24 as 172.16.1.10"
SNAT2 = "s2 snat 10.0.1.0/24 as 172.16.2.10"
OUT1 = "s1 v4: local s1 ext1 172.16.1.1"
OUT2 = "s2 v4: local s2 ext2 172.16.2.1"


@dataclass(frozen=True)
class Case:
    """One router among its sites, and what is decided."""

    router: RouterFacts
    expected: list[str]
    sites: tuple[SiteFacts, ...] = (S1, S2)
    networks: tuple[ExternalNetwork, ...] = (EXT1, EXT2, DUAL1, SHARED)
    transit: Transit | None = field(default=T2)


CASES: Mapping[str, Case] = {
    "nothing at all": Case(router(), []),
    "no gateway": Case(router([NET_A]), ["s1 v4: no gateway", "s2 v4: no gateway"]),
    "one site, one exit": Case(
        router([subnet("a", "10.0.1.0/24", "s1")], [GW1]), [OUT1, SNAT1], transit=None
    ),
    "one exit for two sites": Case(
        router([NET_A], [GW1]), [OUT1, SNAT1, "s2 v4: transit s1 ext1 100.64.0.1"]
    ),
    "each by its own": Case(router([NET_A], [GW1, GW2]), [OUT1, SNAT1, OUT2, SNAT2]),
    "a gateway before any interface": Case(router([], [GW1]), [OUT1]),
    "the router is at its exit, though no network is": Case(
        router([AT2], [GW1]),
        [
            OUT1,
            "s1 subnet 10.2.0.0/24 via 100.64.0.2 at s2",
            "s1 snat 10.2.0.0/24 as 172.16.1.10",
            "s2 v4: transit s1 ext1 100.64.0.1",
        ],
    ),
    "SNAT off": Case(
        router([NET_A], [replace(GW1, enable_snat=False)]),
        [OUT1, "s2 v4: transit s1 ext1 100.64.0.1"],
    ),
    "several fixed addresses": Case(
        router([NET_A], [gateway("ext1", "172.16.1.12", "172.16.1.11")]),
        [
            OUT1,
            "s1 snat 10.0.1.0/24 as 172.16.1.11",
            "s2 v4: transit s1 ext1 100.64.0.1",
        ],
    ),
    "an external subnet without gateway is no exit": Case(
        router([NET_A], [GW1]),
        ["s1 v4: no gateway", SNAT1, "s2 v4: no gateway"],
        networks=(external("ext1", "s1", "172.16.1.0/24!"),),
    ),
    "no transit address yet": Case(
        router([NET_A], [GW1]), [OUT1, SNAT1, "s2 v4: no transit", "wanted: s1 s2"], transit=None
    ),
    "a third site without transit address": Case(
        router([A3], [GW1]),
        [OUT1, SNAT1, "s2 v4: transit s1 ext1 100.64.0.1", "s3 v4: no transit", "wanted: s3"],
        sites=(S1, S2, S3),
    ),
    "a port key that the range has no address for": Case(
        router([NET_A], [GW1]),
        [OUT1, SNAT1, "s2 v4: no transit"],
        transit=transit("x y s1 s2", "100.64.0.0/30"),
    ),
    "the default gateway before the first by name": Case(
        router([A3], [replace(GW1, is_default=False), replace(GW2, is_default=True)]),
        [OUT1, SNAT1, OUT2, SNAT2, "s3 v4: transit s2 ext2 100.64.0.2"],
        sites=(S1, S2, S3),
        transit=T3,
    ),
    "the first by name where neither is the default": Case(
        router([A3], [replace(GW1, is_default=False), GW2]),
        [OUT1, SNAT1, OUT2, SNAT2, "s3 v4: transit s1 ext1 100.64.0.1"],
        sites=(S1, S2, S3),
        transit=T3,
    ),
    "the operator's order before the default gateway": Case(
        router([A3], [GW1, GW2]),
        [OUT1, SNAT1, OUT2, SNAT2, "s3 v4: transit s2 ext2 100.64.0.2"],
        sites=(S1, S2, site("s3", by="s9 s2 s1")),
        transit=T3,
    ),
    "the operator's order does not pass by a site's own exit": Case(
        router([NET_A], [GW1, GW2]), [OUT1, SNAT1, OUT2, SNAT2], sites=(site("s1", by="s2"), S2)
    ),
    "fail-over from a disabled exit": Case(
        router([A3], [GW1, GW2]),
        [OUT2, SNAT2, "s3 v4: transit s2 ext2 100.64.0.2"],
        sites=(site("s1", "disabled"), S2, S3),
        transit=T3,
    ),
    "fail-over from an exit that is not heard, which goes on by itself": Case(
        router([A3], [GW1, GW2]),
        [OUT1, SNAT1, OUT2, SNAT2, "s3 v4: transit s2 ext2 100.64.0.2"],
        sites=(site("s1", silent=True), S2, S3),
        transit=T3,
    ),
    "a draining exit takes no others' traffic where another does": Case(
        router([A3], [GW1, GW2]),
        [OUT1, SNAT1, OUT2, SNAT2, "s3 v4: transit s2 ext2 100.64.0.2"],
        sites=(site("s1", "draining"), S2, S3),
        transit=T3,
    ),
    "an exit that is not heard is better than none": Case(
        router([NET_A], [GW1]),
        [OUT1, SNAT1, "s2 v4: transit s1 ext1 100.64.0.1"],
        sites=(site("s1", silent=True), S2),
    ),
    "the only exit is disabled": Case(
        router([NET_A], [GW1]), ["s2 v4: no site"], sites=(site("s1", "disabled"), S2)
    ),
    "a shared fabric: one seat at a time": Case(
        router([NET_A], [GW_SHARED]),
        [
            "s1 v4: local s1 fabric 172.16.9.1",
            "s1 snat 10.0.1.0/24 as 172.16.9.10",
            "s2 v4: transit s1 fabric 100.64.0.1",
        ],
    ),
    "a shared fabric: the seat moves when its site is disabled": Case(
        router([NET_A], [GW_SHARED]),
        ["s2 v4: local s2 fabric 172.16.9.1", "s2 snat 10.0.1.0/24 as 172.16.9.10"],
        sites=(site("s1", "disabled"), S2),
    ),
    "a shared fabric: it does not move when its site is not heard": Case(
        router([NET_A], [GW_SHARED]),
        [
            "s1 v4: local s1 fabric 172.16.9.1",
            "s1 snat 10.0.1.0/24 as 172.16.9.10",
            "s2 v4: transit s1 fabric 100.64.0.1",
        ],
        sites=(site("s1", silent=True), S2),
    ),
    "a shared fabric makes room for a site's own network": Case(
        router([NET_A], [GW_SHARED, replace(GW1, is_default=False)]),
        [OUT1, SNAT1, "s2 v4: local s2 fabric 172.16.9.1", "s2 snat 10.0.1.0/24 as 172.16.9.10"],
    ),
    "two IP versions, one exit each": Case(
        router([NET_A, A6], [GW_DUAL, GW2]),
        [
            "s1 v4: local s1 dual1 172.16.1.1",
            "s1 v6: local s1 dual1 2001:db8:1::1",
            SNAT1,
            OUT2,
            "s2 v6: transit s1 dual1 fd69:7374:686d:7573::1",
            SNAT2,
        ],
    ),
    "IPv6 alone": Case(
        router([A6], [GW_DUAL]),
        [
            "s1 v6: local s1 dual1 2001:db8:1::1",
            "s2 v6: transit s1 dual1 fd69:7374:686d:7573::1",
        ],
    ),
    "no IPv6 range": Case(
        router([A6], [GW_DUAL]),
        ["s1 v6: local s1 dual1 2001:db8:1::1", "s2 v6: no transit"],
        transit=transit("s1 s2", "100.64.0.0/24"),
    ),
    "subnets of one site each reach each other": Case(
        router([AT1, AT2]),
        [
            "s1 v4: no gateway",
            "s1 subnet 10.2.0.0/24 via 100.64.0.2 at s2",
            "s2 v4: no gateway",
            "s2 subnet 10.1.0.0/24 via 100.64.0.1 at s1",
        ],
    ),
    "an extra route whose next hop is at the other site": Case(
        router([NET_A, AT2], extra_routes=[extra("10.9.0.0/16", "10.2.0.7")]),
        [
            "s1 v4: no gateway",
            "s1 subnet 10.2.0.0/24 via 100.64.0.2 at s2",
            "s1 extra 10.9.0.0/16 via 100.64.0.2 at s2",
            "s2 v4: no gateway",
        ],
    ),
    "a floating IP at home": Case(
        router([NET_A], [GW1], [floating("f", "172.16.1.50", "ext1", "10.0.1.5", "s1")]),
        [
            OUT1,
            SNAT1,
            "s1 nat 172.16.1.50 for 10.0.1.5 at home",
            "s2 v4: transit s1 ext1 100.64.0.1",
        ],
    ),
    "a limited floating IP is limited where it is translated": Case(
        router(
            [NET_A],
            [GW1, GW2],
            [
                floating("f", "172.16.1.50", "ext1", "10.0.1.5", "s1"),
                floating("g", "172.16.2.50", "ext2", "10.0.1.6", "s2"),
                floating("idle", "172.16.2.51", "ext2", "10.9.9.9", "s2"),
            ],
            limits={"f": SLOW, "idle": SLOW, "unknown": SLOW},
        ),
        [
            OUT1,
            SNAT1,
            "s1 nat 172.16.1.50 for 10.0.1.5 at home",
            "s1 limit f 172.16.1.50 on ext1 egress 3000",
            OUT2,
            SNAT2,
            "s2 nat 172.16.2.50 for 10.0.1.6 at home",
            "idle idle: no subnet",
        ],
    ),
    "a floating IP before its port lives anywhere": Case(
        router([NET_A], [GW1], [floating("f", "172.16.1.50", "ext1", "10.0.1.5", None)]),
        [OUT1, SNAT1, "s1 nat 172.16.1.50 for 10.0.1.5", "s2 v4: transit s1 ext1 100.64.0.1"],
    ),
    "a floating IP of the site by which the port's site leaves": Case(
        router([NET_A], [GW1], [floating("f", "172.16.1.50", "ext1", "10.0.1.5", "s2")]),
        [OUT1, SNAT1, "s1 nat 172.16.1.50 for 10.0.1.5", "s2 v4: transit s1 ext1 100.64.0.1"],
    ),
    "a floating IP of another site than the port's site leaves by": Case(
        router([NET_A], [GW1, GW2], [floating("f", "172.16.1.50", "ext1", "10.0.1.5", "s2")]),
        [
            OUT1,
            SNAT1,
            "s1 nat 172.16.1.50 for 10.0.1.5",
            OUT2,
            "s2 policy 10.0.1.5 not to 10.0.1.0/24 100.64.0.0/17: via 100.64.0.1 at s1",
            SNAT2,
        ],
    ),
    "the policy leaves the tenant's routes alone": Case(
        router(
            [NET_A],
            [GW1, GW2],
            [floating("f", "172.16.2.50", "ext2", "10.0.1.5", "s1")],
            [extra("10.9.0.0/16", "10.0.1.7")],
        ),
        [
            OUT1,
            "s1 policy 10.0.1.5 not to 10.0.1.0/24 10.9.0.0/16 100.64.0.0/17: via 100.64.0.2 at s2",
            SNAT1,
            OUT2,
            SNAT2,
            "s2 nat 172.16.2.50 for 10.0.1.5",
        ],
    ),
    "a floating IP of an exit without next hop is answered by policy": Case(
        router([NET_A], [GW1, GW2], [floating("f", "172.16.1.50", "ext1", "10.0.1.5", "s2")]),
        [
            "s1 v4: transit s2 ext2 100.64.0.2",
            SNAT1,
            "s1 nat 172.16.1.50 for 10.0.1.5",
            OUT2,
            "s2 policy 10.0.1.5 not to 10.0.1.0/24 100.64.0.0/17 only to 172.16.1.0/24: "
            "via 100.64.0.1 at s1",
            SNAT2,
        ],
        networks=(external("ext1", "s1", "172.16.1.0/24!"), EXT2),
    ),
    "a floating IP waits for transit addresses": Case(
        router([NET_A], [GW1, GW2], [floating("f", "172.16.1.50", "ext1", "10.0.1.5", "s2")]),
        [OUT1, SNAT1, OUT2, SNAT2, "f idle: no transit", "wanted: s1 s2"],
        transit=None,
    ),
    "two floating IPs of one address at two sites": Case(
        router(
            [NET_A],
            [GW1, GW2],
            [
                floating("f", "172.16.1.50", "ext1", "10.0.1.5", "s2"),
                floating("g", "172.16.2.50", "ext2", "10.0.1.5", "s2"),
            ],
        ),
        [
            OUT1,
            SNAT1,
            OUT2,
            SNAT2,
            "s2 nat 172.16.2.50 for 10.0.1.5 at home",
            "f idle: replies leave by another floating IP",
        ],
    ),
    "a floating IP whose exit is disabled": Case(
        router([NET_A], [GW1, GW2], [floating("f", "172.16.1.50", "ext1", "10.0.1.5", "s2")]),
        [OUT2, SNAT2, "f idle: no site"],
        sites=(site("s1", "disabled"), S2),
    ),
    "a floating IP of a network without gateway": Case(
        router([NET_A], [GW1], [floating("f", "172.16.2.50", "ext2", "10.0.1.5", "s2")]),
        [
            OUT1,
            SNAT1,
            "s2 v4: transit s1 ext1 100.64.0.1",
            "f idle: no gateway on its network",
        ],
    ),
    "a floating IP of a shared fabric is where the seat is": Case(
        router([NET_A], [GW_SHARED], [floating("f", "172.16.9.50", "fabric", "10.0.1.5", "s2")]),
        [
            "s2 v4: local s2 fabric 172.16.9.1",
            "s2 snat 10.0.1.0/24 as 172.16.9.10",
            "s2 nat 172.16.9.50 for 10.0.1.5 at home",
        ],
        sites=(site("s1", "disabled"), S2),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_decision(case: Case) -> None:
    plan = decide_exits(case.router, case.networks, case.sites, case.transit)
    assert show(plan) == case.expected


def test_transit_ports_are_derived_from_keys() -> None:
    plan = decide_exits(router([NET_A], [GW1]), [EXT1], [S1, S2], T2)
    ports = {name: at.transit for name, at in plan.sites.items()}
    assert [(port.mac, *map(str, port.addresses)) for port in ports.values() if port] == [
        ("0a:ff:f0:a1:00:01", "100.64.0.1", "fd69:7374:686d:7573::1"),
        ("0a:ff:f0:a1:00:02", "100.64.0.2", "fd69:7374:686d:7573::2"),
    ]


def test_no_transit_port_where_nothing_crosses() -> None:
    plan = decide_exits(router([NET_A], [GW1, GW2]), [EXT1, EXT2], [S1, S2], T2)
    assert [at.transit for at in plan.sites.values()] == [None, None]


REFUSED = {
    "a network of no site": (router([NET_A], [gateway("none", "192.0.2.5")]), T2),
    "a network that nobody knows": (router([NET_A], [gateway("lost", "192.0.2.5")]), T2),
    "two exits at one site": (router([NET_A], [GW1, gateway("also1", "172.16.3.5")]), T2),
    "three gateways for two sites": (
        router([NET_A], [GW1, GW2, gateway("fabric", "172.16.9.10")]),
        T2,
    ),
    "a subnet in the transit range": (
        router([NET_A, subnet("x", "100.64.8.0/24", "s1 s2")], [GW1]),
        T2,
    ),
    "the default range counts before there is a transit network": (
        router([NET_A, subnet("x", "100.64.0.0/10", "s1 s2")], [GW1]),
        None,
    ),
    "an external subnet in the transit range": (
        router([NET_A], [GW1]),
        transit("s1 s2", "172.16.0.0/20"),
    ),
    "an extra route into the transit range": (
        router([NET_A], [GW1], extra_routes=[extra("100.64.1.0/24", "10.0.1.7")]),
        T2,
    ),
    "a range that is too small": (router([NET_A], [GW1]), transit("x y s1 s2", "100.64.0.0/30")),
    "a floating IP without gateway": (
        router([NET_A], [GW1], [floating("f", "172.16.2.50", "ext2", "10.0.1.5", "s2")]),
        T2,
    ),
    "a floating IP without subnet": (
        router([NET_A], [GW1], [floating("f", "172.16.1.50", "ext1", "10.7.7.7", "s2")]),
        T2,
    ),
    "a floating IP of a port out of reach": (
        router([AT1], [GW1], [floating("f", "172.16.1.50", "ext1", "10.1.0.5", "s2")]),
        T2,
    ),
    "two floating IPs of one address at two sites": (
        router(
            [NET_A],
            [GW1, GW2],
            [
                floating("f", "172.16.1.50", "ext1", "10.0.1.5", "s2"),
                floating("g", "172.16.2.50", "ext2", "10.0.1.5", "s2"),
            ],
        ),
        T2,
    ),
}
NAMES = {
    "a network of no site": ["network-at-no-site"],
    "a network that nobody knows": ["network-at-no-site"],
    "two exits at one site": ["two-exits-at-one-site"],
    "three gateways for two sites": ["two-exits-at-one-site"],
    "a subnet in the transit range": ["transit-overlaps-subnet"],
    "the default range counts before there is a transit network": ["transit-overlaps-subnet"],
    "an external subnet in the transit range": ["transit-in-use"],
    "an extra route into the transit range": ["transit-in-use"],
    "a range that is too small": ["transit-exhausted", "transit-exhausted"],
    "a floating IP without gateway": ["floating-ip-without-gateway"],
    "a floating IP without subnet": ["floating-ip-without-subnet"],
    "a floating IP of a port out of reach": ["floating-ip-out-of-reach"],
    "two floating IPs of one address at two sites": ["floating-ip-other-way"],
}
KNOWN = (
    EXT1,
    EXT2,
    SHARED,
    external("also1", "s1", "172.16.3.0/24"),
    external("none", "", "192.0.2.0/24"),
)


@pytest.mark.parametrize("case", REFUSED)
def test_refusal(case: str) -> None:
    asked, of_transit = REFUSED[case]
    refusals = list_refusals(asked, KNOWN, [S1, S2], of_transit)
    assert [one.name.value for one in refusals] == NAMES[case]
    with pytest.raises(errors.Conflict) as caught:
        require_possible(asked, KNOWN, [S1, S2], of_transit)
    assert caught.value.fields["name"] == NAMES[case][0]


@pytest.mark.parametrize(
    "case", [one for one in CASES.values() if "idle" not in str(one.expected)][:25]
)
def test_what_works_is_not_refused(case: Case) -> None:
    if case.transit is not None and len(case.transit.port_keys) > 3:
        return  # its range is too small on purpose
    require_possible(case.router, case.networks, case.sites, case.transit)


def test_what_a_site_loses_is_not_refused_but_idle() -> None:
    require_possible(router([NET_A], [GW1]), KNOWN, [site("s1", "disabled"), S2], T2)


def test_a_range_may_be_used_by_a_router_that_needs_no_transit() -> None:
    alone = router([subnet("x", "100.64.0.0/24", "s1")], [GW1])
    require_possible(alone, KNOWN, [S1, S2], None)
