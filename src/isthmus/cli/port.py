"""`isthmus port`: what every tier knows of one port."""

import dataclasses
from typing import Annotated

import typer

from isthmus.cli import render
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output
from isthmus.cli.render import Format

app = typer.Typer(no_args_is_help=True, help="Ports: what every tier knows of one.")

COLUMNS = ("tier", "known_as", "mac_address", "addresses", "status", "host", "port_key", "agrees")


@app.callback()
def _noun() -> None:
    """Ports: what every tier knows of one."""


@app.command("show")
def show_port(
    port: Annotated[str, typer.Argument(help="Id or name of the port.")],
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Show a port as central, its home and the other sites of its network know it.

    A site where the port does not live has a shadow of it, with the same id, MAC and addresses.
    """
    from isthmus.wiring.admin import Admin

    rows = [dataclasses.asdict(view) for view in Admin(os_cloud).collect_port(port)]
    render.print_rows(rows, COLUMNS, output)
    for row in rows:
        if row["error"]:
            render.note(f"{row['tier']} did not answer: {row['error']}")
