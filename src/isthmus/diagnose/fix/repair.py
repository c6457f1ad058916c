"""Repairing one cause after another: predicted, shown, asked for, done, and asked anew."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from isthmus import errors
from isthmus.diagnose.fix.command import Command, parse_commands
from isthmus.diagnose.fix.predict import Prediction, predict
from isthmus.diagnose.judge import Blocker, Diagnosis, Word
from isthmus.diagnose.lab_repair import render_in_lab

#: How often it is asked anew whether a repair has come to where it works, in seconds.
_AGAIN_S = 1.0
#: Causes that are repaired in one go; more say that something else is wrong.
_MOST = 8
#: Which of a site's databases a program talks to.
_DATABASES = {"ovn-nbctl": 0, "ovn-sbctl": 1}


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is to be done, and what it leads to."""

    blocker: Blocker
    text: str  #: the repair, as it is printed
    commands: tuple[Command, ...]
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Reach:
    """From where commands are run."""

    lab: str = ""  #: name of the lab; empty for a real cloud
    remotes: Mapping[str, tuple[str, str]] = field(default_factory=dict)  #: NB and SB by site

    def bring_here(self, command: Command) -> Command:
        """Return a command that is typed at a site as it is typed here.

        Raises:
            Unsupported: it is typed on a host, or at a site whose databases nobody has named.
        """
        program = command.words[0]
        if not command.place:
            return command
        if command.place not in self.remotes or program not in _DATABASES:
            raise errors.Unsupported(f"it is typed at {command.place}")
        remote = self.remotes[command.place][_DATABASES[program]]
        return Command((program, f"--db={remote}", *command.words[1:]))


class Terminal(Protocol):
    """The person, and what is done for it."""

    def agree(self, proposal: Proposal) -> bool:
        """Show what is to be done, and ask."""

    def run(self, command: Command) -> None:
        """Run a command.

        Raises:
            IsthmusError: it failed.
        """

    def tell(self, line: str) -> None:
        """Say what happens."""


def propose(found: Diagnosis, reach: Reach, done: Sequence[str] = ()) -> Proposal | None:
    """Return the repair of the first cause that a command repairs; None where there is none.

    Args:
        found: what is wrong.
        reach: from where commands are run.
        done: repairs that were done already.
    """
    for blocker in found.blockers:
        if blocker.behind:  # seen once what ends the way before is repaired
            continue
        repair = blocker.verdict.remedy
        text = render_in_lab(repair, reach.lab) if reach.lab else repair
        if text in done:
            continue
        try:
            commands = tuple(reach.bring_here(one) for one in parse_commands(text))
        except errors.Unsupported:
            continue
        return Proposal(blocker, text, commands, predict(found, blocker))
    return None


def apply_repairs(
    found: Diagnosis,
    ask: Callable[[], Diagnosis],
    terminal: Terminal,
    *,
    reach: Reach,
    timeout_s: float,
) -> Diagnosis:
    """Repair causes until there is none, the person says no, or no command repairs what is left.

    Args:
        found: what is wrong.
        ask: asks anew.
        terminal: the person.
        reach: from where commands are run.
        timeout_s: for a repair to show.

    Raises:
        IsthmusError: a command failed.
    """
    done: list[str] = []
    while found.word is not Word.REACHABLE and len(done) < _MOST:
        proposal = propose(found, reach, done)
        if proposal is None:
            terminal.tell("No command repairs what is left: see `repair` of each.")
            return found
        if not terminal.agree(proposal):
            return found
        for command in proposal.commands:
            terminal.run(command)
        done.append(proposal.text)
        found = _await(proposal, ask, timeout_s)
        verdict = proposal.blocker.verdict
        gone = (verdict.code, verdict.subject) not in _keys(found)
        terminal.tell(f"{verdict.code} is {'gone' if gone else 'still there'}: {found.word}.")
    return found


def _keys(found: Diagnosis) -> set[tuple[str, object]]:
    return {(one.verdict.code, one.verdict.subject) for one in found.blockers}


def _await(proposal: Proposal, ask: Callable[[], Diagnosis], timeout_s: float) -> Diagnosis:
    """Ask until the finding is gone and the verdict is what was predicted, or the time is over."""
    deadline = time.monotonic() + timeout_s
    verdict = proposal.blocker.verdict
    while True:
        found = ask()
        gone = (verdict.code, verdict.subject) not in _keys(found)
        as_predicted = found.word in {proposal.prediction.word, Word.REACHABLE}
        if (gone and as_predicted) or time.monotonic() > deadline:
            return found
        time.sleep(_AGAIN_S)
