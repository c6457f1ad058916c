"""What a lesson is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.lab.plan import LabPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do, and what is seen then."""

    why: str
    commands: tuple[str, ...]
    shows: str = ""  #: what the output of the last command has


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One lesson; what it leaves behind is taken away at its end, or by a later one."""

    number: int
    title: str
    aim: str
    steps: tuple[Step, ...]
    away: tuple[str, ...] = ()


class Words:
    """How things are called in a lab, for the commands of lessons."""

    def __init__(self, plan: LabPlan) -> None:
        """Choose two hypervisors of the first site, and two sites."""
        self._option = "" if plan.name == "lab" else f" --name {plan.name}"
        first, *others = plan.sites
        self.sites: Sequence[str] = [first.name, (others[0] if others else first).name]
        self.hosts: Sequence[str] = [first.hypervisors[at].name for at in (0, -1)]
        self.addresses: Sequence[str] = [str(first.hypervisors[at].address) for at in (0, -1)]

    def lab(self, words: str) -> str:
        """Return a command of `isthmus lab`."""
        command, _, rest = words.partition(" -- ")
        return f"isthmus lab {command}{self._option}{f' -- {rest}' if rest else ''}"

    def on(self, number: int, command: str) -> str:
        """Return a command that is run on a hypervisor, the first or the second."""
        return self.lab(f"shell {self.hosts[number]} -- {command}")
