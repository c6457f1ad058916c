"""One list over cells: who does not answer costs the budget and nothing else; memory is bound."""

import datetime
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import errors
from isthmus.cells.servers import view
from isthmus.cells.servers.breaker import FIRST_PAUSE_S, LONGEST_PAUSE_S, Breakers
from isthmus.cells.servers.feed import AHEAD
from isthmus.cells.servers.listing import (
    FEWEST,
    MOST,
    Listing,
    find_after,
    list_unknown,
    plan_batch,
)
from isthmus.cells.servers.order import plan_order, rank_row
from isthmus.model.compute.cloud import CELL0_UUID, Cell, CellAddress
from isthmus.model.compute.server import (
    InstanceMapping,
    ServerFilters,
    ServerQuery,
    ServerRow,
)
from isthmus.testing.until import until

BUDGET_S = 0.3


class Rows:
    """Servers in memory; a cell may hang or fail at one of its batches."""

    def __init__(self, cells: dict[str, list[dict[str, Any]]]) -> None:
        self.cells = cells
        self.release = threading.Event()
        self.hangs: dict[str, int] = {}
        self.fails: dict[str, int] = {}
        self.asked: list[str] = []
        self.read = 0

    def batches(
        self, address: CellAddress, query: ServerQuery, size: int
    ) -> Iterator[list[ServerRow]]:
        cell = address.cell.uuid
        self.asked.append(cell)
        rows = [
            ServerRow(cell, tuple(one.get(key.column) for key in query.order), one)
            for one in self.cells[cell]
        ]
        rows.sort(key=lambda row: rank_row(row, query.order))
        for number in range(len(rows) // size + 1):
            if self.hangs.get(cell) == number:
                self.release.wait()
            if self.fails.get(cell) == number:
                raise errors.Unreachable("the database does not answer: gone")
            batch = rows[number * size : (number + 1) * size]
            self.read += len(batch)
            yield batch

    def find_values(self, address: CellAddress, uuid: str) -> dict[str, Any] | None:
        if address.cell.uuid in self.fails:
            raise errors.Unreachable("gone")
        return next((one for one in self.cells[address.cell.uuid] if one["uuid"] == uuid), None)


class Mapped:
    """Mappings of the servers in memory."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def find(self, uuid: str) -> InstanceMapping | None:
        found = (
            InstanceMapping(uuid=uuid, project_id="p", cell=cell)
            for cell, rows in self.rows.cells.items()
            if any(one["uuid"] == uuid for one in rows)
        )
        return next(found, None)

    def list_unknown(self, cell: str, project: str) -> Iterator[InstanceMapping]:
        for one in self.rows.cells[cell]:
            if project in {"", one["project_id"]}:
                yield InstanceMapping(uuid=one["uuid"], project_id=one["project_id"], cell=cell)


def make_rows(*counts: int) -> Rows:
    names = [CELL0_UUID, "east", "west", "north"]
    return Rows(
        {
            names[cell]: [
                {
                    "uuid": str(uuid.UUID(int=10**6 * cell + number)),
                    "display_name": f"s{number:04}",
                    "project_id": f"p{number % 2}",
                }
                for number in range(count)
            ]
            for cell, count in enumerate(counts)
        }
    )


def make_listing(rows: Rows, **more: Any) -> Listing:
    values: dict[str, Any] = {
        "query": ServerQuery(order=plan_order(["name"])),
        "budget_s": BUDGET_S,
        "breakers": Breakers(),
        **more,
    }
    return Listing(addresses(rows), rows, **values)


def addresses(rows: Rows) -> tuple[CellAddress, ...]:
    return tuple(
        CellAddress(id=number, cell=Cell(name=f"n{one}", uuid=one), database="")
        for number, one in enumerate(rows.cells)
    )


def names(rows: list[ServerRow]) -> list[tuple[str, str]]:
    return [(one.values["display_name"], one.cell) for one in rows]


def test_cells_are_merged_in_one_order_with_those_that_no_host_took() -> None:
    rows = make_rows(3, 5, 2)
    found = names(list(make_listing(rows)))
    assert found == sorted(found, key=lambda one: (one[0], list(rows.cells).index(one[1])))
    assert len(found) == 10


def test_a_cell_that_hangs_costs_the_budget_and_its_servers_are_unknown() -> None:
    rows = make_rows(1, 3, 4)
    rows.hangs["east"] = 0
    listing = make_listing(rows)
    began = time.monotonic()
    try:
        found = list(listing)
        took = time.monotonic() - began
    finally:
        rows.release.set()
    assert {one.cell for one in found} == {CELL0_UUID, "west"}
    assert took >= BUDGET_S
    (silent,) = listing.silent
    assert (silent.name, silent.error) == ("neast", "no answer within 0.3 s")
    unknown = list(list_unknown(listing, Mapped(rows), ""))
    assert [one.uuid for _, one in unknown] == [one["uuid"] for one in rows.cells["east"]]
    assert len(list(list_unknown(listing, Mapped(rows), "p1"))) == 1
    shown = view.render_unknown(silent, unknown[0][1], ("id", "status", "name", "cell"))
    assert shown == {"id": unknown[0][1].uuid, "status": "UNKNOWN", "name": None, "cell": "neast"}


def test_while_one_hangs_the_others_read_what_will_be_lacking() -> None:
    rows = make_rows(0, 1, 500)
    rows.hangs["east"] = 0
    listing = iter(make_listing(rows, limit=300, budget_s=2.0))
    try:
        next(listing)
        until(lambda: rows.read == 2 * plan_batch(300, 3))
    finally:
        rows.release.set()


def test_all_cells_that_hang_cost_one_budget_together() -> None:
    rows = make_rows(1, 1, 1, 1)
    rows.hangs = dict.fromkeys(rows.cells, 0)
    listing = make_listing(rows, budget_s=1.0)
    began = time.monotonic()
    try:
        assert list(listing) == []
        took = time.monotonic() - began
    finally:
        rows.release.set()
    assert 1.0 <= took < 4.0  # and not one for each
    assert len(listing.silent) == 4


def test_a_cell_that_fails_in_the_middle_keeps_what_it_gave() -> None:
    rows = make_rows(0, 250, 250)
    rows.fails["west"] = 1
    small = make_listing(rows, limit=300)
    found = names(list(small))
    assert sum(cell == "west" for _, cell in found) == plan_batch(300, 3)
    assert sum(cell == "east" for _, cell in found) == 300 - plan_batch(300, 3)
    assert [one.uuid for one in small.silent] == ["west"]
    # Which of its servers were shown nobody remembers, so none is shown twice.
    assert list(list_unknown(small, Mapped(rows), "")) == []


def test_unknown_servers_stay_within_the_limit() -> None:
    rows = make_rows(0, 5, 5)
    rows.fails["west"] = 0
    listing = make_listing(rows, limit=7)
    assert len(list(listing)) == 5
    assert len(list(list_unknown(listing, Mapped(rows), ""))) == 2


def test_no_more_is_waited_for_once_the_limit_is_reached() -> None:
    rows = make_rows(0, FEWEST, 0)
    rows.hangs["east"] = 1
    listing = make_listing(rows, limit=FEWEST)
    try:
        assert len(list(listing)) == FEWEST
    finally:
        rows.release.set()
    assert listing.silent == []


def test_memory_is_bound_by_batches() -> None:
    rows = make_rows(0, 9000, 9000)
    listing = iter(make_listing(rows, limit=None, budget_s=30.0))
    next(listing)
    # A batch that rows are taken from, and those that are read ahead.
    until(lambda: rows.read == 2 * MOST * (AHEAD + 1))
    ahead = [rows.read - seen for seen, _ in enumerate(listing, 2)]
    assert max(ahead) <= 2 * MOST * (AHEAD + 1)
    assert rows.read == 18000


def test_a_page_reads_little_more_than_it_shows() -> None:
    rows = make_rows(0, 9000, 9000)
    assert len(list(make_listing(rows, limit=1000, budget_s=30.0))) == 1000
    assert rows.read == 2 * plan_batch(1000, 3) * 2  # two batches of each cell, to fill the page
    assert plan_batch(1000, 3) == 366


def test_a_list_that_is_given_up_leaves_no_thread_reading() -> None:
    rows = make_rows(0, 9000, 9000)
    before = threading.active_count()
    listing = iter(make_listing(rows, limit=None, budget_s=30.0))
    next(listing)
    assert threading.active_count() > before
    listing.close()  # type: ignore[attr-defined]
    until(lambda: threading.active_count() <= before)


def test_a_server_that_is_moving_is_listed_once() -> None:
    rows = make_rows(0, 3, 3)
    rows.cells["west"][1] = dict(rows.cells["east"][1])
    found = [one.values["uuid"] for one in make_listing(rows)]
    assert len(found) == len(set(found)) == 5


def test_another_error_is_raised_and_not_hidden() -> None:
    rows = make_rows(0, 1)
    rows.cells["east"] = [{"uuid": 1}, {"uuid": "a"}]
    with pytest.raises(TypeError):
        list(make_listing(rows))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_cell_that_did_not_answer_is_left_alone_for_longer_and_longer() -> None:
    clock = Clock()
    breakers = Breakers(clock)
    pauses = []
    for _ in range(6):
        assert breakers.admit("a") == ""
        breakers.record_silence("a", "gone")
        assert "that question still waits" in breakers.admit("a")
        breakers.settle("a")
        began = clock.now
        while breakers.admit("a"):
            clock.now += 1.0
        breakers.settle("a")
        pauses.append(clock.now - began)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert (FIRST_PAUSE_S, LONGEST_PAUSE_S) == (5.0, 60.0)
    breakers.record_answer("a")
    assert breakers.admit("a") == ""
    assert breakers.admit("b") == ""


def test_the_next_list_does_not_ask_a_cell_that_hangs() -> None:
    rows = make_rows(0, 1, 1)
    rows.hangs["east"] = 0
    breakers = Breakers()
    list(make_listing(rows, breakers=breakers))
    began = time.monotonic()
    second = make_listing(rows, breakers=breakers, budget_s=30.0)
    try:
        assert names(list(second)) == [("s0000", "west")]
        assert time.monotonic() - began < 15
    finally:
        rows.release.set()
    assert rows.asked.count("east") == 1
    assert second.silent[0].error == "no answer within 0.3 s, and that question still waits"


def test_a_marker_whose_cell_is_silent_is_said() -> None:
    rows = make_rows(0, 2, 2)
    rows.fails["west"] = 0
    query = ServerQuery(order=plan_order(["name"]))
    marker = rows.cells["west"][0]["uuid"]
    with pytest.raises(errors.Unreachable, match="is in cell nwest, which does not answer"):
        find_after(Mapped(rows), rows, addresses(rows), marker, query)
    other = rows.cells["east"][1]
    found = find_after(Mapped(rows), rows, addresses(rows), other["uuid"], query)
    assert found == ("s0001", other["uuid"])


VALUES = st.one_of(st.none(), st.integers(-2, 2))


@given(
    rows=st.lists(st.tuples(VALUES, VALUES), max_size=12),
    first=st.booleans(),
    second=st.booleans(),
)
def test_null_is_less_than_every_value_in_either_direction(
    rows: list[tuple[int | None, int | None]], first: bool, second: bool
) -> None:
    order = plan_order(
        [f"power_state:{'desc' if first else 'asc'}", f"progress:{'desc' if second else 'asc'}"]
    )
    found = [
        ServerRow("c", (*pair, f"{number:02}"), {"n": number}) for number, pair in enumerate(rows)
    ]
    ranked = sorted(found, key=lambda one: rank_row(one, order))

    def number(value: int | None, *, down: bool) -> int:
        known = -9 if value is None else value
        return -known if down else known

    expected = sorted(
        found,
        key=lambda one: (
            number(one.rank[0], down=first),
            number(one.rank[1], down=second),
            one.rank[2],
        ),
    )
    assert ranked == expected


def test_orders_and_fields_that_are_not_there_are_refused() -> None:
    with pytest.raises(errors.Invalid, match="not sorted by 'nmae'"):
        plan_order(["nmae"])
    with pytest.raises(errors.Invalid, match="asc or desc"):
        plan_order(["name:down"])
    with pytest.raises(errors.Invalid, match="no field 'flavr'"):
        view.plan_fields(["id,flavr"])
    with pytest.raises(errors.Invalid, match="no server has the status ACTIV"):
        view.plan_states(["ACTIV"])
    assert [(one.column, one.descending) for one in plan_order([])] == [
        ("created_at", True),
        ("id", True),
        ("uuid", False),
    ]
    assert view.plan_fields(["id,flavor", "tags,id"]) == (
        ("id", "flavor", "tags"),
        frozenset({"flavor", "tags"}),
    )


def test_a_row_is_shown_in_the_words_of_the_api() -> None:
    values = {
        "uuid": "u",
        "vm_state": "active",
        "task_state": "rebooting_hard",
        "power_state": 4,
        "created_at": datetime.datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001
        "flavor": '{"cur": {"nova_object.data": {"name": "m1"}}}',
        "network_info": '[{"network": {"label": "net", "subnets": [{"ips": [{"address": "10.0.0.1",'
        ' "floating_ips": [{"address": "192.0.2.1"}]}]}]}}]',
        "locked": 0,
    }
    fields = ("id", "status", "power_state", "created_at", "flavor", "addresses", "locked", "cell")
    assert view.render_row(ServerRow("c1", (), values), fields, {"c1": "east"}) == {
        "id": "u",
        "status": "HARD_REBOOT",
        "power_state": "Shutdown",
        "created_at": "2026-01-02T03:04:05Z",
        "flavor": "m1",
        "addresses": {"net": ["10.0.0.1", "192.0.2.1"]},
        "locked": False,
        "cell": "east",
    }
    for odd in ("", "null", "{", '{"cur": 1}', "[1]", '[{"network": 1}]'):
        row = ServerRow("c", (), {"flavor": odd, "network_info": odd})
        assert view.render_row(row, ("flavor", "addresses"), {}) == {
            "flavor": None,
            "addresses": {},
        }


def test_filters_beyond_the_project_narrow() -> None:
    assert not ServerFilters(project_id="p").narrows
    assert ServerFilters(project_id="p", host="h").narrows
    assert ServerFilters(deleted=True).narrows
