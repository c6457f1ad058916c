"""What the lab needs of the world outside, as small Protocols; `isthmus.wiring.lab` joins them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class CommandOutput(Protocol):
    """What a command said."""

    @property
    def exit_code(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


class Commands(Protocol):
    """Runs a command to its end; `isthmus.clients.shell.run`."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        netns: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout_s: float = 60,
        check: bool = True,
    ) -> CommandOutput: ...
