"""`isthmus port`: what every tier knows of one port."""

import dataclasses
from typing import Annotated

import typer

from isthmus.cli import complete, render
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output, Wait, confirm
from isthmus.cli.render import Format
from isthmus.cli.watch import see_through
from isthmus.model.site import CENTRAL

app = typer.Typer(no_args_is_help=True, help="Ports: what every tier knows of one.")

COLUMNS = ("tier", "known_as", "mac_address", "addresses", "status", "host", "port_key", "agrees")


@app.callback()
def _noun() -> None:
    """Ports: what every tier knows of one."""


@app.command("show")
def show_port(
    port: Annotated[
        str, typer.Argument(help="Id or name of the port.", autocompletion=complete.ports)
    ],
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Show a port as central, its home and the other sites of its network know it.

    A site where the port does not live has a shadow of it, with the same id, MAC and addresses.
    The key is that of OVN at the site; central's is the one that the home has reported. A tier
    agrees where MAC, addresses and key are those of central and its OVN has the port; what does not
    agree is said on stderr.
    """
    from isthmus.operate.port.view import collect_port
    from isthmus.wiring.admin import Admin

    rows = [dataclasses.asdict(view) for view in collect_port(Admin(os_cloud), port)]
    render.print_rows(rows, COLUMNS, output)
    for row in rows:
        if row["error"]:
            here = "say where it is" if row["tier"] == CENTRAL else "show its OVN"
            missing = here if row["known_as"] else "answer"
            render.note(f"{row['tier']} did not {missing}: {row['error']}")
        for one in row["differs"]:
            render.note(f"{row['tier']} does not agree: {one}")


@app.command("release")
def release_port(
    port: Annotated[
        str, typer.Argument(help="Id or name of the port.", autocompletion=complete.ports)
    ],
    force: Annotated[
        bool,
        typer.Option("--force", help="Forget its home at once, though a server may use it there."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Wait = 0.0,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Release a port from its home site, so that it can move to another site.

    A port that lies unused moves by itself to the site that binds it. Force is for a home that will
    not come back: what it still holds of the port it keeps until it is unbound there. With --wait
    until the home has let go.
    """
    from isthmus.operate.port.home import release_port, say_releasing
    from isthmus.wiring.admin import Admin

    if force and not yes:
        confirm(f"Take port {port} away from its home, though a server there may use it?")
    api = Admin(os_cloud).api
    mapping = release_port(api, port, force=force)
    see_through(f"Port {port} is released", lambda: say_releasing(api, mapping), wait)
    done = "no longer has the port" if force or wait else "is asked to release it"
    render.note(f"Site {mapping['site']} {done}.")


@app.command("rebind")
def rebind_port(
    port: Annotated[
        str, typer.Argument(help="Id or name of the port.", autocompletion=complete.ports)
    ],
    host: Annotated[
        str | None,
        typer.Option(
            metavar="HOST", help="The hypervisor on which its server runs; else as it is."
        ),
    ] = None,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Have the home of a port bind it again: it failed, or OVN has it on another hypervisor.

    One that failed is bound to the hypervisor that it was meant for, now that this runs. Of one
    that is bound there, the site's Neutron writes OVN's row again. Nova is not told of another
    host: use the one on which it has the server.
    """
    from isthmus.operate.port.rebind import rebind_port
    from isthmus.wiring.admin import Admin

    bound = rebind_port(Admin(os_cloud), port, host)
    is_moved = bound.before not in ("", bound.host)
    moved = f"; Neutron had it on {bound.before}" if is_moved else ""
    there = f" Packets reach it where its server runs on {bound.host}." if is_moved else ""
    render.note(f"Site {bound.site} has bound port {port} to {bound.host}{moved}.{there}")
