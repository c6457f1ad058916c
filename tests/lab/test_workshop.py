"""The workshop as a person works through it: each command is typed, and shows what it should."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.lab.person import Person

from isthmus.lab.opened import OpenLab
from isthmus.lab.workshop.lesson import Words
from isthmus.lab.workshop.with_neutron import FAULTS, Fault, render_ping
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
#: How long packets may need to find their way on a busy machine, in seconds.
PACKET_S = 180


class Pupil:
    """Types what a lesson says."""

    def __init__(self, person: Person) -> None:
        self.person = person
        plan = person.plan
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "OS_CLIENT_CONFIG_FILE": str(plan.clouds_file),
            "ISTHMUS_LAB_NAME": plan.name,
        }

    def read(self, number: int) -> dict[str, Any]:
        lesson: dict[str, Any] = self.person.json("lab", "workshop", "show", str(number))
        return lesson

    def type(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def must(self, command: str) -> None:
        done = self.type(command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def follow(self, lesson: dict[str, Any]) -> None:
        """Type all steps; where something is to be seen, type the last command until it is."""
        for step in lesson["steps"]:
            *before, last = step["commands"]
            for command in before:
                self.must(command)
            if step["shows"]:
                seen = partial(self.shows, last, step["shows"])
                until(seen, what=last, timeout_s=PACKET_S)
            else:
                self.must(last)

    def shows(self, command: str, text: str) -> bool:
        return text in self.type(command).stdout

    def passes(self) -> bool:
        return self.type(render_ping(Words(self.person.plan))).returncode == 0


@pytest.fixture(scope="module")
def pupil(lab: OpenLab) -> Pupil:
    return Pupil(Person(lab.plan))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_lesson_by_hand_goes_as_it_says_and_leaves_nothing(pupil: Pupil, number: int) -> None:
    lesson = pupil.read(number)
    with contextlib.ExitStack() as undo:
        for command in reversed(lesson["away"]):
            undo.callback(pupil.must, command)
        pupil.follow(lesson)
    assert "ws" not in [one[:2] for one in pupil.type("ip netns list").stdout.splitlines()]


@pytest.fixture(scope="module")
def servers(pupil: Pupil) -> Iterator[None]:
    """Lesson 4, which the broken labs stand on."""
    lesson = pupil.read(4)
    with contextlib.ExitStack() as undo:
        for command in reversed(lesson["away"]):
            undo.callback(pupil.must, command)
        pupil.follow(lesson)
        yield


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.code)
def test_a_broken_lab_is_found_and_repaired_by_what_why_says(pupil: Pupil, fault: Fault) -> None:
    until(pupil.passes, what="packets pass before", timeout_s=PACKET_S)
    (step,) = (one for one in pupil.read(5)["steps"] if fault.symptom == one["why"])
    (command,) = step["commands"]
    pupil.must(command)
    until(lambda: not pupil.passes(), what="packets do not pass", timeout_s=PACKET_S)
    why = ("why", "ws-a", "ws-b", "icmp", "--timeout", "240", "-o", "json")

    def first() -> dict[str, Any] | None:
        found = json.loads(pupil.person.run(*why, check=False).stdout)["blockers"]
        return found[0] if found and found[0]["code"] == fault.code else None

    blocker = until(first, what=f"{fault.code} is named first", timeout_s=PACKET_S)
    answer = ("lab", "workshop", "answer", str(fault.number))
    assert pupil.person.run(*answer, "port.admin_down", check=False).returncode == 1
    told = " ".join(pupil.person.run(*answer, blocker["code"]).stderr.split())
    assert fault.story in told
    pupil.must(blocker["remedy"].partition("   #")[0])
    until(pupil.passes, what=f"packets pass after {blocker['remedy']}", timeout_s=PACKET_S)
