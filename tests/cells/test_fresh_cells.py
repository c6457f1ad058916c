"""Nova's scheduler and API know of cells as they are now, and without our part as they were."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cells.test_health_cli import Nova

ORACLE = Path(__file__).with_name("oracle_fresh.py")
SOUTH = "00000000-0000-0000-0000-00000000000b"


def ask(nova: Nova, *steps: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ORACLE), nova.urls["api"]],
        input=json.dumps(steps),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.fixture
def nova(tmp_path: Path) -> Nova:
    return Nova(tmp_path)


def disable(number: int, disabled: int) -> str:
    return f"UPDATE cell_mappings SET disabled = {disabled} WHERE id = {number}"


def test_the_scheduler_sees_which_cells_are_enabled(nova: Nova) -> None:
    steps = ("hosts", disable(3, 1), "hosts", disable(3, 0), disable(2, 1), "hosts")
    answers = ask(nova, "fresh", *steps)
    assert answers == [["h1", "h2", "h3"], ["h1", "h2"], ["h3"]]
    nova.run("api", disable(2, 0))
    answers = ask(nova, "plain", *steps)
    assert answers == [["h1", "h2", "h3"]] * 3, "Nova has learned it: ours is to go"


def test_a_cell_that_is_added_moved_and_removed_is_seen_by_both(nova: Nova) -> None:
    # The third cell comes, is led to the database of the second, and goes.
    add = (
        "INSERT INTO cell_mappings (id, uuid, name, transport_url, database_connection, disabled) "
        f"VALUES (3, '{SOUTH}', 'south', 'none:///', '{nova.urls['c2']}', 0)"
    )
    nova.run("api", "DELETE FROM cell_mappings WHERE id = 3")
    move = f"UPDATE cell_mappings SET database_connection = '{nova.urls['c0']}' WHERE id = 3"
    remove = "DELETE FROM cell_mappings WHERE id = 3"
    steps = ("hosts", "servers", add, "hosts", "servers", move, "hosts", "servers")
    *answers, hosts, servers = ask(nova, "fresh", *steps, remove, "hosts", "servers")
    first, few, added, more, moved, same = answers
    assert (first, added, moved, hosts) == (["h1", "h2"], ["h1", "h2", "h3"], ["h1", "h2"], first)
    assert len(more) > len(few) > 0
    # Its servers are those of cell0 now, and those are counted once.
    assert set(same) == set(few) == set(servers)
    nova.run("api", remove)
    answers = ask(nova, "plain", *steps)
    assert [answers[2], answers[3]] == [first, few], "Nova has learned it: ours is to go"
