"""Commands run inside the test's own process: quicker, and with a standard input of its own."""

import contextlib
import io
import os
import re
import subprocess
import warnings
from pathlib import Path
from unittest import mock

from tests.acceptance.shell import HOLDS, Shell
from typing_extensions import override

from isthmus.cli.main import _run
from isthmus.testing.cloud import Cloud

__all__ = ["HOLDS", "Inside"]


class Terminal(io.StringIO):
    """Standard input that a person types at."""

    @override
    def isatty(self) -> bool:
        return True


class Inside(Shell):
    """A person with a clouds.yaml, whose commands cost no process."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        super().__init__(folder, cloud)
        self.typed: str | None = None  #: at a terminal; None where nobody can be asked

    @override
    def run(
        self, *arguments: str, code: int = 0, says: str = ""
    ) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment),
            mock.patch("sys.stdin", io.StringIO() if self.typed is None else Terminal(self.typed)),
            warnings.catch_warnings(action="ignore"),  # of the SDK, as in a process
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            ended = _run([*arguments])
        ran = subprocess.CompletedProcess([*arguments], ended, out.getvalue(), err.getvalue())
        assert ran.returncode == code, (ran.stdout, ran.stderr)
        assert re.search(says, ran.stderr), ran.stderr
        assert "Traceback" not in ran.stderr
        return ran
