"""What the NFV engine needs of the world: one way to run a piece of shell on a host."""

from typing import Protocol


class Output(Protocol):
    """What a script left behind."""

    @property
    def exit_code(self) -> int:
        """0 where it succeeded."""

    @property
    def stdout(self) -> str:
        """What it wrote."""

    @property
    def stderr(self) -> str:
        """What it complained about."""


class HostClient(Protocol):
    """A host that can be read and changed."""

    @property
    def name(self) -> str:
        """What people call this host."""

    def run_script(self, script: str, *, timeout_s: float = 60.0) -> Output:
        """Run a POSIX shell script as the client's user and give what it wrote.

        Raises:
            Unreachable: nobody answered.
            TimedOut: it ran longer than `timeout_s`.
        """
