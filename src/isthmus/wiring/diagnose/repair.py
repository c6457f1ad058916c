"""Runs the commands that `isthmus why` prints, as the person would type them."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from isthmus.clients.machine import shell

#: How long one command may take; seconds.
LIMIT_S = 300.0


def run_command(words: Sequence[str]) -> None:
    """Run a command with the person's own credentials; of two programs, the one beside ours.

    Raises:
        Unsupported: there is no such program.
        TimedOut: it did not end in time.
        StepFailed: it failed.
    """
    beside = Path(sys.executable).parent / words[0]
    program = beside if beside.exists() else Path(words[0])
    own = {key: value for key, value in os.environ.items() if key.startswith("OS_")}
    shell.run([program, *words[1:]], env=own, timeout_s=LIMIT_S)
