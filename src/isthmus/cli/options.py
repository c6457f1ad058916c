"""Options that several commands share, and how their texts are read."""

import contextlib
import datetime
import re
import sys
from typing import Annotated

import typer

from isthmus import errors
from isthmus.cli import complete
from isthmus.cli.render import Format, note

DEFAULT_CLOUD = complete.DEFAULT_CLOUD

Output = Annotated[
    Format, typer.Option("--output", "-o", help="Form of the answer.", case_sensitive=False)
]
Cloud = Annotated[
    str,
    typer.Option(
        "--os-cloud",
        envvar="OS_CLOUD",
        help="Entry of clouds.yaml that names central and who you are.",
        autocompletion=complete.clouds,
    ),
]

#: Names that several commands take, each offered by the shell's completion.
Site = Annotated[str, typer.Argument(help="Name of the site.", autocompletion=complete.sites)]
OnlySite = Annotated[
    str | None, typer.Option("--site", help="Only at this site.", autocompletion=complete.sites)
]

Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        min=0,
        metavar="SECONDS",
        help="Wait until it is done, so long.",
        show_default=False,
    ),
]

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+)([smhd]?)")


def confirm(question: str) -> None:
    """Prompt for confirmation; Ctrl-C ends the command.

    Raises:
        Exit: with code 1, after anything else.
    """
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        note("Nothing was done; answer y, or give --yes.")
        raise typer.Exit(1)


def check_name(name: str, given: str | None) -> None:
    """Compare the name that came with `--confirm`, if any, with that of what is to go.

    Args:
        name: of what is to go.
        given: the name as it came with `--confirm`.

    Raises:
        Invalid: it is another one.
    """
    if given is not None and given != name:
        raise errors.Invalid(f"--confirm {given!r} is not {name!r}: nothing was done")


def confirm_name(warning: str, name: str, *, yes: bool, given: str | None) -> None:
    """Have a name repeated before what has it goes.

    Args:
        warning: what goes.
        name: that is to be repeated.
        yes: whether `--yes` was given; where nobody can be asked, that and the name are wanted.
        given: the name as it came with `--confirm`; see `check_name`.

    Raises:
        Invalid: another name was given, or nobody can be asked.
        Exit: with code 1, where another one is typed.
    """
    check_name(name, given)
    if given is not None and yes:
        return
    if not sys.stdin.isatty():
        raise errors.Invalid(f"nobody can be asked here: give --yes --confirm {name}")
    note(warning)
    if given is None:
        sys.stderr.write("Type its name to go on: ")
        sys.stderr.flush()
        if sys.stdin.readline().strip() != name:
            note("Nothing was done: that is another name.")
            raise typer.Exit(1)
    else:
        confirm("Go on?")


def parse_duration(text: str | None) -> int | None:
    """Read a time span such as 90, 90s, 10m, 2h or 1d; gives seconds.

    Raises:
        Invalid: it is none of these.
    """
    if text is None:
        return None
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise errors.Invalid(f"{text!r} is no time span: say for instance 90s, 10m, 2h or 1d")
    return int(match[1]) * _UNITS_S[match[2]]


def parse_moment(text: str | None) -> str | None:
    """Read a time span, or a time of the clock in UTC; gives what the Admin API takes.

    Raises:
        Invalid: it is neither.
    """
    if text is None:
        return None
    with contextlib.suppress(errors.Invalid):
        return str(parse_duration(text))
    try:
        return datetime.datetime.fromisoformat(text.strip()).isoformat()
    except ValueError as error:
        raise errors.Invalid(
            f"{text!r} is no time: say for instance 90s, 10m, 2h or 1d, or 2026-11-28T03:00 (UTC)"
        ) from error
