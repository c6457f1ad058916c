"""A worker that was killed is recognised on its own machine, and only there."""

import subprocess
import sys

import pytest

from isthmus.journal import owner
from isthmus.testing.until import until

PROGRAM = "from isthmus.journal import owner; print(owner.new())"


def test_a_process_that_ended_is_dead_and_this_one_is_not() -> None:
    other = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert owner.is_dead(other)
    assert not owner.is_dead(owner.new())


def test_a_process_whose_parent_has_not_noticed_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        name = process.stdout.read().decode().strip()
        until(lambda: owner.is_dead(name), what="it has printed its name and ends")
        assert process.returncode is None, "nobody has waited for it yet"


def test_names_differ_and_fit_the_column() -> None:
    assert owner.new() != owner.new()
    assert len(owner.new()) <= 64


@pytest.mark.parametrize("name", ["", "a", "elsewhere/1:999999999:abc", "a:b:c"])
def test_of_others_nothing_is_known(name: str) -> None:
    assert not owner.is_dead(name)
