"""What each tier knows of a port."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from typing import Any

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.clients.http.neutron import NeutronClient, promised
from isthmus.model.form import is_id
from isthmus.model.site import CENTRAL, SiteState
from isthmus.operate.cloud import SHOWS_NOTHING, Cloud
from isthmus.operate.port.agreement import (
    Location,
    OvnRow,
    PortView,
    Seen,
    judge,
    judge_central,
)

_HOST = "binding:host_id"
#: What `isthmus port show` looks at.
_PORT_FIELDS = ("id", "mac_address", "fixed_ips", "status", _HOST)


def collect_port(admin: Cloud, port: str) -> list[PortView]:
    """Read what central, and every site where its network is present, know of a port.

    A site is not asked for the port by its id, since it would show what central knows of one
    that it does not have.

    Args:
        admin: central, and the way to the sites.
        port: id or name, as central knows it.

    Raises:
        NotFound: there is no such port, at central or a site.
    """
    api = admin.api
    try:
        wanted = api.get_named("port", port)
    except errors.NotFound as error:
        return _collect_unreported(admin, port, error)
    central, network_id = _view_port(CENTRAL, wanted), wanted["network_id"]
    presences = api.list("site_presence", network_id=network_id)
    present = {row["site"]: not row["withdrawn"] for row in presences}
    sites = api.list("site", sort_key="name", sort_dir="asc")
    clients = {
        row["name"]: admin.open_site(row["name"], row["region"])
        for row in sites
        if row["name"] in present
    }
    with ThreadPoolExecutor(max_workers=len(clients) + 1) as threads:  # who hangs delays no other
        views = threads.map(
            lambda name: _look(name, clients[name], wanted["id"], network_id), clients
        )
        location, unseen = _find_location(admin.open_central(), wanted["id"], network_id)
        seen = [replace(one, is_present=present[one.view.tier]) for one in views]
    central = replace(central, error=unseen)
    judged = (judge(one, central, location) for one in seen)
    return [judge_central(central, location, seen), *judged]


def _collect_unreported(admin: Cloud, port: str, missing: errors.NotFound) -> list[PortView]:
    """Ask the sites for a port of which central has not heard: one that is cut off made it.

    Raises:
        NotFound: no site that answers has it.
    """
    rows = admin.api.list("site", sort_key="name", sort_dir="asc")
    asked = [row for row in rows if row["state"] != SiteState.DISABLED]
    if not asked:
        raise missing
    with ThreadPoolExecutor(max_workers=len(asked)) as threads:
        clients = (admin.open_site(row["name"], row["region"]) for row in asked)
        answers = threads.map(_find_own, (row["name"] for row in asked), clients, repeat(port))
        seen = [one for views in answers for one in views]
    found = [one for one in seen if one.known_as]
    if not found:
        silent = ", ".join(one.tier for one in seen)
        more = f"; not asked, since they do not answer: {silent}" if silent else ""
        raise errors.NotFound(f"{missing.message}{more}")
    central = PortView(CENTRAL, "nothing", agrees=False, differs=("has not heard of it",))
    return [central, *seen]


def _find_own(site: str, client: NeutronClient, port: str) -> list[PortView]:
    """List ports of a site by id or name; one that does not answer is one view, which says why."""
    by_name: dict[str, Any] = {} if is_id(port) else {"name": port}
    try:
        rows = AdminApi(client).list("port", fields=(*_PORT_FIELDS, "name"), **by_name)
        with promised(site):
            return [_view_port(site, row) for row in rows if port in (row["id"], row["name"])]
    except (errors.Transient, errors.ProtocolError) as error:
        return [PortView(site, "", error=error.message)]
    except errors.IsthmusError:
        return []  # not a site of ours, or nothing to be seen there


def _find_location(
    client: NeutronClient, port_id: str, network_id: str
) -> tuple[Location | None, str]:
    """Return what a port's home has reported of where it is; and why central did not say that."""
    try:
        rows = client.get_all("site_holding", network_id=network_id, fields="locations")
        with promised(client.name):
            found = [one for row in rows for one in row.get("locations") or ()]
            location = next((one for one in found if one["port_id"] == port_id), None)
            where = location and Location(str(location["site"]), _to_key(location["port_key"]))
    except errors.IsthmusError as error:
        return None, error.message
    return where, "" if rows else SHOWS_NOTHING.format(CENTRAL)


def _look(site: str, client: NeutronClient, port_id: str, network_id: str) -> Seen:
    """See what a site knows of a port; one that answers nothing of use is a view that says why."""
    api = AdminApi(client)
    try:
        with promised(site):
            view, shadow_key = _view(api, site, port_id, network_id)
    except errors.IsthmusError as error:
        return Seen(PortView(site, "", error=error.message))
    try:
        found = client.get_all("site_holding", network_id=network_id, fields="ovn")
        with promised(site):
            row, unseen = _find_row(site, found, port_id)
    except errors.IsthmusError as error:
        row, unseen = None, error.message
    key = None if row is None else row.key
    return Seen(replace(view, port_key=key, error=unseen), row, shadow_key)


def _find_row(site: str, found: Sequence[Row], port_id: str) -> tuple[OvnRow | None, str]:
    """Find the row of a port in a site's OVN, or why none was seen."""
    ovn = found[0].get("ovn") if len(found) == 1 else None
    if not isinstance(ovn, Mapping):
        return None, SHOWS_NOTHING.format(site)
    if ovn.get("unseen"):
        return None, str(ovn["unseen"])
    rows = [*ovn.get("ports", ()), *ovn.get("shadows", ())]
    row = next((one for one in rows if one["id"] == port_id), None)
    if row is None:
        return None, ""
    keys = _to_key(row["key"]), _to_key(row["requested_key"])
    return OvnRow(*keys, is_bound=bool(row.get("chassis"))), ""


def _view(api: AdminApi, site: str, port_id: str, network_id: str) -> tuple[PortView, int | None]:
    """Return what Neutron at a site knows of a port, and the key of a shadow."""
    for port in api.iterate("port", network_id=network_id, fields=_PORT_FIELDS):
        if port["id"] == port_id:
            return _view_port(site, port), None
    for shadow in api.list("site_shadow", id=port_id):
        view = PortView(
            site,
            "shadow",
            mac_address=str(shadow["mac_address"]),
            addresses=tuple(str(one) for one in shadow["addresses"]),
            host=f"{shadow['site']}/{shadow['hostname']}",
        )
        return view, _to_key(shadow["port_key"])
    return PortView(site, "nothing"), None


def _view_port(tier: str, port: Row) -> PortView:
    return PortView(
        tier,
        "port",
        mac_address=str(port["mac_address"]),
        addresses=tuple(sorted(str(one["ip_address"]) for one in port["fixed_ips"])),
        status=str(port["status"]),
        host=str(port.get(_HOST) or ""),
    )


def _to_key(value: object) -> int | None:
    """Read a tunnel key; there may be none.

    Raises:
        ValueError: it is no number.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{value!r} is no key")
