"""A healthy world of two networks, a router that joins them, and its exit at the first site.

A is on `net` at s1, B on `far` at s2 with a floating IP. The router's gateway is on h1 at s1, so
that s2 leaves over the transit network.
"""

import copy
from typing import Any

from tests.tables.world import NET, PG, SUBNET, A, B, Tables, healthy, rule

from isthmus.diagnose.judge import Diagnosis, judge
from isthmus.diagnose.question import End, EndKind, Service, parse_service
from isthmus.diagnose.route.legs import somewhere
from isthmus.diagnose.world import Seen, Source, Unseen, World

R, FAR, FARSUB, EXT, EXTSUB, FIP, GW = "rtr", "far", "farsub", "ext", "extsub", "fip", "gw"
NEAR_PORT, FAR_PORT = "if-near", "if-far"
PUBLIC, SNAT, HOP = "198.51.100.3", "198.51.100.2", "198.51.100.1"
TRANSIT = f"isthmus-transit-{R}"
Rows = list[dict[str, Any]]
CENTRAL = (Source.CENTRAL, "central")
SITES = ("s1", "s2")


def _fixed(subnet: str, address: str) -> list[dict[str, str]]:
    return [{"subnet_id": subnet, "ip_address": address}]


def _interface(port_id: str, network: str, subnet: str, address: str) -> dict[str, Any]:
    return {
        "id": port_id, "name": "", "network_id": network, "device_id": R,
        "device_owner": "network:router_interface", "mac_address": f"fa:16:3e:00:01:{address[-1]}0",
        "fixed_ips": _fixed(subnet, address), "admin_state_up": True, "status": "ACTIVE",
    }  # fmt: skip


INTERFACES: Rows = [
    _interface(NEAR_PORT, NET, SUBNET, "10.0.0.1"),
    _interface(FAR_PORT, FAR, FARSUB, "10.0.2.1"),
]
GATEWAY: dict[str, Any] = {
    "id": GW, "network_id": EXT, "mac_address": "fa:16:3e:00:01:99", "enable_snat": True,
    "fixed_ips": _fixed(EXTSUB, SNAT), "site": "s1",
}  # fmt: skip


def _peer(site: str) -> dict[str, Any]:
    number = {"s1": 1, "s2": 2}[site]
    host, chassis = {"s1": ("h1", "c1"), "s2": ("h2", "c2")}[site]
    return {
        "site": site, "port_key": number, "mac": f"0a:00:00:00:00:0{number}",
        "addresses": [f"100.64.0.{number}"],
        "hypervisor": {"chassis": chassis, "hostname": host, "encap_ip": "172.30.1.11"},
    }  # fmt: skip


def _plan(site: str) -> dict[str, Any]:
    local, number = site == "s1", {"s1": 1, "s2": 2}[site]
    exit_ = {"way": "local" if local else "transit", "site": "s1", "network_id": EXT,
             "next_hop": HOP if local else "100.64.0.1"}  # fmt: skip
    return {
        "site": site, "state": "enabled", "is_reachable": True, "exits": {"4": exit_},
        "gateway_network_id": EXT if local else None, "policies": [], "snats": [], "floating": [],
        "routes": [{"purpose": "default", "destination": "0.0.0.0/0", **exit_}],
        "transit": {
            "datapath_key": 777, "port_key": number, "mac": f"0a:00:00:00:00:0{number}",
            "addresses": [f"100.64.0.{number}"], "prefixes": ["100.64.0.0/17"],
            "peers": [_peer("s2" if local else "s1")],
        },
    }  # fmt: skip


def _central() -> dict[str, Rows]:
    near = {"id": SUBNET, "network_id": NET, "cidr": "10.0.0.0/24", "ip_version": 4,
            "gateway_ip": "10.0.0.1", "host_routes": [], "enable_dhcp": True}  # fmt: skip
    far = {**near, "id": FARSUB, "network_id": FAR, "cidr": "10.0.2.0/24", "gateway_ip": "10.0.2.1"}
    outside = {**near, "id": EXTSUB, "network_id": EXT, "cidr": "198.51.100.0/24",
               "gateway_ip": HOP, "enable_dhcp": False}  # fmt: skip
    networks = [
        {"id": one, "name": one, "mtu": mtu, "admin_state_up": True, "router:external": one == EXT}
        for one, mtu in ((NET, 1442), (FAR, 1442), (EXT, 1500))
    ]
    return {
        "subnet": [near, far],
        "network": networks[:2],
        "joined_subnet": [copy.deepcopy(one) for one in (near, far, outside)],
        "joined_network": copy.deepcopy(networks),
        "router": [{"id": R, "name": "r1", "admin_state_up": True, "routes": [],
                    "external_gateway_info": {"network_id": EXT, "enable_snat": True}}],
        "router_port": copy.deepcopy(INTERFACES),
        "next_hop_port": [],
        "floatingip": [
            {"id": FIP, "floating_ip_address": PUBLIC, "floating_network_id": EXT, "router_id": R,
             "port_id": B, "fixed_ip_address": "10.0.2.6", "status": "ACTIVE"}
        ],
        "router_exit": [
            {"id": R, "name": "r1", "gateways": [copy.deepcopy(GATEWAY)], "forwardings": [],
             "subnets": [{"id": SUBNET, "cidr": "10.0.0.0/24", "sites": ["s1", "s2"]},
                         {"id": FARSUB, "cidr": "10.0.2.0/24", "sites": ["s1", "s2"]}],
             "floating_ips": [
                 {"id": FIP, "address": PUBLIC, "network_id": EXT, "fixed_address": "10.0.2.6",
                  "port_id": B, "home": "s2", "site": "s1", "idle": None}],
             "sites": [_plan("s1"), _plan("s2")]}
        ],
    }  # fmt: skip


def _lsp(name: str, kind: str, key: int, **options: str) -> dict[str, Any]:
    return {"_uuid": f"u-{name}", "name": name, "type": kind, "enabled": [], "external_ids": {},
            "options": {"requested-tnl-key": str(key), **options},
            "addresses": ["router"]}  # fmt: skip


def _lrp(name: str, mac: str, *networks: str, **more: Any) -> dict[str, Any]:
    return {"_uuid": f"u-{name}", "name": name, "mac": mac, "networks": [*networks], "enabled": [],
            "gateway_chassis": [], "ha_chassis_group": [], "options": {}, **more}  # fmt: skip


def _north(site: str) -> dict[str, Rows]:
    here, other = _plan(site)["transit"], "s2" if site == "s1" else "s1"
    peer = _peer(other)
    ports = [
        _lrp(f"lrp-{one['id']}", one["mac_address"], f"{one['fixed_ips'][0]['ip_address']}/24")
        for one in INTERFACES
    ]
    ports.append(_lrp(f"{TRANSIT}-lrp", here["mac"], f"{here['addresses'][0]}/17"))
    own = {"isthmus:router": R}
    route = {"_uuid": "route", "ip_prefix": "0.0.0.0/0", "policy": [], "nexthop": HOP,
             "external_ids": {}}  # fmt: skip
    nats: Rows = []
    if site == "s1":
        group = {"ha_chassis_group": "group", "options": {"gateway_mtu": "1442"}}
        ports.append(_lrp(f"lrp-{GW}", GATEWAY["mac_address"], f"{SNAT}/24", **group))
        nats = [
            {"_uuid": "snat", "type": "snat", "external_ip": SNAT, "logical_ip": "0.0.0.0/0",
             "external_mac": [], "logical_port": [], "external_ids": {}},
            {"_uuid": "dnat", "type": "dnat_and_snat", "external_ip": PUBLIC,
             "logical_ip": "10.0.2.6", "external_mac": [], "logical_port": [],
             "external_ids": own},
        ]  # fmt: skip
    else:
        route |= {"nexthop": "100.64.0.1", "external_ids": own}
    plug = [
        _lsp(one["id"], "router", 30 + at, **{"router-port": f"lrp-{one['id']}"})
        for at, one in enumerate(INTERFACES)
    ]
    far = _lsp(f"{TRANSIT}/{other}", "remote", peer["port_key"],
               **{"requested-chassis": peer["hypervisor"]["chassis"]})  # fmt: skip
    far["addresses"] = [f"{peer['mac']} {peer['addresses'][0]}"]
    return {
        "Logical_Router": [
            {"_uuid": "lr", "name": f"neutron-{R}", "enabled": True, "load_balancer": [],
             "ports": [one["_uuid"] for one in ports], "nat": [one["_uuid"] for one in nats],
             "static_routes": ["route"], "policies": []}
        ],
        "Logical_Router_Port": ports,
        "Logical_Router_Static_Route": [route], "NAT": nats, "Logical_Router_Policy": [],
        "Load_Balancer": [],
        "gateway_host": [{"port": f"lrp-{GW}", "chassis_name": "c1", "priority": 1}]
        if site == "s1" else [],
        "router_lsp": [*plug, _lsp(f"{TRANSIT}-lsp", "router", here["port_key"],
                                   **{"router-port": f"{TRANSIT}-lrp"}), far],
        "transit_switch": [{"_uuid": "ts", "name": TRANSIT,
                            "other_config": {"requested-tnl-key": "777"}}],
        "external_port": [
            {"network_id": EXT, "type": "switch"},
            {**_lsp("provnet", "localnet", 32767, network_name="public"), "network_id": EXT},
        ] if site == "s1" else [],
    }  # fmt: skip


def _south(site: str) -> dict[str, Rows]:
    other, chassis = ("s2", "u-c2") if site == "s1" else ("s1", "u-c1")
    rows = [{"logical_port": f"{TRANSIT}/{other}", "chassis": chassis, "type": "remote"}]
    if site == "s1":
        rows.append({"logical_port": f"cr-lrp-{GW}", "chassis": "u-c1", "type": "chassisredirect"})
    return {"router_binding": rows, "MAC_Binding": [], "BFD": []}


def routed() -> Tables:
    """Return what is seen where all is well."""
    tables = healthy()
    _move(tables)
    tables[CENTRAL] |= _central()
    presences = tables[CENTRAL]["site_presence"]
    presences += [{**one, "network_id": FAR} for one in presences]
    for site in SITES:
        tables[Source.NB, site] |= _north(site)
        tables[Source.SB, site] |= _south(site)
        tables[Source.NB, site]["Logical_Switch"].append(
            {"_uuid": "ls-far", "name": f"neutron-{FAR}", "acls": []}
        )
        neutron = tables[Source.NEUTRON, site]
        neutron["network"].append({"id": FAR, "mtu": 1442, "admin_state_up": True})
        neutron["subnet"].append({"id": FARSUB, "network_id": FAR})
        for row in tables[Source.SB, site]["Chassis"]:
            row["other_config"] = {**row["other_config"], "ovn-bridge-mappings": "public:br-ex"}
    return tables


def _move(tables: Tables) -> None:
    """Move B to the other network, and let everybody in."""
    for found in tables.values():
        for row in (*found.get("port", ()), *found.get("twin", ())):
            if row["id"] == B:
                row.update(network_id=FAR, fixed_ips=_fixed(FARSUB, "10.0.2.6"))
        for row in found.get("site_shadow", ()):
            if row["id"] == B:
                row.update(network_id=FAR, addresses=["10.0.2.6"])
        for group in found.get("security_group", ()):
            group["security_group_rules"] = [rule("egress"), rule("ingress")]
    for site in SITES:
        north = tables[Source.NB, site]
        (lsp,) = (row for row in north["Logical_Switch_Port"] if row["name"] == B)
        lsp["addresses"] = ["fa:16:3e:00:00:06 10.0.2.6"]
        lsp["port_security"] = [*lsp["addresses"]] if lsp["port_security"] else []
        (acl,) = (row for row in north["ACL"] if row["_uuid"] == "a-to-lport")
        acl["match"] = f"outport == @{PG} && ip4"


#: Who may be asked for.
ENDS = ("a", "b", "fip", "external", "router")


def ask_routed(
    tables: Tables,
    source: str = "a",
    target: str = "b",
    service: str = "tcp/443",
    unseen: tuple[Unseen, ...] = (),
) -> Diagnosis:
    """Ask why one of `ENDS` does not reach another."""
    lost = {(one.source, one.place) for one in unseen}
    seen = {key: Seen(rows, "t") for key, rows in tables.items() if key not in lost}
    world = World(seen, unseen)
    wanted: Service = parse_service(service)
    return judge(world, end(world, source), end(world, target), wanted, 4)


def end(world: World, name: str) -> End:
    """Return an end of the world."""
    if name == "external":
        return End(asked=name, port={}, address=somewhere(4), kind=EndKind.OUTSIDE)
    if name == "router":
        return End(asked=name, port={}, address="10.0.0.1", kind=EndKind.ROUTER, router_id=R,
                   site="s1", host="h1")  # fmt: skip
    port_id, site, host = (A, "s1", "h1") if name == "a" else (B, "s2", "h2")
    row = world.find(Source.NEUTRON, site, "port", id=port_id) or world.find(
        *CENTRAL, "port", id=port_id
    )
    assert row is not None
    floating = world.find(*CENTRAL, "floatingip", id=FIP) if name == "fip" else None
    if floating is not None and not floating["port_id"] and not _forwards(world):
        return End(asked=name, port={}, kind=EndKind.ROUTER, floating=floating)
    fixed = [one["ip_address"] for one in row["fixed_ips"]]
    return End(
        asked=name, port=row, site=site, host=host, address=fixed[0], floating=floating,
        network=world.find(*CENTRAL, "network", id=row["network_id"]),
    )  # fmt: skip


def _forwards(world: World) -> bool:
    rows = world.rows(*CENTRAL, "router_exit")
    return any(one.get("forwardings") for one in rows)
