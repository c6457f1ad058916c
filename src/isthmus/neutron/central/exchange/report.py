"""Reports: what a site says of its ports, taken item by item.

Taking one twice, or again after a crash in the middle, ends in the same state. What a port is
missing at central, a routing still standing means that it was deleted here; such a port is not made
again, and the site is told that it is gone.
"""

import contextlib
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import constants
from neutron_lib import context as n_context
from neutron_lib import exceptions as n_exc
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins import directory

from isthmus import errors
from isthmus.federation import merge
from isthmus.federation.port import HOME, SHARED
from isthmus.journal import crash
from isthmus.model import item as wire
from isthmus.model.intent import IntentKey, ResourceType
from isthmus.model.item import Item, ItemResult
from isthmus.model.site import Site, SiteName
from isthmus.neutron.api.faults import from_neutron
from isthmus.neutron.central import origin, pool
from isthmus.neutron.central.mechanism import PROFILE_VIF_TYPE
from isthmus.neutron.central.route import route
from isthmus.neutron.db.session import reading, writing
from isthmus.store import journal, lanes, location, routing

#: Most items of one report: each takes some tenths of a second (measured: 147 to 182 ms of CPU).
MOST_ITEMS = 25

_PORT = ResourceType.PORT
#: Without these nothing can be said of a port.
_REQUIRED = ("id", "network_id", "project_id", "mac_address", "fixed_ips")
#: VIF types that mean that a port is bound nowhere.
_UNBOUND = frozenset({portbindings.VIF_TYPE_UNBOUND, portbindings.VIF_TYPE_BINDING_FAILED, ""})


def take_report(site: Site, sequence: int, items: Iterable[Item]) -> list[ItemResult]:
    """Take what a site reports, each item by itself."""
    results = []
    for item in items:
        try:
            _take(site.name, sequence, item)
            results.append(wire.taken(item))
        except (errors.IsthmusError, n_exc.NeutronException) as error:
            results.append(wire.refused(item, from_neutron(error)))
    crash.point("central.report.taken")
    return results


def _take(site: SiteName, sequence: int, item: Item) -> None:
    if item.type is not _PORT:
        raise errors.Invalid(f"a site reports ports, not a {item.type}")
    with origin.reported_by(site, item.id, sequence):
        with writing(n_context.get_admin_context()) as connection:
            lanes.admit(connection, site, sequence)
        if item.state is None:
            _remove(site, item.id)
        else:
            _upsert(site, item.id, dict(item.state))


def _remove(site: SiteName, port_id: str) -> None:
    admin = n_context.get_admin_context()
    with writing(admin) as connection:
        home = routing.find_home(connection, port_id)
    if home not in (None, site):
        return  # it moved on and is none of this site's business any more
    if home is None:
        return  # central's own port, or one that is gone already
    with contextlib.suppress(n_exc.PortNotFound):
        directory.get_plugin().delete_port(admin, port_id, l3_port_check=False)
    crash.point("central.report.removed")
    with writing(admin) as connection:
        routing.delete(connection, _PORT, port_id, site)


def _upsert(site: SiteName, port_id: str, state: dict[str, Any]) -> None:
    missing = [name for name in _REQUIRED if name not in state]
    if missing or state["id"] != port_id:
        raise errors.Invalid(f"the report of port {port_id} lacks {', '.join(missing) or 'its id'}")
    core = directory.get_plugin()
    admin = n_context.get_admin_context()
    with reading(admin) as connection:
        home = routing.find_home(connection, port_id)
        present = routing.is_routed(connection, ResourceType.NETWORK, state["network_id"], site)
    if home not in (None, site):
        raise errors.Conflict(f"port {port_id} lives at site {home}", site=home)
    try:
        port = core.get_port(admin, port_id)
    except n_exc.PortNotFound:
        if home is not None:
            raise errors.NotFound(f"port {port_id} was deleted at central") from None
        if not present:
            raise errors.NotFound(
                f"network {state['network_id']} is not at site {site}, as central knows it"
            ) from None
        core.create_port(admin, {"port": _to_creation(site, state)})
        crash.point("central.report.created")
    else:
        _update(site, port, state, at_home=home is not None)
    _follow_status(port_id, state)
    _follow_location(site, port_id, state)


def _to_creation(site: SiteName, state: dict[str, Any]) -> dict[str, Any]:
    """Say how a port is made that was born at a site."""
    body = {name: state[name] for name in (*SHARED, *HOME) if name in state}
    body |= {name: state[name] for name in ("id", "network_id", "project_id")}
    body["tenant_id"] = state["project_id"]
    body["fixed_ips"] = _without_derived(state["fixed_ips"])
    for name in ("dns_name", "dns_domain"):
        body.setdefault(name, "")
    return {**body, **_binding(site, state)}


def _update(site: SiteName, port: dict[str, Any], state: dict[str, Any], *, at_home: bool) -> None:
    """Merge a report into a port that central has."""
    admin = n_context.get_admin_context()
    port_id = port["id"]
    base = state.get("isthmus:base")
    mine = _comparable(state)
    theirs = _comparable(port)
    merged = merge.merge(None if base is None else merge.normalise(base, SHARED), mine, theirs)
    body = merge.changes(theirs, merged)
    if "extra_dhcp_opts" in body:
        body["extra_dhcp_opts"] = _with_removals(
            port.get("extra_dhcp_opts") or [], body["extra_dhcp_opts"]
        )
    body |= {name: state[name] for name in HOME if name in state and state[name] != port.get(name)}
    binding = _binding(site, state)
    if binding[portbindings.HOST_ID] != port.get(portbindings.HOST_ID):
        body |= binding
    if body:
        directory.get_plugin().update_port(admin, port_id, {"port": body})
        crash.point("central.report.updated")
    if at_home and merged == mine:
        return
    with writing(admin) as connection:
        if not at_home:
            route(connection, _PORT, [port_id], site)
        if merged != mine:  # central keeps something that the site does not have yet
            journal.record(connection, [IntentKey(site, _PORT, port_id)])


def _comparable(port: dict[str, Any]) -> dict[str, Any]:
    """Give what is merged of a port; each tier adds derived addresses by itself, and so is base."""
    return merge.normalise({**port, "fixed_ips": _without_derived(port["fixed_ips"])}, SHARED)


def _with_removals(
    before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Say in Neutron's way which DHCP options go: those that are given no value."""
    kept = list(after)
    names = {(one["opt_name"], one.get("ip_version", 4)) for one in kept}
    gone = [one for one in before if (one["opt_name"], one.get("ip_version", 4)) not in names]
    return [*kept, *({**one, "opt_value": None} for one in gone)]


def _binding(site: SiteName, state: dict[str, Any]) -> dict[str, Any]:
    """Say where a port is bound: as `site/host`, with the VIF type that it has there."""
    host = state.get(portbindings.HOST_ID) or ""
    vif_type = state.get(portbindings.VIF_TYPE) or ""
    if not host:
        return {portbindings.HOST_ID: "", portbindings.PROFILE: {}}
    profile = dict(state.get(portbindings.PROFILE) or {})
    if vif_type not in _UNBOUND:
        profile[PROFILE_VIF_TYPE] = vif_type
    return {portbindings.HOST_ID: f"{site}/{host}", portbindings.PROFILE: profile}


def _follow_status(port_id: str, state: dict[str, Any]) -> None:
    status = state.get("status")
    if status in (constants.PORT_STATUS_ACTIVE, constants.PORT_STATUS_DOWN):
        directory.get_plugin().update_port_status(n_context.get_admin_context(), port_id, status)


def _follow_location(site: SiteName, port_id: str, state: dict[str, Any]) -> None:
    """Keep where the port lives, and tell the other sites if that changed."""
    body = state.get("isthmus:location")
    network_id = state["network_id"]
    with writing(n_context.get_admin_context()) as connection:
        before = location.list_locations(connection, [port_id]).get(port_id)
        if body is None:
            location.delete(connection, [port_id])
            changed = before is not None
        else:
            changed = location.record(
                connection,
                location.Location.from_wire(
                    body, port_id=port_id, network_id=network_id, site=site
                ),
            )
        if changed:
            present = routing.list_sites(
                connection, ResourceType.NETWORK, [network_id], latest=True
            )
            journal.record(
                connection,
                [
                    IntentKey(other, ResourceType.SHADOW, port_id)
                    for other, withdrawn in present.get(network_id, {}).items()
                    if other != site and not withdrawn
                ],
            )
        crash.point("central.report.before_commit")


def _without_derived(fixed_ips: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out addresses that Neutron makes of the MAC, and would make a second time."""
    ips = list(fixed_ips)
    subnet = models_v2.Subnet
    query = sa.select(subnet.id, subnet.ip_version, subnet.ipv6_address_mode).where(
        subnet.id.in_([one["subnet_id"] for one in ips])
    )
    with reading(n_context.get_admin_context()) as connection:
        by_hand = {
            row.id for row in connection.execute(query) if pool.needs_leases(dict(row._mapping))
        }
    return [
        {"subnet_id": one["subnet_id"], "ip_address": one["ip_address"]}
        for one in ips
        if one["subnet_id"] in by_hand
    ]
