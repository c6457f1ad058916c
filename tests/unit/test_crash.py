"""Crash points end a process without any clean-up, and only where the environment says."""

import subprocess
import sys

import pytest

from isthmus.journal import crash

PROGRAM = """
import atexit
from isthmus.journal import crash
atexit.register(print, "cleaned up")
for turn in range(3):
    print("turn", turn, flush=True)
    crash.point("drain.claimed")
    crash.point("drain.read")
"""


@pytest.mark.parametrize(
    ("where", "code", "output"),
    [
        ("", 0, ["turn 0", "turn 1", "turn 2", "cleaned up"]),
        ("drain.settled", 0, ["turn 0", "turn 1", "turn 2", "cleaned up"]),
        ("drain.read", crash.EXIT_CODE, ["turn 0"]),
        ("drain.claimed:3", crash.EXIT_CODE, ["turn 0", "turn 1", "turn 2"]),
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


def test_a_point_that_is_not_listed_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="unknown crash point"):
        crash.point("no.such.point")
