"""What the commands of `isthmus lab` have in common."""

from typing import Annotated, Any

import typer

LabName = Annotated[
    str, typer.Option("--name", envvar="ISTHMUS_LAB_NAME", help="Which lab; several may be up.")
]
Server = Annotated[str, typer.Argument(help="Name of the server.")]
Site = Annotated[str, typer.Argument(help="Name of the site.")]
Process = Annotated[str, typer.Argument(help="Name of the process; see: isthmus lab status.")]


def open_labs() -> Any:
    """Open the labs of this machine."""
    from isthmus.wiring import lab

    return lab.open_labs()


def open_lab(name: str) -> Any:
    """Open a lab that is up.

    Raises:
        NotFound: there is no such lab.
    """
    return open_labs().open(name)


def as_option(name: str) -> str:
    """Return how a command is told which lab is meant; the usual one needs no word."""
    return "" if name == "lab" else f" --name {name}"
