"""Checks of cells: each fault is found, and a sound cloud is clean."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from isthmus.cells.health import any_stray, check_cells, confirm, find_strays
from isthmus.model.compute.cloud import Cell, ComputeHost
from isthmus.model.compute.health import CellState, CloudState, Strays
from isthmus.model.verdict import Answer, Report, Severity


def host(name: str, closed: str = "") -> ComputeHost:
    return ComputeHost(name=name, node=name, uuid=f"node-{name}", cell="", closed=closed)


def make_state() -> CloudState:
    """Make a sound cloud: a server is leaving, one has no cell yet, and one moves."""
    return CloudState(
        cells=(
            CellState(
                cell=Cell(name="cell0", uuid="0"), schema="r1", servers=frozenset({"failed"})
            ),
            CellState(
                cell=Cell(name="east", uuid="1"),
                hosts=(host("e1"), host("e2")),
                schema="r1",
                servers=frozenset({"a", "b"}),
                migrations=frozenset({"move"}),
            ),
            CellState(
                cell=Cell(name="west", uuid="2"),
                hosts=(host("w1"),),
                schema="r1",
                servers=frozenset({"c"}),
            ),
        ),
        host_cells={"e1": "1", "e2": "1", "w1": "2"},
        server_cells={"failed": "0", "a": "1", "b": "1", "c": "2", "gone": "2", "new": ""},
        leaving=frozenset({"gone"}),
        consumers={
            "a": "node-e1",
            "move": "node-e2",
            "c": "node-w1",
            "new": "node-w1",
            "other": "elsewhere",
        },
    )


def cell(state: CloudState, name: str, **changes: object) -> CloudState:
    cells = tuple(
        replace(one, **changes) if one.cell.name == name else one  # type: ignore[arg-type]
        for one in state.cells
    )
    return replace(state, cells=cells)


def check(state: CloudState) -> Report:
    return check_cells(state, find_strays(state))


def test_a_sound_cloud_is_clean() -> None:
    state = make_state()
    assert not any_stray(find_strays(state))
    report = check(state)
    assert report.findings == ()
    assert {one.answer for one in report.rulings} == {Answer.FINE}


FAULTS: dict[str, tuple[Callable[[CloudState], CloudState], str, str, str]] = {
    "schema": (lambda one: cell(one, "west", schema="r0"), "cell.schema", "west", "r0, others r1"),
    "service": (
        lambda one: cell(one, "east", hosts=(host("e1"), host("e2", "service is down"))),
        "cell.service",
        "east",
        "e2",
    ),
    "host without a mapping": (
        lambda one: replace(one, host_cells={"e1": "1", "w1": "2"}),
        "cell.host",
        "east",
        "e2",
    ),
    "mapping without a host": (
        lambda one: replace(one, host_cells={**one.host_cells, "x": "2"}),
        "cell.host",
        "west",
        "x",
    ),
    "mapping to no cell": (
        lambda one: replace(one, host_cells={**one.host_cells, "x": "77"}),
        "cell.host",
        "none",
        "x",
    ),
    "host in two cells": (
        lambda one: cell(one, "west", hosts=(host("w1"), host("e1"))),
        "cell.twice",
        "e1",
        "east, west",
    ),
    "server without a mapping": (
        lambda one: cell(one, "west", servers=frozenset({"c", "d"})),
        "cell.server",
        "west",
        "d",
    ),
    "a server that no cell has yet": (
        lambda one: replace(one, server_cells={**one.server_cells, "late": ""}),
        "",
        "",
        "",
    ),
    "mapping without a server": (
        lambda one: cell(one, "west", servers=frozenset()),
        "cell.server",
        "west",
        "c",
    ),
    "server mapping to no cell": (
        lambda one: replace(one, server_cells={**one.server_cells, "x": "77"}),
        "cell.server",
        "none",
        "x",
    ),
    "allocation": (
        lambda one: replace(one, consumers={**one.consumers, "ghost": "node-e1"}),
        "cell.allocation",
        "placement",
        "ghost",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_alone(name: str) -> None:
    change, code, subject, evidence = FAULTS[name]
    report = check(change(make_state()))
    found = [(one.code, one.subject.name, one.evidence) for one in report.findings]
    assert found == ([(code, subject, evidence)] if code else [])
    answers = {one.check: one.answer for one in report.rulings}
    assert [one for one, answer in answers.items() if answer is Answer.FOUND] == (
        [code] if code else []
    )


def test_a_silent_cell_is_broken_and_nobody_says_that_the_rest_is_fine() -> None:
    silent = CellState(cell=Cell(name="west", uuid="2", error="no answer"))
    state = replace(make_state(), cells=(*make_state().cells[:2], silent))
    report = check(state)
    (found,) = report.findings
    assert (found.code, found.severity) == ("cell.database", Severity.BROKEN)
    answers = {one.check: one.answer for one in report.rulings}
    assert answers.pop("cell.database") is Answer.FOUND
    assert set(answers.values()) == {Answer.NOT_SEEN}
    disabled = replace(silent, cell=replace(silent.cell, disabled=True))
    (found,) = check(replace(state, cells=(*state.cells[:2], disabled))).findings
    assert found.severity is Severity.DEGRADED


def test_two_cells_with_one_database_are_one_finding() -> None:
    # Neither is told to map the servers and hosts of the other, and no host is in two cells.
    state = cell(cell(make_state(), "east", place="db1/nova"), "west", place="db2/nova")
    east = next(one for one in state.cells if one.cell.name == "east")
    copy = replace(east, cell=Cell(name="copy", uuid="7"))
    report = check(replace(state, cells=(*state.cells, copy)))
    (found,) = report.findings
    assert (found.code, found.severity) == ("cell.database", Severity.BROKEN)
    assert (found.subject.name, found.evidence) == ("copy", "db1/nova")
    assert "that of cell east" in found.message
    moved = cell(state, "west", hosts=(host("w1"), host("e1")))
    report = check(replace(moved, cells=(*moved.cells, copy)))
    assert [(one.code, one.evidence) for one in report.findings] == [
        ("cell.database", "db1/nova"),
        ("cell.twice", "east, west"),
    ]


def test_a_host_that_is_disabled_is_advice() -> None:
    report = check(cell(make_state(), "west", hosts=(host("w1", "service is disabled"),)))
    assert [one.severity for one in report.findings] == [Severity.ADVICE]


def test_what_two_looks_do_not_find_alike_is_a_server_that_came_or_went() -> None:
    first = Strays(
        unmapped={"1": frozenset({"a", "b"}), "2": frozenset({"c"})},
        nowhere={"1": frozenset({"d"})},
        consumers=frozenset({"x", "y"}),
    )
    second = Strays(
        unmapped={"1": frozenset({"b"})},
        nowhere={"1": frozenset({"d", "e"})},
        consumers=frozenset({"y"}),
    )
    assert confirm(first, second) == Strays(
        unmapped={"1": frozenset({"b"}), "2": frozenset()},
        nowhere={"1": frozenset({"d"})},
        consumers=frozenset({"y"}),
    )
    assert any_stray(first)


def test_many_are_named_by_a_few() -> None:
    servers = frozenset(f"s{number}" for number in range(9))
    report = check(cell(make_state(), "cell0", servers=servers | {"failed"}))
    assert [one.evidence for one in report.findings] == ["s0, s1, s2 and 6 more"]
    assert report.findings[0].message.startswith("9 servers without a mapping")
