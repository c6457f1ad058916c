"""`isthmus router`: where routers are, and by which sites their traffic leaves."""

from typing import Annotated

import typer

from isthmus.cli import complete, render
from isthmus.cli.cloud.names import RESOURCE, Long, add_names, choose_columns, show_named
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, OnlySite, Output
from isthmus.cli.render import Format

app = typer.Typer(
    no_args_is_help=True, help="Routers: by which sites their traffic leaves, and why not."
)

COLUMNS = ("name", "sites", "exits", "floating_ips", "idle")
EXIT_COLUMNS = ("site", "state", "ipv4", "ipv6", "gateway", "transit")
FLOATING_COLUMNS = ("floating_ip", "fixed_ip", "lives_at", "translated_at")
FORWARDING_COLUMNS = ("forwarded", "to", "lives_at", "answered_at")


@app.callback()
def _noun() -> None:
    """Routers: by which sites their traffic leaves, and why not."""


@app.command("list")
def list_routers(
    site: OnlySite = None,
    long: Long = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """List routers: the sites of each, those by which it leaves, and idle floating IPs."""
    from isthmus.operate import router as operate
    from isthmus.operate.site import say_empty
    from isthmus.wiring.admin import Admin

    api = Admin(os_cloud).api
    rows = operate.list_routers(api, site=site)
    empty = "" if rows else say_empty(api, "There is no router")
    keys = {"id_key": "id", "name_key": "name"}
    render.print_rows(
        rows,
        choose_columns(COLUMNS, long=long, **keys),
        output,
        empty=empty,
        show=show_named(rows, **keys),
    )


@app.command("show")
def show_router(
    router: Annotated[
        str, typer.Argument(help="Id or name of the router.", autocompletion=complete.routers)
    ],
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Show by which site the traffic of each site of a router leaves, or why by none.

    Floating IPs are shown with the site that translates them, port forwardings with the one that
    answers; one that works nowhere says why.
    JSON and YAML have everything that sites are told: routes, policies, translations and the
    transit network.
    """
    from isthmus.operate import router as operate
    from isthmus.wiring.admin import Admin

    api = Admin(os_cloud).api
    found = operate.get_router(api, router)
    if output is not Format.TABLE:
        render.print_row(found, output)
        return
    render.print_rows(
        operate.list_exits(found), EXIT_COLUMNS, output, empty="The router is at no site."
    )
    if found["floating_ips"]:
        print()
        render.print_rows(operate.list_floating(found), FLOATING_COLUMNS, output)
    if forwardings := operate.list_forwardings(found):
        print()
        render.print_rows(forwardings, FORWARDING_COLUMNS, output)
    seatless = [{"type": "network", "id": one} for one in operate.list_seatless(found)]
    for one in add_names(api, seatless, id_key="id"):
        name = one[RESOURCE] or one["id"]
        render.note(f"The gateway on network {name} is nowhere: all its sites are disabled.")
