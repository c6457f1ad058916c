"""`isthmus port`: what every tier knows of one port."""

import dataclasses
from typing import Annotated

import typer

from isthmus.cli import render
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output, confirm
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
    from isthmus.operate.port import collect_port
    from isthmus.wiring.admin import Admin

    admin = Admin(os_cloud)
    rows = [dataclasses.asdict(view) for view in collect_port(admin.api, port, admin.open_site)]
    render.print_rows(rows, COLUMNS, output)
    for row in rows:
        if row["error"]:
            render.note(f"{row['tier']} did not answer: {row['error']}")


@app.command("release")
def release_port(
    port: Annotated[str, typer.Argument(help="Id or name of the port.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Forget its home at once, though a server may use it there."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Release a port from its home site, so that it can move to another site.

    A port that lies unused moves by itself to the site that binds it. Force is for a home that will
    not come back: what it still holds of the port it keeps until it is unbound there.
    """
    from isthmus.operate.port import release_port
    from isthmus.wiring.admin import Admin

    if force and not yes:
        confirm(f"Take port {port} away from its home, though a server there may use it?")
    home = release_port(Admin(os_cloud).api, port, force=force)
    render.note(f"Site {home} {'no longer has the port' if force else 'is asked to release it'}.")
