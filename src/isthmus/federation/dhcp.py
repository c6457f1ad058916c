"""For which IP versions OVN is to answer a port's DHCP. Pure.

As ML2/OVN decides: `get_lsp_dhcp_opts` and `is_dhcp_options_ignored` of `neutron.common.ovn.utils`,
`_get_port_dhcp_options` of its `ovn_client`.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

#: Ports of the network itself ask nobody (neutron_lib.constants, `DEVICE_OWNER_PREFIXES`).
_OF_THE_NETWORK = ("network:", "neutron:")
#: Whether OVN answers a bare machine is a matter of the site's configuration.
_BAREMETAL = "baremetal"
_DISABLED, _SLAAC = "dhcp_disabled", "slaac"


def asks_dhcp(device_owner: str, vnic_type: str) -> bool:
    """Return whether a port is of a kind that OVN answers for certain."""
    return not device_owner.startswith(_OF_THE_NETWORK) and vnic_type != _BAREMETAL


def is_served(subnet: Mapping[str, Any]) -> bool:
    """Return whether OVN answers DHCP in a subnet."""
    slaac = subnet["ip_version"] == 6 and subnet.get("ipv6_address_mode") == _SLAAC
    return bool(subnet.get("enable_dhcp")) and not slaac


def list_disabled(options: Iterable[Mapping[str, Any]]) -> set[int]:
    """List the IP versions for which a port's own options turn DHCP off."""
    return {
        int(one["ip_version"])
        for one in options
        if one["opt_name"] == _DISABLED and str(one.get("opt_value") or "").lower() == "true"
    }


def list_unanswered(
    port: Mapping[str, Any], subnets: Mapping[str, Mapping[str, Any]], there: Collection[int]
) -> list[int]:
    """List the IP versions for which a port asks and OVN has no answer.

    Args:
        port: of Neutron's API.
        subnets: of Neutron's API, by id; what is said of others is not known, and not asked for.
        there: IP versions for which OVN's row of the port has options.
    """
    if not asks_dhcp(port["device_owner"], port.get("binding:vnic_type") or ""):
        return []
    mine = [subnets.get(one["subnet_id"]) for one in port["fixed_ips"]]
    served = {int(one["ip_version"]) for one in mine if one is not None and is_served(one)}
    return sorted(served - list_disabled(port.get("extra_dhcp_opts") or ()) - set(there))
