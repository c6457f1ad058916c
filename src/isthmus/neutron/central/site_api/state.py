"""The states of objects as they travel to sites: Neutron's own dicts, as an admin sees them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.common.ovn import constants as ovn_const
from neutron.common.ovn import utils as ovn_utils
from neutron.db import rbac_db_models as rbac
from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.intent import ResourceType
from isthmus.model.item import Item
from isthmus.model.lease import PoolKind
from isthmus.model.site import SiteName
from isthmus.neutron.db.session import reading
from isthmus.store.leases import lease as lease_store
from isthmus.store.ports import datapath, home
from isthmus.store.ports.location import Location

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
    """Read ports, by id; of those that were born at a site, with what was agreed on at first."""
    states = _read("get_ports", ids)
    with reading(n_context.get_admin_context()) as connection:
        bases = home.find_bases(connection, states)
        stale = home.find_stale(connection, states)
    for port_id in stale:  # their bases are how they came back with the backup
        states[port_id]["isthmus:stale"] = True
    for port_id in bases.keys() - stale:
        states[port_id]["isthmus:base"] = bases[port_id]
    return states


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


def find_answered(ports: Collection[dict[str, Any]]) -> set[str]:
    """Return the ids of ports whose ARP and ND requests OVN answers itself.

    ML2/OVN leaves a port's own addresses out of `Logical_Switch_Port.addresses` where the port has
    neither port security nor DHCP options; requests for them are flooded then (Source:
    `OVNClient._get_port_options`, `_get_port_dhcp_options`).

    Args:
        ports: in the form of Neutron's API.
    """
    found = {port["id"] for port in ports if _is_secured(port)}
    others = [port for port in ports if port["id"] not in found]
    subnet_ids = {one["subnet_id"] for port in others for one in port["fixed_ips"]}
    served = {
        subnet["id"]: subnet["ip_version"]
        for subnet in _read("get_subnets", subnet_ids).values()
        if subnet["enable_dhcp"] and not ovn_utils.is_dhcp_options_ignored(subnet)
    }
    return found | {port["id"] for port in others if _has_dhcp_options(port, served)}


def _has_dhcp_options(port: dict[str, Any], served: Mapping[str, int]) -> bool:
    """Tell whether a port gets DHCP options; `served` gives the IP version of DHCP subnets."""
    if ovn_utils.is_network_device_port(port):
        return False
    refused = {
        option["ip_version"]
        for option in port.get("extra_dhcp_opts") or []
        if option["opt_name"] == ovn_const.DHCP_DISABLED_OPT
        and str(option["opt_value"]).lower() == "true"
    }
    return any(
        one["subnet_id"] in served and served[one["subnet_id"]] not in refused
        for one in port["fixed_ips"]
    )


def build_shadow(port: dict[str, Any], located: Location, *, answered: bool) -> Shadow:
    """Return what another site must know of a port.

    Addresses are those that ML2/OVN writes for the port at its home (Source:
    `OVNClient._get_port_options`, `_get_allowed_addresses_from_port`): the addresses of allowed
    address pairs are in its port security alone, since northd would answer ARP requests for all
    that stands in `Logical_Switch_Port.addresses`, and a virtual address moves between ports.

    Args:
        port: in the form of Neutron's API.
        located: where it is bound.
        answered: whether OVN answers requests for its addresses, see `find_answered`.
    """
    mac = port["mac_address"]
    secured = _is_secured(port)
    macs = {
        pair["mac_address"]
        for pair in port.get("allowed_address_pairs") or []
        if secured and pair.get("mac_address") not in (None, mac)
    }
    return Shadow(
        port_id=port["id"],
        network_id=port["network_id"],
        site=located.site,
        chassis=located.chassis,
        hostname=located.hostname,
        encap_ip=located.encap_ip,
        port_key=located.port_key,
        mac_address=mac,
        addresses=tuple(sorted(one["ip_address"] for one in port["fixed_ips"])),
        extra_macs=tuple(sorted(macs)),
        answered=answered,
        enabled=bool(port["admin_state_up"]),
        accepts_unknown=not secured,
        security_groups=tuple(sorted(port.get("security_groups") or [])),
    )


def _is_secured(port: dict[str, Any]) -> bool:
    return bool(port.get("port_security_enabled", True)) and not ovn_utils.is_lsp_trusted(port)


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
