"""The registry: every resource that central sends to sites, and what of Neutron is not sent.

Its order is the lock order of a transaction: trunks, which lock the networks of their ports,
routers before the networks that they join, networks before their subnets, security groups before
the address groups that their rules name, QoS policies behind the networks that name them, and
ports behind all that they use.
"""

from collections.abc import Mapping

from isthmus.model.resource import ResourceType
from isthmus.neutron.api.carried import Attribute
from isthmus.neutron.central.resource.address_group import ADDRESS_GROUP
from isthmus.neutron.central.resource.network import NETWORK
from isthmus.neutron.central.resource.port import PORT
from isthmus.neutron.central.resource.qos_policy import QOS_POLICY
from isthmus.neutron.central.resource.router import ROUTER
from isthmus.neutron.central.resource.row import CentralResource
from isthmus.neutron.central.resource.security_group import SECURITY_GROUP
from isthmus.neutron.central.resource.subnet import SUBNET
from isthmus.neutron.central.resource.trunk import TRUNK

ROWS: Mapping[ResourceType, CentralResource] = {
    row.kind: row
    for row in (TRUNK, ROUTER, NETWORK, SUBNET, SECURITY_GROUP, ADDRESS_GROUP, QOS_POLICY, PORT)
}
#: Every attribute of the resources that travel, by collection.
ATTRIBUTES: Mapping[str, Mapping[str, Attribute]] = {
    collection: fates for row in ROWS.values() for collection, fates in row.attributes.items()
}

_LAYER_3 = "central loads no plugin of it yet, so there is none"
_EVPN = "EVPN is a site's own; central loads no plugin of it"
_AGENTS = "of agents' schedulers; OVN has none"
_PORT_EXTENSION = "central refuses the attribute (isthmus.neutron.api.carried)"
_HOME = "where a port is bound is the home site's word; it comes by report"

#: Models that refer to a resource that travels, by table, and why none of them travels.
OF_NO_CONCERN: Mapping[str, str] = {
    "agents": _AGENTS,
    "auto_allocated_topologies": _LAYER_3,
    "conntrack_helpers": "OVN has no helpers of connection tracking",
    "default_security_group": "its group's id is derived from the project in every tier",
    "dvr_fip_gateway_port_network": _AGENTS,
    "evpn_advertised_ports": _EVPN,
    "evpn_l3_instances": _EVPN,
    "evpn_networks": _EVPN,
    "ha_router_agent_port_bindings": _AGENTS,
    "ha_router_networks": _AGENTS,
    "ha_router_vrid_allocations": _AGENTS,
    "local_ip_associations": "OVN has no local IPs",
    "local_ips": "OVN has no local IPs",
    "logs": "logging is a tier's own; no carried object shows it",
    "ml2_distributed_port_bindings": _HOME,
    "ml2_port_binding_levels": _HOME,
    "ml2_port_bindings": _HOME,
    "ndp_proxies": "OVN has no NDP proxy",
    "network_segment_ranges": "a tier's own pool of segments",
    "network_subnet_lock": "Neutron's own lock; says nothing",
    "networkdhcpagentbindings": _AGENTS,
    "networkpvlan": "central refuses private VLANs (isthmus.neutron.api.carried)",
    "ovn_revision_numbers": "ML2/OVN's own bookkeeping at a site",
    "portdataplanestatuses": _PORT_EXTENSION,
    "portdeviceprofiles": _PORT_EXTENSION,
    "porthardwareoffloadtype": _PORT_EXTENSION,
    "porthints": _PORT_EXTENSION,
    "portnumaaffinitypolicies": _PORT_EXTENSION,
    "portpvlan": _PORT_EXTENSION,
    "porttrusted": _PORT_EXTENSION,
    "provisioningblocks": "Neutron's own bookkeeping while a port comes up",
    "qos_policies_default": "central alone decides by it; networks are carried with their policies",
    "router_ndp_proxy_state": "OVN has no NDP proxy",
    "routerl3agentbindings": _AGENTS,
    "securitygroupdefaultrules": "a template; groups are carried with the rules they have",
    "subnet_bgp_leak_routes": _LAYER_3,
    "segmenthostmappings": "which hosts a segment reaches is a tier's own",
    "subnetpoolprefixes": "what is cut from a pool is carried as the subnet it is",
    "subnetpoolrbacs": "what is cut from a pool is carried as the subnet it is",
    "subnetpools": "what is cut from a pool is carried as the subnet it is",
    "vlan_allocations": "a tier's own pool of segments",
    "vni_allocations": _EVPN,
    "vni_vlan_mapping": _EVPN,
}
