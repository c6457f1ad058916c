"""`isthmus cell servers` over databases of several cells, some of which do not answer."""

import itertools
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from tests.cells.draw_servers import fill, insert
from tests.cells.test_servers import ask_nova, make_sqlite

from isthmus import errors
from isthmus.cells.servers import view
from isthmus.cli import main

NORTH = "00000000-0000-0000-0000-00000000000a"


class Nova:
    """Databases with servers, and the file that names them."""

    def __init__(self, folder: Path) -> None:
        self.urls = make_sqlite(folder)
        self.uuids = fill(self.urls, 7, nulls=True, each=12)
        self.file = folder / "nova.conf"
        self.file.write_text(f"[api_database]\nconnection = {self.urls[0]}\n")

    def run(self, sql: str) -> None:
        engine = sa.create_engine(self.urls[0])
        with engine.begin() as connection:
            connection.exec_driver_sql(sql)
        engine.dispose()

    def add_cell(self, url: str) -> list[str]:
        """Map one more cell, with three servers of which one is being deleted."""
        insert(
            self.urls[0],
            "cell_mappings",
            [
                {
                    "id": 9,
                    "uuid": NORTH,
                    "name": "north",
                    "transport_url": "none:///",
                    "database_connection": url,
                    "disabled": False,
                }
            ],
        )
        insert(
            self.urls[0],
            "instance_mappings",
            [
                {
                    "instance_uuid": f"{number:08}-0000-4000-8000-000000000000",
                    "cell_id": 9,
                    "project_id": f"p{1 + number % 2}",
                    "queued_for_delete": deleted,
                }
                for number, deleted in ((1, False), (2, None), (3, True))
            ],
        )
        return [f"{number:08}-0000-4000-8000-000000000000" for number in (1, 2)]

    def remove_cell(self) -> None:
        self.run("DELETE FROM instance_mappings WHERE cell_id = 9")
        self.run("DELETE FROM cell_mappings WHERE id = 9")


@pytest.fixture(scope="module")
def nova(tmp_path_factory: pytest.TempPathFactory) -> Nova:
    return Nova(tmp_path_factory.mktemp("servers"))


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Return the URL of a database that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"mysql+pymysql://nova@127.0.0.1:{server.getsockname()[1]}/north"


def call(
    nova: Nova, capsys: pytest.CaptureFixture[str], *words: str, form: str = "json"
) -> tuple[int, Any, str]:
    with pytest.raises(SystemExit) as end:
        main.run(["cell", "servers", "--nova-conf", str(nova.file), "-o", form, *words])
    said = capsys.readouterr()
    found: Any = said.out
    if form == "json" and said.out:
        found = json.loads(said.out)
    elif form == "yaml":
        found = yaml.safe_load(said.out)
    return int(end.value.code or 0), found, said.err


def test_all_formats_have_the_same_rows(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--all-projects", "--sort", "name", "--sort", "host:desc")
    code, rows, said = call(nova, capsys, *words)
    assert (code, said) == (0, "")
    assert 10 < len(rows) < 36
    assert {one["cell"] for one in rows} == {"cell0", "cell1", "cell2"}
    assert call(nova, capsys, *words, form="yaml")[1] == rows
    table = call(nova, capsys, *words, form="table")[1].splitlines()
    assert [line.split()[0] for line in table[1:]] == [one["id"] for one in rows]
    assert table[0].split() == [*view.SHOWN]


def test_pages_are_the_whole_list(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--all-projects", "--sort", "host", "--fields", "id")
    _, whole, _ = call(nova, capsys, *words)
    found: list[Any] = []
    marker: tuple[str, ...] = ()
    for _ in itertools.count():
        _, page, _ = call(nova, capsys, *words, "--limit", "4", *marker)
        if not page:
            break
        found += page
        marker = ("--marker", page[-1]["id"])
    assert found == whole


def test_filters(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    fields = ("--fields", "id,name,status,host,project_id,locked,deleted_at")
    _, rows, _ = call(nova, capsys, "--all-projects", *fields)
    kept: tuple[tuple[tuple[str, ...], Callable[[dict[str, Any]], bool]], ...] = (
        (("--name", "^web"), lambda one: (one["name"] or "").startswith("web")),
        (("--host", "h2"), lambda one: one["host"] == "h2"),
        (("--status", "reboot"), lambda one: one["status"] == "REBOOT"),
        (("--locked",), lambda one: bool(one["locked"])),
        (("--unlocked", "--host", "h1"), lambda one: not one["locked"] and one["host"] == "h1"),
    )
    for words, keep in kept:
        _, found, _ = call(nova, capsys, "--all-projects", *words, *fields)
        if words[0] != "--status":  # the states behind one status may be those of others too
            assert found == [one for one in rows if keep(one)], words
        assert 0 < len(found) < len(rows), words
    _, found, _ = call(nova, capsys, "--project", "p1", *fields)
    assert found == [one for one in rows if one["project_id"] == "p1"]
    _, gone, _ = call(nova, capsys, "--all-projects", "--deleted", *fields)
    assert gone
    assert not {one["id"] for one in gone} & {one["id"] for one in rows}
    _, later, _ = call(
        nova, capsys, "--all-projects", "--changes-since", "2026-01-01T01:02:00+01:00"
    )
    assert later
    assert call(nova, capsys, "--all-projects", "--changes-since", "2027-01-01")[1] == []


def test_a_hung_cell_is_unknown_within_the_budget(
    nova: Nova, black_hole: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, before, _ = call(nova, capsys, "--all-projects")
    unknown = nova.add_cell(black_hole)
    try:
        code, rows, said = call(nova, capsys, "--all-projects", "--timeout", "2")
        _, mine, _ = call(nova, capsys, "--project", "p2", "--timeout", "1")
        _, few, _ = call(nova, capsys, "--all-projects", "--timeout", "1", "--limit", "3")
    finally:
        nova.remove_cell()
    assert code == 1
    assert rows[:-2] == before
    assert [(one["id"], one["status"], one["cell"]) for one in rows[-2:]] == [
        (one, "UNKNOWN", "north") for one in unknown
    ]
    assert said.strip() == (
        "Cell north does not answer, 2 servers of it UNKNOWN: no answer within 2 s."
    )
    assert [one["id"] for one in mine if one["status"] == "UNKNOWN"] == unknown[:1]
    assert [one["status"] == "UNKNOWN" for one in few] == [False] * 3


def test_a_cell_that_is_down_is_left_out_where_more_is_asked_than_mappings_know(
    nova: Nova, capsys: pytest.CaptureFixture[str]
) -> None:
    _, before, _ = call(nova, capsys, "--all-projects", "--host", "h1")
    nova.add_cell("mysql+pymysql://nova@127.0.0.1:1/north")
    try:
        code, rows, said = call(nova, capsys, "--all-projects", "--host", "h1")
        marker = ("--marker", rows[0]["id"])
        _, paged, _ = call(nova, capsys, "--all-projects", *marker)
    finally:
        nova.remove_cell()
    assert (code, rows) == (1, before)
    assert "does not answer, 2 servers of it left out, matching or not: " in said
    assert "UNKNOWN" not in {one["status"] for one in paged}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "--all-projects"),
        (("--all-projects", "--project", "p"), "--all-projects"),
        (("--all-projects", "--name", "("), "no regular expression"),
        (("--all-projects", "--sort", "flavour"), "not sorted by"),
        (("--all-projects", "--fields", "nmae"), "no field"),
        (("--all-projects", "--marker", "x"), "no id of a server"),
        (("--all-projects", "--marker", "11111111-1111-4111-8111-111111111111"), "not found"),
        (("--all-projects", "--flavor", "none"), "no flavor"),
        (("--all-projects", "--changes-since", "yesterday"), "no time"),
        (("--all-projects", "--timeout", "nan"), "--timeout"),
    ],
)
def test_what_makes_no_sense_is_refused(
    nova: Nova, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], text: str
) -> None:
    code, _, said = call(nova, capsys, *words)
    assert code == 2
    assert text in " ".join(said.split())


@pytest.mark.parametrize("url", ["oracle://nova/x", "nowhere", "mysql+pymysql://n@127.0.0.1:1/x"])
def test_a_marker_in_a_cell_that_cannot_be_read(
    nova: Nova, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    marker, _ = nova.add_cell(url)
    try:
        code, _, said = call(nova, capsys, "--all-projects", "--marker", marker)
    finally:
        nova.remove_cell()
    assert code == 3
    assert f"marker {marker} is in cell north, which does not answer" in " ".join(said.split())


def test_no_servers_are_an_empty_list(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--project", "nobody")
    assert call(nova, capsys, *words) == (0, [], "")
    assert call(nova, capsys, *words, form="yaml") == (0, [], "")
    assert call(nova, capsys, *words, form="table") == (0, "", "No servers.\n")


def test_states_are_those_of_nova() -> None:
    known = {status for states in view.STATES.values() for status in states.values()}
    asked = [[one] for one in sorted(known)] + [["ACTIVE", "reboot"], ["RESIZE", "REBUILD"]]
    states, answers = ask_nova(["states"], asked)
    assert states == view.STATES
    for statuses, (vm_states, task_states) in zip(asked, answers, strict=True):
        tasks = () if "default" in task_states else tuple(task_states)
        assert view.plan_states(statuses) == (tuple(vm_states), tasks), statuses
    with pytest.raises(errors.Invalid):
        view.plan_states(["GONE"])
