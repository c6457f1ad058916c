"""The installation page as steps, each with the machine on which it is typed."""

import dataclasses
import re

from tests.lab.page import PROMPT, Step, parse_page

#: A prompt with the machine that it is on, as pages about several machines have it.
_PROMPT = re.compile(r"^(central|site|hypervisor)# ", re.MULTILINE)
_HEREDOC = re.compile(r"<<'?(\w+)'?$")


@dataclasses.dataclass(frozen=True, slots=True)
class Typed:
    """A step of a page, and where it is typed."""

    machine: str
    step: Step


def read_steps(text: str) -> list[Typed]:
    """Read the commands of the page, in their order."""
    machines = {
        text.count("\n", 0, found.start()) + 1: found[1] for found in _PROMPT.finditer(text)
    }
    steps = parse_page(_PROMPT.sub(PROMPT, text))
    return [Typed(machines[step.line], _with_input(step)) for step in steps]


def _with_input(step: Step) -> Step:
    """Take the lines that a command reads for a part of it, not for what it prints."""
    found = _HEREDOC.search(step.command)
    if not found:
        return step
    end = step.printed.index(found[1]) + 1
    command = "\n".join((step.command, *step.printed[:end]))
    return dataclasses.replace(step, command=command, printed=step.printed[end:])
