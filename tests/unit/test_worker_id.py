"""A worker that was killed is recognised on its own machine, and only there."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from isthmus.journal import worker_id
from isthmus.testing.until import until

PROGRAM = "from isthmus.journal import worker_id; print(worker_id.new())"


def test_a_process_that_ended_is_dead_and_this_one_is_not() -> None:
    other = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert worker_id.is_dead(other)
    assert not worker_id.is_dead(worker_id.new())


def test_a_process_whose_parent_has_not_noticed_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        name = process.stdout.read().decode().strip()
        until(lambda: worker_id.is_dead(name), what="it has printed its name and ends")
        assert process.returncode is None, "nobody has waited for it yet"


def test_names_differ_and_fit_the_column() -> None:
    assert worker_id.new() != worker_id.new()
    assert len(worker_id.new()) <= 64


@pytest.fixture
def _named_anew() -> Iterator[None]:
    worker_id._host.cache_clear()
    yield
    worker_id._host.cache_clear()


@pytest.mark.usefixtures("_named_anew")
def test_pods_with_long_names_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods of one deployment differ at the end of the name, and each has a first namespace."""
    names = []
    for pod in (
        "isthmus-xjob-production-cluster-7d9f8b6c5-abcde",
        "isthmus-xjob-production-x-7d-z",
    ):
        host = os.uname_result(("Linux", pod, "6.1", "1", "x86_64"))
        monkeypatch.setattr(os, "uname", lambda host=host: host)
        worker_id._host.cache_clear()
        names.append(worker_id.new())
    first, second = (name.split(":")[0] for name in names)
    assert first != second
    assert all(len(name) <= 64 for name in names)
    assert not worker_id.is_dead(f"{first}:999999999:abc"), (
        "nothing is known of another pod's process"
    )
    assert worker_id.is_dead(f"{second}:999999999:abc")


@pytest.mark.usefixtures("_named_anew")
def test_a_machine_that_started_again_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process numbers begin anew then; a claim of before is left to its expiry."""
    before = worker_id.new()
    monkeypatch.setattr(worker_id, "_read_boot", lambda: "another boot")
    worker_id._host.cache_clear()
    assert worker_id.new().split(":")[0] != before.split(":")[0]


@pytest.mark.parametrize("name", ["", "a", "elsewhere/1:999999999:abc", "a:b:c"])
def test_of_others_nothing_is_known(name: str) -> None:
    assert not worker_id.is_dead(name)
