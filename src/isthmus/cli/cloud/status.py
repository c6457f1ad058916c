"""`isthmus status`: how every site stands, at a glance."""

import dataclasses

import typer

from isthmus.cli import render
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output
from isthmus.cli.render import Format
from isthmus.model.site import Reachability

app = typer.Typer()

COLUMNS = (
    "name", "state", "reachability", "last_seen_at", "backlog", "parked", "oldest", "waits_for",
    "last_error",
)  # fmt: skip


@app.command()
def status(output: Output = Format.TABLE, os_cloud: Cloud = DEFAULT_CLOUD) -> None:
    """Show how every site stands: reachable, backlog, parked jobs, age of the oldest."""
    from isthmus.operate.site import collect_status
    from isthmus.wiring.admin import Admin

    sites = collect_status(Admin(os_cloud).api)
    render.print_rows(
        [dataclasses.asdict(one) for one in sites],
        COLUMNS,
        output,
        show={"oldest": lambda row: render.format_age(row["oldest"])},
    )
    if output is not Format.TABLE:
        return
    if not sites:
        render.note(
            "There are no sites, or none that you may see: that takes the role admin or "
            "isthmus_reader."
        )
        return
    away = [one.name for one in sites if one.reachability != Reachability.REACHABLE]
    waiting = sum(one.backlog for one in sites)
    parked = sum(one.parked for one in sites)
    sentence = f"{len(sites)} sites"
    sentence += f", not reachable: {', '.join(away)}" if away else ", all reachable"
    sentence += f"; {waiting} jobs under way"
    render.note(sentence + ".")
    if parked:
        render.note(
            f"{parked} parked or refused: isthmus job list --state parked shows what a site did "
            "not take, isthmus job refused what central did not take of a site"
        )
    waits = [one.name for one in sites if one.waits_for]
    if waits:
        render.note(
            f"Central gives out no addresses: it was restored and waits for {', '.join(waits)} to "
            "register. One that will not come back: isthmus site go-on-without NAME"
        )
