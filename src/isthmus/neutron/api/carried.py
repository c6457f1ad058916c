"""What becomes of each attribute of central's API: carried to sites, refused, or of no concern.

A literal table over Neutron's own attribute map; a test fails for an attribute of any extension
that is not in it. Central refuses to set what no site would realise, with the reason that stands
here: a promise that nobody keeps is worse than a refusal.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neutron_lib import constants
from neutron_lib.api import attributes

from isthmus import errors


class Fate(enum.Enum):
    """What becomes of an attribute."""

    CARRIED = "carried"
    REFUSED = "refused"  #: only its default is taken
    UNCONCERNED = "unconcerned"


@dataclass(frozen=True, slots=True)
class Attribute:
    """The fate of one attribute, and why, unless it is simply carried."""

    fate: Fate
    reason: str = ""


def _no(reason: str) -> Attribute:
    return Attribute(Fate.REFUSED, reason)


def _own(reason: str) -> Attribute:
    return Attribute(Fate.UNCONCERNED, reason)


_YES = Attribute(Fate.CARRIED)
_DERIVED = _own("follows from other attributes in every tier")
_TIMES = _own("each tier counts its own")
_HOME = _own("the home site's word: it comes by report, and is refused for a port that has a home")
_QOS = _no("QoS is not carried to sites yet, and would limit nothing")
_NAMES = _no("names of ports are a site's own: no site resolves those of another")
_SITE_HARDWARE = _no("no site is told of it: set it at the site where the port is bound")
_PVLAN = _no("ML2/OVN has no private VLANs over sites")
_CENTRAL_ALONE = _own("central alone decides by it; what comes of it is carried")

#: What every object has that Neutron counts revisions of.
_STANDARD: Mapping[str, Attribute] = {
    "id": _YES,
    "project_id": _YES,
    "tenant_id": _YES,
    "description": _YES,
    "tags": _YES,
    "created_at": _TIMES,
    "updated_at": _TIMES,
    "revision_number": _TIMES,
}

#: Every attribute of what travels, by collection.
ATTRIBUTES: Mapping[str, Mapping[str, Attribute]] = {
    "networks": {
        **_STANDARD,
        "name": _YES,
        "admin_state_up": _YES,
        "mtu": _YES,
        "port_security_enabled": _YES,
        "dns_domain": _YES,
        "provider:network_type": _YES,
        "provider:physical_network": _own(
            "only tunnelled networks are extended to sites, and they have none"
        ),
        "provider:segmentation_id": _own("each tier chooses its own: it is not on the wire"),
        "router:external": _YES,
        "shared": _own("carried as the sharing rules (RBAC) that it stands for"),
        "availability_zone_hints": _CENTRAL_ALONE,
        "availability_zones": _DERIVED,
        "ha": _own("of layer 3's own networks, which are not carried"),
        "ipv4_address_scope": _CENTRAL_ALONE,
        "ipv6_address_scope": _CENTRAL_ALONE,
        "is_default": _CENTRAL_ALONE,
        "l2_adjacency": _DERIVED,
        "project_default": _CENTRAL_ALONE,
        "pvlan": _PVLAN,
        "qinq": _no("tagged frames are not carried between sites"),
        "qos_policy_id": _QOS,
        "segments": _own("a network of several segments is not extended to sites, and says so"),
        "status": _own("each tier's own"),
        "subnets": _DERIVED,
        "vlan_transparent": _no("tagged frames are not carried between sites"),
    },
    "subnets": {
        **_STANDARD,
        "name": _YES,
        "network_id": _YES,
        "cidr": _YES,
        "ip_version": _YES,
        "enable_dhcp": _YES,
        "gateway_ip": _YES,
        "allocation_pools": _YES,
        "dns_nameservers": _YES,
        "host_routes": _YES,
        "ipv6_ra_mode": _YES,
        "ipv6_address_mode": _YES,
        "service_types": _YES,
        "dns_publish_fixed_ip": _YES,
        "leak_routes": _no("layer 3 is not carried yet"),
        "prefixlen": _CENTRAL_ALONE,
        "router:external": _DERIVED,
        "segment_id": _no("routed networks are not carried: a stretched network is one segment"),
        "shared": _DERIVED,
        "subnetpool_id": _CENTRAL_ALONE,
        "use_default_subnetpool": _CENTRAL_ALONE,
    },
    "ports": {
        **_STANDARD,
        "name": _YES,
        "network_id": _YES,
        "admin_state_up": _YES,
        "mac_address": _YES,
        "fixed_ips": _YES,
        "security_groups": _YES,
        "allowed_address_pairs": _YES,
        "port_security_enabled": _YES,
        "extra_dhcp_opts": _YES,
        "device_id": _HOME,
        "device_owner": _HOME,
        "binding:host_id": _HOME,
        "binding:profile": _HOME,
        "binding:vnic_type": _HOME,
        "binding:vif_details": _HOME,
        "binding:vif_type": _HOME,
        "status": _HOME,
        "data_plane_status": _SITE_HARDWARE,
        "device_profile": _SITE_HARDWARE,
        "dns_assignment": _DERIVED,
        "dns_domain": _NAMES,
        "dns_name": _NAMES,
        "hardware_offload_type": _SITE_HARDWARE,
        "hints": _SITE_HARDWARE,
        "ip_allocation": _DERIVED,
        "numa_affinity_policy": _SITE_HARDWARE,
        "propagate_uplink_status": _SITE_HARDWARE,
        "pvlan_community": _PVLAN,
        "pvlan_type": _PVLAN,
        "qos_network_policy_id": _DERIVED,
        "qos_policy_id": _QOS,
        "resource_request": _DERIVED,
        "trunk_details": _own("central loads no trunk plugin; a site's trunks are its own"),
        "trusted": _SITE_HARDWARE,
    },
    "security_groups": {
        **_STANDARD,
        "name": _YES,
        "stateful": _YES,
        "security_group_rules": _YES,
        "shared": _own("carried as the sharing rules (RBAC) that it stands for"),
    },
    "security_group_rules": {
        **_STANDARD,
        "security_group_id": _YES,
        "direction": _YES,
        "ethertype": _YES,
        "protocol": _YES,
        "port_range_min": _YES,
        "port_range_max": _YES,
        "remote_ip_prefix": _YES,
        "remote_group_id": _YES,
        "remote_address_group_id": _YES,
        "belongs_to_default_sg": _DERIVED,
        "normalized_cidr": _DERIVED,
    },
    "address_groups": {
        **_STANDARD,
        "name": _YES,
        "addresses": _YES,
        "shared": _own("carried as the sharing rules (RBAC) that it stands for"),
    },
}
#: Attributes of a port that its home alone sets.
HOME_ONLY: tuple[str, ...] = tuple(
    name for name, one in ATTRIBUTES["ports"].items() if one is _HOME and name != "status"
)


def check(collection: str, body: Mapping[str, Any]) -> None:
    """Refuse what no site would realise.

    Args:
        collection: the plural, as in Neutron's attribute map.
        body: what a create or an update sets.

    Raises:
        Invalid: an attribute is set that is not carried.
    """
    known = attributes.RESOURCES.get(collection, {})
    for name, value in body.items():
        fate = ATTRIBUTES[collection].get(name)
        if fate is None or fate.fate is not Fate.REFUSED:
            continue
        if value in (constants.ATTR_NOT_SPECIFIED, None, "", {}, []):
            continue
        if value != known.get(name, {}).get("default", constants.ATTR_NOT_SPECIFIED):
            raise errors.Invalid(f"{name} cannot be set at central: {fate.reason}")
