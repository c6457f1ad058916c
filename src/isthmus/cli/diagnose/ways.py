"""Options of the commands that look into all tiers: where OVN answers, which lab, which dump."""

import datetime
from pathlib import Path
from typing import Annotated

import typer

from isthmus import errors

Remotes = Annotated[
    list[str] | None,
    typer.Option("--ovn", metavar="SITE=NB,SB", help="Where a site's OVN databases answer."),
]
Lab = Annotated[
    str,
    typer.Option(envvar="ISTHMUS_LAB_NAME", help="Lab whose hypervisors and databases to read."),
]
FromDump = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="DUMP", help="Answer from what isthmus gather wrote, and ask nobody."
    ),
]
Timeout = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="For everything that is read.")
]


def say_time() -> str:
    """Return the time that rows bear which were read now."""
    return datetime.datetime.now(datetime.UTC).strftime("%H:%M:%SZ")


def parse_remotes(texts: list[str]) -> dict[str, tuple[str, str]]:
    """Read SITE=NB,SB.

    Raises:
        Invalid: one has another form.
    """
    found = {}
    for text in texts:
        site, _, remotes = text.partition("=")
        north, comma, south = remotes.partition(",")
        if not (site and north and comma and south) or "," in south:
            raise errors.Invalid(
                f"--ovn {text!r}: it is SITE=NB,SB, such as "
                "site1=tcp:10.0.0.1:6641,tcp:10.0.0.1:6642"
            )
        found[site] = (north, south)
    return found
