"""The audit names what was changed by hand: one row of a database or of OVN at a time.

Each case changes one value, looks at what is found, and puts it back.
"""

import pytest
from tests.neutron.by_hand import Gone, Nb, Sql, World, swap
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer

from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress, pytest.mark.timeout(600)]

#: No sweep of OVN's rows comes between two lines of a test.
SITE1_OPTIONS = {"ovn_sweep_s": 3600}
_PLAN = ("isthmus_exits", "router_id = '{router}'", "plan")
#: What is changed -> how, the code of the finding, and the object that it is about.
CASES: dict[str, tuple[Sql | Gone | Nb, str, str]] = {
    "MTU of a network": (
        Sql("networks", "id = '{network}'", "mtu", 1300), "network.different", "network"
    ),
    "admin state of a network": (
        Sql("networks", "id = '{network}'", "admin_state_up", 0), "network.different", "network"
    ),
    "sharing of a network": (
        Gone("networkrbacs", "object_id = '{network}'"), "network.different", "network"
    ),
    "tag of a network": (Gone("tags", "tag = 'gold'"), "network.different", "network"),
    "key of a network": (
        Sql("isthmus_datapaths", "network_id = '{network}'", "datapath_key", 16711999),
        "network.datapath_key",
        "network",
    ),
    "gateway of a subnet": (
        Sql("subnets", "id = '{subnet}'", "gateway_ip", "10.7.0.77"), "subnet.different", "subnet"
    ),
    "DHCP of a subnet": (
        Sql("subnets", "id = '{far_subnet}'", "enable_dhcp", 0), "subnet.different", "far_subnet"
    ),
    "host route of a subnet": (
        Gone("subnetroutes", "subnet_id = '{subnet}'"), "subnet.different", "subnet"
    ),
    "name server of a subnet": (
        Gone("dnsnameservers", "subnet_id = '{subnet}' AND address = '192.0.2.53'"),
        "subnet.different",
        "subnet",
    ),
    "order of the name servers of a subnet": (
        Sql("dnsnameservers", "subnet_id = '{subnet}' AND address = '192.0.2.53'", '"order"', 9),
        "subnet.different",
        "subnet",
    ),
    "device of a port": (
        Sql("ports", "id = '{port}'", "device_id", "another"), "port.different", "port"
    ),
    "address of a port": (
        Sql("ipallocations", "port_id = '{port}'", "ip_address", "10.7.0.199"),
        "port.different",
        "port",
    ),
    "rule of a group": (
        Gone("securitygrouprules", "id = '{rule}'"), "security_group.different", "group"
    ),
    "ports of a rule": (
        Sql("securitygrouprules", "id = '{rule}'", "port_range_max", 443),
        "security_group.different",
        "group",
    ),
    "address of an address group": (
        Gone("address_associations", "address_group_id = '{addresses}'"),
        "address_group.different",
        "addresses",
    ),
    "rate of a QoS policy": (
        Sql("qos_bandwidth_limit_rules", "qos_policy_id = '{policy}'", "max_kbps", 9000),
        "qos_policy.different",
        "policy",
    ),
    "name of a router": (
        Sql("routers", "id = '{router}'", "name", "mine"), "router.different", "router"
    ),
    "extra route of a router": (
        Gone("routerroutes", "router_id = '{router}'"), "router.different", "router"
    ),
    "MAC of an interface": (
        Sql("ports", "id = '{interface}'", "mac_address", "fa:16:3e:00:00:99"),
        "router.different",
        "router",
    ),
    "SNAT of a gateway": (
        Sql("routers", "id = '{router}'", "enable_snat", 0), "router.different", "router"
    ),
    "floating IP": (
        Sql(*_PLAN, swap("{floating_ip}", "172.31.7.99")), "router.different", "router"
    ),
    "port forwarding": (Sql(*_PLAN, swap("8080", "8088")), "router.different", "router"),
    "limit of a floating IP": (Sql(*_PLAN, swap("3000", "9000")), "router.different", "router"),
    "VLAN of a subport": (
        Sql("subports", "port_id = '{subport}'", "segmentation_id", 102), "trunk.different", "trunk"
    ),
    "admin state of a trunk": (
        Sql("trunks", "id = '{trunk}'", "admin_state_up", 0), "trunk.different", "trunk"
    ),
    "mapping of a router": (
        Gone("isthmus_site_mappings", "resource_id = '{router}' AND site = 'site1'", "central"),
        "router.extra",
        "router",
    ),
    "key of a switch in OVN": (
        Nb("Logical_Switch", "{switch_row}", "other_config:requested-tnl-key", '"9997"'),
        "ovn.switch_key.differs",
        "network",
    ),
    "switch in OVN": (
        Nb("Logical_Switch", "{switch_row}", "name", "another"), "network.no_switch", "network"
    ),
    "key of a port in OVN": (
        Nb("Logical_Switch_Port", "{port}", "options:requested-tnl-key", '"9998"'),
        "ovn.port_key.differs",
        "port",
    ),
    "port in OVN": (
        Nb("Logical_Switch_Port", "{port}", "name", "another"), "port.no_switch_port", "port"
    ),
    "addresses of a port in OVN": (
        Nb("Logical_Switch_Port", "{port}", "addresses", '"02:00:00:00:00:08"'),
        "port.switch_port_addresses",
        "port",
    ),
    "DHCP of a port in OVN": (
        Nb("Logical_Switch_Port", "{port}", "dhcpv4_options", "[]"), "port.no_dhcp", "port"
    ),
    "ACL in OVN": (
        Nb("ACL", "{acl_row}", "external_ids:neutron\\:security_group_rule_id", "another"),
        "security_group.no_acl",
        "group",
    ),
    "address set in OVN": (
        Nb("Address_Set", "{set_row}", "addresses", '"198.51.100.0/24"'),
        "address_group.addresses",
        "addresses",
    ),
    "limit of a port in OVN": (
        Nb("QoS", "{limit_row}", "external_ids:neutron\\:port_id", "another"),
        "port.no_qos",
        "port",
    ),
    "VLAN of a subport in OVN": (
        Nb("Logical_Switch_Port", "{subport}", "tag_request", "102"), "trunk.subport", "trunk"
    ),
    "router in OVN": (
        Nb("Logical_Router", "{router_row}", "name", "another"),
        "router.no_logical_router",
        "router",
    ),
    "admin state of a router in OVN": (
        Nb("Logical_Router", "{router_row}", "enabled", "false"), "router.logical_router", "router"
    ),
    "MAC of an interface in OVN": (
        Nb("Logical_Router_Port", "lrp-{interface}", "mac", '"02:00:00:00:00:09"'),
        "router.router_port",
        "router",
    ),
    "extra route in OVN": (
        Nb("Logical_Router_Static_Route", "{route_row}", "ip_prefix", '"198.18.0.0/24"'),
        "router.no_route",
        "router",
    ),
    "SNAT in OVN": (
        Nb("NAT", "{snat_row}", "external_ip", '"172.31.7.98"'), "router.no_snat", "router"
    ),
    "floating IP in OVN": (
        Nb("NAT", "{nat_row}", "external_ip", '"172.31.7.97"'), "ovn.exit_nat.differs", ""
    ),
    "limit of a floating IP in OVN": (
        Nb("QoS", "{fip_limit_row}", "bandwidth:rate", "1"), "ovn.exit_qos.differs", ""
    ),
    "port forwarding in OVN": (
        Nb("Load_Balancer", "{balancer_row}", "protocol", "udp"), "ovn.forward.differs", ""
    ),
    "key of a transit network in OVN": (
        Nb("Logical_Switch", "{transit_row}", "other_config:requested-tnl-key", '"9996"'),
        "ovn.transit_network.differs",
        "",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def world(central: CentralServer, site1: LocalServer) -> World:
    return World(central, site1)


#: Networks on which something is changed, by their names in the world.
_NETWORKS = ("network", "far", "external")


@pytest.mark.parametrize("what", CASES)
def test_what_was_changed_by_hand_is_named(world: World, what: str) -> None:
    """By the audit of all, and by that of a network which it concerns; of no other one."""
    case, code, about = CASES[what]

    def names(network: str = "") -> bool:
        return any(
            found == code and (not about or one == world.ids[about])
            for found, one, _ in world.find(network)
        )

    with case.broken(world):
        until(names, what=f"{code}, where the audit says {world.find()}")
        assert any(names(world.ids[one]) for one in _NETWORKS)
        assert world.find(world.ids["unrelated"]) == []
    until(lambda: not world.find(), what="an audit that is clean again")
    for one in _NETWORKS:
        assert world.find(world.ids[one]) == []
