"""`isthmus event`: what happened to sites, and to what central knows of objects there."""

import itertools
from typing import Annotated, Any

import typer

from isthmus.cli import complete, render
from isthmus.cli.cloud.names import (
    Long,
    Resources,
    add_names,
    choose_columns,
    find_resources,
    show_named,
)
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output, parse_moment
from isthmus.cli.render import Format

app = typer.Typer(no_args_is_help=True, help="Events: what happened, when, and who did it.")

COLUMNS = ("created_at", "site", "what", "type", "resource_name", "who", "details")
#: Events in a list, where nothing else is said.
_MOST = 100


@app.callback()
def _noun() -> None:
    """Events: what happened, when, and who did it."""


@app.command("list")
def list_events(
    site: Annotated[
        list[str] | None,
        typer.Option("--site", help="Only of this site.", autocompletion=complete.sites),
    ] = None,
    resource: Resources = None,
    what: Annotated[
        list[str] | None,
        typer.Option(
            "--what",
            help="Only this: site.unreachable; or all that begins so: site.",
            autocompletion=complete.events,
        ),
    ] = None,
    who: Annotated[list[str] | None, typer.Option("--who", help="Only what this one did.")] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only since then: 90s, 10m, 2h, 1d ago, or 2026-11-28T03:00 (UTC)."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only until then; as --since.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = _MOST,
    long: Long = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """List what happened, the newest first: to sites, mappings, homes, jobs, reports and leases.

    Central keeps events for 30 days, and the newest 10,000 of each site, unless its options say
    otherwise.
    """
    from isthmus.operate.site import require_found, say_empty
    from isthmus.wiring.admin import Admin

    chosen: dict[str, Any] = {"site": site, "resource_id": resource, "what": what, "who": who}
    chosen |= {"since": parse_moment(since), "until": parse_moment(until)}
    api = Admin(os_cloud).api
    chosen = find_resources(api, chosen)
    filters = {name: value for name, value in chosen.items() if value not in (None, [])}
    found = api.iterate(
        "site_event",
        sort_key="number",
        sort_dir="desc",
        page_size=min(limit + 1, 500),
        **filters,
    )
    rows = [*itertools.islice(found, limit + 1)]
    require_found(api, site or (), rows)
    if len(rows) > limit:
        rows = rows[:limit]
        if output is Format.TABLE:
            render.note(f"There are more: these are the newest {limit}; see --limit and --until.")
    named = add_names(api, rows, id_key="resource_id")
    render.print_rows(
        named,
        choose_columns(COLUMNS, id_key="resource_id", long=long),
        output,
        empty="" if rows else say_empty(api, "No event is like that"),
        show={
            "created_at": render.show_since("created_at"),
            **show_named(named, id_key="resource_id"),
        },
    )
