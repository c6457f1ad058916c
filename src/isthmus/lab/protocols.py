"""What the lab needs of the world outside, as small Protocols; `isthmus.wiring.lab` joins them."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from isthmus import errors
from isthmus.model.host.process import ProcessId


class CommandOutput(Protocol):
    """What a command said."""

    @property
    def exit_code(self) -> int:
        """Return the exit code."""

    @property
    def stdout(self) -> str:
        """Return what it wrote to standard output."""

    @property
    def stderr(self) -> str:
        """Return what it wrote to standard error."""


class Commands(Protocol):
    """Runs a command to its end."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        netns: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout_s: float = 60,
        check: bool = True,
    ) -> CommandOutput:
        """Run it.

        Args:
            argv: program and arguments.
            netns: network namespace to run in; None for that of the machine.
            env: variables besides those of this process.
            stdin: what it reads from standard input.
            timeout_s: seconds after which it is killed.
            check: whether a failure is an error.

        Raises:
            Unsupported: there is no such program.
            TimedOut: it did not end in time.
            StepFailed: it failed, and `check` is set.
        """


class FindProgram(Protocol):
    """Looks a program up."""

    def __call__(self, name: str) -> Path | None:
        """Return its path, or None."""


class Interaction(Protocol):
    """Runs a command on the person's terminal."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        netns: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Run it and give its exit code."""


class Zygote(Protocol):
    """Forks services; see `isthmus.lab.process.zygote`."""

    def give_birth(self, line: str) -> ProcessId:
        """Fork one."""

    def close(self) -> None:
        """End the zygote; its children go on."""


class Processes(Protocol):
    """Long-running processes of the machine."""

    def spawn(
        self,
        argv: Sequence[str | Path],
        *,
        netns: str | None,
        log: Path,
        env: Mapping[str, str] | None = None,
    ) -> ProcessId:
        """Start one that outlives this one.

        Args:
            argv: the program and its arguments.
            netns: name of the network namespace; None for the one of this process.
            log: file to which its output is appended.
            env: variables beside the clean environment.
        """

    def is_alive(self, process: ProcessId) -> bool:
        """Tell whether this very process lives."""

    def is_stopped(self, process: ProcessId) -> bool:
        """Tell whether this very process is held by a signal."""

    def send(self, process: ProcessId, number: signal.Signals) -> bool:
        """Signal this very process; False when it is gone."""

    def list_children(self, process: ProcessId) -> list[ProcessId]:
        """List the processes that this very process has started; none when it is gone."""

    def find_marked(self, name: str, value: str) -> Iterator[ProcessId]:
        """Find processes by an environment variable."""

    def memory_kib(self, process: ProcessId) -> int:
        """Return a process's share of memory."""

    def open_zygote(self, preload: Sequence[str], log: Path, env: Mapping[str, str]) -> Zygote:
        """Start a zygote; it imports while we do other things."""


class Api(Protocol):
    """One tier's Neutron API as one of the users of `clouds.yaml`."""

    def get_all(self, resource: str, **query: Any) -> list[Mapping[str, Any]]:
        """List resources."""

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Make one call and return the JSON of the answer.

        Args:
            method: of HTTP.
            path: from the root of the API.
            query: parameters of the URL.
            body: JSON to send.
        """


class Apis(Protocol):
    """Opens the APIs of a lab."""

    def __call__(self, clouds_file: Path, name: str) -> Api:
        """Open one; nothing is called yet."""


class Answers(Protocol):
    """Asks a server whether it is there."""

    def __call__(self, url: str) -> bool:
        """Tell whether anything answers HTTP there, whatever it says."""


class Reporter(Protocol):
    """Reports the progress of a longer piece of work."""

    def begin(self, phase: str) -> None:
        """Report that a phase begins."""

    def end(self, phase: str, seconds: float) -> None:
        """Report that a phase has ended, and how long it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """All of them."""

    run: Commands
    find_program: FindProgram
    interact: Interaction
    processes: Processes
    answers: Answers
    open_api: Apis


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """Where the programs' own files are on this machine."""

    paste_file: Path
    ovn_schemas: Path
    ovs_schema: Path

    def require_there(self) -> None:
        """Check that all of them are there.

        Raises:
            Unsupported: one is not.
        """
        for needed in (self.paste_file, self.ovs_schema, self.ovn_schemas / "ovn-nb.ovsschema"):
            if not needed.exists():
                raise errors.Unsupported(f"{needed} is not there; run: ./dev setup")
