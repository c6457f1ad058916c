"""Ports: what each tier knows of one, and release by its home."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.clients.http.neutron import NeutronClient
from isthmus.model.site import CENTRAL

#: What `isthmus port show` looks at.
_PORT_FIELDS = ("id", "mac_address", "fixed_ips", "status", "binding:host_id")


@dataclass(frozen=True, slots=True)
class PortView:
    """What one tier knows of a port."""

    tier: str
    known_as: str  #: "port", "shadow", "nothing", or "" where the tier did not answer
    mac_address: str = ""
    addresses: tuple[str, ...] = ()
    status: str = ""
    host: str = ""
    port_key: int | None = None  #: of a shadow
    agrees: bool | None = None  #: with central on MAC and fixed IPs; None where nothing is known
    error: str = ""  #: why the tier did not answer


def release_port(api: AdminApi, port: str, *, force: bool) -> str:
    """Release a port from its home.

    Args:
        api: central.
        port: id or name, as central knows it.
        force: forget the home at once.

    Returns:
        The home.

    Raises:
        NotFound: there is no such port, or it lives nowhere.
        Conflict: it is in use there, or that site cannot be reached, and no force is used.
    """
    wanted = api.get_named("port", port, fields=["id"])
    rows = api.list("site_mapping", type="port", resource_id=wanted["id"])
    if not rows:
        raise errors.NotFound(f"port {wanted['id']} lives nowhere: the first site to use it has it")
    api.act("site_mapping", rows[0]["id"], "release", {"force": force})
    return str(rows[0]["site"])


def collect_port(
    api: AdminApi, port: str, open_site: Callable[[str, str], NeutronClient]
) -> list[PortView]:
    """Read what central, and every site where its network is present, know of a port.

    A site is not asked for the port by its id, since it would show what central knows of one
    that it does not have.

    Args:
        api: central.
        port: id or name, as central knows it.
        open_site: opens the Neutron of a site, given its name and its region.

    Raises:
        NotFound: there is no such port.
    """
    wanted = api.get_named("port", port)
    central, network_id = _view_port(CENTRAL, wanted), wanted["network_id"]
    presences = api.list("site_presence", network_id=network_id)
    present = {row["site"] for row in presences}
    sites = api.list("site", sort_key="name", sort_dir="asc")
    clients = {
        row["name"]: open_site(row["name"], row["region"])
        for row in sites
        if row["name"] in present
    }
    with ThreadPoolExecutor(max_workers=len(clients) + 1) as threads:  # who hangs delays no other
        views = threads.map(
            lambda name: _view(name, clients[name], wanted["id"], network_id), clients
        )
        return [replace(one, agrees=_agrees(one, central)) for one in (central, *views)]


def _view(site: str, client: NeutronClient, port_id: str, network_id: str) -> PortView:
    api = AdminApi(client)
    try:
        for port in api.iterate("port", network_id=network_id, fields=_PORT_FIELDS):
            if port["id"] == port_id:
                return _view_port(site, port)
        shadows = api.list("site_shadow", id=port_id)
    except errors.IsthmusError as error:
        return PortView(site, "", error=error.message)
    for shadow in shadows:
        return PortView(
            site,
            "shadow",
            mac_address=shadow["mac_address"],
            addresses=tuple(shadow["addresses"]),
            host=f"{shadow['site']}/{shadow['hostname']}",
            port_key=shadow["port_key"],
        )
    return PortView(site, "nothing")


def _view_port(tier: str, port: Row) -> PortView:
    return PortView(
        tier,
        "port",
        mac_address=port["mac_address"],
        addresses=tuple(sorted(one["ip_address"] for one in port["fixed_ips"])),
        status=port["status"],
        host=port.get("binding:host_id") or "",
    )


def _agrees(view: PortView, central: PortView) -> bool | None:
    """Compare with central; a shadow has the addresses of allowed address pairs besides."""
    if view.known_as not in ("port", "shadow"):
        return None
    same = view.mac_address == central.mac_address
    if view.known_as == "shadow":
        return same and set(central.addresses) <= set(view.addresses)
    return same and view.addresses == central.addresses
