"""Labs that come up at once are told apart by their numbers."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from isthmus import errors
from isthmus.clients.machine import shell
from isthmus.clients.machine.shell import Output
from isthmus.lab import labs as machine_labs
from isthmus.lab.process.lock import locked
from isthmus.lab.protocols import Tools
from isthmus.lab.topology import default_topology
from isthmus.wiring import lab as wiring
from isthmus.wiring.lab import machine_tools, open_labs

#: How long one lab that looks at the machine's addresses waits for the other to look too.
MEETING_S = 0.5


class Nothing:
    """Hears of phases, and makes nothing of a lab."""

    def __init__(self, *_args: object, **_kwargs: object) -> None: ...

    def run(self) -> None: ...

    def begin(self, phase: str) -> None: ...

    def end(self, phase: str, seconds: float) -> None: ...


class Meeting:
    """The machine's addresses; whoever looks at them waits a little for somebody else who looks."""

    def __init__(self) -> None:
        self.met = 0
        self._barrier = threading.Barrier(2)

    def __call__(self, argv: Sequence[str | Path], **_kwargs: Any) -> Output:
        assert argv[:2] == ["ip", "-o"]
        try:
            self._barrier.wait(MEETING_S)
            self.met += 1
        except threading.BrokenBarrierError:
            self._barrier.reset()
        return Output(0, "1: lo    inet 127.0.0.1/8 scope host lo", "")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """A machine that can hold labs, where bringing one up ends with its number."""
    monkeypatch.setattr(shell, "NETNS_DIR", tmp_path / "netns")
    monkeypatch.setattr(machine_labs, "check_machine", lambda _tools, **_: None)
    monkeypatch.setattr(wiring, "find_installed", lambda: None)
    monkeypatch.setattr("isthmus.lab.up.Up", Nothing)
    return replace(machine_tools(), run=Meeting())


def test_two_labs_that_come_up_at_once_have_two_numbers(tmp_path: Path, tools: Tools) -> None:
    def bring_up(name: str) -> int:
        labs = open_labs(tmp_path / "state", tools)
        return labs.up(name, default_topology(1, 1), reporter=Nothing()).plan.number

    with ThreadPoolExecutor(max_workers=2) as pool:
        numbers = list(pool.map(bring_up, ["racea", "raceb"]))
    assert sorted(numbers) == [0, 1]
    assert tools.run.met == 0  # type: ignore[attr-defined]  # nobody looked while another chose


def _bring_up_in_two_folders(folder: Path, tools: Tools, *names: str) -> list[int | None]:
    """Bring up two labs at once; gives the number of each, None for one that was refused."""

    def bring_up(name: str, number: int) -> int | None:
        labs = open_labs(folder / f"state{number}", tools)
        try:
            return labs.up(name, default_topology(1, 1), reporter=Nothing()).plan.number
        except errors.Busy:
            REFUSED.set()
            return None

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(bring_up, names, (1, 2)))


REFUSED = threading.Event()


def test_labs_of_two_folders_that_come_up_at_once_have_two_numbers(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)

    class Slow(Nothing):
        """Has no address until the other has chosen too."""

        @override
        def run(self) -> None:
            both.wait(60)

    monkeypatch.setattr("isthmus.lab.up.Up", Slow)
    assert sorted(map(str, _bring_up_in_two_folders(tmp_path, tools, "one", "other"))) == ["0", "1"]


def test_a_name_is_taken_in_one_of_two_folders(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    REFUSED.clear()

    class Slow(Nothing):
        """Has no namespace until the other has been refused."""

        @override
        def run(self) -> None:
            assert REFUSED.wait(60)

    monkeypatch.setattr("isthmus.lab.up.Up", Slow)
    numbers = _bring_up_in_two_folders(tmp_path, tools, "same", "same")
    assert sorted(map(str, numbers)) == ["0", "None"]


def test_a_name_is_given_once_when_two_ask_for_it_at_once(tmp_path: Path, tools: Tools) -> None:
    def bring_up(name: str) -> str:
        try:
            open_labs(tmp_path, tools).up(name, default_topology(1, 1), reporter=Nothing())
        except (errors.Exists, errors.Busy):
            return "refused"
        return "up"

    with ThreadPoolExecutor(max_workers=2) as pool:
        assert sorted(pool.map(bring_up, ["raced", "raced"])) == ["refused", "up"]


def test_the_wait_for_others_that_choose_has_an_end(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_labs, "NUMBER_TIMEOUT_S", 0.05)
    labs = open_labs(tmp_path, tools)
    with (
        locked(tmp_path / ".lock", "held by the test itself"),
        pytest.raises(errors.Busy, match="try again"),
    ):
        labs.up("racec", default_topology(1, 1), reporter=Nothing())
    assert labs.list_names() == []
