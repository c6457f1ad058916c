"""Start a program of the lab, and wait until it answers."""

import shutil
import time
from pathlib import Path

from isthmus import errors
from isthmus.lab.process.ledger import Ledger
from isthmus.lab.process.program import Program
from isthmus.lab.protocols import Tools, Zygote
from isthmus.model.host.process import ProcessId

#: A service that says nothing for this long, in seconds, will not come up.
UP_TIMEOUT_S = 180
_POLL_S = 0.05
_LOG_LINES = 15


def start(
    program: Program, tools: Tools, ledger: Ledger, zygote: Zygote | None = None
) -> ProcessId:
    """Start a program and write it into the ledger; one with a socket is waited for.

    Args:
        program: what to start.
        tools: what to start it with.
        ledger: where to write it down.
        zygote: forks it, where it is born; without one it gets a zygote of its own, which has
            imported nothing.

    Raises:
        StepFailed: it ended at once, or its socket did not appear.
    """
    if program.empties:
        shutil.rmtree(program.empties, ignore_errors=True)
        # What could not be removed is of a process that is just ending.
        Path(program.empties).mkdir(parents=True, exist_ok=True)
    if program.socket:
        Path(program.socket).unlink(missing_ok=True)
    if program.birth is None:
        process = tools.processes.spawn(
            program.argv, netns=program.netns, log=program.log, env=program.env
        )
    elif zygote is not None:
        process = zygote.give_birth(program.birth.to_line())
    else:
        own = tools.processes.open_zygote([], program.log, program.birth.env)
        try:
            process = own.give_birth(program.birth.to_line())
        finally:
            own.close()
    ledger.add_process(program, process)
    if program.socket:
        wait_until_up(program, process, tools)
    return process


def wait_until_up(
    program: Program, process: ProcessId, tools: Tools, timeout_s: float = UP_TIMEOUT_S
) -> None:
    """Wait until a program answers.

    Args:
        program: with its URL or its socket.
        process: in which it runs.
        tools: of the machine.
        timeout_s: how long to wait.

    Raises:
        StepFailed: it died or does not answer; the message ends with the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while not _answers(program, tools):
        if not tools.processes.is_alive(process):
            raise errors.StepFailed(f"{program.name} died as it started\n{log_end(program.log)}")
        if time.monotonic() > deadline:
            raise errors.StepFailed(
                f"{program.name} does not answer after {timeout_s:g} s\n{log_end(program.log)}"
            )
        time.sleep(_POLL_S)


def log_end(log: Path, lines: int = _LOG_LINES) -> str:
    """Return the last lines of a log, with its name."""
    try:
        rows = log.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        rows = ["(no log)"]
    return "\n".join([f"the end of {log}:", *(f"  {row[:300]}" for row in rows)])


def _answers(program: Program, tools: Tools) -> bool:
    if program.url:
        return tools.answers(program.url)
    return not program.socket or Path(program.socket).exists()
