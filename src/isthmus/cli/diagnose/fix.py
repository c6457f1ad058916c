"""`isthmus why --fix`: what is to be done is shown, asked for, and done."""

import shlex

import typer

from isthmus import errors
from isthmus.cli import render
from isthmus.cli.options import confirm
from isthmus.diagnose.fix.command import Command
from isthmus.diagnose.fix.repair import Proposal


class Terminal:
    """The person at the terminal; everything but the answer goes to standard error."""

    def __init__(self, *, yes: bool) -> None:
        """Say whether the person has agreed beforehand."""
        self._yes = yes

    def agree(self, proposal: Proposal) -> bool:
        """Show what is to be done, and ask."""
        verdict, then = proposal.blocker.verdict, proposal.prediction
        render.note(f"{verdict.severity}: {verdict.message}")
        for command in proposal.commands:
            render.note(f"to do:     {shlex.join(command.words)}")
        how = "" if then.by_rows else ", if nothing else comes to light"
        left = ", ".join(one.verdict.code for one in then.left)
        render.note(f"will be:   {then.word}{how}{f'; left: {left}' if left else ''}")
        if self._yes:
            return True
        try:
            confirm("Do that?")
        except typer.Exit:
            return False
        return True

    def run(self, command: Command) -> None:
        """Run a command.

        Raises:
            StepFailed: it failed.
        """
        from isthmus.wiring.diagnose.repair import run_command

        try:
            run_command(command.words)
        except errors.StepFailed as error:
            raise errors.StepFailed(f"the repair failed: {error.message}") from error

    def tell(self, line: str) -> None:
        """Say what happens."""
        render.note(line)
