"""Sites: going on without one, and its removal."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.model.form import counted, name_near
from isthmus.model.site import CENTRAL, Reachability, SiteState
from isthmus.operate.cloud import Cloud
from isthmus.operate.gone import GONE, Gone, find_gone


@dataclass(frozen=True, slots=True)
class GoneOn:
    """What came of going on without a site."""

    site: Row  #: as central has it now
    waited: bool  #: whether central waited for it
    still: tuple[str, ...]  #: the sites that central waits for now


def require_sites(api: AdminApi, names: Iterable[str]) -> None:
    """Check names of sites by which nothing was found: one may be written wrong.

    Central and removed sites hold things as well. Who may see no site is told nothing. Lists are
    narrowed by names alone, so an id is as wrong there.

    Raises:
        NotFound: there is no such site; says which names come near, or the name behind an id.
    """
    _require(api, names, or_ids=False)


def _require(api: AdminApi, names: Iterable[str], *, or_ids: bool) -> None:
    wanted = [one for one in names if one != CENTRAL and not one.startswith(GONE)]
    if not wanted:
        return
    known = api.list("site")
    there = {row["name"] for row in known}
    ids = {row["id"]: row["name"] for row in known}
    for one in wanted:
        if one in there or not known:
            continue
        if one in ids and not or_ids:
            raise errors.NotFound(f"{one} is the id of {ids[one]}: give its name")
        if one not in ids:
            near = name_near(one, [row["name"] for row in known])
            raise errors.NotFound(f"there is no site {one!r}{near}")


def require_found(api: AdminApi, names: Iterable[str], rows: Iterable[Row]) -> None:
    """Check those of the sites asked for of which no row was found.

    Args:
        api: of central.
        names: of the sites that a list was narrowed to.
        rows: of the list, each with its `site`.

    Raises:
        NotFound: one of them does not exist; says which names come near.
    """
    found = {row["site"] for row in rows}
    require_sites(api, [one for one in names if one not in found])


def say_empty(api: AdminApi, said: str) -> str:
    """Print that a list is empty, and to who may see no site at all that this may be why."""
    if api.list("site", fields=["id"]):
        return f"{said}."
    return f"{said}, or none that you may see: that takes the role admin or isthmus_reader."


@contextlib.contextmanager
def naming(api: AdminApi, *names: str) -> Iterator[None]:
    """Have an error that something was not found say which names of sites come near.

    Args:
        api: of central.
        names: the names that were given as those of sites.

    Raises:
        NotFound: what the calls inside found missing.
    """
    try:
        yield
    except errors.NotFound:
        _require(api, names, or_ids=True)
        raise


def get_site(api: AdminApi, name: str, **query: Any) -> Row:
    """Get a site by its name or its id.

    Raises:
        NotFound: there is none; says which names come near.
    """
    with naming(api, name):
        return api.get("site", name, **query)


def create_site(admin: Cloud, body: Mapping[str, Any]) -> tuple[Row, str]:
    """Add a site; give it, and what is to be looked at, empty where nothing is.

    Args:
        admin: central, and the way to the sites.
        body: the attributes of the site.

    Raises:
        Exists: its name, region or service user is another site's.
    """
    made = admin.api.create("site", body)
    try:
        if admin.open_site(made["name"], made["region"]).has_endpoint():
            return made, ""
    except errors.IsthmusError as error:  # the site is made all the same
        return made, (
            f"Whether Keystone's catalogue has a network endpoint in region {made['region']!r} was "
            f"not found out: {error.message}"
        )
    return made, (
        f"Keystone's catalogue has no network endpoint in region {made['region']!r}: nothing gets "
        "to the site before it has one. Where the name is wrong: isthmus site update "
        f"{made['name']} --region NAME"
    )


def update_site(api: AdminApi, name: str, body: Mapping[str, Any]) -> Row:
    """Change a site, by its name or its id.

    Raises:
        NotFound: there is none; says which names come near.
    """
    with naming(api, name):
        return api.update("site", name, body)


def say_joining(api: AdminApi, name: str) -> str:
    """Describe what a site that was added or enabled waits for; nothing where it takes part.

    Args:
        api: of central.
        name: of the site.

    Raises:
        NotFound: there is no such site any more.
        Conflict: it is disabled.
    """
    row = get_site(api, name)
    if row["state"] == SiteState.DISABLED:
        raise errors.Conflict(f"site {name} is disabled: nobody looks whether it answers")
    if row["reachability"] != Reachability.REACHABLE:
        why = f": {row['last_error']}" if row["last_error"] else ""
        return f"site {name} has yet to answer Xjob{why}"
    return f"site {name}: {row['waits_for']}" if row.get("waits_for") else ""


def go_on_without(api: AdminApi, name: str, confirm: Callable[[], None]) -> GoneOn:
    """Have central wait no longer for a site to register.

    Args:
        api: of central.
        name: of the site.
        confirm: raises where the person does not want it; asked only where central does wait.

    Raises:
        NotFound: there is no such site.
    """
    row = get_site(api, name)
    waited = bool(row["waits_for"])
    if waited:
        confirm()
        row = api.act("site", row["id"], "go_on_without")
    sites = api.list("site", sort_key="name", sort_dir="asc")
    return GoneOn(row, waited, tuple(one["name"] for one in sites if one.get("waits_for")))


def preview_delete(api: AdminApi, name: str) -> Row:
    """Get a site with what it holds, before it is deleted.

    Raises:
        NotFound: there is none.
        InUse: it holds objects and is not disabled.
    """
    row = get_site(api, name, fields=["id", "name", "state", "holds"])
    if is_holding(row) and row["state"] != SiteState.DISABLED:
        raise errors.InUse(
            f"site {name} is {row['state']} and holds {describe(row['holds'])}. Where it is lost: "
            f"isthmus site disable {name}; else drain it, and withdraw its networks"
        )
    return row


def is_holding(row: Row) -> bool:
    """Tell whether a site holds anything."""
    return any(row["holds"].values())


def describe(holds: Mapping[str, int]) -> str:
    """Write in words what a site holds."""
    return ", ".join(
        counted(count, word)
        for word, count in (
            ("network", holds["networks"]),
            ("port", holds["ports"]),
            ("address", holds["addresses"]),
            ("port key", holds["port_keys"]),
        )
    )


def delete_site(api: AdminApi, shown: Row) -> Gone | None:
    """Delete a site, if it holds what was shown; give what it has not let go of.

    Args:
        api: of central.
        shown: the site, from `preview_delete`.

    Raises:
        NotFound: it is gone.
        InUse: it holds objects and is not disabled.
        Conflict: it holds something else by now.
    """
    api.act("site", shown["id"], "remove_site", {"holds": shown["holds"]})
    return find_gone(api, shown["id"])
