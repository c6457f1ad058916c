"""Comparing a site with what it should hold: what is asked, and what is noted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from isthmus import errors
from isthmus.federation.digest import GONE, Page, cut_page, find_differing, make_digest
from isthmus.federation.renewal import Renewal
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName

SITE = SiteName("site1")
NETWORK, PORT = ResourceType.NETWORK, ResourceType.PORT


@dataclass
class Tiers:
    """Central, the site and the journal in one."""

    wanted: dict[ResourceType, dict[str, str]]
    held: dict[ResourceType, dict[str, str]]
    size: int = 3
    noted: list[IntentKey] = field(default_factory=list)
    asked: int = 0  #: pages of which the site was given every digest
    error: errors.IsthmusError | None = None
    networks: set[str] = field(default_factory=set)  #: to which pages were limited

    def make_page(
        self,
        site: SiteName,
        kind: ResourceType,
        after: str,
        attributes: Collection[str],
        *,
        network: str = "",
    ) -> Page:
        assert site == SITE
        assert attributes
        above = sorted(one for one in self.wanted[kind] if one > after)
        until, ids = cut_page(above[: self.size + 1], self.size)
        digests = {one: self.wanted[kind][one] for one in ids}
        return Page(kind=kind, after=after, until=until, digests=digests, network=network)

    def list_carried(self) -> Mapping[ResourceType, Collection[str]]:
        return {one: ["name"] for one in self.wanted}

    def _held(self, page: Page) -> dict[str, str]:
        return {
            one: digest
            for one, digest in self.held[page.kind].items()
            if page.after < one and (not page.until or one <= page.until)
        }

    def has(self, page: Page) -> bool:
        if self.error is not None:
            raise self.error
        held = Page(kind=page.kind, after="", until="", digests=self._held(page))
        return held.digest == page.digest

    def find_differing(self, page: Page) -> Sequence[str]:
        self.asked += 1
        self.networks.add(page.network)
        return sorted(find_differing(page.digests, self._held(page)))

    def note(self, keys: Sequence[IntentKey]) -> None:
        self.noted += keys

    def renewal(self, network: str = "") -> Renewal:
        return Renewal(SITE, central=self, holder=self, journal=self, network=network)

    def run(self) -> Renewal:
        renewal = self.renewal()
        while renewal.step():
            pass
        return renewal


def things(count: int) -> dict[str, str]:
    return {f"{number:03}": f"digest-{number}" for number in range(count)}


def equal(count: int) -> Tiers:
    return Tiers(
        {NETWORK: things(count), PORT: things(2)}, {NETWORK: things(count), PORT: things(2)}
    )


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 7])
def test_where_all_agree_nothing_is_noted_and_no_digest_of_one_object_is_sent(count: int) -> None:
    tiers = equal(count)
    found = tiers.run().found
    assert tiers.noted == []
    assert tiers.asked == 0
    assert found.pages == max(1, -(-count // 3)) + 1


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("change", ["other here", "missing here", "other there", "gone there"])
def test_what_differs_is_noted_wherever_it_stands(number: int, change: str) -> None:
    tiers, one = equal(7), f"{number:03}"
    if change == "other here":
        tiers.held[NETWORK][one] = "by hand"
    elif change == "missing here":
        del tiers.held[NETWORK][one]
    else:
        tiers.wanted[NETWORK][one] = "by hand" if change == "other there" else GONE
    tiers.run()
    assert tiers.noted == [IntentKey(SITE, NETWORK, one)]
    assert tiers.asked == 1


@pytest.mark.parametrize("extra", ["", "0005", "9"])
def test_what_a_site_has_too_many_is_noted(extra: str) -> None:
    tiers = equal(7)
    tiers.held[PORT][f"00{extra}x"] = "left over"
    tiers.run()
    assert tiers.noted == [IntentKey(SITE, PORT, f"00{extra}x")]


def test_what_is_gone_on_both_sides_agrees() -> None:
    tiers = equal(4)
    tiers.wanted[NETWORK]["002"] = GONE
    del tiers.held[NETWORK]["002"]
    tiers.run()
    assert tiers.noted == []
    assert tiers.asked == 0


def test_a_step_that_failed_is_taken_again() -> None:
    tiers = equal(7)
    tiers.held[NETWORK].clear()
    renewal = tiers.renewal()
    assert renewal.step()
    tiers.error = errors.Unreachable("gone")
    for _ in range(3):
        with pytest.raises(errors.Unreachable):
            renewal.step()
    tiers.error = None
    while renewal.step():
        pass
    assert [key.id for key in tiers.noted] == sorted(things(7))


def test_digests_say_what_is_carried_and_nothing_else() -> None:
    state = {"name": "a", "revision_number": 5, "description": "", "extra": 1}
    same = {"name": "a", "revision_number": 9, "description": None}
    carried = ["name", "description"]
    assert make_digest(state, carried) == make_digest(same, reversed(carried))  # type: ignore[arg-type]
    assert make_digest(state, carried) != make_digest({**state, "name": "b"}, carried)
    assert make_digest(None, carried) == GONE != make_digest({}, carried)


def test_order_and_cut_and_derived_addresses_make_no_difference() -> None:
    def port(*ips: str, groups: Sequence[str] = ("g1", "g2")) -> dict[str, object]:
        fixed = [{"subnet_id": ip[0], "ip_address": ip} for ip in ips]
        return {"fixed_ips": fixed, "isthmus:auto_subnets": ["z"], "security_groups": groups}

    carried = ["fixed_ips", "security_groups"]
    digest = make_digest(port("a1", "b1"), carried)
    assert digest == make_digest(port("b1", "z7", "a1", groups=("g2", "g1")), carried)
    assert digest != make_digest(port("a1", "b2"), carried)

    routes = [{"destination": "a"}, {"destination": "b"}]
    subnet = {"dns_nameservers": ["192.0.2.53", "192.0.2.54"], "host_routes": routes}
    carried = list(subnet)
    digest = make_digest(subnet, carried)
    assert digest == make_digest({**subnet, "host_routes": routes[::-1]}, carried)
    other = {**subnet, "dns_nameservers": ["192.0.2.54", "192.0.2.53"]}
    assert digest != make_digest(other, carried), "who asks for a name asks the first one first"

    def pool(*blocks: tuple[int, int]) -> dict[str, object]:
        return {"isthmus:leases": [{"first": f"{a:05}", "last": str(b)} for a, b in blocks]}

    leased = make_digest(pool((1, 4), (5, 9)), ["isthmus:leases"])
    assert leased == make_digest(pool((1, 9)), ["isthmus:leases"])
    assert leased != make_digest(pool((1, 8)), ["isthmus:leases"])


def test_a_rule_is_more_than_its_id() -> None:
    rule = {"id": "r", "protocol": "tcp", "port_range_min": 0, "revision_number": 1}

    def group(**changes: object) -> str:
        rules = [{**rule, **changes}]
        return make_digest({"security_group_rules": rules}, ["security_group_rules"])

    assert group() == group(revision_number=4, description="")
    assert group() != group(port_range_min=None)
    assert group() != group(protocol="udp")


def test_with_one_network_what_is_on_it_is_compared_and_nothing_else() -> None:
    kinds = tuple(ResourceType)
    tiers = Tiers({kind: things(1) for kind in kinds}, {kind: {} for kind in kinds})
    renewal = tiers.renewal("n1")
    while renewal.step():
        pass
    of_network = {NETWORK, ResourceType.SUBNET, PORT, ResourceType.SHADOW}
    assert {key.type for key in tiers.noted} == of_network
    assert tiers.networks == {"n1"}
