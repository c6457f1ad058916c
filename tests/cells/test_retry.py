"""A build that failed on every host of its cell is tried in another: with Nova's own managers."""

import json
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from isthmus.testing.needed import skip_without

ORACLE = Path(__file__).with_name("oracle_retry.py")
# Each case starts a Nova of its own.
pytestmark = pytest.mark.timeout(1200)


def run(folder: Path, case: str) -> Any:
    skip_without([one for one in ("nova", "placement") if util.find_spec(one) is None])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ORACLE), str(folder), case],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def check_built(last: dict[str, Any]) -> None:
    """Check that a server is built in the other cell, whole, and nothing is left in its first."""
    assert (last["cell"], last["state"], last["host"], last["port"]) == (
        "cell2",
        "active",
        "b1",
        "b1",
    )
    assert last["tried"] == ["a1", "a2", "b1"]
    assert (last["allocated"], last["quota"], last["volumes"]) == (["b1"], 1, 1)
    assert [action for action, _ in last["actions"]] == ["create"]
    assert list(last["rows"]) == ["cell2"]
    assert last["rows"]["cell2"][0][0] is False


def test_a_server_is_built_in_the_other_cell(tmp_path: Path) -> None:
    found = run(tmp_path, "both")
    first = found["first"]
    assert (first["cell"], first["state"], first["tried"]) == ("cell1", "building", ["a1", "a2"])
    assert (first["allocated"], first["quota"], first["port"]) == ([], 1, None)
    check_built(found["last"])


@pytest.mark.stress  # a Nova each
def test_nova_alone_makes_an_error_of_it(tmp_path: Path) -> None:
    """When this fails, Nova has learned it, and ours can go."""
    last = run(tmp_path, "nova")["last"]
    assert (last["cell"], last["state"], last["tried"]) == ("cell1", "error", ["a1", "a2"])
    assert "Exhausted all hosts" in last["fault"]


@pytest.mark.stress
def test_a_cell_whose_conductor_is_novas_shows_the_error_for_a_moment(tmp_path: Path) -> None:
    found = run(tmp_path, "super")
    assert found["first"]["state"] == "error"
    check_built(found["last"])


@pytest.mark.stress
def test_where_no_cell_can_build_it_it_is_an_error(tmp_path: Path) -> None:
    last = run(tmp_path, "nowhere")["last"]
    assert (last["cell"], last["state"], last["port"]) == ("cell2", "error", None)
    assert last["tried"] == ["a1", "a2", "b1"]
    assert (last["allocated"], last["quota"]) == ([], 1)
    assert "Exhausted all hosts" in last["fault"]


@pytest.mark.stress
def test_what_nobody_takes_away_in_time_is_an_error(tmp_path: Path) -> None:
    last = run(tmp_path, "patience")["last"]
    assert (last["cell"], last["state"], last["quota"]) == ("cell1", "error", 1)


@pytest.mark.stress
def test_what_is_deleted_meanwhile_is_not_built(tmp_path: Path) -> None:
    found = run(tmp_path, "deleted")
    assert (found["bound"], found["tried"]) == ({}, ["a1", "a2"])
    assert (found["rows"], found["allocated"], found["quota"]) == ({}, [], 0)


@pytest.mark.stress
@pytest.mark.parametrize("number", [3, 6, 12])
def test_interrupted_anywhere_it_goes_on(tmp_path: Path, number: int) -> None:
    check_built(run(tmp_path, f"crash{number}")["last"])
