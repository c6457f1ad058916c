"""`isthmus lab link`: the links by which sites reach central and each other."""

from typing import Annotated

import typer

from isthmus.cli import render
from isthmus.cli.lab_options import LabName, Site, as_option, open_lab
from isthmus.cli.options import Output
from isthmus.cli.render import Format

app = typer.Typer(no_args_is_help=True, help="WAN links of the sites.")


@app.command("list")
def list_links(name: LabName = "lab", output: Output = Format.TABLE) -> None:
    """List the WAN links of the sites."""
    render.print_rows(open_lab(name).wan.list_links(), ("site", "state", "rtt_ms"), output)


@app.command("cut")
def cut_link(site: Site, name: LabName = "lab") -> None:
    """Cut a site off: control and data, at once."""
    lab = open_lab(name)
    lab.wan.cut(lab.plan.get_site(site))
    render.note(
        f"{site} is cut off. To have it back: isthmus lab link restore {site}{as_option(name)}"
    )


@app.command("restore")
def restore_link(site: Site, name: LabName = "lab") -> None:
    """Restore a site's link: neither cut nor slow."""
    lab = open_lab(name)
    lab.wan.restore(lab.plan.get_site(site))
    render.note(f"The link of {site} is restored.")


@app.command("delay")
def delay_link(
    site: Site,
    rtt_ms: Annotated[float, typer.Argument(help="Round trip to add, in ms; 0 for none.")],
    name: LabName = "lab",
) -> None:
    """Make a site's link slow."""
    lab = open_lab(name)
    lab.wan.delay(lab.plan.get_site(site), rtt_ms)
    render.note(f"The link of {site} has {rtt_ms:g} ms more round trip.")
