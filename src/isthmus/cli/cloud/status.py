"""`isthmus status`: how every site stands, at a glance."""

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console, Group
from rich.text import Text

from isthmus.cli import render
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output
from isthmus.cli.render import Format
from isthmus.cli.watch import Interval, Watched, check_interval, follow
from isthmus.errors import EXIT_FOUND
from isthmus.model.form import counted, format_age
from isthmus.model.site import Reachability, SiteState

app = typer.Typer()

COLUMNS = (
    "name", "state", "reachability", "last_seen_at", "served", "backlog", "parked", "oldest",
    "allocates", "ports_due", "waits_for", "last_error",
)  # fmt: skip
#: How a table shows some of them.
SHOW = {
    "last_seen_at": render.show_since("last_seen_at"),
    "oldest": lambda row: format_age(row["oldest"]),
    "ports_due": lambda row: row["ports_due"] or "",
}


@app.command()
def status(
    watch: Watched = False,
    interval: Interval = None,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Show how every site stands: reachable, backlog, parked jobs, whether it gives out addresses.

    What is wrong, and what to do next, is said on stderr, whatever the form of the answer. Ends
    with 1 where anything is wrong: a site that does not answer, or that no Xjob looks after, what
    is parked or refused, a restored tier that waits. A site that is disabled is not wrong, nor are
    jobs under way. With --watch it ends at Ctrl-C, with 130.
    """
    from isthmus.operate.status import collect_status
    from isthmus.wiring.admin import Admin

    every_s = check_interval(interval, watched=watch)
    admin = Admin(os_cloud, anew=True)  # each tier's Keystone is part of what is asked
    if watch:
        follow(
            lambda: collect_status(admin),
            draw=_draw,
            show=lambda found: _show(found, output),
            output=output,
            every_s=every_s,
        )
    found = collect_status(admin)
    _show(found, output)
    if found.troubles:
        raise typer.Exit(EXIT_FOUND)


def _show(found: Any, output: Format) -> None:
    render.print_rows(_list_rows(found), COLUMNS, output, show=SHOW)
    sys.stdout.flush()  # before what is said on stderr
    for sentence in _describe(found):
        render.note(sentence)


def _draw(console: Console, found: Any) -> Group:
    """Draw what the command says on stderr, and the table below it, which a screen may cut."""
    rows = _list_rows(found)
    table = [render.lay_out(console, rows, COLUMNS, show=SHOW)] if rows else []
    return Group(*(Text(sentence) for sentence in _describe(found)), *table)


def _list_rows(found: Any) -> list[dict[str, Any]]:
    """List the sites, each with what is wrong there."""
    troubles = found.troubles
    return [
        {
            **dataclasses.asdict(one),
            "troubles": [each.what for each in troubles if each.place == one.name],
        }
        for one in found.sites
    ]


def _describe(found: Any) -> Iterator[str]:
    """Write how many sites there are, what is wrong with each, and what to do next."""
    if not found.sites:
        yield "There is no site yet; add one with: isthmus site create NAME"
        return
    yield _summarise(found)
    for one in found.troubles:
        yield f"{one.what}."
        if one.next_step:
            yield f"Next for {one.place}: {one.next_step}"


def _summarise(found: Any) -> str:
    disabled = sorted(one.name for one in found.sites if one.state == SiteState.DISABLED)
    away = sorted(
        one.name
        for one in found.sites
        if one.reachability != Reachability.REACHABLE and one.name not in disabled
    )
    parts = [counted(len(found.sites), "site")]
    if disabled:  # nobody looks whether one answers
        parts.append(f"disabled: {', '.join(disabled)}")
    if away:
        parts.append(f"not reachable: {', '.join(away)}")
    elif len(disabled) < len(found.sites):
        unseen = any(one.served == "no" and one.name not in disabled for one in found.sites)
        all_of_them = "all others" if disabled else "all"
        parts.append(f"{all_of_them} reachable" + (" when last looked at" if unseen else ""))
    waiting = sum(one.backlog for one in found.sites)
    return f"{', '.join(parts)}; {counted(waiting, 'job')} under way."
