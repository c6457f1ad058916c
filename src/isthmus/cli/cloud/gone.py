"""`isthmus gone`: what sites that were removed never let go of."""

import dataclasses
from typing import Annotated, Any

import typer

from isthmus.cli import render
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output, confirm
from isthmus.cli.render import Format
from isthmus.model.form import counted

app = typer.Typer(no_args_is_help=True, help="Removed sites that never let go of what they held.")

COLUMNS = ("incarnation", "leases", "addresses", "port_keys", "ports")

Incarnation = Annotated[str, typer.Argument(help="As `isthmus gone list` shows it: gone/ID.")]


def _open(cloud: str) -> Any:
    from isthmus.wiring.admin import Admin

    return Admin(cloud)


@app.command("list")
def list_gone(output: Output = Format.TABLE, os_cloud: Cloud = DEFAULT_CLOUD) -> None:
    """List what is kept aside for sites that were removed, since their servers may still run.

    A site that is added again under its name, with its old database, takes it up by itself.
    """
    from isthmus.operate import gone

    rows = [dataclasses.asdict(one) for one in gone.list_gone(_open(os_cloud).api)]
    render.print_rows(rows, COLUMNS, output, empty="No removed site holds anything.")


@app.command("free")
def free_gone(
    incarnation: Incarnation,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Free for good what a removed site held: nothing of it runs any more, nor ever will.

    Shows what it frees first. Its addresses are then given to others, and its ports may be bound at
    any site; a server of it that does run after all has an address which is another's.
    """
    admin = _open(os_cloud)
    from isthmus.operate import gone

    found = gone.get_gone(admin.api, incarnation)
    render.print_row(dataclasses.asdict(found), output)
    if not yes:
        confirm(f"Free all of that for good? Nothing that {found.incarnation} held may still run.")
    gone.free_gone(admin.api, found.incarnation)
    render.note(
        f"{found.incarnation} is freed: {counted(found.addresses, 'address')}, "
        f"{counted(found.ports, 'port')}."
    )
