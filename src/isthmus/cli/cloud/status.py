"""`isthmus status`: how every site stands, at a glance."""

import dataclasses
from typing import Any

import typer

from isthmus.cli import render
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output
from isthmus.cli.render import Format
from isthmus.model.form import counted
from isthmus.model.site import Reachability, SiteState

app = typer.Typer()

COLUMNS = (
    "name", "state", "reachability", "last_seen_at", "backlog", "parked", "oldest", "allocates",
    "ports_due", "waits_for", "last_error",
)  # fmt: skip


@app.command()
def status(output: Output = Format.TABLE, os_cloud: Cloud = DEFAULT_CLOUD) -> None:
    """Show how every site stands: reachable, backlog, parked jobs, whether it gives out addresses.

    Where a restored tier waits, it says for what, how many ports are due, and what to do next.
    """
    from isthmus.operate.status import collect_status
    from isthmus.wiring.admin import Admin

    found = collect_status(Admin(os_cloud))
    render.print_rows(
        [dataclasses.asdict(one) for one in found.sites],
        COLUMNS,
        output,
        show={
            "last_seen_at": render.show_since("last_seen_at"),
            "oldest": lambda row: render.format_age(row["oldest"]),
            "ports_due": lambda row: row["ports_due"] or "",
        },
    )
    if output is not Format.TABLE:
        return
    if not found.sites:
        render.note(
            "There are no sites, or none that you may see: that takes the role admin or "
            "isthmus_reader."
        )
        return
    _note_backlog(found.sites)
    _note_restores(found)


def _note_backlog(sites: Any) -> None:
    disabled = sorted(one.name for one in sites if one.state == SiteState.DISABLED)
    away = sorted(
        one.name
        for one in sites
        if one.reachability != Reachability.REACHABLE and one.name not in disabled
    )
    waiting = sum(one.backlog for one in sites)
    parked = sum(one.parked for one in sites)
    parts = [counted(len(sites), "site")]
    if disabled:  # nobody looks whether one answers
        parts.append(f"disabled: {', '.join(disabled)}")
    if away:
        parts.append(f"not reachable: {', '.join(away)}")
    elif len(disabled) < len(sites):
        parts.append("all others reachable" if disabled else "all reachable")
    render.note(f"{', '.join(parts)}; {counted(waiting, 'job')} under way.")
    if parked:
        render.note(
            f"{parked} parked or refused: isthmus job list --state parked shows what a site did "
            "not take, isthmus job refused what central did not take of a site"
        )


def _note_restores(found: Any) -> None:
    """Say which tiers give out no addresses, why, and what to do next."""
    from isthmus.operate.status import NO

    if found.awaited:
        render.note(
            "Central gives out no addresses: it was restored and waits for "
            f"{', '.join(found.awaited)} to register. One that will not come back: isthmus site "
            "go-on-without NAME"
        )
    elif found.central.settled is False:
        render.note(f"Central gives out no addresses: {found.central.reason}")
    elif found.central.silence:
        render.note(
            "Central did not say whether it gives out addresses "
            f"({found.central.silence}): ask again"
        )
    for one in found.sites:
        if one.allocates == NO:
            render.note(f"{one.name} gives out no addresses: {one.waits_for}")
        elif one.keeps:
            render.note(
                f"{one.name} was restored and keeps what its OVN has of other sites' ports and "
                f"routers: {one.keeps}"
            )
        if one.next_step:
            render.note(f"Next for {one.name}: {one.next_step}")
