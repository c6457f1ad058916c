"""`isthmus network`: at which sites networks are present."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from isthmus.cli import complete, render
from isthmus.cli.cloud.names import RESOURCE, Long, add_names, choose_columns, show_named
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, OnlySite, Output, Wait
from isthmus.cli.render import Format
from isthmus.cli.watch import see_through

app = typer.Typer(no_args_is_help=True, help="Networks: at which sites they are present.")

_KEYS = {"id_key": "network_id", "name_key": "network_name"}
COLUMNS = ("network_name", "site", "datapath_key", "withdrawn", "created_at")

Network = Annotated[
    str, typer.Argument(help="Id or name of the network.", autocompletion=complete.networks)
]


def _open(cloud: str) -> Any:
    from isthmus.wiring.admin import Admin

    return Admin(cloud)


@app.command("list")
def list_networks(
    network: Annotated[
        str | None,
        typer.Option(help="Only of this network (id or name).", autocompletion=complete.networks),
    ] = None,
    site: OnlySite = None,
    long: Long = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """List presences: one row for each network and site. A table has names, where there are any."""
    from isthmus.operate import network as operate
    from isthmus.operate.site import say_empty

    api = _open(os_cloud).api
    rows = operate.list_presences(api, network=network, site=site)
    named = add_names(api, rows, get_type=lambda _: "network", **_KEYS)
    empty = "" if rows else say_empty(api, "No network is present at a site")
    _print(named, output, empty=empty, long=long)


@app.command("show")
def show_network(
    network: Network, output: Output = Format.TABLE, os_cloud: Cloud = DEFAULT_CLOUD
) -> None:
    """Show a network's sites, its datapath key and its leases. JSON and YAML have all ids."""
    from isthmus.operate import network as operate

    api = _open(os_cloud).api
    found = operate.get_network(api, network)
    if output is Format.TABLE:
        subnets = [{"type": "subnet", "id": one} for one in found["subnets"]]
        subnets = add_names(api, subnets, id_key="id")
        show = show_named(subnets, id_key="id")[RESOURCE]
        found["subnets"] = [show(one) for one in subnets]
        leases = found.pop("leases")
        found["leases"] = [f"{one['kind']} {one['site']}: {one['size']}" for one in leases]
    render.print_row(found, output)


@app.command("extend")
def extend_network(
    network: Network,
    sites: Annotated[
        list[str], typer.Argument(help="Sites to extend it to.", autocompletion=complete.sites)
    ],
    wait: Wait = 0.0,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Extend a network to sites now, before anybody uses it there.

    With --wait until the sites have it, with its subnets.
    """
    from isthmus.operate import network as operate

    api = _open(os_cloud).api
    rows = operate.extend_network(api, network, sites)
    see_through(f"Network {network} is extended", lambda: operate.say_extending(api, rows), wait)
    _print(rows, output)


@app.command("withdraw")
def withdraw_network(
    network: Network,
    site: Annotated[
        str, typer.Argument(help="The site that is to lose it.", autocompletion=complete.sites)
    ],
    wait: Wait = 0.0,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Withdraw a network from a site that has no port of it; with --wait until it has gone."""
    from isthmus.operate import network as operate

    api = _open(os_cloud).api
    row = operate.withdraw_network(api, network, site)
    see_through(f"Network {network} leaves", lambda: operate.say_withdrawing(api, row), wait)
    render.note(f"Network {network} {'has left' if wait else 'leaves'} site {site}.")


def _print(
    rows: Sequence[render.Row], output: Format, *, empty: str = "", long: bool = False
) -> None:
    """Print presences; a table has the networks' names, where each is one network's alone.

    Args:
        rows: with the names.
        output: in which form.
        empty: what is said where there are none.
        long: whether a table has the ids, too.
    """
    render.print_rows(
        sorted(rows, key=lambda row: (row["network_name"], row["network_id"], row["site"])),
        choose_columns(COLUMNS, long=long, **_KEYS),
        output,
        empty=empty,
        show={"created_at": render.show_since("created_at"), **show_named(rows, **_KEYS)},
    )
