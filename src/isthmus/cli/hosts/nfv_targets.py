"""What `isthmus nfv` is pointed at: hosts, and files that describe them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from isthmus import errors
from isthmus.facts.protocols import HostClient
from isthmus.model.host.nfv_layout import Layout
from isthmus.wiring import nfv as wiring
from isthmus.wiring.named_file import STDIN

_HOST = "local or USER@HOST:PORT"

HostTarget = Annotated[str, typer.Argument(help=_HOST)]
Target = Annotated[
    str, typer.Argument(help=f"{_HOST}; or a file that describes one, - for standard input")
]
FactsTarget = Annotated[
    str, typer.Argument(help=f"{_HOST}; or a file of its facts, - for standard input")
]
Identity = Annotated[str | None, typer.Option("--identity", "-i", help="private key for ssh")]
SshOption = Annotated[
    list[str] | None, typer.Option("--ssh-option", help="an -o option for ssh; repeatable")
]
LayoutOption = Annotated[
    Layout | None,
    typer.Option("--layout", help="where Nova and Open vSwitch are; found where it is not told"),
]
PlanFile = Annotated[
    Path,
    typer.Argument(help="a plan, as `nfv plan -o json` writes it; - for standard input"),
]

#: How people call the files that describe hosts; no host is called so.
_SUFFIXES = frozenset({".json", ".yaml", ".yml", ".txt", ".xml", ".csv", ".facts", ".out", ".log"})
_FORMS = "give local or [user@]host[:port]"


def find_file(target: str) -> Path | None:
    """Return the file where a target is one; None where it is a host.

    Raises:
        NotFound: it can only be a file, and there is none.
        Invalid: it is empty, a folder, or not for the caller.
    """
    if not target:
        raise errors.Invalid(f"the target is empty: {_FORMS}, or a file")
    path = Path(target)
    try:
        is_there, is_folder = path == STDIN or path.exists(), path.is_dir()
    except OSError as exc:
        raise errors.Invalid(f"{target} cannot be read: {exc.strerror}") from exc
    if is_there and not is_folder:
        return path
    if is_folder and _is_no_host(target):
        raise errors.Invalid(
            f"{target} is a folder: isthmus nfv fleet takes one, this takes a file"
        )
    if _is_no_host(target):
        raise errors.NotFound(f"there is no file {target}")
    return None


def _is_no_host(target: str) -> bool:
    path = Path(target)
    return "/" in target or target in {".", ".."} or path == STDIN or path.suffix in _SUFFIXES


def open_host(
    target: str, identity: str | None = None, options: Sequence[str] | None = None
) -> HostClient:
    """Open a client of a host, where only a host will do.

    Raises:
        Invalid: the target is empty, a file's name, or of no host's form.
    """
    # `isthmus nfv apply PLAN "$HOST"` with no HOST must not be this machine.
    if not target:
        raise errors.Invalid(f"the host is empty: {_FORMS}")
    if _is_no_host(target):
        raise errors.Invalid(f"{target} is the name of a file, and a host is wanted: {_FORMS}")
    return wiring.open_client(target, identity=identity, options=options or ())
