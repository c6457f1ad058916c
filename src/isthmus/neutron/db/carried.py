"""Which rows of Neutron make up what travels between tiers.

One literal table for both tiers: central notes a change of such a row for the sites, and a site
lets nobody but central change one that belongs to central. A model that says something of a carried
object and is not carried has its reason in `OF_NO_CONCERN`; a test goes over Neutron's models and
fails for one that is in neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neutron.db import models_v2, rbac_db_models
from neutron.db.extra_dhcp_opt import models as dhcp_models
from neutron.db.models import (
    address_group,
    allowed_address_pair,
    dns,
    external_net,
    securitygroup,
    segment,
    subnet_service_type,
    uplink_status_propagation,
)
from neutron.db.port_security import models as port_security

from isthmus.model.intent import ResourceType

_NETWORK, _SUBNET, _PORT = ResourceType.NETWORK, ResourceType.SUBNET, ResourceType.PORT
_GROUP, _ADDRESSES = ResourceType.SECURITY_GROUP, ResourceType.ADDRESS_GROUP


@dataclass(frozen=True, slots=True)
class Part:
    """A model whose rows are part of an object of some type."""

    kind: ResourceType
    owner: str  #: attribute that holds the object's id


#: Every model that a carried state is read from. Descriptions and tags stand in tables of their
#: own, which know an object by its standard attribute only.
PARTS: Mapping[type, Part] = {
    models_v2.Network: Part(_NETWORK, "id"),
    port_security.NetworkSecurityBinding: Part(_NETWORK, "network_id"),
    segment.NetworkSegment: Part(_NETWORK, "network_id"),
    external_net.ExternalNetwork: Part(_NETWORK, "network_id"),
    dns.NetworkDNSDomain: Part(_NETWORK, "network_id"),
    rbac_db_models.NetworkRBAC: Part(_NETWORK, "object_id"),
    models_v2.Subnet: Part(_SUBNET, "id"),
    models_v2.DNSNameServer: Part(_SUBNET, "subnet_id"),
    models_v2.SubnetRoute: Part(_SUBNET, "subnet_id"),
    models_v2.IPAllocationPool: Part(_SUBNET, "subnet_id"),
    subnet_service_type.SubnetServiceType: Part(_SUBNET, "subnet_id"),
    dns.SubnetDNSPublishFixedIP: Part(_SUBNET, "subnet_id"),
    models_v2.Port: Part(_PORT, "id"),
    models_v2.IPAllocation: Part(_PORT, "port_id"),
    allowed_address_pair.AllowedAddressPair: Part(_PORT, "port_id"),
    port_security.PortSecurityBinding: Part(_PORT, "port_id"),
    securitygroup.SecurityGroupPortBinding: Part(_PORT, "port_id"),
    dhcp_models.ExtraDhcpOpt: Part(_PORT, "port_id"),
    dns.PortDNS: Part(_PORT, "port_id"),
    uplink_status_propagation.PortUplinkStatusPropagation: Part(_PORT, "port_id"),
    securitygroup.SecurityGroup: Part(_GROUP, "id"),
    securitygroup.SecurityGroupRule: Part(_GROUP, "security_group_id"),
    rbac_db_models.SecurityGroupRBAC: Part(_GROUP, "object_id"),
    address_group.AddressGroup: Part(_ADDRESSES, "id"),
    address_group.AddressAssociation: Part(_ADDRESSES, "address_group_id"),
    rbac_db_models.AddressGroupRBAC: Part(_ADDRESSES, "object_id"),
}

#: The model of the object itself, by type.
WHOLES: Mapping[ResourceType, Any] = {
    part.kind: model for model, part in PARTS.items() if part.owner == "id"
}

_LAYER_3 = "layer 3 is not carried yet; central has no router plugin"
_AGENTS = "of agents' schedulers; OVN has none"
_PORT_EXTENSION = "central refuses the attribute (isthmus.neutron.api.carried)"
_HOME = "where a port is bound is the home site's word; it comes by report"

#: Models that point to a carried object, by table, and why none of them is carried.
OF_NO_CONCERN: Mapping[str, str] = {
    "agents": _AGENTS,
    "auto_allocated_topologies": _LAYER_3,
    "default_security_group": "its group's id is derived from the project in every tier",
    "dvr_fip_gateway_port_network": _LAYER_3,
    "evpn_advertised_ports": _LAYER_3,
    "evpn_networks": _LAYER_3,
    "floatingips": _LAYER_3,
    "ha_router_agent_port_bindings": _LAYER_3,
    "ha_router_networks": _LAYER_3,
    "ha_router_vrid_allocations": _LAYER_3,
    "local_ip_associations": "OVN has no local IPs",
    "local_ips": "OVN has no local IPs",
    "logs": "logging is a tier's own; no carried object shows it",
    "ml2_distributed_port_bindings": _HOME,
    "ml2_port_binding_levels": _HOME,
    "ml2_port_bindings": _HOME,
    "ndp_proxies": _LAYER_3,
    "network_segment_ranges": "a tier's own pool of segments",
    "network_subnet_lock": "Neutron's own lock; says nothing",
    "networkdhcpagentbindings": _AGENTS,
    "networkpvlan": "central refuses private VLANs (isthmus.neutron.api.carried)",
    "ovn_revision_numbers": "ML2/OVN's own bookkeeping at a site",
    "portdataplanestatuses": _PORT_EXTENSION,
    "portdeviceprofiles": _PORT_EXTENSION,
    "portforwardings": _LAYER_3,
    "porthardwareoffloadtype": _PORT_EXTENSION,
    "porthints": _PORT_EXTENSION,
    "portnumaaffinitypolicies": _PORT_EXTENSION,
    "portpvlan": _PORT_EXTENSION,
    "porttrusted": _PORT_EXTENSION,
    "provisioningblocks": "Neutron's own bookkeeping while a port comes up",
    "qos_network_policy_bindings": "central refuses QoS (isthmus.neutron.api.carried)",
    "qos_policies": "central refuses QoS (isthmus.neutron.api.carried)",
    "qos_port_policy_bindings": "central refuses QoS (isthmus.neutron.api.carried)",
    "routerports": _LAYER_3,
    "routers": _LAYER_3,
    "securitygroupdefaultrules": "a template; groups are carried with the rules they have",
    "subnet_bgp_leak_routes": _LAYER_3,
    "segmenthostmappings": "which hosts a segment reaches is a tier's own",
    "subnetpoolprefixes": "what is cut from a pool is carried as the subnet it is",
    "subnetpoolrbacs": "what is cut from a pool is carried as the subnet it is",
    "subnetpools": "what is cut from a pool is carried as the subnet it is",
    "subports": "central loads no trunk plugin; a site's trunks are its own",
    "trunks": "central loads no trunk plugin; a site's trunks are its own",
}
