"""The rows that a healthy cloud of `grown` has in every tier, as a dump."""

from collections.abc import Iterator
from typing import Any

from tests.tables.grown import GATEWAY_LAST, Group, Grown, Net, Router, Server

from isthmus.diagnose.dump.form import Dump
from isthmus.diagnose.world import Source

Row = dict[str, Any]
Piece = tuple[Source, str, str, list[Row]]
C = (Source.CENTRAL, "central")


def make_dump(cloud: Grown) -> Dump:
    """Write all rows."""
    dump = Dump(at="2026-01-01T00:00:00Z", made_by="grown")
    for piece in _central(cloud):
        dump.add(*piece)
    for site in cloud.sites:
        for pieces in (_neutron(cloud, site), _north(cloud, site), _south(cloud, site)):
            for piece in pieces:
                dump.add(*piece)
        for host in cloud.hosts[site]:
            for piece in _host(cloud, host):
                dump.add(*piece)
    return dump


def _pg(group: Group) -> str:
    return f"pg_{group.id}"


def _tunnel(cloud: Grown, host: str) -> str:
    hosts = [one for some in cloud.hosts.values() for one in some]
    return f"172.30.0.{hosts.index(host) + 1}"


def _subnet_id(net: Net, family: int) -> str:
    return f"{net.id}v{family}"


def _port(server: Server, host: str) -> Row:
    return {
        "id": server.id, "name": f"srv{server.number}", "admin_state_up": True,
        "network_id": server.net.id, "status": "ACTIVE", "mac_address": server.mac,
        "device_owner": "compute:nova", "device_id": f"dev{server.number}", "project_id": "p",
        "fixed_ips": [{"subnet_id": _subnet_id(server.net, family),
                       "ip_address": server.address(family)} for family in server.net.families],
        "security_groups": [one.id for one in server.groups],
        "port_security_enabled": bool(server.groups),
        "allowed_address_pairs": [{"ip_address": server.pair, "mac_address": server.mac}]
        if server.pair else [],
        "binding:host_id": host, "binding:vif_type": "ovs",
    }  # fmt: skip


def _network(net: Net) -> Row:
    return {"id": net.id, "name": net.id, "mtu": 1442, "admin_state_up": True,
            "router:external": False, "project_id": "p", "shared": False}  # fmt: skip


def _subnets(net: Net) -> list[Row]:
    return [
        {"id": _subnet_id(net, family), "network_id": net.id, "cidr": net.cidr(family),
         "ipv6_address_mode": "slaac" if family == 6 else None,
         "ip_version": family, "gateway_ip": net.address(family, 1), "enable_dhcp": True,
         "host_routes": []} for family in net.families
    ]  # fmt: skip


def _external(router: Router) -> list[Row]:
    row = {"id": f"ext{router.number}", "name": f"ext{router.number}", "mtu": 1500,
           "admin_state_up": True, "router:external": True, "project_id": "p"}  # fmt: skip
    return [row] if router.exit_site else []


def _hop(router: Router) -> str:
    return f"198.51.{99 + router.number}.1"


def _snat(router: Router) -> str:
    return f"198.51.{99 + router.number}.{GATEWAY_LAST}"


def _interface_id(router: Router, net: Net, family: int) -> str:
    return f"if-{router.id}-{net.id}-{family}"


def _interfaces(router: Router) -> list[tuple[Net, int, Row]]:
    return [
        (net, family, {
            "id": _interface_id(router, net, family), "name": "", "network_id": net.id,
            "device_id": router.id, "device_owner": "network:router_interface",
            "mac_address": f"fa:16:3e:f{router.number:x}:{family:02x}:{net.number:02x}",
            "status": "ACTIVE",
            "fixed_ips": [{"subnet_id": _subnet_id(net, family),
                           "ip_address": router.address(net, family)}], "admin_state_up": True,
            "project_id": "p",
        }) for net in router.joined for family in net.families
    ]  # fmt: skip


def _gateway(router: Router) -> Row:
    return {"id": f"gw{router.number}", "network_id": f"ext{router.number}", "enable_snat": True,
            "mac_address": f"fa:16:3e:ee:00:{router.number:02x}", "site": router.exit_site,
            "fixed_ips": [{"subnet_id": f"ext{router.number}v4",
                           "ip_address": _snat(router)}]}  # fmt: skip


def _transit_address(router: Router, site: str, family: int = 4) -> str:
    last = router.sites.index(site) + 1
    return f"100.64.{router.number}.{last}" if family == 4 else f"fd64:{router.number}::{last}"


def _plan(cloud: Grown, router: Router, site: str) -> Row:
    exit_: Row = {"lack": "no gateway"}
    if router.exit_site:
        local = router.exit_site == site
        hop = _hop(router) if local else _transit_address(router, router.exit_site)
        exit_ = {"way": "local" if local else "transit", "site": router.exit_site,
                 "network_id": f"ext{router.number}", "next_hop": hop}  # fmt: skip
    routes = [{"purpose": "default", "destination": "0.0.0.0/0", **exit_}]
    routes = [*routes] if router.exit_site else []
    for net in router.nets:
        if site not in net.sites:
            routes += [
                {"purpose": "subnet", "destination": net.cidr(family), "way": "transit",
                 "site": net.sites[0],
                 "next_hop": _transit_address(router, net.sites[0], family)}
                for family in net.families
            ]  # fmt: skip
    number = router.sites.index(site) + 1
    return {
        "site": site, "state": "enabled", "is_reachable": True,
        "exits": {"4": exit_, "6": {"lack": "no gateway"}}, "policies": [], "snats": [],
        "floating": [], "routes": routes,
        "gateway_network_id": f"ext{router.number}" if router.exit_site == site else None,
        "transit": {
            "datapath_key": 9000 + router.number, "port_key": number,
            "mac": f"0a:00:00:00:{router.number:02x}:{number:02x}",
            "addresses": [_transit_address(router, site, family) for family in (4, 6)],
            "prefixes": [f"100.64.{router.number}.0/24", f"fd64:{router.number}::/64"],
            "peers": [_peer(cloud, router, one) for one in router.sites if one != site],
        },
    }  # fmt: skip


def _peer(cloud: Grown, router: Router, site: str) -> Row:
    number, host = router.sites.index(site) + 1, cloud.hosts[site][0]
    return {
        "site": site, "port_key": number, "mac": f"0a:00:00:00:{router.number:02x}:{number:02x}",
        "addresses": [_transit_address(router, site, family) for family in (4, 6)],
        "hypervisor": {"chassis": f"c-{host}", "hostname": host,
                       "encap_ip": _tunnel(cloud, host)},
    }  # fmt: skip


def _of_router(cloud: Grown, router: Router) -> Row:
    return {
        "id": router.id, "name": router.id, "forwardings": [],
        "gateways": [_gateway(router)] if router.exit_site else [],
        "subnets": [{"id": _subnet_id(net, family), "cidr": net.cidr(family), "sites": net.sites}
                    for net in router.joined for family in net.families],
        "floating_ips": [
            {"id": f"fip{one.number}", "address": one.public, "port_id": one.id, "home": one.site,
             "network_id": f"ext{router.number}", "fixed_address": one.address(4),
             "site": router.exit_site, "idle": None}
            for one in cloud.servers if one.public and one.net.router is router
        ],
        "sites": [_plan(cloud, router, site) for site in router.sites],
    }  # fmt: skip


def _left(net: Net, total: int) -> Row:
    return {"id": net.id, "network_id": net.id, "subnet_ip_availability": [
        {"subnet_id": _subnet_id(net, family), "cidr": net.cidr(family), "total_ips": total,
         "used_ips": 20} for family in net.families]}  # fmt: skip


def _groups(cloud: Grown) -> list[Row]:
    return [{"id": one.id, "name": one.id, "stateful": one.stateful, "project_id": "p",
             "security_group_rules": one.rules} for one in cloud.groups]  # fmt: skip


def _central(cloud: Grown) -> Iterator[Piece]:
    interfaces = [row for router in cloud.routers for _, _, row in _interfaces(router)]
    yield (
        *C,
        "port",
        [*(_port(one, f"{one.site}/{one.host}") for one in cloud.servers), *interfaces],
    )
    external = [row for router in cloud.routers for row in _external(router)]
    yield *C, "network", [*map(_network, cloud.nets), *external]
    outside = [
        {"id": f"ext{x.number}v4", "network_id": f"ext{x.number}", "ip_version": 4,
         "cidr": f"198.51.{99 + x.number}.0/24", "gateway_ip": _hop(x), "enable_dhcp": False,
         "host_routes": []} for x in cloud.routers if x.exit_site
    ]  # fmt: skip
    yield *C, "subnet", [*(row for net in cloud.nets for row in _subnets(net)), *outside]
    yield *C, "security_group", _groups(cloud)
    yield *C, "site", [{"id": one, "name": one, "region": one, "state": "enabled",
                        "reachability": "reachable"} for one in cloud.sites]  # fmt: skip
    yield *C, "site_presence", [
        {"id": f"{net.id}/{one}", "network_id": net.id, "site": one, "withdrawn": False,
         "datapath_key": 1000 + net.number} for net in cloud.nets for one in net.sites
    ]  # fmt: skip
    yield *C, "site_mapping", [
        {"id": f"m{one.number}", "type": "port", "resource_id": one.id, "site": one.site,
         "withdrawn": False} for one in cloud.servers
    ]  # fmt: skip
    yield *C, "router", [
        {"id": one.id, "name": one.id, "admin_state_up": True, "routes": one.routes,
         "project_id": "p",
         "external_gateway_info": {"network_id": f"ext{one.number}", "enable_snat": True}
         if one.exit_site else None} for one in cloud.routers
    ]  # fmt: skip
    yield *C, "quota_detail", [
        {"id": "p/port", "project_id": "p", "resource": "port", "limit": 500, "used": 40,
         "reserved": 0}
    ]  # fmt: skip
    yield *C, "network_ip_availability", [_left(net, 200) for net in cloud.nets]
    yield *C, "clock", [{"ahead_s": -1}]
    yield *C, "router_exit", [_of_router(cloud, one) for one in cloud.routers]
    yield *C, "floatingip", [
        {"id": f"fip{one.number}", "floating_ip_address": one.public, "port_id": one.id,
         "floating_network_id": f"ext{one.net.router.number}", "router_id": one.net.router.id,
         "fixed_ip_address": one.address(4), "status": "ACTIVE", "project_id": "p"}
        for one in cloud.servers if one.public and one.net.router
    ]  # fmt: skip
    for table in ("site_job", "site_refusal", "server", "address_group", "rbac_policy",
                  "qos_policy"):  # fmt: skip
        yield *C, table, []


def _neutron(cloud: Grown, site: str) -> Iterator[Piece]:
    here, nets = (Source.NEUTRON, site), [one for one in cloud.nets if site in one.sites]
    yield *here, "port", [_port(one, one.host) for one in cloud.servers if one.site == site]
    yield *here, "network", [*map(_network, nets)]
    yield *here, "subnet", [row for net in nets for row in _subnets(net)]
    yield *here, "security_group", _groups(cloud)
    yield *here, "network_ip_availability", [_left(net, 30) for net in nets]
    yield *here, "agent", [
        {"id": f"agent-{host}", "host": host, "binary": "ovn-controller", "alive": True,
         "agent_type": "OVN Controller agent"} for host in cloud.hosts[site]
    ]  # fmt: skip
    yield *here, "router_agent", []
    yield *here, "clock", [{"ahead_s": 2}]
    yield *here, "site_shadow", [
        {"id": one.id, "network_id": one.net.id, "site": one.site, "chassis": f"c-{one.host}",
         "port_key": one.number, "mac_address": one.mac,
         "addresses": [one.address(family) for family in one.net.families]}
        for one in cloud.servers if one.site != site and site in one.net.sites
    ]  # fmt: skip


def _north(cloud: Grown, site: str) -> Iterator[Piece]:
    from tests.tables.grown_ovn import north

    for table, rows in north(cloud, site).items():
        yield Source.NB, site, table, rows


def _south(cloud: Grown, site: str) -> Iterator[Piece]:
    from tests.tables.grown_ovn import south

    for table, rows in south(cloud, site).items():
        yield Source.SB, site, table, rows


def _host(cloud: Grown, host: str) -> Iterator[Piece]:
    here = (Source.HOST, host)
    own = [one for one in cloud.servers if one.host == host]
    others = [one for some in cloud.hosts.values() for one in some if one != host]
    ids = {"ovn-is-interconn": "true", "ovn-encap-ip": _tunnel(cloud, host),
           "ovn-encap-type": "geneve", "system-id": f"c-{host}"}  # fmt: skip
    yield *here, "Open_vSwitch", [{"external_ids": ids, "ovs_version": "3.1"}]
    yield *here, "Interface", [
        *({"name": f"tap{one.number}", "type": "", "external_ids": {"iface-id": one.id},
           "options": {}, "ofport": 3, "error": [], "admin_state": "up", "link_state": "up",
           "mtu": 1442} for one in own),
        *({"name": f"ovn-{one}", "type": "geneve", "external_ids": {}, "ofport": 9, "error": [],
           "options": {"remote_ip": _tunnel(cloud, one)}} for one in others),
    ]  # fmt: skip
    yield *here, "daemon", [
        {"name": "ovs-vswitchd", "state": "running", "said": "3.1"},
        {"name": "ovn-controller", "state": "connected", "said": "connected"},
    ]  # fmt: skip
    yield *here, "bridge", [{"name": "br-int", "interfaces": [f"tap{x.number}" for x in own],
                            "ofports": [3, 9]}]  # fmt: skip
    yield *here, "counter", [{"name": "upcalls-missed", "value": 9000},
                             {"name": "upcalls-lost", "value": 2}]  # fmt: skip
    for table in ("log", "certificate", "neighbour", "bridge_flow", "tracked", "console"):
        yield *here, table, []
    yield *here, "conntrack", [{"count": 70, "most": 3_000_000}]
    yield *here, "route", [{"to": _tunnel(cloud, one), "dev": "br-phys", "mtu": 1500}
                           for one in others]  # fmt: skip
    yield *here, "flow", [
        {"match": f"metadata={1000 + one.net.number:#x},reg15={one.number:#x}", "count": 1}
        for one in cloud.servers
    ]  # fmt: skip
