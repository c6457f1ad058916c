"""The states of objects as they travel to sites: Neutron's own dicts, as an admin sees them."""

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from neutron.db import rbac_db_models as rbac
from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus.model.intent import ResourceType
from isthmus.model.item import Item
from isthmus.model.lease import PoolKind
from isthmus.model.shadow import Shadow
from isthmus.model.site import SiteName
from isthmus.neutron.db.session import reading
from isthmus.store import datapath
from isthmus.store import lease as lease_store
from isthmus.store.location import Location

States = dict[str, dict[str, Any]]


def network_states(ids: Collection[str], site: SiteName) -> States:
    """Read networks with their datapath keys, sharing and port-key leases, by id."""
    states = _read("get_networks", ids)
    with reading(n_context.get_admin_context()) as connection:
        keys = datapath.list_keys(connection, states)
        shared = _read_sharing(connection, rbac.NetworkRBAC, states)
        leases = _read_leases(connection, PoolKind.PORT_KEY, states, site)
    for network_id, state in states.items():
        state["isthmus:datapath_key"] = keys.get(network_id)
        state["isthmus:rbac"] = shared.get(network_id, [])
        state["isthmus:leases"] = leases.get(network_id, [])
    return states


def subnet_states(ids: Collection[str], site: SiteName) -> States:
    """Read subnets with the site's leases, by id."""
    states = _read("get_subnets", ids)
    with reading(n_context.get_admin_context()) as connection:
        leases = _read_leases(connection, PoolKind.SUBNET, states, site)
    for subnet_id, state in states.items():
        state["isthmus:leases"] = leases.get(subnet_id, [])
    return states


def port_states(ids: Collection[str]) -> States:
    """Read ports, by id."""
    return _read("get_ports", ids)


def group_states(ids: Collection[str]) -> States:
    """Read security groups with their rules and sharing, by id."""
    # `default_sg` keeps Neutron from making the caller's default group on the way.
    states = _read("get_security_groups", ids, default_sg=True)
    with reading(n_context.get_admin_context()) as connection:
        shared = _read_sharing(connection, rbac.SecurityGroupRBAC, states)
    for group_id, state in states.items():
        state["isthmus:rbac"] = shared.get(group_id, [])
    return states


def address_group_states(ids: Collection[str]) -> States:
    """Read address groups with their sharing, by id."""
    states = _read("get_address_groups", ids)
    with reading(n_context.get_admin_context()) as connection:
        shared = _read_sharing(connection, rbac.AddressGroupRBAC, states)
    for group_id, state in states.items():
        state["isthmus:rbac"] = shared.get(group_id, [])
    return states


def build_shadow(port: dict[str, Any], place: Location) -> Shadow:
    """Say what another site must know of a port."""
    mac = port["mac_address"]
    pairs = port.get("allowed_address_pairs") or []
    own = [pair["ip_address"] for pair in pairs if pair.get("mac_address") in (None, mac)]
    foreign = [pair for pair in pairs if pair.get("mac_address") not in (None, mac)]
    fixed = [one["ip_address"] for one in port["fixed_ips"]]
    return Shadow(
        port_id=port["id"],
        network_id=port["network_id"],
        site=place.site,
        chassis=place.chassis,
        hostname=place.hostname,
        encap_ip=place.encap_ip,
        port_key=place.port_key,
        mac_address=mac,
        addresses=(*sorted(fixed), *sorted(set(own) - set(fixed))),
        extra_addresses=tuple(
            sorted(f"{pair['mac_address']} {pair['ip_address']}" for pair in foreign)
        ),
        accepts_unknown=not port.get("port_security_enabled", True),
        security_groups=tuple(sorted(port.get("security_groups") or [])),
    )


def to_items(kind: ResourceType, states: States) -> list[Item]:
    """Make items, in one order."""
    return [Item(kind, one, state) for one, state in sorted(states.items())]


def _read(method: str, ids: Iterable[str], **more: Any) -> States:
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    lister = getattr(directory.get_plugin(), method)
    found = lister(n_context.get_admin_context(), filters={"id": wanted}, **more)
    return {row["id"]: dict(row) for row in found}


def _read_sharing(connection: sa.Connection, model: Any, ids: Collection[str]) -> dict[str, Any]:
    found: dict[str, list[dict[str, str]]] = {}
    query = sa.select(
        model.id, model.object_id, model.project_id, model.target_project, model.action
    ).where(model.object_id.in_(sorted(ids)))
    for row in connection.execute(query.order_by(model.id)):
        entry = {name: getattr(row, name) for name in ("id", "project_id", "target_project")}
        found.setdefault(row.object_id, []).append({**entry, "action": row.action})
    return found


def _read_leases(
    connection: sa.Connection, kind: PoolKind, ids: Collection[str], site: SiteName
) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for lease in lease_store.list_leases(connection, kind=kind, pool_ids=ids, site=site):
        found.setdefault(lease.pool_id, []).append(lease_store.to_state(lease))
    return found
