"""The thread that keeps OVN's rows: no Neutron, no OVN, and the product's own code between."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
from typing_extensions import override

from isthmus import errors
from isthmus.dataplane import reconcile
from isthmus.dataplane.holdings import collect
from isthmus.dataplane.kind.remote_chassis import REMOTE_CHASSIS
from isthmus.dataplane.kind.responder import RESPONDER
from isthmus.dataplane.kind.shadow_port import SHADOW_PORT
from isthmus.dataplane.plan import observe
from isthmus.dataplane.protocols import Tables, Trust
from isthmus.dataplane.reconcile import Callbacks, Events, Reconciler
from isthmus.dataplane.row_kind import Observed
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import Dirty, Scope, choose_scope
from isthmus.model.dataplane.ovn import RaSubnet
from isthmus.testing.ovn_memory import NEW_NORTHD, OLD_NORTHD, MemoryOvn
from isthmus.testing.site_tables import (
    NET,
    RESPONDER_PORT,
    MemoryTables,
    make_shadow,
    make_tables,
)
from isthmus.testing.until import until

IDLE_S = 30


class Lay:
    """Rows that Neutron writes."""

    def __init__(self, table: str, name: str) -> None:
        self._table, self._name = table, name

    def write(self, tables: Tables) -> None:
        tables.insert(self._table).name = self._name


class Site:
    """OVN and the site's tables in memory, and reconcilers over them."""

    def __init__(self, tables: MemoryTables, northd: str = NEW_NORTHD) -> None:
        self.ovn = MemoryOvn(northd)
        self.tables = tables
        self.low: list[str] = []
        self.moved: list[str] = []
        self.swept: list[Observed] = []
        self.looks = 0
        self.looked: Callable[[], object] = lambda: None

    def look(self) -> None:
        self.looks += 1
        self.looked()

    def make_switch(self) -> None:
        assert self.ovn.rows.nb.commit([Lay("Logical_Switch", f"neutron-{NET}")]) == []

    def see(self) -> Observed:
        return observe(self.ovn.rows, Scope.everything(self.tables.stretched))

    @contextlib.contextmanager
    def run(
        self, sweep_s: float = 3600, connect: Callable[[Events], OvnRows] | None = None
    ) -> Iterator[Reconciler]:
        made = Reconciler(
            connect or self.ovn.connect,
            self.tables,
            sweep_s,
            Callbacks(keys_low=self.low.append, moved=self.moved.append, swept=self.swept.append),
            look=self.look,
        )
        made.start()
        try:
            assert made.wait_idle(IDLE_S)
            yield made
        finally:
            made.stop()

    def bound(self) -> dict[str, str]:
        return {
            row.logical_port: row.chassis[0].name if row.chassis else ""
            for row in self.ovn.rows.sb.rows("Port_Binding")
            if row.type == "remote"
        }


@pytest.mark.parametrize("northd", [OLD_NORTHD, NEW_NORTHD])
def test_what_is_there_at_the_start_is_written(northd: str) -> None:
    site = Site(make_tables(make_shadow(1), make_shadow(2)), northd)
    site.make_switch()
    with site.run():
        assert set(site.see().of(SHADOW_PORT).ports) == set(site.tables.known)
        assert site.bound() == dict.fromkeys(site.tables.known, "hv-b")
    assert len(site.swept) == 1


@pytest.mark.parametrize("northd", [OLD_NORTHD, NEW_NORTHD])
def test_a_shadow_comes_moves_and_goes_without_a_sweep(northd: str) -> None:
    site = Site(make_tables(), northd)
    site.make_switch()
    with site.run() as reconciler:
        one = make_shadow(1)
        site.tables.put(one)
        reconciler.wake(ports=[one.port_id])
        assert reconciler.wait_idle(IDLE_S)
        assert site.bound() == {one.port_id: "hv-b"}
        site.tables.put(make_shadow(1, chassis="hv-c", encap_ip="192.0.2.3"))
        reconciler.wake(ports=[one.port_id], chassis=["hv-b"])
        assert reconciler.wait_idle(IDLE_S)
        assert site.bound() == {one.port_id: "hv-c"}
        assert set(site.see().of(REMOTE_CHASSIS).ours) == {"hv-c"}
        site.tables.known.clear()
        reconciler.wake(ports=[one.port_id], chassis=["hv-c"])
        assert reconciler.wait_idle(IDLE_S)
        assert site.bound() == {}
        assert not site.see().of(REMOTE_CHASSIS).ours
    assert len(site.swept) == 1, "the one at the start"


def test_a_hypervisor_that_a_shadow_left_goes_without_being_named() -> None:
    site = Site(make_tables(make_shadow(1)))
    site.make_switch()
    with site.run() as reconciler:
        site.tables.put(make_shadow(1, chassis="hv-c", encap_ip="192.0.2.3"))
        reconciler.wake(ports=[make_shadow(1).port_id])
        assert reconciler.wait_idle(IDLE_S)
        assert set(site.see().of(REMOTE_CHASSIS).ours) == {"hv-c"}
    assert len(site.swept) == 1


def test_shadows_wait_for_the_switch_and_for_their_groups() -> None:
    one = make_shadow(1, security_groups=("late",))
    site = Site(make_tables(one))
    with site.run() as reconciler:
        assert site.see().of(SHADOW_PORT).ports == {}
        site.make_switch()
        assert reconciler.wait_idle(IDLE_S)
        assert site.see().of(SHADOW_PORT).ports[one.port_id].groups == frozenset()
        assert site.ovn.rows.nb.commit([Lay("Port_Group", "pg_late")]) == []
        assert reconciler.wait_idle(IDLE_S)
        assert site.see().of(SHADOW_PORT).ports[one.port_id].groups == {"pg_late"}
        site.tables.put(make_shadow(1))
        reconciler.wake(ports=[one.port_id], groups=["pg_late"])
        assert reconciler.wait_idle(IDLE_S)
        assert site.see().of(SHADOW_PORT).ports[one.port_id].groups == frozenset()
    assert len(site.swept) == 1


def test_a_lost_binding_is_written_again() -> None:
    site = Site(make_tables(make_shadow(1)), OLD_NORTHD)
    site.make_switch()
    (port_id,) = site.tables.known
    with site.run() as reconciler:
        site.ovn.change("Port_Binding", port_id, chassis=[])
        assert reconciler.wait_idle(IDLE_S)
        assert site.bound() == {port_id: "hv-b"}


def test_two_processes_agree() -> None:
    """Each knows what it was told of; what one makes the other does not undo."""
    site = Site(make_tables(), OLD_NORTHD)
    site.make_switch()
    with site.run() as one, site.run() as other:
        for number in range(1, 21):
            shadow = make_shadow(number)
            site.tables.put(shadow)
            (one if number % 2 else other).wake(ports=[shadow.port_id])
        assert one.wait_idle(IDLE_S)
        assert other.wait_idle(IDLE_S)
        until(
            lambda: site.bound() == dict.fromkeys(site.tables.known, "hv-b"),
            what="every shadow is bound",
        )
        assert len(site.bound()) == 20


def test_responders_get_a_key_and_give_it_back() -> None:
    site = Site(make_tables())
    site.make_switch()
    with site.run() as reconciler:
        subnet = RaSubnet(network_id=NET, cidr="fd00::/64", ra_mode="slaac", mtu=1442, routed=False)
        site.tables.subnets = [subnet]
        reconciler.wake(networks=[NET])
        assert reconciler.wait_idle(IDLE_S)
        (found,) = site.see().of(RESPONDER).values()
        assert found.port_key == site.tables.keys[RESPONDER_PORT][1]
        site.tables.subnets = []
        reconciler.wake(networks=[NET])
        assert reconciler.wait_idle(IDLE_S)
        assert site.see().of(RESPONDER) == {}
        assert RESPONDER_PORT not in site.tables.keys


def test_keys_that_run_low_are_told_of_and_the_others_are_not_kept_waiting() -> None:
    tables = make_tables(make_shadow(1))
    tables.keyless = [(NET, "by the sync tool"), (NET, "one too many")]
    tables.free = [900]
    site = Site(tables)
    site.make_switch()
    with site.run():
        assert tables.keys == {"by the sync tool": (NET, 900)}
        assert site.low == [NET, NET], "few are left, and then none"
        assert site.bound() == {make_shadow(1).port_id: "hv-b"}


def test_a_database_that_is_late_is_asked_again_and_with_less() -> None:
    site = Site(make_tables(*(make_shadow(number) for number in range(1, 9))))
    site.make_switch()
    site.ovn.nb_connection.late = 2
    with site.run():
        assert site.bound() == dict.fromkeys(site.tables.known, "hv-b")
    before = site.ovn.nb_connection.transactions
    assert before >= 3, "the switch, and eight rows in more than one transaction"


def test_a_refused_row_keeps_no_other_waiting() -> None:
    clash = make_shadow(2, chassis="hv-x", encap_ip="192.0.2.2")
    site = Site(make_tables(make_shadow(1), clash))
    site.make_switch()
    with site.run():
        assert len(site.see().of(REMOTE_CHASSIS).ours) == 1
        assert len(site.see().of(SHADOW_PORT).ports) == 2


def test_databases_that_are_away_at_the_start_are_waited_for() -> None:
    site = Site(make_tables(make_shadow(1)))
    site.make_switch()
    failures = [OSError("not yet"), OSError("nor now")]

    def connect(events: Events) -> OvnRows:
        if failures:
            raise failures.pop()
        return site.ovn.connect(events)

    with site.run(connect=connect):
        assert site.bound() == {make_shadow(1).port_id: "hv-b"}


def test_a_sweep_finds_what_no_event_tells_of() -> None:
    site = Site(make_tables(make_shadow(1)))
    site.make_switch()
    (port_id,) = site.tables.known

    def mended() -> bool:
        row = site.see().of(SHADOW_PORT).ports[port_id]
        return row.enabled

    with site.run(sweep_s=0.05):
        site.ovn.change("Logical_Switch_Port", port_id, enabled=[False])
        until(mended, what="the sweep mends it")


def test_what_a_kind_names_itself_reaches_its_scope() -> None:
    """A kind may bring a subject of its own, and nobody else needs to know it."""

    dirty = Dirty()
    dirty.add("routers", ["r1"])
    dirty.add("policies", True)
    scope = choose_scope(dirty, make_tables())
    assert scope.ids("routers") == frozenset({"r1"})
    assert scope.ids("policies") is None
    assert scope.ids("meters") == frozenset()
    assert Scope.everything([NET]).ids("routers") is None


def test_a_restored_site_adds_and_takes_nothing_away_until_it_has_settled() -> None:
    """OVN has what came since the backup, and what moved; the tables are of the backup."""
    site = Site(make_tables(make_shadow(1), make_shadow(2, chassis="hv-c", encap_ip="192.0.2.3")))
    site.make_switch()
    with site.run():
        before = site.see()
    site.tables.known.clear()
    site.tables.put(
        make_shadow(2, chassis="hv-old", encap_ip="192.0.2.9"),
        make_shadow(3),
        make_shadow(4, port_key=101),  # that of the first, which came since
        make_shadow(5, addresses=("10.0.0.1",)),
    )
    site.tables.trusted = Trust.NONE
    site.swept.clear()
    with site.run() as reconciler:
        now = site.see()
        kept = {one: now.of(SHADOW_PORT).ports[one] for one in before.of(SHADOW_PORT).ports}
        assert kept == before.of(SHADOW_PORT).ports
        assert set(now.of(SHADOW_PORT).ports) == {*kept, make_shadow(3).port_id}
        assert before.of(REMOTE_CHASSIS).ours.items() <= now.of(REMOTE_CHASSIS).ours.items()
        assert not site.swept, "something is left to do"
        drift = collect(site.ovn.rows, site.tables)["drift"]
        assert drift
        assert all(one["waits"] for one in drift)

        # It has recovered: what is its own counts, and of other sites it has yet to hear.
        site.tables.trusted = Trust.OWN
        until(lambda: site.swept, what="it looks at everything by itself")
        assert reconciler.wait_idle(IDLE_S)
        assert site.see().of(SHADOW_PORT).ports == now.of(SHADOW_PORT).ports
        assert collect(site.ovn.rows, site.tables)["drift"] == drift

        site.swept.clear()
        site.tables.trusted = Trust.ALL
        until(lambda: site.swept, what="it looks at everything by itself")
        assert reconciler.wait_idle(IDLE_S)
        assert set(site.see().of(SHADOW_PORT).ports) == set(site.tables.known)
        assert set(site.see().of(REMOTE_CHASSIS).ours) == {"hv-b", "hv-old"}
        assert collect(site.ovn.rows, site.tables)["drift"] == []


@pytest.mark.parametrize("northd", [OLD_NORTHD, NEW_NORTHD])
def test_what_a_restored_site_is_told_of_is_written_at_once(northd: str) -> None:
    """That is newer than the backup, and than OVN."""
    stays, moves, goes = make_shadow(1), make_shadow(2), make_shadow(3)
    site = Site(make_tables(stays, moves, goes), northd)
    site.make_switch()
    with site.run():
        pass
    site.tables.known.clear()
    site.tables.put(moves, goes)
    site.tables.trusted = Trust.NONE
    with site.run() as reconciler:
        comes = make_shadow(4, chassis="hv-d", encap_ip="192.0.2.4", security_groups=("late",))
        site.tables.put(make_shadow(2, chassis="hv-c", encap_ip="192.0.2.3"), comes)
        del site.tables.known[goes.port_id]
        reconciler.wake(ports=[moves.port_id, goes.port_id, comes.port_id], chassis=["hv-b"])
        assert reconciler.wait_idle(IDLE_S)
        assert site.bound() == {
            stays.port_id: "hv-b",
            moves.port_id: "hv-c",
            comes.port_id: "hv-d",
        }
        assert site.ovn.rows.nb.commit([Lay("Port_Group", "pg_late")]) == []
        assert reconciler.wait_idle(IDLE_S)
        assert site.see().of(SHADOW_PORT).ports[comes.port_id].groups == {"pg_late"}


def test_what_a_restored_central_tells_a_restored_site_changes_no_row() -> None:
    """It is as old as central's backup; the row may be of where the server is since."""
    stands = make_shadow(1, chassis="hv-c", encap_ip="192.0.2.3")
    site = Site(make_tables(stands))
    site.make_switch()
    with site.run():
        pass
    site.tables.known.clear()
    site.tables.trusted = Trust.NONE
    with site.run() as reconciler:
        comes = make_shadow(2)
        site.tables.put(make_shadow(1), comes)
        reconciler.wake(ports=[stands.port_id, comes.port_id], heard=False)
        assert reconciler.wait_idle(IDLE_S)
        assert site.bound() == {stands.port_id: "hv-c", comes.port_id: "hv-b"}


def test_a_site_that_finds_out_late_that_it_was_restored_holds_back_from_then_on() -> None:
    site = Site(make_tables(make_shadow(1)))
    site.make_switch()
    with site.run() as reconciler:
        site.tables.trusted = Trust.NONE
        site.tables.known.clear()
        site.ovn.change("Logical_Switch_Port", make_shadow(1).port_id, enabled=[False])
        reconciler.wake(everything=True)
        assert reconciler.wait_idle(IDLE_S)
        assert set(site.see().of(SHADOW_PORT).ports) == {make_shadow(1).port_id}
        site.tables.trusted = Trust.ALL
        until(lambda: not site.see().of(SHADOW_PORT).ports, what="it has recovered")


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("moves", [False, True])
def test_tables_that_went_back_unnoticed_take_no_row_away(everything: bool, moves: bool) -> None:
    """A replica that lags takes over while the process runs: nothing else tells of it."""
    one = make_shadow(1, chassis="hv-c", encap_ip="192.0.2.3")
    site = Site(make_tables(one))
    site.make_switch()
    with site.run() as reconciler:
        before = site.see().of(SHADOW_PORT).ports
        site.tables.known.clear()
        if moves:
            site.tables.put(make_shadow(1))

        def find_out() -> None:
            site.tables.trusted = Trust.NONE

        site.looked = find_out
        reconciler.wake(everything=everything, ports=[one.port_id], heard=False)
        assert reconciler.wait_idle(IDLE_S)
        assert site.see().of(SHADOW_PORT).ports == before
        assert site.bound() == {one.port_id: "hv-c"}


@pytest.mark.parametrize("trusted", [Trust.NONE, Trust.OWN])
def test_what_was_told_before_the_tables_went_back_counts_no_more(trusted: Trust) -> None:
    """Exactly what came in the seconds that are lost would be taken away again."""
    site = Site(make_tables(make_shadow(1)))
    site.make_switch()
    with site.run() as reconciler:
        site.tables.put(make_shadow(2))
        reconciler.wake(ports=[make_shadow(2).port_id])
        assert reconciler.wait_idle(IDLE_S)
        site.tables.known.pop(make_shadow(2).port_id)

        def find_out() -> None:
            site.tables.trusted, site.tables.lives = trusted, 2

        site.looked = find_out
        reconciler.wake(everything=True)
        assert reconciler.wait_idle(IDLE_S)
        assert make_shadow(2).port_id in site.bound()
        # What is told of from then on counts.
        reconciler.wake(ports=[make_shadow(2).port_id])
        assert reconciler.wait_idle(IDLE_S)
        assert make_shadow(2).port_id not in site.bound()


def test_tables_that_went_back_and_count_again_are_read_again() -> None:
    """Another process has found out and settled, between the reading and the write."""
    site = Site(make_tables(make_shadow(1)))
    site.make_switch()
    with site.run() as reconciler:
        (row,) = site.ovn.rows.sb.rows("Port_Binding")
        lost = site.tables.known.pop(make_shadow(1).port_id)

        def come_back() -> None:
            site.tables.known[make_shadow(1).port_id] = lost
            site.tables.lives = 2

        site.looked = come_back
        reconciler.wake(ports=[make_shadow(1).port_id])
        assert reconciler.wait_idle(IDLE_S)
        assert [one.uuid for one in site.ovn.rows.sb.rows("Port_Binding")] == [row.uuid]


def test_where_no_look_succeeds_what_is_new_is_written_nevertheless() -> None:
    """A file of another tier, or one that a process which hangs holds, cuts nobody off."""
    site = Site(make_tables(make_shadow(1)))
    site.make_switch()
    with site.run() as reconciler:

        def fail() -> None:
            raise errors.Inconsistent("the file is of another tier")

        site.looked = fail
        site.tables.known.pop(make_shadow(1).port_id)
        site.tables.put(make_shadow(2))
        reconciler.wake(ports=[make_shadow(1).port_id, make_shadow(2).port_id])
        until(lambda: make_shadow(2).port_id in site.bound(), what="the new one is bound")
        assert make_shadow(1).port_id in site.bound()
        site.looked = lambda: None
        until(lambda: make_shadow(1).port_id not in site.bound(), what="looks succeed again")


def test_what_is_new_does_not_wait_for_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that fail are repeated ever more seldom."""
    monkeypatch.setattr(reconcile, "_FIRST_PAUSE_S", 1e6)
    site = Site(make_tables(make_shadow(1)))
    site.make_switch()
    with site.run() as reconciler:

        def fail() -> None:
            raise errors.Inconsistent("the file is of another tier")

        site.looked = fail
        reconciler.wake(everything=True)
        until(lambda: reconciler._is_blind, what="the look fails")
        site.tables.put(make_shadow(2))
        reconciler.wake(ports=[make_shadow(2).port_id])
        until(lambda: make_shadow(2).port_id in site.bound(), what="the new one is bound")


def test_a_look_that_fails_is_repeated_before_a_row_is_taken_away() -> None:
    site = Site(make_tables(make_shadow(1)))
    site.make_switch()
    with site.run() as reconciler:
        failed: list[bool] = []

        def fail() -> None:
            if len(failed) < 2:
                assert site.bound()
                failed.append(True)
                raise errors.Busy("the database is away")

        site.looked = fail
        site.tables.known.clear()
        reconciler.wake(ports=[make_shadow(1).port_id])
        until(lambda: not site.bound(), what="it is taken away")
        assert len(failed) == 2


def test_what_contradicts_no_row_costs_no_look() -> None:
    site = Site(make_tables(make_shadow(1)))
    site.make_switch()
    with site.run() as reconciler:
        assert site.looks == 1, "the one before it begins"
        site.tables.put(make_shadow(2))
        reconciler.wake(ports=[make_shadow(2).port_id])
        assert reconciler.wait_idle(IDLE_S)
        assert set(site.bound()) == {make_shadow(1).port_id, make_shadow(2).port_id}
        assert site.looks == 1


def test_a_port_that_waits_for_a_restored_site_keeps_no_other_waiting() -> None:
    class Restored(MemoryTables):
        @override
        def allocate_key(self, network_id: str, port_id: str) -> bool:
            if self.trusted is Trust.NONE:
                raise errors.Busy("restored")
            return super().allocate_key(network_id, port_id)

    tables = Restored().put(make_shadow(1))
    tables.stretched[NET] = 0xFFF001
    tables.keyless = [(NET, "by the sync tool")]
    tables.trusted = Trust.NONE
    site = Site(tables)
    site.make_switch()
    with site.run():
        assert site.bound() == {make_shadow(1).port_id: "hv-b"}
        assert not tables.keys
        tables.trusted = Trust.ALL
        until(lambda: tables.keys, what="it has recovered")
