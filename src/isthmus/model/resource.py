"""Resources: what travels between tiers, and what both tiers and the audit must know of each.

One literal table. What a tier does with a resource is one file in each: `neutron/central/resource`
and `neutron/local/resource`.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.model import attribute


class ResourceType(enum.StrEnum):
    """What travels between tiers; the value is the word used on the wire and in tables."""

    ADDRESS_GROUP = "address_group"
    SECURITY_GROUP = "security_group"
    QOS_POLICY = "qos_policy"
    NETWORK = "network"
    LEASE = "lease"
    SUBNET = "subnet"
    ROUTER = "router"
    PORT = "port"
    TRUNK = "trunk"
    SHADOW = "shadow"

    @property
    def rank(self) -> int:
        """Order in which objects are made; they are removed in the reverse order."""
        return _RANK[self]


_RANK = {kind: rank for rank, kind in enumerate(ResourceType)}


#: Attributes whose list has an order that counts; that of any other may be read in any order. Who
#: asks for a name goes through the servers one after the other.
ORDERED = frozenset({"dns_nameservers"})


class Place(enum.Enum):
    """What decides whether an object is to be at a site."""

    MAPPED = "mapped"  #: its own site mapping
    NETWORK = "network"  #: the presence of its network
    HOME = "home"  #: its home, on a network that is present


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """An object of Neutron's API that travels; leases and shadows are rows of our own."""

    kind: ResourceType
    collection: str  #: the plural, as in Neutron's attribute map
    singular: str = ""  #: as there; empty where it is the type's own word
    table: str  #: of Neutron's database; its columns `id` and `project_id`
    plugin: str = "CORE"  #: which plugin serves it; a name of `neutron_lib.plugins.constants`
    on_demand: bool = True  #: whether a site fetches it by itself when somebody names it
    place: Place = Place.MAPPED
    network: str = ""  #: attribute with the id of its network; empty where it has none
    compared: tuple[str, ...]  #: what has to be equal in every tier, as holdings show it
    shown: tuple[str, ...] = ()  #: what else holdings show
    list_options: Mapping[str, Any] = field(default_factory=dict)  #: of Neutron's `get_` of many

    @property
    def member(self) -> str:
        """Return the word for one in Neutron's API: `get_<member>`."""
        return self.singular or self.kind.value

    @property
    def path(self) -> str:
        """Return the path of the collection in Neutron's API."""
        below = "qos/" if self.plugin == "QOS" else ""
        return f"/v2.0/{below}{self.collection.replace('_', '-')}"


RESOURCES: Mapping[ResourceType, Resource] = {
    row.kind: row
    for row in (
        Resource(
            kind=ResourceType.ADDRESS_GROUP,
            collection="address_groups",
            table="address_groups",
            on_demand=False,  # it comes with the security groups that name it
            compared=("project_id", "name", "description", "addresses", "sharing"),
        ),
        Resource(
            kind=ResourceType.SECURITY_GROUP,
            collection="security_groups",
            table="securitygroups",
            compared=(
                "project_id",
                "name",
                "description",
                "stateful",
                "rules",
                "rule_texts",
                "sharing",
                "tags",
            ),
            list_options={"default_sg": True},  # else Neutron makes the caller's default group
        ),
        Resource(
            kind=ResourceType.QOS_POLICY,
            collection="policies",
            singular="policy",
            table="qos_policies",
            plugin="QOS",
            compared=("project_id", "name", "description", "rules", "sharing", "tags"),
        ),
        Resource(
            kind=ResourceType.NETWORK,
            collection="networks",
            table="networks",
            place=Place.NETWORK,
            network="id",
            compared=(
                "name",
                "description",
                "project_id",
                "admin_state_up",
                "port_security_enabled",
                "dns_domain",
                "mtu",
                "provider:network_type",
                "provider:physical_network",
                "router:external",
                "qos_policy_id",
                "sharing",
                "tags",
            ),
            shown=("status", "segments"),
        ),
        Resource(
            kind=ResourceType.SUBNET,
            collection="subnets",
            table="subnets",
            place=Place.NETWORK,
            network="network_id",
            compared=(
                "network_id",
                "name",
                "description",
                "cidr",
                "ip_version",
                "ipv6_address_mode",
                "gateway_ip",
                "enable_dhcp",
                "allocation_pools",
                "dns_nameservers",
                "dns_publish_fixed_ip",
                "host_routes",
                "service_types",
                "tags",
            ),
            shown=("segment_id",),
        ),
        Resource(
            kind=ResourceType.ROUTER,
            collection="routers",
            table="routers",
            plugin="L3_ROUTER_NAT",
            on_demand=False,  # it comes with the networks that it joins
            compared=(
                "project_id",
                "name",
                "description",
                "admin_state_up",
                "routes",
                "tags",
                attribute.INTERFACES,
                attribute.GATEWAY,
                attribute.EXITS,
            ),
            shown=("status",),
        ),
        Resource(
            kind=ResourceType.PORT,
            collection="ports",
            table="ports",
            place=Place.HOME,
            network="network_id",
            compared=(
                "network_id",
                "name",
                "description",
                "mac_address",
                "fixed_ips",
                "security_groups",
                "device_owner",
                "device_id",
                "dns_name",
                "extra_dhcp_opts",
                "binding:vnic_type",
                "admin_state_up",
                "allowed_address_pairs",
                "port_security_enabled",
                "qos_policy_id",
            ),
            shown=(
                "project_id",
                "status",
                "binding:host_id",
                "binding:vif_type",
            ),
        ),
        Resource(
            kind=ResourceType.TRUNK,
            collection="trunks",
            table="trunks",
            plugin="trunk",
            on_demand=False,  # it comes with its parent port
            compared=(
                "project_id",
                "name",
                "description",
                "port_id",
                "admin_state_up",
                "sub_ports",
                "tags",
            ),
            shown=("status",),
        ),
    )
}
