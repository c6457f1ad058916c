"""`isthmus cell drain`: each host leaves, or stays as it was, whatever ends the command."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.cells.test_health_cli import Nova
from tests.cells.test_life_cli import read
from tests.cells.test_move_cli import verify

from isthmus.cli import main

KILLED = Path(__file__).parent / "killed.py"
HOOK = Path(__file__).parent / "hook.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Nova:
    """Make databases once: Nova's tables take seconds."""
    found = Nova(tmp_path_factory.mktemp("nova"))
    found.run("c2", "UPDATE instances SET host = 'h3', id = id + 1000")
    found.run("c2", "UPDATE instances SET deleted = id WHERE deleted != 0")
    found.run("c1", "UPDATE instances SET host = 'h' || (1 + id % 2)")
    for cell in ("c1", "c2"):
        found.run(cell, "UPDATE services SET topic = 'compute'")
        found.run(cell, "UPDATE instances SET task_state = NULL")
    return found


@pytest.fixture
def nova(made: Nova, tmp_path: Path) -> Nova:
    return made.copy_to(tmp_path)


@pytest.fixture
def hook(nova: Nova) -> Path:
    return write_hook(nova)


def write_hook(nova: Nova) -> Path:
    found = Path(nova.file).with_name("hook")
    found.write_text(f'#!/bin/sh\nexec {sys.executable} -W ignore {HOOK} {nova.file} "$@"\n')
    found.chmod(0o700)
    return found


def words(nova: Nova, hook: Path, *more: str, to: str = "cell2") -> list[str]:
    files = ["--nova-conf", nova.file, "--placement-conf", nova.file]
    source = "cell1" if to == "cell2" else "cell2"
    own = ["cell", "drain", source, "--to", to, "--compute-hook", str(hook), "--wait", "5"]
    return [*own, *files, *more]


def call(
    nova: Nova, hook: Path, capsys: pytest.CaptureFixture[str], *more: str, to: str = "cell2"
) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main.run(words(nova, hook, *more, to=to))
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, " ".join(said.err.split())


def hosts(nova: Nova) -> dict[str, int]:
    return dict(read(nova, "SELECT host, cell_id FROM host_mappings"))


def calls(nova: Nova) -> list[str]:
    file = Path(nova.file).with_name("calls")
    return file.read_text().splitlines() if file.exists() else []


def services(nova: Nova, cell: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(nova.urls[cell])
    with engine.connect() as connection:
        sql = "SELECT host, disabled, disabled_reason, forced_down FROM services ORDER BY host"
        found = [tuple(row) for row in connection.exec_driver_sql(sql)]
    engine.dispose()
    return found


def test_a_cell_is_drained_host_by_host(
    nova: Nova, hook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nova.run("c1", "UPDATE services SET disabled = 1, disabled_reason = 'worn' WHERE host = 'h2'")
    code, out, said = call(nova, hook, capsys, "--dry-run", "-o", "json")
    rows = json.loads(out)
    assert (code, said) == (0, "")
    assert [(row["host"], row["state"]) for row in rows] == [("h1", "to move"), ("h2", "to move")]
    assert hosts(nova) == {"h1": 2, "h2": 2, "h3": 3}
    code, out, said = call(nova, hook, capsys, "--yes", "-o", "json")
    assert code == 0, said
    assert [(row["host"], row["cell"]) for row in json.loads(out)] == [
        ("h1", "cell2"),
        ("h2", "cell2"),
    ]
    assert "h1: it has arrived (1 of 2)" in said
    assert "h2: it has arrived (2 of 2)" in said
    assert calls(nova) == [
        "stop h1 cell1",
        "start h1 cell2",
        "stop h2 cell1",
        "start h2 cell2",
    ]
    assert hosts(nova) == {"h1": 3, "h2": 3, "h3": 3}
    assert services(nova, "c1") == []
    assert services(nova, "c2") == [
        ("h1", 0, None, 0),
        ("h2", 1, "worn", 0),
        ("h3", 0, None, 0),
    ]
    sql = "SELECT disabled FROM cell_mappings WHERE id = 2"
    assert read(nova, sql) == [(1,)]
    nova.run("c2", "UPDATE services SET disabled = 0 WHERE host = 'h2'")
    verify(nova, capsys)
    code, out, said = call(nova, hook, capsys, "--yes", "-o", "json")
    assert (code, out.strip(), len(calls(nova))) == (0, "[]", 4), said


def test_a_host_that_does_not_stop_is_left_and_gone_on_with(
    nova: Nova, hook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuses = Path(nova.file).with_name("refuses")
    refuses.write_text("h2")
    code, _, said = call(nova, hook, capsys, "--yes")
    assert (code, "h2 does not answer" in said) == (1, True), said
    assert hosts(nova) == {"h1": 3, "h2": 2, "h3": 3}
    left = json.loads(call(nova, hook, capsys, "--dry-run", "-o", "json")[1])
    assert [row["state"] for row in left] == ["on its way"]
    refuses.unlink()
    assert call(nova, hook, capsys, "--yes")[0] == 0
    assert hosts(nova) == {"h1": 3, "h2": 3, "h3": 3}
    verify(nova, capsys)


def test_a_server_in_the_middle_of_something_is_waited_for(
    nova: Nova, hook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nova.run("c1", "UPDATE instances SET task_state = 'rebooting' WHERE host = 'h1'")
    code, _, said = call(nova, hook, capsys, "--yes", "--wait", "0")
    assert (code, "h1 stays fenced" in said, "(rebooting)" in said) == (2, True, True), said
    assert calls(nova) == []
    assert hosts(nova) == {"h1": 2, "h2": 2, "h3": 3}
    nova.run("c1", "UPDATE instances SET task_state = NULL")
    assert call(nova, hook, capsys, "--yes")[0] == 0
    verify(nova, capsys)


def test_without_a_program_a_person_is_asked(
    nova: Nova, hook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [one for one in words(nova, hook, "--yes", "--wait", "0") if one != "--compute-hook"]
    own.remove(str(hook))

    def go() -> str:
        with pytest.raises(SystemExit) as end:
            main.run(own)
        said = capsys.readouterr().err
        assert end.value.code == 3, said
        return " ".join(said.split())

    assert "Stop nova-compute of h1 (cell cell1) now" in go()
    nova.run("c1", "UPDATE services SET forced_down = 1 WHERE host = 'h1'")
    assert "Start nova-compute of h1 with transport_url of cell cell2 now" in go()
    assert hosts(nova)["h1"] == 3


def test_what_makes_no_sense_is_refused(
    nova: Nova, hook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, text in (
        (("--to", "cell1"), "cannot be emptied into itself"),
        (("--to", "cell9"), "there is no cell 'cell9'"),
        (("--to", "cell0"), "stays as it is"),
        (("--site", "site1"), "give --lab too"),
        (("--lab", "x"), "leave out the options that name files"),
    ):
        code, _, said = call(nova, hook, capsys, *more, "--yes")
        assert (code, text in said) == (2, True), said
    assert read(nova, "SELECT count(*) FROM cell_mappings WHERE disabled = 1") == [(0,)]


def kill_at(nova: Nova, hook: Path, number: int) -> bool:
    """Kill it before its nth change; return whether it came so far."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", KILLED, str(number), *words(nova, hook, "--yes")],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return False
    assert done.returncode == -signal.SIGKILL, done.stderr
    return True


def test_killed_here_and_there_it_goes_on(
    nova: Nova, hook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (4, 9):
        assert kill_at(nova, hook, number)
    code, _, said = call(nova, hook, capsys, "--yes")
    assert code == 0, said
    assert hosts(nova) == {"h1": 3, "h2": 3, "h3": 3}
    verify(nova, capsys)


@pytest.mark.stress  # at each change
def test_killed_at_each_change_it_goes_on(
    nova: Nova, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    number = 1
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        here = nova.copy_to(folder)
        own = write_hook(here)
        if not kill_at(here, own, number):
            break
        code, _, said = call(here, own, capsys, "--yes")
        assert code == 0, said
        assert hosts(here) == {"h1": 3, "h2": 3, "h3": 3}, number
        assert services(here, "c2") == [(one, 0, None, 0) for one in ("h1", "h2", "h3")]
        verify(here, capsys)
        number += 1
    assert number > 20
