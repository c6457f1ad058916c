"""Ports: what each tier knows of one, and what an operator has its home do with it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.clients.http.neutron import NeutronClient
from isthmus.model.form import is_id, is_name
from isthmus.model.site import CENTRAL, SiteState
from isthmus.operate.cloud import SHOWS_NOTHING, Cloud, calling, say_under_way

_HOST, _VIF_TYPE = "binding:host_id", "binding:vif_type"
_FAILED = "binding_failed"
#: What the owners of ports begin with that Neutron itself uses: of routers, of DHCP.
_OF_NEUTRON = "network:"
#: What `isthmus port show` looks at.
_PORT_FIELDS = ("id", "mac_address", "fixed_ips", "status", _HOST)


@dataclass(frozen=True, slots=True)
class PortView:
    """What one tier knows of a port."""

    tier: str
    known_as: str  #: "port", "shadow", "nothing", or "" where the tier did not answer
    mac_address: str = ""
    addresses: tuple[str, ...] = ()
    status: str = ""
    host: str = ""
    port_key: int | None = None  #: OVN's at the tier; at central what the home has reported
    #: whether it is as central, the home and this tier's OVN have it; None where that was not seen
    agrees: bool | None = None
    differs: tuple[str, ...] = ()  #: what is not
    error: str = ""  #: why the tier did not answer, or did not show its OVN


@dataclass(frozen=True, slots=True)
class _Seen:
    """A tier's view, and the row of its OVN."""

    view: PortView
    row: Row | None = None  #: of the part `ovn` of its holdings; None where there is none
    shadow_key: int | None = None  #: that Neutron there asks for
    is_present: bool = True  #: whether the network is to stay at the site


def release_port(api: AdminApi, port: str, *, force: bool) -> Row:
    """Release a port from its home.

    Args:
        api: central.
        port: id or name, as central knows it.
        force: forget the home at once.

    Returns:
        The site mapping as it was: the port and its home.

    Raises:
        NotFound: there is no such port, or it lives nowhere.
        Refused: the caller may not see where ports live.
        Conflict: it is in use there, or that site cannot be reached, and no force is used.
    """
    wanted = api.get_named("port", port, fields=["id"])
    home = _get_home(api, wanted["id"], port)
    with calling(wanted["id"], port):
        api.act("site_mapping", home["id"], "release", {"force": force})
    return home


def _get_home(api: AdminApi, port_id: str, port: str) -> Row:
    """Return the site mapping of a port; whom an empty list of them tells nothing is refused.

    Raises:
        NotFound: it lives nowhere.
        Refused: the caller may not see where ports live.
    """
    rows = api.list("site_mapping", type="port", resource_id=port_id)
    if not rows:
        if not api.shows_holdings():
            raise errors.Refused(SHOWS_NOTHING.format(CENTRAL))
        raise errors.NotFound(f"port {port} lives nowhere: the first site to use it has it")
    return rows[0]


def say_releasing(api: AdminApi, mapping: Row) -> str:
    """Describe what a port that is released waits for; nothing where its home has let go.

    Args:
        api: central.
        mapping: as `release_port` returned it.

    Raises:
        Refused: the home refused to let go, or the port is used there again.
    """
    site, port_id = mapping["site"], mapping["resource_id"]
    left = api.list("site_mapping", type="port", resource_id=port_id, site=site)
    if not left:
        return ""
    if not left[0]["withdrawn"]:
        raise errors.Conflict(f"the port is used at site {site} again: it stays there")
    jobs = say_under_way(api, site=site, resource_id=port_id)
    return jobs or f"site {site} has yet to say that it has let go"


@dataclass(frozen=True, slots=True)
class Bound:
    """A port that was bound again."""

    site: str
    host: str
    before: str  #: where it was bound, or was to be; empty for nowhere


def rebind_port(admin: Cloud, port: str, host: str | None = None) -> Bound:
    """Have the home of a port bind it again, to the same hypervisor or another one.

    Neutron binds a port that failed with its next change, and one that is bound only where its host
    changes: a bound one is unbound first, if it is to stay where it is.

    Args:
        admin: central, and the way to the sites.
        port: id or name, as central knows it.
        host: the name of the hypervisor, as the site's Neutron has it; None for the one that it is
            bound to, or was to be.

    Raises:
        NotFound: there is no such port, or it lives nowhere, or its home does not have it.
        Conflict: it is bound to nothing, and no hypervisor is named; it is no port of a server; or
            somebody else binds it meanwhile.
        Refused: the site could not bind it, or the caller may not see where ports live.
        Invalid: the hypervisor's name is none.
    """
    if host is not None and not is_name(host):
        raise errors.Invalid(f"{host[:100]!r} is no name of a hypervisor")
    wanted = admin.api.get_named("port", port, fields=["id", "network_id", "device_owner"])
    owner = str(wanted.get("device_owner") or "")
    if owner.startswith(_OF_NEUTRON):
        raise errors.Conflict(
            f"port {port} is no server's ({owner}): Neutron has it on whichever hypervisor needs it"
        )
    site = str(_get_home(admin.api, wanted["id"], port)["site"])
    api = AdminApi(admin.open_site(site, _find_region(admin.api, site)))
    there = _find_own_port(api, wanted)
    if there is None:
        raise errors.NotFound(
            f"site {site} is the home of port {port} and does not have it: isthmus site resync "
            f"{site} sends it"
        )
    before, failed = str(there.get(_HOST) or ""), there.get(_VIF_TYPE) == _FAILED
    chosen = host or before
    if not chosen:
        raise errors.Conflict(
            f"port {port} is bound to no hypervisor, as one that no server uses, or that somebody "
            "is binding just now: say which with --host"
        )
    made = _bind(api, wanted, port, Bound(site, chosen, before), is_bound=not failed)
    if made.get(_HOST) != chosen:
        raise errors.Conflict(
            f"somebody else has bound port {port} to {made.get(_HOST) or 'nothing'} meanwhile"
        )
    if made.get(_VIF_TYPE) == _FAILED:
        stays = ""
        if chosen != before and not failed:  # rather where its server was than nowhere
            api.update("port", wanted["id"], {_HOST: before})
            stays = f"It is bound to {before or 'nothing'} as before. "
        raise errors.Refused(
            f"site {site} could not bind port {port} to {chosen}: OVN there has no hypervisor of "
            f"that name that answers. {stays}Start the ovn-controller of the one that is meant; "
            "isthmus audit tells of those that are silent"
        )
    return Bound(site, chosen, before)


def _bind(api: AdminApi, wanted: Row, port: str, asked: Bound, *, is_bound: bool) -> Row:
    """Bind a port, which is unbound first if it stays where it is bound; give it as it is then."""
    is_freed = is_bound and asked.host == asked.before
    if is_freed:
        api.update("port", wanted["id"], {_HOST: ""})
    try:
        api.update("port", wanted["id"], {_HOST: asked.host})
        # Its answer may show the hypervisor of this change with the outcome of another one.
        return _find_own_port(api, wanted) or {}
    except errors.IsthmusError as error:
        if not is_freed:
            raise
        said = f"{error.message}. It may be bound to nothing now: isthmus port rebind {port} --host"
        raise type(error)(f"{said} {asked.host}", **error.fields) from error


def _find_own_port(api: AdminApi, wanted: Row) -> Row | None:
    """Find a port in a list: a site would fetch one that it is asked for by its id."""
    rows = api.iterate("port", network_id=wanted["network_id"], fields=("id", _HOST, _VIF_TYPE))
    return next((row for row in rows if row["id"] == wanted["id"]), None)


def _find_region(api: AdminApi, site: str) -> str:
    """Return the region of the home of a port.

    Raises:
        NotFound: it was removed.
    """
    rows = api.list("site", name=site)
    if not rows:
        raise errors.NotFound(f"its home {site} is a site that was removed: nobody can bind it")
    return str(rows[0]["region"])


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
    judged = (_judge(one, central, location) for one in seen)
    return [_judge_central(central, location, seen), *judged]


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
        rows = AdminApi(client).iterate("port", fields=(*_PORT_FIELDS, "name"), **by_name)
        return [_view_port(site, row) for row in rows if port in (row["id"], row["name"])]
    except errors.Transient as error:
        return [PortView(site, "", error=error.message)]
    except errors.IsthmusError:
        return []  # not a site of ours, or nothing to be seen there


def _find_location(client: NeutronClient, port_id: str, network_id: str) -> tuple[Row | None, str]:
    """Return what a port's home has reported of where it is; and why central did not say that."""
    try:
        rows = client.get_all("site_holding", network_id=network_id, fields="locations")
    except errors.IsthmusError as error:
        return None, error.message
    if not rows:
        return None, SHOWS_NOTHING.format(CENTRAL)
    found: list[Row] = [one for row in rows for one in row.get("locations") or ()]
    return next((one for one in found if one["port_id"] == port_id), None), ""


def _look(site: str, client: NeutronClient, port_id: str, network_id: str) -> _Seen:
    api = AdminApi(client)
    try:
        view, shadow_key = _view(api, site, port_id, network_id)
    except errors.IsthmusError as error:
        return _Seen(PortView(site, "", error=error.message))
    try:
        found = client.get_all("site_holding", network_id=network_id, fields="ovn")
    except errors.IsthmusError as error:
        return _Seen(replace(view, error=error.message), shadow_key=shadow_key)
    ovn = found[0].get("ovn") if len(found) == 1 else None
    if not isinstance(ovn, Mapping):
        return _Seen(replace(view, error=SHOWS_NOTHING.format(site)), shadow_key=shadow_key)
    if ovn.get("unseen"):
        return _Seen(replace(view, error=str(ovn["unseen"])), shadow_key=shadow_key)
    rows = [*ovn.get("ports", ()), *ovn.get("shadows", ())]
    row = next((one for one in rows if one["id"] == port_id), None)
    key = None if row is None else row["key"]
    return _Seen(replace(view, port_key=key), row, shadow_key)


def _view(api: AdminApi, site: str, port_id: str, network_id: str) -> tuple[PortView, int | None]:
    """Return what Neutron at a site knows of a port, and the key of a shadow."""
    for port in api.iterate("port", network_id=network_id, fields=_PORT_FIELDS):
        if port["id"] == port_id:
            return _view_port(site, port), None
    for shadow in api.list("site_shadow", id=port_id):
        view = PortView(
            site,
            "shadow",
            mac_address=shadow["mac_address"],
            addresses=tuple(shadow["addresses"]),
            host=f"{shadow['site']}/{shadow['hostname']}",
        )
        return view, shadow["port_key"]
    return PortView(site, "nothing"), None


def _view_port(tier: str, port: Row) -> PortView:
    return PortView(
        tier,
        "port",
        mac_address=port["mac_address"],
        addresses=tuple(sorted(one["ip_address"] for one in port["fixed_ips"])),
        status=port["status"],
        host=port.get(_HOST) or "",
    )


def _judge_central(central: PortView, location: Row | None, seen: Sequence[_Seen]) -> PortView:
    """Tell whether central knows where a port is, as far as its home shows that."""
    if central.error:
        return central
    key = None if location is None else location["port_key"]
    homes = [one for one in seen if one.view.known_as == "port"]
    unheard = [one.view.tier for one in homes if _is_bound(one.row) and location is None]
    differs = [f"has not heard where it is at {tier}" for tier in unheard]
    known = {one.view.tier for one in homes}
    asked = {one.view.tier for one in seen if one.view.known_as}
    if location is not None and location["site"] in asked - known:
        differs.append(f"has it at {location['site']}, which has no such port")
    unseen = any(one.view.error for one in homes) or len(asked) < len(seen)
    agrees = False if differs else None if unseen else True
    return replace(central, port_key=key, agrees=agrees, differs=tuple(differs))


def _is_bound(row: Row | None) -> bool:
    return row is not None and bool(row.get("chassis"))


def _judge(seen: _Seen, central: PortView, location: Row | None) -> PortView:
    """Compare a site's view with central's, and with the site's OVN.

    A shadow has the addresses of allowed address pairs besides.
    """
    view = seen.view
    if view.known_as == "nothing" and seen.is_present and location is not None:
        return replace(view, agrees=False, differs=(f"no shadow; it is at {location['site']}",))
    if view.known_as not in ("port", "shadow"):
        return view
    is_shadow = view.known_as == "shadow"
    differs = []
    if view.mac_address != central.mac_address:
        differs.append(f"MAC {view.mac_address}, at central {central.mac_address}")
    wanted, here = set(central.addresses), set(view.addresses)
    if not (wanted <= here if is_shadow else wanted == here):
        differs.append(f"addresses {_say(here)}, at central {_say(wanted)}")
    if is_shadow and location is None and not central.error:
        differs.append("central does not know where the port is")
    if not view.error:
        differs += _judge_row(seen, None if location is None else location["port_key"])
    agrees = False if differs else None if view.error or central.error else True
    return replace(view, agrees=agrees, differs=tuple(differs))


def _judge_row(seen: _Seen, reported: int | None) -> Iterator[str]:
    """Compare the row of a site's OVN with what was asked for, and with what the home reported."""
    row = seen.row
    if row is None:
        yield "OVN has no row of it"
        return
    asked = row["requested_key"] if seen.shadow_key is None else seen.shadow_key
    if row["key"] != asked and asked is not None:
        yield f"OVN has key {row['key']}, asked for was {asked}"
    if reported is not None and asked not in (None, reported):
        yield f"key {asked}, at central {reported}"


def _say(addresses: Iterable[str]) -> str:
    return ", ".join(sorted(addresses)) or "none"
