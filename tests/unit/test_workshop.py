"""The workshop as text: what is made is taken away, answers are told right from wrong."""

import re
from pathlib import Path

import pytest

from isthmus import errors
from isthmus.lab.plan import LabPlan, plan_lab
from isthmus.lab.topology import default_topology
from isthmus.lab.workshop.course import find_lesson, make_course
from isthmus.lab.workshop.with_neutron import FAULTS, find_fault

ROOT = Path(__file__).resolve().parents[2]


def plan(name: str = "lab", sites: int = 2, hosts: int = 2) -> LabPlan:
    return plan_lab(default_topology(sites, hosts), name=name, number=0, folder=Path("/lab"))


def test_lessons_are_numbered_and_found() -> None:
    course = make_course(plan())
    assert [one.number for one in course] == [1, 2, 3, 4, 5]
    assert find_lesson(plan(), 3) == course[2]
    with pytest.raises(errors.NotFound, match="say 1 to 5"):
        find_lesson(plan(), 6)
    with pytest.raises(errors.Unsupported, match="two hypervisors"):
        make_course(plan(hosts=1))


@pytest.mark.parametrize(
    ("makes", "removes"),
    [
        (r"ip netns add (\S+)", "ip netns delete {}"),
        (r"site1-h(\d -- ip link) add (\S+)", "site1-h{} delete {}"),
        (r"lab server create (\S+)", "lab server delete {}"),
        (r"network create (\S+)", "network delete {}"),
    ],
)
def test_what_a_lesson_makes_it_takes_away(makes: str, removes: str) -> None:
    met = 0
    for lesson in make_course(plan()):
        gone = "\n".join(lesson.away)
        for command in (one for step in lesson.steps for one in step.commands):
            for match in re.finditer(makes, command):
                met += 1
                assert removes.format(*match.groups()) in gone
    assert met


def test_commands_name_the_lab_where_it_is_another_one() -> None:
    for name, option in (("lab", ""), ("mine", " --name mine")):
        for lesson in make_course(plan(name)):
            for command in (*lesson.away, *(x for one in lesson.steps for x in one.commands)):
                if command.startswith("isthmus lab "):
                    before = command.split(" -- ")[0]
                    assert before.endswith(option), command
                    assert option or "--name" not in before


def test_each_broken_lab_has_a_cause_that_why_knows() -> None:
    page = (ROOT / "docs/howto/diagnose.md").read_text()
    assert {f"`{one.code}`" in page for one in FAULTS} == {True}
    assert [find_fault(one.number) for one in FAULTS] == [*FAULTS]
    assert len({one.code for one in FAULTS}) == len(FAULTS) >= 3
    with pytest.raises(errors.NotFound, match="no broken lab 9: say 1 to 3"):
        find_fault(9)
    for one in FAULTS:
        assert one.code not in f"{one.symptom}{one.story}"
        assert bool(one.command) != bool(one.process)
