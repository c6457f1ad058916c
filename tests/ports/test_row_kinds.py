"""Each kind of rows keeps its contract, on OVN's own databases and on those in memory.

The cases are in `tests/ports/row_kinds`, one file a kind. A kind without cases fails, and so does a
change that no case makes necessary.
"""

import importlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from tests.ports.row_kinds.case import Case, lay_chassis, lay_port, lay_switch

from isthmus.clients.ovsdb import ovn_connection
from isthmus.dataplane import defer, holdings
from isthmus.dataplane.capability import parse_capability
from isthmus.dataplane.kind.binding import BINDING
from isthmus.dataplane.kind.exits.forward import Forward, PutForward, RemoveForward, place_forward
from isthmus.dataplane.kind.exits.transit_network import PutTransitNetwork, ReleaseKey
from isthmus.dataplane.kind.exits.transit_peer import TRANSIT_PEER
from isthmus.dataplane.kind.port_key import PORT_KEY
from isthmus.dataplane.kind.shadow_port import SHADOW_PORT
from isthmus.dataplane.kind.switch_key import SWITCH_KEY
from isthmus.dataplane.kinds import KINDS
from isthmus.dataplane.plan import Plan, apply_plan, diff_rows, list_drift, observe, read_desired
from isthmus.dataplane.protocols import SiteTables, Tables, Trust
from isthmus.dataplane.row_kind import Change, Kind, Observed
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import Scope
from isthmus.model.dataplane.ovn import EXITS_MARK, SHADOW_MARK
from isthmus.testing.needed import skip_without
from isthmus.testing.ovn import OvnDatabases, missing_programs
from isthmus.testing.ovn_memory import NEW_NORTHD, OLD_NORTHD, MemoryOvn
from isthmus.testing.site_tables import NET, make_shadow, make_tables
from isthmus.testing.until import until

#: What is done by northd where it binds remote ports itself.
_BINDS = frozenset({"ovn.binding.differs", "ovn.transit_peer.missing"})
#: Root tables of the northbound schema that are not the database's own.
_LAID = ("Logical_Switch", "Logical_Router", "Load_Balancer", "Port_Group", "Meter", "DNS")


def find_cases(kind: Kind[Any, Any]) -> Sequence[Case]:
    return cast(Sequence[Case], importlib.import_module(f"tests.ports.row_kinds.{kind.name}").CASES)


CASES = [
    pytest.param(kind, case, id=f"{kind.name}: {case.name}")
    for kind in KINDS
    for case in find_cases(kind)
]


def list_changes() -> list[type[Change]]:
    """List every change of the product, as other tests make some of their own.

    A class with slots is made twice, and the first one is nowhere in use.
    """
    return [
        one
        for one in Change.__subclasses__()
        if one.__module__.startswith("isthmus.")
        and getattr(sys.modules[one.__module__], one.__name__) is one
    ]


@dataclass(frozen=True)
class Lay:
    """Rows of others, written as any client writes them."""

    rows: Callable[[Tables], Any]

    def write(self, tables: Tables) -> None:
        self.rows(tables)


@pytest.fixture(scope="module")
def real() -> Iterator[OvnRows]:
    skip_without(missing_programs())
    folder = Path(tempfile.mkdtemp(prefix="isthmus-k-"))
    with OvnDatabases(folder) as site:
        nb, sb = ovn_connection.connect(site.nb_remote, site.sb_remote, timeout_s=60)
        yield OvnRows(nb, sb)
        ovn_connection.disconnect(nb, sb)
    shutil.rmtree(folder)


@pytest.fixture(
    params=[
        pytest.param(OLD_NORTHD, id="memory, northd of old"),
        pytest.param(NEW_NORTHD, id="memory"),
        pytest.param("", id="real", marks=pytest.mark.ovn),
    ]
)
def rows(request: pytest.FixtureRequest) -> OvnRows:
    if request.param:
        return MemoryOvn(request.param).rows
    found: OvnRows = request.getfixturevalue("real")
    wipe(found)
    return found


def wipe(rows: OvnRows) -> None:
    """Remove what the case before has left."""

    def delete(row: Any, database: Any) -> None:
        assert database.commit([Lay(lambda _tables: row.delete())]) == []

    for table in _LAID:
        for row in list(rows.nb.rows(table)):
            delete(row, rows.nb)
    for row in list(rows.sb.rows("Chassis")):
        delete(row, rows.sb)
    until(lambda: not list(rows.sb.rows("Datapath_Binding")), what="northd has cleared up")


def compare(rows: OvnRows, tables: SiteTables) -> tuple[Plan, Observed]:
    with tables.reading() as source:
        scope = Scope.everything(source.networks())
        observed = observe(rows, scope)
        desired = read_desired(source, scope, observed)
    return diff_rows(desired, observed, parse_capability(rows.northd_version())), observed


def settle(rows: OvnRows, tables: SiteTables) -> Observed:
    def look() -> Observed | None:
        plan, seen = compare(rows, tables)
        remote = seen.of(SHADOW_PORT).ports.keys() | seen.of(TRANSIT_PEER).ports.keys()
        bound = remote <= seen.of(BINDING).keys()
        keyed = all(one.given == one.key for one in seen.of(SWITCH_KEY).values())
        assert apply_plan(rows, plan) == []
        return None if plan or not (bound and keyed) else seen

    return until(look, what="nothing is left to do")


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_what_differs_is_found_and_mended(kind: Kind[Any, Any], case: Case, rows: OvnRows) -> None:
    tables = case.tables()
    assert rows.sb.commit([Lay(case.southbound)]) == []
    assert rows.nb.commit([Lay(case.northbound)]) == []
    laid = [row.name for row in rows.nb.rows("Logical_Switch_Port")]
    until(lambda: all(map(rows.find_binding, laid)), what="northd has seen the rows")
    plan, _ = compare(rows, tables)
    found = [
        (one["code"], one["id"])
        for one in list_drift(plan)
        if one["code"].startswith(f"ovn.{kind.name}.")
    ]
    for one in list_drift(plan):
        assert bool(one["without"]) != one["code"].endswith(".extra"), one
    itself = _BINDS if parse_capability(rows.northd_version()).binds_remote else ()
    assert found == [one for one in case.finds if one[0] not in itself]
    seen = settle(rows, tables)
    assert case.holds(seen), seen.of(kind)
    # Each write is idempotent: another process may do the same a moment later.
    assert apply_plan(rows, plan) == []
    assert case.holds(settle(rows, tables))


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_a_site_tells_what_differs_and_what_of_it_waits(kind: Kind[Any, Any], case: Case) -> None:
    ovn, tables = MemoryOvn(OLD_NORTHD).rows, case.tables()
    assert ovn.sb.commit([Lay(case.southbound)]) == []
    assert ovn.nb.commit([Lay(case.northbound)]) == []
    plan, before = compare(ovn, tables)
    with tables.reading() as source:
        desired = read_desired(source, Scope.everything(source.networks()), before)
        trust = source.trust()
    later = defer.split(plan, desired, before, {}, trust)[1]
    drift = holdings.collect(ovn, tables)["drift"]
    assert [one["change"] for one in drift] == list(map(str, plan.changes))
    assert sorted(one["change"] for one in drift if one["waits"]) == sorted(map(str, later.changes))


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_what_stands_stays_while_the_tables_may_be_older(kind: Kind[Any, Any], case: Case) -> None:
    """What is written then only adds: nothing of any kind goes, or is other than it was."""
    ovn, tables = MemoryOvn(OLD_NORTHD).rows, case.tables()
    assert ovn.sb.commit([Lay(case.southbound)]) == []
    assert ovn.nb.commit([Lay(case.northbound)]) == []
    plan, before = compare(ovn, tables)
    with tables.reading() as source:
        desired = read_desired(source, Scope.everything(source.networks()), before)
    now, later = defer.split(plan, desired, before, {})
    assert sorted(map(str, (*now.changes, *later.changes))) == sorted(map(str, plan.changes))
    settled, _ = defer.split(plan, desired, before, {}, Trust.OWN)
    own = [change for change in plan.changes if change.is_own]
    assert set(map(str, settled.changes)) == set(map(str, (*now.changes, *own)))
    assert apply_plan(ovn, now) == []
    _, after = compare(ovn, tables)
    for one in KINDS:
        assert list_standing(before, one) <= list_standing(after, one)
    heard = {change.about: {change.of for change in later.changes} for change in later.changes}
    assert all(heard), "nothing that a wake can name would ever make it be written"


def list_standing(observed: Observed, kind: Kind[Any, Any]) -> set[str]:
    """List the rows of a kind, as text; of those of Neutron's the keys, where there are some."""
    seen = observed.of(kind)
    for part in ("ports", "ours", "networks"):
        seen = getattr(seen, part, seen)
    if kind is BINDING:
        seen = {one: row.chassis for one, row in seen.items() if row.chassis}
    elif kind in (PORT_KEY, SWITCH_KEY):
        keys = {
            one: getattr(row, "port_key", getattr(row, "key", None)) for one, row in seen.items()
        }
        seen = {one: key for one, key in keys.items() if key is not None}
    return {f"{one} {row}" for one, row in (seen or {}).items()}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_change_of_a_kind_has_its_case(kind: Kind[Any, Any]) -> None:
    found = {code for case in find_cases(kind) for code, _ in case.finds}
    assert found == {
        change.code for change in list_changes() if change.code.split(".")[1] == kind.name
    }


def test_changes_and_kinds_have_names_of_their_own() -> None:
    changes = list_changes()
    assert {PutTransitNetwork.code} == {ReleaseKey.code}  # two steps of one
    others = [one for one in changes if one is not ReleaseKey]
    assert len({one.code for one in others}) == len(others)
    assert len({one.what for one in changes}) == len(changes)
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)
    assert {one.code.split(".")[1] for one in changes} == set(names)
    assert {one.code.split(".")[0] for one in changes} == {"ovn"}


def test_a_refusal_names_the_command_and_the_others_are_written(rows: OvnRows) -> None:
    """Two hypervisors of other sites cannot have one tunnel address."""
    tables = make_tables(*(make_shadow(number) for number in (1, 2, 3)))
    clash = make_shadow(4, chassis="hv-x", encap_ip="192.0.2.2")
    tables.put(clash)
    assert rows.nb.commit([Lay(lay_switch)]) == []
    plan, _ = compare(rows, tables)
    (refused,) = apply_plan(rows, plan)
    assert refused.startswith("OVN refused to put chassis hv-")
    assert "192.0.2.2" in refused
    _, seen = compare(rows, tables)
    assert len(seen.of(SHADOW_PORT).ports) == 4


def test_what_others_have_taken_since_it_was_read_is_left_alone(rows: OvnRows) -> None:
    """Rows lose our mark between the comparison and the write; they are then not ours to touch."""
    tables = make_tables(make_shadow(2))
    stays, goes = make_shadow(2).port_id, make_shadow(1).port_id

    def lay(there: Tables) -> None:
        switch = lay_switch(there)
        for port_id in (stays, goes):
            lay_port(there, switch, port_id, type="remote", external_ids={SHADOW_MARK: NET})

    def take(there: Tables) -> None:
        for port_id in (stays, goes):
            there.find("Logical_Switch_Port", port_id).external_ids = {"neutron:port_name": "x"}

    def lay_hypervisor(there: Tables) -> None:
        lay_chassis(there, "hv-old", "192.0.2.98", external_ids={SHADOW_MARK: "yes"})

    assert rows.sb.commit([Lay(lay_hypervisor)]) == []
    assert rows.nb.commit([Lay(lay)]) == []
    until(lambda: rows.find_binding(stays) and rows.find_binding(goes), what="northd has seen it")
    plan, _ = compare(rows, tables)
    wanted = {"put shadow port", "remove shadow port", "remove chassis"}
    assert {one for one in wanted if one in " ".join(map(str, plan.changes))} == wanted
    assert rows.nb.commit([Lay(take)]) == []
    ours = Lay(lambda there: setattr(there.find("Chassis", "hv-old"), "external_ids", {}))
    assert rows.sb.commit([ours]) == []
    assert apply_plan(rows, plan) == []
    for port_id in (stays, goes):
        row = rows.nb.find("Logical_Switch_Port", port_id)
        assert (row.external_ids, row.addresses) == ({"neutron:port_name": "x"}, [])
    assert rows.sb.find("Chassis", "hv-old") is not None


def test_a_floating_ip_that_forwards_for_another_router_now_leaves_the_first_one_s_rows(
    rows: OvnRows,
) -> None:
    """The first router may be written again after the other one, or never: each has its own row."""
    assert rows.nb.commit([Lay(lay_switch)]) == []
    place, vips = ("Logical_Switch", f"neutron-{NET}"), (("172.16.0.10:80", "10.0.0.5:80"),)
    first, second = (
        place_forward(Forward(router, "f1", "tcp", vips, answers=False), [place])
        for router in ("r1", "r2")
    )
    put, remove = [PutForward(second)], [RemoveForward(first.name, "r1", "f1")]
    for changes in ([PutForward(first)], put, put, remove, put):
        assert rows.nb.commit(changes) == []
    assert [one.external_ids[EXITS_MARK] for one in rows.nb.rows("Load_Balancer")] == ["r2"]
