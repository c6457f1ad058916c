"""`isthmus lab external`: the world outside the sites of a lab."""

from typing import Annotated

import typer

from isthmus.cli import render
from isthmus.cli.lab_options import LabName, Site, open_lab
from isthmus.cli.options import Output
from isthmus.cli.render import Format

app = typer.Typer(no_args_is_help=True, help="The world outside the sites: networks and hosts.")

_COLUMNS = (
    "site",
    "network",
    "type",
    "physical_network",
    "vlan",
    "subnets",
    "gateways",
    "hosts",
)


@app.command("list")
def list_outside(name: LabName = "lab", output: Output = Format.TABLE) -> None:
    """List provider networks, with the gateways and hosts that answer there."""
    render.print_rows(
        open_lab(name).outside.list_rows(),
        _COLUMNS,
        output,
        empty="No site has an outside: its topology says gateways: 0.",
    )


@app.command("exec", context_settings={"ignore_unknown_options": True})
def run(
    site: Site,
    command: Annotated[list[str], typer.Argument(help="Behind --: what to run.")],
    name: LabName = "lab",
) -> None:
    """Run a command outside a site."""
    raise typer.Exit(open_lab(name).outside.exec(site, command))


@app.command(context_settings={"ignore_unknown_options": True})
def capture(
    site: Site,
    expression: Annotated[
        list[str] | None, typer.Argument(help="Behind --: what to show, as tcpdump has it.")
    ] = None,
    network: Annotated[str, typer.Option(help="flat or vlan; any if not said.")] = "any",
    count: Annotated[
        int, typer.Option("--count", "-c", min=0, help="End after so many packets; 0: go on.")
    ] = 0,
    name: LabName = "lab",
) -> None:
    """Show the packets that leave a site and come back, until Ctrl-C."""
    raise typer.Exit(open_lab(name).outside.capture(site, network, expression or [], count=count))
