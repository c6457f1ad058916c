"""Commands run inside the test's own process: quicker, and with a standard input of its own."""

import contextlib
import io
import os
import re
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

from tests.acceptance.shell import HOLDS, Shell
from typing_extensions import override

from isthmus.cli.main import _run
from isthmus.testing.cloud import Cloud

__all__ = ["HOLDS", "Inside", "run_inside"]


class Terminal(io.StringIO):
    """Standard input that a person types at."""

    @override
    def isatty(self) -> bool:
        return True


def run_inside(
    environment: Mapping[str, str], arguments: Sequence[str], *, typed: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as if in a process that has this environment.

    Args:
        environment: all of it.
        arguments: the command's.
        typed: what a person types at a terminal; None where nobody can be asked.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch("sys.stdin", io.StringIO() if typed is None else Terminal(typed)),
        warnings.catch_warnings(action="ignore"),  # of the SDK, as in a process
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        ended = _run([*arguments])
    return subprocess.CompletedProcess([*arguments], ended, out.getvalue(), err.getvalue())


class Inside(Shell):
    """A person with a clouds.yaml, whose commands cost no process."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        super().__init__(folder, cloud)
        self.typed: str | None = None  #: at a terminal; None where nobody can be asked

    @override
    def run(
        self, *arguments: str, code: int = 0, says: str = ""
    ) -> subprocess.CompletedProcess[str]:
        ran = run_inside({**os.environ, **self.environment}, arguments, typed=self.typed)
        assert ran.returncode == code, (ran.stdout, ran.stderr)
        assert re.search(says, ran.stderr), ran.stderr
        assert "Traceback" not in ran.stderr
        return ran
