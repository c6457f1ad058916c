"""A healthy world of two sites with a server each, and ways to break it."""

import copy
from collections.abc import Callable
from typing import Any

from isthmus.diagnose.judge import Diagnosis, judge
from isthmus.diagnose.question import End, family_of, parse_service
from isthmus.diagnose.world import Seen, Source, Unseen, World

NET, SUBNET, GROUP, OTHER, AG = "net", "sub", "sg-one", "sg-two", "ag-one"
A, B = "port-a", "port-b"
PG = "pg_sg_one"
KEYS = {A: 11, B: 22}
DATAPATH = 16711690

#: How a test breaks the world, in place.
Break = Callable[[dict[tuple[Source, str], dict[str, list[dict[str, Any]]]]], None]


def rule(direction: str, **more: Any) -> dict[str, Any]:
    """Return a rule of the group."""
    return {
        "id": f"rule-{direction}-{len(more)}", "direction": direction, "ethertype": "IPv4",
        "protocol": None, "port_range_min": None, "port_range_max": None,
        "remote_ip_prefix": None, "remote_group_id": None, "remote_address_group_id": None,
        "security_group_id": GROUP, **more,
    }  # fmt: skip


def port(port_id: str, host: str) -> dict[str, Any]:
    """Return a port as its site has it."""
    last = {A: 5, B: 6}[port_id]
    return {
        "id": port_id, "name": port_id[-1], "network_id": NET, "admin_state_up": True,
        "status": "ACTIVE", "mac_address": f"fa:16:3e:00:00:0{last}", "device_owner": "compute:x",
        "device_id": "srv", "fixed_ips": [{"subnet_id": SUBNET, "ip_address": f"10.0.0.{last}"}],
        "security_groups": [GROUP], "port_security_enabled": True, "allowed_address_pairs": [],
        "binding:host_id": host, "binding:vif_type": "ovs",
    }  # fmt: skip


def _group() -> dict[str, Any]:
    return {
        "id": GROUP, "name": "web", "stateful": True,
        "security_group_rules": [
            rule("egress"),
            rule("ingress", protocol="tcp", port_range_min=443, port_range_max=443,
                 remote_group_id=GROUP),
        ],
    }  # fmt: skip


def _lsp(port_id: str, home: bool, chassis: str) -> dict[str, Any]:
    last = {A: 5, B: 6}[port_id]
    options = {"requested-tnl-key": str(KEYS[port_id]), "requested-chassis": chassis}
    address = f"fa:16:3e:00:00:0{last} 10.0.0.{last}"
    return {
        "_uuid": f"u-{port_id}", "name": port_id, "type": "" if home else "remote",
        "enabled": True, "options": options, "addresses": [address],
        "port_security": [address] if home else [], "dhcpv4_options": ["d1"] if home else [],
    }  # fmt: skip


def _nb(site: str) -> dict[str, list[dict[str, Any]]]:
    mine = A if site == "s1" else B
    ports = [_lsp(one, one == mine, {A: "c1", B: "c2"}[one]) for one in (A, B)]
    match = {
        "from-lport": f"inport == @{PG} && ip4",
        "to-lport": f"outport == @{PG} && ip4 && ip4.src == ${PG}_ip4 && tcp && tcp.dst == 443",
    }
    drop = {"from-lport": "inport == @neutron_pg_drop && ip",
            "to-lport": "outport == @neutron_pg_drop && ip"}  # fmt: skip
    rows = [("allow-related", 1002, match, "a"), ("drop", 1001, drop, "d")]
    return {
        "NB_Global": [{"nb_cfg": 7, "sb_cfg": 7}],
        "Logical_Switch": [{"_uuid": "ls", "name": f"neutron-{NET}", "acls": []}],
        "Logical_Switch_Port": ports,
        "Port_Group": [
            {"name": PG, "ports": [f"u-{A}", f"u-{B}"], "acls": ["a-from-lport", "a-to-lport"]},
            {"name": "neutron_pg_drop", "ports": [f"u-{mine}"],
             "acls": ["d-from-lport", "d-to-lport"]},
        ],
        "ACL": [
            {"_uuid": f"{mark}-{way}", "direction": way, "priority": rank, "action": action,
             "match": text}
            for action, rank, matches, mark in rows for way, text in matches.items()
        ],
        "Address_Set": [],
        "DHCP_Options": [{"_uuid": "d1", "cidr": "10.0.0.0/24", "options": {
            "server_id": "10.0.0.1", "lease_time": "43200", "mtu": "1442", "router": "10.0.0.1",
            "dns_server": "{192.0.2.53}", "domain_name": '"example"',
            "classless_static_route": f"{{169.254.169.254/32,{_meta(site)}, 0.0.0.0/0,10.0.0.1}}",
        }}],
        "segment": [], "server": [{"model": "standalone", "leader": True, "connected": True}],
    }  # fmt: skip


def _meta(site: str) -> str:
    """Return where the metadata port of a site answers."""
    return {"s1": "10.0.0.96", "s2": "10.0.0.95"}[site]


def _sb(site: str) -> dict[str, list[dict[str, Any]]]:
    mine = {"s1": "c1", "s2": "c2"}[site]
    return {
        "SB_Global": [{"nb_cfg": 7}],
        "Port_Binding": [
            {"logical_port": one, "tunnel_key": KEYS[one], "chassis": f"u-{chassis}",
             "datapath": "dp", "up": True}
            for one, chassis in ((A, "c1"), (B, "c2"))
        ],
        "Datapath_Binding": [{"_uuid": "dp", "tunnel_key": DATAPATH}],
        "Chassis": [
            {"_uuid": f"u-{name}", "name": name,
             "hostname": host if name == mine else f"{other}/{host}",
             "other_config": {} if name == mine else {"is-remote": "true"}}
            for name, host, other in (("c1", "h1", "s1"), ("c2", "h2", "s2"))
        ],
        "Encap": [
            {"_uuid": "e1", "chassis_name": "c1", "ip": "172.30.1.11", "type": "geneve"},
            {"_uuid": "e2", "chassis_name": "c2", "ip": "172.30.2.11", "type": "geneve"},
        ],
        "Chassis_Private": [{"name": mine, "nb_cfg": 7, "chassis": f"u-{mine}"}],
        "Address_Set": [{"name": f"{PG}_ip4", "addresses": ["10.0.0.5", "10.0.0.6"]}],
        "FDB": [], "Service_Monitor": [], "remote_count": [{"datapath": "dp", "count": 1}],
        "server": [{"model": "standalone", "leader": True, "connected": True}],
    }  # fmt: skip


def _left(total: int, used: int) -> dict[str, Any]:
    one = {"subnet_id": SUBNET, "cidr": "10.0.0.0/24", "total_ips": total, "used_ips": used}
    return {"id": NET, "network_id": NET, "subnet_ip_availability": [one]}


def _neutron(site: str) -> dict[str, list[dict[str, Any]]]:
    mine, other, far = (A, B, "s2") if site == "s1" else (B, A, "s1")
    last = {A: 5, B: 6}[other]
    return {
        "port": [port(mine, "h1" if site == "s1" else "h2")],
        "network": [{"id": NET, "mtu": 1442, "admin_state_up": True}],
        "subnet": [{"id": SUBNET, "network_id": NET}],
        "security_group": [_group()],
        "twin": [port(mine, "h")],
        "metadata_port": [{"id": "meta", "network_id": NET, "fixed_ips": [
            {"subnet_id": SUBNET, "ip_address": _meta(site)}]}],
        "network_ip_availability": [_left(60, 50)], "agent": [], "dhcp_port": [],
        "router_agent": [], "clock": [{"ahead_s": 1}],
        "site_shadow": [
            {"id": other, "network_id": NET, "site": far, "chassis": {A: "c1", B: "c2"}[other],
             "port_key": KEYS[other], "mac_address": f"fa:16:3e:00:00:0{last}",
             "addresses": [f"10.0.0.{last}"]}
        ],
    }  # fmt: skip


def _host(host: str) -> dict[str, list[dict[str, Any]]]:
    mine, other, ip, to = (
        (A, B, "172.30.1.11", "172.30.2.11")
        if host == "h1"
        else (B, A, "172.30.2.11", "172.30.1.11")
    )
    ids = {"ovn-is-interconn": "true", "ovn-encap-ip": ip, "system-id": f"id-{host}"}
    return {
        "Open_vSwitch": [{"external_ids": ids}],
        "Interface": [
            {"name": "tap1", "iface_id": mine, "ofport": 3, "admin_state": "up",
             "link_state": "up", "error": [], "options": {}},
            {"name": "ovn-1", "iface_id": "", "options": {"remote_ip": to}},
        ],
        "daemon": [
            {"name": "ovs-vswitchd", "state": "running", "said": "3.1"},
            {"name": "ovn-controller", "state": "connected", "said": "connected"},
        ],
        "conntrack": [{"count": 70, "most": 3000000}],
        "route": [{"to": to, "dev": "br-phys", "mtu": 1500}],
        "flow": [{"to": other, "match": "reg15=0x16", "count": 1}],
        "bridge": [{"name": "br-int", "interfaces": ["tap1", "ovn-1"], "ofports": [1, 3]}],
        "counter": [{"name": "upcalls-missed", "value": 9000}, {"name": "upcalls-lost", "value": 2},
                    {"name": "datagrams", "value": 70000}, {"name": "checksum-errors", "value": 1}],
        "log": [], "certificate": [], "neighbour": [], "bridge_flow": [], "tracked": [],
        "console": [],
    }  # fmt: skip


Tables = dict[tuple[Source, str], dict[str, list[dict[str, Any]]]]


def healthy() -> Tables:
    """Return what is seen where all is well."""
    ports = [port(A, "s1/h1"), port(B, "s2/h2")]
    found: Tables = {
        (Source.CENTRAL, "central"): {
            "port": ports,
            "twin": copy.deepcopy(ports),
            "network": [{"id": NET, "name": "net1", "mtu": 1442, "admin_state_up": True}],
            "subnet": [{"id": SUBNET, "network_id": NET, "cidr": "10.0.0.0/24", "ip_version": 4,
                        "enable_dhcp": True}],
            "security_group": [_group()],
            "address_group": [{"id": AG, "addresses": ["10.0.0.5/32"]}],
            "site": [{"name": one, "state": "enabled", "reachability": "reachable"}
                     for one in ("s1", "s2")],
            "site_presence": [{"network_id": NET, "site": one, "withdrawn": False,
                               "datapath_key": DATAPATH} for one in ("s1", "s2")],
            "site_job": [], "site_refusal": [],
            "network_ip_availability": [_left(253, 100)], "rbac_policy": [], "quota_detail": [],
            "qos_policy": [], "clock": [{"ahead_s": 0}],
        }
    }  # fmt: skip
    for site, host in (("s1", "h1"), ("s2", "h2")):
        found[Source.NEUTRON, site] = _neutron(site)
        found[Source.NB, site] = _nb(site)
        found[Source.SB, site] = _sb(site)
        found[Source.HOST, host] = _host(host)
    return found


def ask(
    tables: Tables,
    service: str = "tcp/443",
    unseen: tuple[Unseen, ...] = (),
    address: str = "",
    family: int = 4,
) -> Diagnosis:
    """Ask why A does not reach B."""
    lost = {(one.source, one.place) for one in unseen}
    seen = {key: Seen(rows, "t") for key, rows in tables.items() if key not in lost}
    world = World(seen, unseen)
    ends = []
    for port_id, site, host in ((A, "s1", "h1"), (B, "s2", "h2")):
        row = world.find(Source.NEUTRON, site, "port", id=port_id) or world.find(
            Source.CENTRAL, "central", "port", id=port_id
        )
        assert row is not None
        home = site if row["binding:host_id"] else ""
        fixed = [one["ip_address"] for one in row["fixed_ips"]]
        ends.append(
            End(
                asked=port_id, port=row, site=home, host=host if home else "",
                address=(address if port_id == A else "") or next(
                    (one for one in fixed if family_of(one) == family), ""),
                network=world.find(Source.CENTRAL, "central", "network", id=NET),
            )
        )  # fmt: skip
    return judge(world, ends[0], ends[1], parse_service(service), family)
