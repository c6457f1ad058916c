"""Running commands: the only user of `subprocess`."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus import errors

#: How much of a failed command's output its error carries.
_TAIL_CHARACTERS = 2000
#: Named network namespaces, where iproute2 and pyroute2 both keep them.
NETNS_DIR = Path("/run/netns")


@dataclass(frozen=True, slots=True)
class Output:
    """What a command said."""

    exit_code: int
    stdout: str
    stderr: str


def find_program(name: str) -> Path | None:
    """Find a program on the path, system folders included."""
    places = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    found = shutil.which(name, path=places)
    return Path(found) if found else None


def inside(netns: str | None, argv: Sequence[str | Path]) -> list[str]:
    """Prefix a command so that it runs in a named network namespace; its pid stays the same."""
    words = [str(word) for word in argv]
    if netns is None:
        return words
    return ["nsenter", f"--net={NETNS_DIR / netns}", "--", *words]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, fit for a service.

    Python may write compiled files again (a service starts three times as fast from them), system
    folders are on the path, and nothing of a person's own cloud settings is handed on.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    kept["PATH"] = kept.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return {**kept, **(extra or {})}


def run(
    argv: Sequence[str | Path],
    *,
    netns: str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout_s: float = 60,
    check: bool = True,
) -> Output:
    """Run a command to its end.

    Args:
        argv: the command; no shell reads it.
        netns: a named network namespace to run it in.
        env: laid over `clean_environment`.
        stdin: text to feed to it.
        timeout_s: after which it is killed.
        check: whether an exit code other than 0 is an error.

    Raises:
        Unsupported: there is no such program.
        TimedOut: it did not end in time.
        StepFailed: it ended with an exit code other than 0.
    """
    command = inside(netns, argv)
    try:
        done = subprocess.run(  # noqa: PLW1510  (checked below, with its output)
            command,
            env=clean_environment(env),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except FileNotFoundError as exc:
        raise errors.Unsupported(f"{command[0]} is not installed") from exc
    except subprocess.TimeoutExpired as exc:
        raise errors.TimedOut(f"{_short(argv)} did not end within {timeout_s:g} s") from exc
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-_TAIL_CHARACTERS:]
        raise errors.StepFailed(
            f"{_short(argv)} failed with exit code {done.returncode}: {said}",
            exit_code=done.returncode,
        )
    return Output(done.returncode, done.stdout, done.stderr)


class Begun:
    """A command that runs beside us: it says a line once it is ready, and the rest at its end."""

    def __init__(self, argv: Sequence[str | Path], netns: str | None = None) -> None:
        """Begin it.

        Raises:
            Unsupported: there is no such program.
        """
        command = inside(netns, argv)
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command, env=clean_environment(), stdin=pipe, stdout=pipe, stderr=pipe, text=True
            )
        except FileNotFoundError as exc:
            raise errors.Unsupported(f"{command[0]} is not installed") from exc

    def read_line(self) -> str:
        """Return the next line that it says; empty at its end."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def finish(self, timeout_s: float) -> Output:
        """Close its standard input, by which it knows that it may end, and wait for that.

        Raises:
            TimedOut: it did not end in time; it is killed.
        """
        try:
            said, complained = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as exc:
            self._process.kill()
            self._process.communicate()
            raise errors.TimedOut(f"a command did not end within {timeout_s:g} s") from exc
        return Output(self._process.returncode, said, complained)


def interact(
    argv: Sequence[str | Path], *, netns: str | None = None, env: Mapping[str, str] | None = None
) -> int:
    """Run a command on the person's own terminal and give its exit code.

    Ctrl-C is for the command alone. One that a signal ended gives 128 and the signal's number, as
    shells have it.
    """
    command = inside(netns, argv)
    try:
        process = subprocess.Popen(command, env=clean_environment(env))
    except FileNotFoundError as exc:
        raise errors.Unsupported(f"{command[0]} is not installed") from exc
    with process, _interrupts_ignored():
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C in this process; only its main thread can, and only that hears of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _short(argv: Sequence[str | Path]) -> str:
    words = " ".join(str(word) for word in argv)
    return words if len(words) <= 120 else words[:117] + "..."
