"""`isthmus job`: what is on its way to the sites, and what could not be done."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from isthmus.cli import complete, render
from isthmus.cli.cloud.names import (
    RESOURCE,
    Long,
    Resources,
    add_names,
    choose_columns,
    find_resources,
    show_named,
)
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output, Wait, confirm, parse_duration
from isthmus.cli.render import Format
from isthmus.cli.watch import see_through
from isthmus.model.form import counted, format_age
from isthmus.model.intent import JobState
from isthmus.model.resource import ResourceType

app = typer.Typer(no_args_is_help=True, help="Jobs: what is on its way to the sites.")

COLUMNS = ("id", "site", "type", "resource_name", "state", "attempts", "age", "last_error")

REFUSAL_COLUMNS = ("site", "type", "resource_name", "attributes", "reason", "changed_at")

Ids = Annotated[list[str] | None, typer.Argument(help="Ids of jobs.", autocompletion=complete.jobs)]
Sites = Annotated[
    list[str] | None,
    typer.Option("--site", help="Only for this site.", autocompletion=complete.sites),
]
Types = Annotated[list[ResourceType] | None, typer.Option("--type", help="Only of this type.")]
States = Annotated[list[JobState] | None, typer.Option("--state", help="Only in this state.")]
OlderThan = Annotated[
    str | None, typer.Option(metavar="SPAN", help="Only if first noted so long ago: 90s, 10m, 2h.")
]


def _open(cloud: str) -> Any:
    from isthmus.wiring.admin import Admin

    return Admin(cloud)


def _filters(
    site: list[str] | None,
    kind: list[ResourceType] | None,
    resource: list[str] | None,
    state: list[JobState] | None,
    older_than: str | None,
) -> dict[str, Any]:
    chosen = {
        "site": site,
        "type": [one.value for one in kind or ()],
        "resource_id": resource,
        "state": [one.value for one in state or ()],
        "age": parse_duration(older_than),
    }
    return {name: value for name, value in chosen.items() if value not in (None, [])}


@app.command("list")
def list_jobs(
    site: Sites = None,
    kind: Types = None,
    resource: Resources = None,
    state: States = None,
    older_than: OlderThan = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    marker: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Begin behind the job with this id.",
            autocompletion=complete.jobs,
        ),
    ] = None,
    long: Long = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """List jobs, oldest first. A table has the names of what they bring, where it has one."""
    options = _filters(site, kind, resource, state, older_than)
    api = _open(os_cloud).api
    if limit is not None:
        options["page_size"] = min(limit, 500)
    options = find_resources(api, options)
    rows = api.iterate("site_job", marker=marker, sort_key="created_at", sort_dir="asc", **options)
    chosen = [*itertools.islice(rows, limit)]
    _require_found(api, site, chosen)
    named = add_names(api, chosen, id_key="resource_id")
    render.print_rows(
        named,
        choose_columns(COLUMNS, id_key="resource_id", long=long),
        output,
        empty="" if chosen else _say_empty(api, "No job is waiting"),
        show={
            "age": lambda row: format_age(row["age"]),
            **show_named(named, id_key="resource_id"),
        },
    )


@app.command("refused")
def list_refused(
    site: Sites = None,
    resource: Resources = None,
    long: Long = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """List what sites report and central does not take: whole ports, or attributes of them.

    The site keeps such a report parked and tells it again with the port's next change. It is shown
    until central takes it or the port is gone.
    """
    wanted = {"site": site, "resource_id": resource}
    filters = {name: value for name, value in wanted.items() if value}
    api = _open(os_cloud).api
    filters = find_resources(api, filters)
    rows = [*api.iterate("site_refusal", sort_key="created_at", sort_dir="asc", **filters)]
    _require_found(api, site, rows)
    empty = "" if rows else _say_empty(api, "Nothing is refused")
    named = add_names(api, rows, id_key="resource_id")
    render.print_rows(
        named,
        choose_columns(REFUSAL_COLUMNS, id_key="resource_id", long=long),
        output,
        empty=empty,
        show={
            "changed_at": render.show_since("changed_at"),
            **show_named(named, id_key="resource_id"),
        },
    )


@app.command("show")
def show_job(
    job: Annotated[str, typer.Argument(help="Id of the job.", autocompletion=complete.jobs)],
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Show a job, with the reason for which it waits."""
    api = _open(os_cloud).api
    (found,) = add_names(api, [api.get("site_job", job)], id_key="resource_id")
    name = found.pop(RESOURCE)
    row: dict[str, Any] = {}
    for key, value in found.items():
        if key == "resource_id":
            row[RESOURCE] = name
        row[key] = format_age(value) if key == "age" and output is Format.TABLE else value
    render.print_row(row, output)


@app.command("retry")
def retry_jobs(
    jobs: Ids = None,
    site: Sites = None,
    kind: Types = None,
    resource: Resources = None,
    state: States = None,
    older_than: OlderThan = None,
    wait: Wait = 0.0,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Try jobs again at once, parked ones too: by id, or all that the options choose.

    With --wait until all are done: the end is 2 where a site refuses one again.
    """
    from isthmus.operate.cloud import say_jobs

    filters = _filters(site, kind, resource, state, older_than)
    api, chosen = _choose(os_cloud, jobs, filters)
    _act(api, chosen, "retry", "due")
    see_through("Jobs are tried again", lambda: say_jobs(api, chosen), wait)
    if wait:
        _say(len(chosen), "done")


@app.command("cancel")
def cancel_jobs(
    jobs: Ids = None,
    site: Sites = None,
    kind: Types = None,
    resource: Resources = None,
    state: States = None,
    older_than: OlderThan = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Drop jobs: the site keeps what it has until the object changes again."""
    filters = _filters(site, kind, resource, state, older_than)
    api, chosen = _choose(os_cloud, jobs, filters)
    if chosen and not yes:
        confirm(f"Drop {counted(len(chosen), 'job')}, with what they were to bring?")
    _act(api, chosen, "cancel", "dropped")


def _choose(cloud: str, ids: list[str] | None, filters: Mapping[str, Any]) -> tuple[Any, list[str]]:
    if bool(ids) == bool(filters):
        raise typer.BadParameter("say which jobs: either their ids, or options such as --site")
    api = _open(cloud).api
    if ids:
        return api, _find(api, ids)
    rows = api.list("site_job", **find_resources(api, filters))
    _require_found(api, filters.get("site"), rows)
    return api, [row["id"] for row in rows]


def _find(api: Any, ids: list[str]) -> list[str]:
    """Return the jobs that exist, before anybody is asked about them.

    Raises:
        NotFound: none of them does.
    """
    from isthmus import errors
    from isthmus.clients.http.admin import IDS_IN_CALL

    there = {
        row["id"]
        for at in range(0, len(ids), IDS_IN_CALL)
        for row in api.list("site_job", id=ids[at : at + IDS_IN_CALL])
    }
    gone = [one for one in ids if one not in there]
    said = f"there is no job {', '.join(gone)}: a job goes when it is done"
    if not there:
        raise errors.NotFound(said)
    if gone:
        render.note(f"{said[0].upper()}{said[1:]}.")
    return [one for one in ids if one in there]


def _say_empty(api: Any, said: str) -> str:
    from isthmus.operate.site import say_empty

    return say_empty(api, said)


def _say(count: int, what: str) -> None:
    render.note(f"{counted(count, 'job')} {'is' if count == 1 else 'are'} {what}.")


def _require_found(api: Any, names: list[str] | None, rows: list[Any]) -> None:
    """Refuse a site that does not exist, where nothing was found of it."""
    from isthmus.operate.site import require_found

    require_found(api, names or (), rows)


def _act(api: Any, ids: Iterable[str], action: str, what: str) -> None:
    """Act on each job, and tell of how many; one that is refused keeps none of the others.

    Raises:
        Conflict: some were refused; the first of them.
    """
    from isthmus import errors

    done, refused = 0, list[errors.Conflict]()
    for job in ids:
        try:
            api.act("site_job", job, action)
        except errors.NotFound as error:
            render.note(f"{error.message}: it is done")
        except errors.Conflict as error:
            refused.append(error)
        else:
            done += 1
    if done or not refused:
        _say(done, what)
    for other in refused[1:]:
        render.note(other.message)
    if refused:
        raise refused[0]
