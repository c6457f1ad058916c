"""`isthmus lease`: which site gives out which addresses and port keys."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from isthmus.cli import complete, render
from isthmus.cli.cloud.names import Long, add_names, choose_columns, show_named
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output, Wait
from isthmus.cli.render import Format
from isthmus.cli.watch import see_through
from isthmus.model.lease import PoolKind, show_number

app = typer.Typer(no_args_is_help=True, help="Leases: which site gives out which addresses.")

#: What of Neutron a pool is.
_POOLS = {PoolKind.SUBNET: "subnet", PoolKind.PORT_KEY: "network"}

COLUMNS = ("kind", "pool_name", "site", "first", "last", "size", "created_at")


@app.callback()
def _noun() -> None:
    """Leases: which site gives out which addresses."""


@app.command("list")
def list_leases(
    pool: Annotated[
        str | None,
        typer.Option(
            help="Only of this subnet or network (id or name).", autocompletion=complete.pools
        ),
    ] = None,
    site: Annotated[
        str | None,
        typer.Option(help="Only of this site, or of central.", autocompletion=complete.sites),
    ] = None,
    kind: Annotated[PoolKind | None, typer.Option(help="Only of this kind.")] = None,
    long: Long = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """List leases. A table has addresses and names; JSON and YAML have plain numbers and ids."""
    from isthmus.operate.lease import list_leases
    from isthmus.operate.site import say_empty
    from isthmus.wiring.admin import Admin

    api = Admin(os_cloud).api
    rows = list_leases(api, pool=pool, site=site, kind=kind.value if kind else None)
    keys = {"id_key": "pool_id", "name_key": "pool_name"}
    named = add_names(api, rows, get_type=lambda row: _POOLS[PoolKind(row["kind"])], **keys)
    columns = choose_columns(COLUMNS, long=long, **keys)
    render.print_rows(
        named,
        [*(["id"] if long else []), *columns],
        output,
        empty="" if rows else say_empty(api, "No lease is like that"),
        show={
            **show_named(named, **keys),
            "first": lambda row: _show(row, "first"),
            "last": lambda row: _show(row, "last"),
            "created_at": render.show_since("created_at"),
        },
    )


@app.command("return")
def return_lease(
    site: Annotated[
        str, typer.Argument(help="Name of the site that has it.", autocompletion=complete.sites)
    ],
    lease: Annotated[str, typer.Argument(help="Id of the lease, as the audit names it.")],
    wait: Wait = 0.0,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Have a site give back a lease, or the part of one, that is not its own by central's word.

    What central has leased to it stays. Ports that have addresses of it keep them. With --wait
    until the site has been told.
    """
    from isthmus.operate import lease as operate
    from isthmus.wiring.admin import Admin

    api = Admin(os_cloud).api
    name = operate.return_lease(api, site, lease)
    if wait:
        see_through(f"Lease {lease}", lambda: operate.say_returning(api, name, lease), wait)
        render.note(f"Site {site} has been told what is its own of lease {lease}.")
        return
    render.note(
        f"Site {site} is told what is its own of lease {lease}; isthmus job list --site {site} "
        "shows it under way."
    )


def _show(row: Mapping[str, Any], end: str) -> str:
    """Write an end of a block as a person reads it."""
    return show_number(PoolKind(row["kind"]), int(row[end]))
