"""`isthmus cell servers`: one list over all cells."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus import errors
from isthmus.cli import render
from isthmus.cli.compute.check import check_timeout
from isthmus.cli.options import Output
from isthmus.cli.render import Format, note
from isthmus.config.nova import NOVA_FILE
from isthmus.errors import EXIT_FOUND
from isthmus.model.form import counted, is_id

if TYPE_CHECKING:
    from isthmus.cells.servers.listing import Listing
    from isthmus.model.compute.server import ServerFilters
    from isthmus.wiring.compute.servers import Directory

#: What Nova gives at most ([api] max_limit).
LIMIT = 1000


def show_servers(
    all_projects: Annotated[
        bool, typer.Option("--all-projects", help="Servers of every project.")
    ] = False,
    project: Annotated[str, typer.Option("--project", help="Id of the project.")] = "",
    user: Annotated[str, typer.Option("--user", help="Id of the user who made them.")] = "",
    name: Annotated[str, typer.Option("--name", help="Regular expression.")] = "",
    status: Annotated[
        list[str] | None,
        typer.Option("--status", help="Such as ACTIVE; several may be given."),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Compute host.")] = "",
    node: Annotated[str, typer.Option("--node", help="Regular expression.")] = "",
    zone: Annotated[str, typer.Option("--zone", help="Regular expression.")] = "",
    flavor: Annotated[str, typer.Option("--flavor", help="Name or id.")] = "",
    image: Annotated[str, typer.Option("--image", help="Id of the image.")] = "",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="All that are given must be there.")
    ] = None,
    locked: Annotated[bool | None, typer.Option("--locked/--unlocked", help="Only these.")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Only deleted ones.")] = False,
    changes_since: Annotated[
        str, typer.Option("--changes-since", help="Changed since then, deleted ones too.")
    ] = "",
    changes_before: Annotated[
        str, typer.Option("--changes-before", help="Changed before then, deleted ones too.")
    ] = "",
    sort: Annotated[
        list[str] | None,
        typer.Option("--sort", metavar="KEY[:desc]", help="The newest first without."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="0 for all.")] = LIMIT,
    marker: Annotated[
        str, typer.Option("--marker", help="Go on after the server with this id.")
    ] = "",
    fields: Annotated[
        list[str] | None, typer.Option("--fields", metavar="F,G", help="What is shown of each.")
    ] = None,
    nova_conf: Annotated[
        list[Path] | None, typer.Option("--nova-conf", help=f"Nova's file, else {NOVA_FILE}.")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="For each cell, in seconds.")
    ] = 10.0,
    output: Output = Format.TABLE,
) -> None:
    """List servers of all cells in one order.

    All cells are asked at once. The servers of a cell that does not answer in time come last,
    with the status UNKNOWN, and the exit code is 1. Reads Nova's databases and writes nothing.
    """
    from isthmus.cells.servers import view
    from isthmus.cells.servers.order import plan_order
    from isthmus.model.compute.server import ServerFilters, ServerQuery
    from isthmus.wiring.compute.servers import open_directory, open_listing

    check_timeout(timeout)
    if bool(project) == all_projects:
        raise errors.Invalid("give --project with an id, or --all-projects")
    if marker and not is_id(marker):
        raise errors.Invalid(f"--marker {marker!r} is no id of a server")
    columns, details = view.plan_fields(fields or ())
    order = plan_order(sort or ())
    vm_states, task_states = view.plan_states(status or ())
    since, before = _parse_time(changes_since), _parse_time(changes_before)
    given = {"display_name": name, "node": node, "availability_zone": zone}
    patterns = {column: pattern for column, pattern in given.items() if pattern}
    filters = ServerFilters(
        project_id=project,
        user_id=user,
        host=host,
        image_ref=image,
        vm_states=vm_states,
        task_states=task_states,
        locked=locked,
        patterns=patterns,
        tags=tuple(tag or ()),
        changes_since=since,
        changes_before=before,
        deleted=True
        if deleted or vm_states == ("deleted",)
        else None
        if since or before
        else False,
    )
    directory = open_directory(nova_conf or [NOVA_FILE], timeout)
    if patterns:
        directory.mappings.check_patterns(patterns.values())
    if flavor:
        filters = _add_flavor(filters, directory, flavor)
    query = ServerQuery(order=order, filters=filters, details=details)
    listing = open_listing(directory, query, limit=limit or None, marker=marker, budget_s=timeout)
    rows = _list_rows(listing, directory, columns)
    render.print_stream(rows, columns, output, empty="No servers.")
    if listing.silent:
        _say_silent(listing, directory)
        raise typer.Exit(EXIT_FOUND)


def _list_rows(
    listing: "Listing", directory: "Directory", columns: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    from isthmus.cells.servers import view
    from isthmus.cells.servers.listing import list_unknown

    names = {one.cell.uuid: one.cell.name for one in directory.cells}
    for row in listing:
        yield view.render_row(row, columns, names)
    if _shows_unknown(listing):
        for cell, mapping in list_unknown(
            listing, directory.mappings, listing.query.filters.project_id
        ):
            yield view.render_unknown(cell, mapping, columns)


def _shows_unknown(listing: "Listing") -> bool:
    """Tell whether what mappings say is enough: they know neither other filters nor the order."""
    return not listing.query.filters.narrows and listing.query.after is None


def _say_silent(listing: "Listing", directory: "Directory") -> None:
    for cell in listing.silent:
        count = directory.mappings.count_unknown(cell.uuid, listing.query.filters.project_id)
        given = listing.given.get(cell.uuid, 0)
        if given:
            what = f"fell silent after {given} of its {counted(count, 'server')}"
        elif _shows_unknown(listing):
            what = f"does not answer, {counted(count, 'server')} of it UNKNOWN"
        else:
            what = f"does not answer, {counted(count, 'server')} of it left out, matching or not"
        note(f"Cell {cell.name} {what}: {cell.error}.")


def _add_flavor(filters: "ServerFilters", directory: "Directory", flavor: str) -> "ServerFilters":
    import dataclasses

    found = directory.mappings.find_flavor(flavor)
    if found is None:
        raise errors.NotFound(f"there is no flavor {flavor!r}")
    return dataclasses.replace(filters, flavor_id=found)


def _parse_time(text: str) -> datetime.datetime | None:
    if not text:
        return None
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise errors.Invalid(f"{text!r} is no time such as 2026-11-28T09:00:00Z") from None
    return found.astimezone(datetime.UTC).replace(tzinfo=None) if found.tzinfo else found
