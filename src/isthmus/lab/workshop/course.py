"""The course: all lessons of a lab, in order."""

from isthmus import errors
from isthmus.lab.plan import LabPlan
from isthmus.lab.workshop.by_hand import cross_the_wire, join_two, switch_three
from isthmus.lab.workshop.lesson import Lesson, Words
from isthmus.lab.workshop.with_neutron import ask_neutron, find_faults


def make_course(plan: LabPlan) -> tuple[Lesson, ...]:
    """Return the lessons, with the names of a lab in their commands.

    Raises:
        Unsupported: the lab is too small.
    """
    if not plan.sites or len(plan.sites[0].hypervisors) < 2:
        raise errors.Unsupported("the workshop needs a site with two hypervisors: isthmus lab up")
    words = Words(plan)
    return (
        join_two(), switch_three(), cross_the_wire(words), ask_neutron(words), find_faults(words)
    )  # fmt: skip


def find_lesson(plan: LabPlan, number: int) -> Lesson:
    """Return a lesson by its number.

    Raises:
        NotFound: there is none.
        Unsupported: the lab is too small.
    """
    course = make_course(plan)
    for one in course:
        if one.number == number:
            return one
    raise errors.NotFound(f"there is no lesson {number}: say 1 to {len(course)}")
