"""Crash points end a process without any clean-up, or pause it, only where the environment says."""

import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.journal import crash
from isthmus.testing.until import until

PROGRAM = """
import atexit
from isthmus.journal import crash
atexit.register(print, "cleaned up")
for turn in range(3):
    print("turn", turn, flush=True)
    crash.point("delivery.claimed")
    crash.point("delivery.read")
"""


@pytest.mark.parametrize(
    ("where", "code", "output"),
    [
        ("", 0, ["turn 0", "turn 1", "turn 2", "cleaned up"]),
        ("delivery.settled", 0, ["turn 0", "turn 1", "turn 2", "cleaned up"]),
        ("delivery.read", crash.EXIT_CODE, ["turn 0"]),
        ("delivery.claimed:3", crash.EXIT_CODE, ["turn 0", "turn 1", "turn 2"]),
    ],
)
def test_where_it_ends(where: str, code: int, output: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={crash.VARIABLE: where},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout.splitlines()) == (code, output), ran.stderr


@pytest.mark.parametrize(
    ("where", "before"),
    [("delivery.read", ["turn 0"]), ("delivery.claimed:3", ["turn 0", "turn 1", "turn 2"])],
)
def test_where_it_pauses(where: str, before: list[str], tmp_path: Path) -> None:
    """It stands still there, and then goes on to the end."""
    output = tmp_path / "output"
    folder = tmp_path / "pause"
    folder.mkdir()
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={crash.PAUSE: where, crash.PAUSE_FOLDER: str(folder)},
            stdout=file,
        )
        until((folder / crash.PAUSED).exists, timeout_s=60)
        assert (output.read_text().splitlines(), process.poll()) == (before, None)
        (folder / crash.GO).touch()
        assert process.wait(60) == 0
    assert output.read_text().splitlines() == ["turn 0", "turn 1", "turn 2", "cleaned up"]


def test_one_process_is_paused_again_and_again(tmp_path: Path) -> None:
    output = tmp_path / "output"
    folder = tmp_path / "pause"
    folder.mkdir()
    (folder / crash.AT).write_text("delivery.claimed")
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env={crash.PAUSE_FOLDER: str(folder)}, stdout=file
        )
        for turn in ("turn 0", "turn 1"):
            until((folder / crash.PAUSED).exists, timeout_s=60)
            assert output.read_text().splitlines()[-1] == turn
            assert not (folder / crash.AT).exists()
            (folder / "next").write_text("delivery.claimed")
            (folder / "next").rename(folder / crash.AT)
            (folder / crash.GO).touch()
            until(lambda: not (folder / crash.GO).exists(), timeout_s=60)
        until((folder / crash.PAUSED).exists, timeout_s=60)
        (folder / crash.GO).touch()
        assert process.wait(60) == 0


def test_a_pause_ends_with_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pause"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={crash.PAUSE: "delivery.claimed", crash.PAUSE_FOLDER: str(folder)},
        stdout=subprocess.DEVNULL,
    )
    until((folder / crash.PAUSED).exists, timeout_s=60)
    (folder / crash.PAUSED).unlink()
    folder.rmdir()
    assert process.wait(60) == 0


def test_a_point_that_is_not_listed_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="unknown crash point"):
        crash.point("no.such.point")
