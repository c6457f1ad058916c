"""`isthmus lease`: which site gives out which addresses and port keys."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from isthmus.cli import render
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output
from isthmus.cli.render import Format
from isthmus.model.lease import PoolKind

app = typer.Typer(no_args_is_help=True, help="Leases: which site gives out which addresses.")

COLUMNS = ("kind", "pool_id", "site", "first", "last", "size", "created_at")

#: Numbers below this are IPv4 addresses where they are addresses at all.
_IPV4_END = 2**32


@app.callback()
def _noun() -> None:
    """Leases: which site gives out which addresses."""


@app.command("list")
def list_leases(
    pool: Annotated[
        str | None, typer.Option(help="Only of this subnet or network (id or name).")
    ] = None,
    site: Annotated[str | None, typer.Option(help="Only of this site, or of central.")] = None,
    kind: Annotated[PoolKind | None, typer.Option(help="Only of this kind.")] = None,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """List leases. A table shows addresses as such; JSON and YAML have plain numbers."""
    from isthmus.operate.lease import list_leases
    from isthmus.wiring.admin import Admin

    rows = list_leases(Admin(os_cloud).api, pool=pool, site=site, kind=kind.value if kind else None)
    render.print_rows(
        rows,
        COLUMNS,
        output,
        empty="Nothing is leased.",
        show={
            "first": lambda row: format_number(row, "first"),
            "last": lambda row: format_number(row, "last"),
        },
    )


def format_number(row: Mapping[str, Any], name: str) -> str:
    """Write an end of a block as a person reads it."""
    number = int(row[name])
    if row["kind"] != PoolKind.SUBNET:
        return str(number)
    if number < _IPV4_END:
        return str(ipaddress.IPv4Address(number))
    return str(ipaddress.IPv6Address(number))
