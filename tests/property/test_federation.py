"""Central, two sites, their journals and leases, with every fault that we know how to make.

Processes are killed between any two transactions, on either side of a call; calls are cut, lose
their answer, arrive twice, or arrive long after a newer one. At every moment no address has two
owners and no lane two workers; and whenever the faults stop, everything converges, stays so when
the last late call comes in, and nothing is left behind.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.ports.journal_rows import list_jobs
from tests.property.federation.link import Died, Link, Weather
from tests.property.federation.tiers import (
    NETWORKS,
    PORTS,
    SHADOWS,
    Central,
    Site,
    Tier,
    rows,
)
from typing_extensions import override

from isthmus import errors
from isthmus.journal import crash
from isthmus.journal.engine import Delivery, DeliverySettings
from isthmus.model.intent import IntentKey
from isthmus.model.item import Item, ItemResult
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.leases import lease
from isthmus.store.leases.give_back import Part
from isthmus.store.leases.returns import Return
from isthmus.store.local import mapping as site_mapping
from isthmus.store.ports import datapath
from isthmus.store.sql.engine import reading
from isthmus.store.sql.tables import JOURNAL, SITE_MAPPINGS
from isthmus.testing.clock import FakeClock

ONE, TWO = SiteName("site1"), SiteName("site2")
SITES = (ONE, TWO)

sites = st.sampled_from(SITES)
weathers = st.sampled_from(Weather)
#: After how many steps a process dies; mostly never.
fuses = st.one_of(st.none(), st.none(), st.integers(0, 5))
picks = st.integers(0, 10**6)
values = st.integers(0, 10**6)
#: A new value, or None for gone.
changes = st.one_of(st.none(), values)
directions = st.sampled_from(["apply", "report"])
#: What others do while somebody is slow: a method of the machine and what it is given.
events = st.one_of(
    st.tuples(st.just("network changes"), picks, changes),
    st.tuples(st.just("ports change"), picks, changes),
    st.tuples(st.just("port of central"), picks, changes),
    st.tuples(st.just("port comes"), values, st.none()),
    st.tuples(st.just("network comes"), values, st.none()),
    st.tuples(st.just("another worker"), directions, st.none()),
    st.tuples(st.just("leases"), st.integers(0, 6), st.booleans()),
    st.tuples(st.just("cut out"), picks, st.integers(1, 4)),
    st.tuples(st.just("late call"), picks, st.none()),
    st.tuples(st.just("time"), st.sampled_from([1, 31, 700]), st.none()),
)
stories = st.lists(events, min_size=1, max_size=4)


def as_parts(going: Sequence[Return]) -> list[Part]:
    """Say of what goes back what travels of it."""
    return [Part(one.origin, one.block) for one in going]


class Apply:
    """Xjob's two ends, for one site."""

    def __init__(self, central: Central, site: Site, link: Link) -> None:
        self._central, self._site, self._link = central, site, link

    def read(self, lane: SiteName, keys: Sequence[IntentKey]) -> Mapping[IntentKey, Item]:
        return self._central.desired(lane, keys)

    def deliver(
        self, lane: SiteName, items: Sequence[Item], *, sequence: int
    ) -> Sequence[ItemResult]:
        results: Sequence[ItemResult] = self._link.call(lambda: self._site.apply(items, sequence))
        return results


class Report:
    """The relay's two ends, at one site."""

    def __init__(self, central: Central, site: Site, link: Link) -> None:
        self._central, self._site, self._link = central, site, link

    def read(self, lane: SiteName, keys: Sequence[IntentKey]) -> Mapping[IntentKey, Item]:
        return self._site.read(keys)

    def deliver(
        self, lane: SiteName, items: Sequence[Item], *, sequence: int
    ) -> Sequence[ItemResult]:
        results: Sequence[ItemResult] = self._link.call(
            lambda: self._central.take_reports(self._site.name, items, sequence)
        )
        crash.point("report.taken")
        self._site.agree(items, results)
        return results


class Fuse:
    """At one of the delivery's crash points, kills the sender or lets something else happen."""

    left: int | None = None
    meanwhile: Callable[[], None] | None = None  #: what happens there; None is death

    def set(self, left: int | None, meanwhile: Callable[[], None] | None = None) -> None:
        self.left, self.meanwhile = left, meanwhile

    def point(self, name: str) -> None:
        if self.left is None:
            return
        if self.left:
            self.left -= 1
            return
        self.left = None
        if self.meanwhile is None:
            raise Died(name)
        self.meanwhile()


FUSE = Fuse()
CLOCK = FakeClock()
#: Made once: clearing tables is quicker than making them.
THE_CENTRAL = Central(SITES, CLOCK)
THE_SITES = {name: Site(name, CLOCK) for name in SITES}


class Federation(RuleBasedStateMachine):
    """The machine."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = CLOCK
        self.central = THE_CENTRAL
        self.sites = THE_SITES
        self.links = {name: Link() for name in SITES}
        for tier in self.tiers():
            tier.clear()
        FUSE.set(None)
        self.births = itertools.count()
        self.deliveries: dict[tuple[str, SiteName, str], Delivery] = {}

    def tiers(self) -> list[Tier]:
        return [self.central, *self.sites.values()]

    @initialize()
    def first_leases(self) -> None:
        for name in SITES:
            self.sites[name].add_leases(self.central.lease_request(name, 4, ()))

    # What people do.

    @rule(where=st.sets(sites, min_size=1), value=values)
    def create_network(self, where: set[SiteName], value: int) -> None:
        self.central.create_network(sorted(where), value)

    @rule(pick=picks, value=changes)
    def change_or_delete_network(self, pick: int, value: int | None) -> None:
        networks = sorted(rows(self.central, NETWORKS))
        if networks:
            chosen = networks[pick % len(networks)]
            if value is None:
                self.central.delete_network(chosen)
            else:
                self.central.change_network(chosen, value)

    @rule(pick=picks, value=changes)
    def create_or_delete_port_of_central(self, pick: int, value: int | None) -> None:
        ports = sorted(
            one for one, row in rows(self.central, PORTS).items() if row["home"] == CENTRAL
        )
        if value is not None:
            self.central.create_port(value)
        elif ports:
            self.central.delete_port(ports[pick % len(ports)])

    @rule(where=sites, count=st.integers(1, 4), value=values)
    def create_ports(self, where: SiteName, count: int, value: int) -> None:
        for _ in range(count):
            self.sites[where].create_port(value)

    @rule(where=sites, picked=st.lists(picks, min_size=1, max_size=4), value=changes)
    def change_or_delete_ports(self, where: SiteName, picked: list[int], value: int | None) -> None:
        for pick in picked:
            ports = sorted(rows(self.sites[where], PORTS))
            if ports:
                chosen = ports[pick % len(ports)]
                if value is None:
                    self.sites[where].delete_port(chosen)
                else:
                    self.sites[where].change_port(chosen, value)

    # What processes do, in any weather.

    @rule(where=sites, weather=weathers, sender_dies=fuses, receiver_dies=fuses)
    def apply(
        self,
        where: SiteName,
        weather: Weather,
        sender_dies: int | None,
        receiver_dies: int | None,
    ) -> None:
        FUSE.set(sender_dies)
        self._pass("apply", where, "a", weather, receiver_dies)

    @rule(where=sites, weather=weathers, sender_dies=fuses, receiver_dies=fuses)
    def report(
        self,
        where: SiteName,
        weather: Weather,
        sender_dies: int | None,
        receiver_dies: int | None,
    ) -> None:
        FUSE.set(sender_dies)
        self._pass("report", where, "a", weather, receiver_dies)

    @rule(where=sites, weather=weathers, at=st.integers(0, 3), pick=picks, value=changes)
    def apply_while_a_network_changes(
        self, where: SiteName, weather: Weather, at: int, pick: int, value: int | None
    ) -> None:
        FUSE.set(at, lambda: self.change_or_delete_network(pick, value))
        self._pass("apply", where, "a", weather)

    @rule(where=sites, weather=weathers, at=st.integers(0, 3), pick=picks, value=changes)
    def report_while_a_port_changes(
        self, where: SiteName, weather: Weather, at: int, pick: int, value: int | None
    ) -> None:
        FUSE.set(at, lambda: self.change_or_delete_ports(where, [pick], value))
        self._pass("report", where, "a", weather)

    @rule(direction=directions, where=sites, weather=weathers, at=st.integers(0, 3), pick=picks)
    def slow_worker_is_overtaken(
        self, direction: str, where: SiteName, weather: Weather, at: int, pick: int
    ) -> None:
        """Its claims expire in the middle, another one does the work, and all changes again."""

        def overtake() -> None:
            self.clock.move(31)
            self._pass(direction, where, "b", Weather.FINE)
            self.change_or_delete_network(pick, pick)
            self.change_or_delete_ports(where, [pick], pick)

        FUSE.set(at, overtake)
        self._pass(direction, where, "a", weather)

    @rule(
        direction=directions,
        where=sites,
        weather=weathers,
        slow=st.sampled_from(["sender", "receiver"]),
        at=st.integers(0, 5),
        story=stories,
    )
    def somebody_is_slow(
        self,
        direction: str,
        where: SiteName,
        weather: Weather,
        slow: str,
        at: int,
        story: list[tuple[str, Any, Any]],
    ) -> None:
        """Whoever carries, or whoever takes, stops between two of its steps for a while."""

        def others() -> None:
            self._happen(where, story)

        if slow == "sender":
            FUSE.set(at, others)
            self._pass(direction, where, "a", weather)
        else:
            self._pass(direction, where, "a", weather, at, others)

    @rule(where=sites, count=st.integers(0, 6), idle=st.booleans(), story=stories)
    def leases_are_taken_slowly(
        self, where: SiteName, count: int, story: list[tuple[str, Any, Any]], *, idle: bool
    ) -> None:
        """The answer to a lease request waits at the site while others go on."""
        site = self.sites[where]
        if idle:
            site.set_aside_idle()
        going = site.going_back()
        try:
            states = self.central.lease_request(where, count, as_parts(going))
        except errors.IsthmusError:
            return
        self._happen(where, story)
        site.take_answer(going, states)

    def _happen(self, where: SiteName, story: list[tuple[str, Any, Any]]) -> None:
        happenings: dict[str, Callable[[Any, Any], object]] = {
            "network changes": self.change_or_delete_network,
            "ports change": lambda pick, value: self.change_or_delete_ports(where, [pick], value),
            "port of central": self.create_or_delete_port_of_central,
            "port comes": lambda value, _: self.create_ports(where, 1, value),
            "network comes": lambda value, _: self.create_network({where}, value),
            "another worker": lambda direction, _: self._pass(direction, where, "b", Weather.FINE),
            "leases": lambda count, idle: self.request_leases(
                where, count, Weather.FINE, idle=idle
            ),
            "cut out": self.sites[where].cut_out_idle,
            "late call": lambda pick, _: self._let_arrive(where, pick),
            "time": lambda seconds, _: self.clock.move(seconds),
        }
        for word, first, second in story:
            happenings[word](first, second)

    def _let_arrive(self, where: SiteName, pick: int) -> None:
        if self.links[where].late:
            self.links[where].arrive(pick)

    def _pass(
        self,
        direction: str,
        where: SiteName,
        owner: str,
        weather: Weather,
        receiver_dies: int | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        link = self.links[where]
        receiver: Tier = self.sites[where] if direction == "apply" else self.central
        link.weather, link.dies_after, link.meanwhile = weather, receiver_dies, meanwhile
        receiver.step = link.step
        try:
            self._delivery_of(direction, where, owner).run()
        except Died:
            # A new process has a new name and no memory.
            del self.deliveries[direction, where, owner]
        finally:
            FUSE.set(None)
            link.weather, link.dies_after, link.meanwhile = Weather.FINE, None, None

    def _delivery_of(self, direction: str, where: SiteName, owner: str) -> Delivery:
        key = (direction, where, owner)
        if key not in self.deliveries:
            kind = Apply if direction == "apply" else Report
            ends = kind(self.central, self.sites[where], self.links[where])
            sender: Tier = self.central if direction == "apply" else self.sites[where]
            self.deliveries[key] = Delivery(
                where if direction == "apply" else CENTRAL,
                store=sender.journal,
                source=ends,
                carrier=ends,
                clock=self.clock,
                settings=DeliverySettings(owner=f"{owner}{next(self.births)}", batch=4, claim_s=30),
                uniform=lambda: 0.5,
            )
        return self.deliveries[key]

    @rule(where=sites, count=st.integers(0, 6), idle=st.booleans(), weather=weathers)
    def request_leases(self, where: SiteName, count: int, weather: Weather, *, idle: bool) -> None:
        site, link = self.sites[where], self.links[where]
        if idle:
            site.set_aside_idle()
        going = site.going_back()
        parts = as_parts(going)
        link.weather = weather
        try:
            states = link.call(lambda: self.central.lease_request(where, count, parts))
            site.take_answer(going, states)
        except errors.IsthmusError:
            pass
        finally:
            link.weather = Weather.FINE

    @rule(where=sites, pick=picks, count=st.integers(1, 4))
    def central_asks_for_idle_numbers(self, where: SiteName, pick: int, count: int) -> None:
        self.sites[where].cut_out_idle(pick, count)

    @rule(where=sites)
    def what_went_back_is_forgotten(self, where: SiteName) -> None:
        self.sites[where].forget_returns()

    @precondition(lambda self: any(link.late for link in self.links.values()))
    @rule(pick=picks)
    def late_call_arrives(self, pick: int) -> None:
        late = [link for link in self.links.values() if link.late]
        for tier in self.tiers():
            tier.step = lambda: None
        late[pick % len(late)].arrive(pick)

    @rule(seconds=st.sampled_from([0.1, 1, 10, 100]))
    def time_passes(self, seconds: float) -> None:
        self.clock.move(seconds)

    # What always holds.

    @invariant()
    def no_address_has_two_owners(self) -> None:
        owned = [
            row["address"]
            for tier in self.tiers()
            for row in rows(tier, PORTS).values()
            if row["home"] == tier.name
        ]
        assert len(owned) == len(set(owned))

    @invariant()
    def leases_do_not_overlap_and_sites_use_only_theirs(self) -> None:
        with reading(self.central.engine) as connection:
            everything = lease.list_leases(connection)
        blocks = sorted(one.block for one in everything)
        assert all(left.last < right.first for left, right in itertools.pairwise(blocks))
        for name, site in self.sites.items():
            at_central = [(one.root, one.block) for one in everything if one.site == name]
            with reading(site.engine) as connection:
                here = lease.list_leases(connection)
            # A site cuts parts out before central hears of it, each out of the lease it was of.
            assert all(
                any(
                    root == one.root
                    and block.first <= one.block.first <= one.block.last <= block.last
                    for root, block in at_central
                )
                for one in here
            )
            for row in rows(site, PORTS).values():
                assert any(row["address"] in one.block for one in here)

    @invariant()
    def a_lane_has_one_worker(self) -> None:
        for tier in self.tiers():
            query = (
                sa.select(JOURNAL.c.lane, sa.func.count(sa.distinct(JOURNAL.c.owner)))
                .where(JOURNAL.c.owner.is_not(None), JOURNAL.c.expires_at > self.clock.now())
                .group_by(JOURNAL.c.lane)
            )
            with reading(tier.engine) as connection:
                assert all(count == 1 for _, count in connection.execute(query))

    # What holds once the faults stop.

    @override
    def teardown(self) -> None:
        self.heal()
        self.check_converged()
        late = [(link, which) for link in self.links.values() for which in range(len(link.late))]
        for link, _ in late:
            link.arrive(0)
        self.check_converged()

    def heal(self) -> None:
        for tier in self.tiers():
            tier.step = lambda: None
        for _ in range(60):
            self.clock.move(61)
            for direction, where in itertools.product(("apply", "report"), SITES):
                self._delivery_of(direction, where, "a").run()
            if not any(self._jobs(tier) for tier in self.tiers()):
                return

    def _jobs(self, tier: Tier) -> list[Any]:
        with reading(tier.engine) as connection:
            return list_jobs(connection)

    def check_converged(self) -> None:
        for name, site in self.sites.items():
            self.request_leases(name, 0, Weather.FINE, idle=False)
            assert site.going_back() == []
            with reading(self.central.engine) as connection:
                at_central = lease.list_leases(connection, site=name)
            with reading(site.engine) as connection:
                assert lease.list_leases(connection) == at_central
        for tier in self.tiers():
            assert self._jobs(tier) == []
        networks = rows(self.central, NETWORKS)
        with reading(self.central.engine) as connection:
            mapped = {
                (row.resource_id, row.site)
                for row in connection.execute(
                    sa.select(SITE_MAPPINGS).where(SITE_MAPPINGS.c.type == "network")
                )
            }
            at_all = datapath.list_all_keys(connection)
        assert {network for network, _ in mapped} == set(networks), "deleted means forgotten"
        assert set(at_all) == set(networks)
        ports = rows(self.central, PORTS)
        for name, site in self.sites.items():
            wanted = {one: row for one, row in networks.items() if (one, name) in mapped}
            assert rows(site, NETWORKS) == wanted
            with reading(site.engine) as connection:
                known = site_mapping.find_known(connection, ResourceType.NETWORK, set(networks))
                keys = datapath.list_all_keys(connection)
                bases = site_mapping.find_bases(connection, list(ports))
            assert known == set(wanted)
            assert keys.items() <= at_all.items()
            assert set(keys) == set(wanted)
            own = {one: row for one, row in ports.items() if row["home"] == name}
            assert rows(site, PORTS) == own
            assert set(bases) == set(own)
            others = {one: row["value"] for one, row in ports.items() if row["home"] != name}
            assert {one: row["value"] for one, row in rows(site, SHADOWS).items()} == others


@pytest.mark.timeout(900)  # 20 s of work; as long as a busy machine needs
def test_federation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "point", FUSE.point)
    run_state_machine_as_test(
        Federation,
        settings=settings(
            max_examples=50,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
