"""The states of ports as they are sent to sites other than their home: shadows."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.common.ovn import constants as ovn_const
from neutron.common.ovn import utils as ovn_utils
from neutron.db.models import dns
from neutron_lib import context as n_context

from isthmus.federation import dns as dns_names
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.neutron.central.resource.subnet import SUBNET
from isthmus.neutron.db.session import reading
from isthmus.store.ports.location import Location

_DOMAINS = dns.NetworkDNSDomain.__table__


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
        for subnet in SUBNET.list_states(subnet_ids).values()
        if subnet["enable_dhcp"] and not ovn_utils.is_dhcp_options_ignored(subnet)
    }
    return found | {port["id"] for port in others if _has_dhcp_options(port, served)}


def _has_dhcp_options(port: dict[str, Any], served: Mapping[str, int]) -> bool:
    """Return whether a port gets DHCP options; `served` is DHCP subnets' IP version, by id."""
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


def list_domains(network_ids: Collection[str]) -> dict[str, str]:
    """List the DNS domains of networks; one without is missing."""
    query = sa.select(_DOMAINS.c.network_id, _DOMAINS.c.dns_domain).where(
        _DOMAINS.c.network_id.in_(sorted(network_ids))
    )
    with reading(n_context.get_admin_context()) as connection:
        return {row.network_id: row.dns_domain for row in connection.execute(query)}


def build_shadow(
    port: dict[str, Any], located: Location, *, answered: bool, domain: str = ""
) -> Shadow:
    """Return what other sites have to know of a port.

    Addresses are those that ML2/OVN writes for the port at its home (Source:
    `OVNClient._get_port_options`, `_get_allowed_addresses_from_port`): the addresses of allowed
    address pairs are in its port security only, because northd would answer ARP requests for
    everything in `Logical_Switch_Port.addresses`, and a virtual address moves between ports.

    Args:
        port: in the form of Neutron's API.
        located: where it is bound.
        answered: whether OVN answers requests for its addresses, see `find_answered`.
        domain: the DNS domain of its network; "" where it has none.
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
        names=dns_names.list_names(port, domain),
    )


def _is_secured(port: dict[str, Any]) -> bool:
    return bool(port.get("port_security_enabled", True)) and not ovn_utils.is_lsp_trusted(port)


def to_items(kind: ResourceType, states: Mapping[str, Mapping[str, Any]]) -> list[Item]:
    """Return items, sorted by id."""
    return [Item(kind, one, state) for one, state in sorted(states.items())]
