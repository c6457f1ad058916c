"""The rows that a healthy cloud of `grown` has in the OVN databases of a site."""

from typing import Any

from tests.tables.grown import Group, Grown, Router, Server
from tests.tables.grown_rows import _gateway, _interfaces, _plan, _snat, _tunnel

Row = dict[str, Any]
Tables = dict[str, list[Row]]


def _is_here(site: str, server: Server) -> bool:
    return site in server.net.sites


def _switch_port(site: str, server: Server) -> Row:
    own = server.site == site
    address = " ".join([server.mac, *(server.address(family) for family in server.net.families)])
    guarded = f"{address} {server.pair}".strip() if server.pair else address
    known = guarded if server.pair and not own else address
    return {
        "_uuid": f"u-{server.id}", "name": server.id, "type": "" if own else "remote",
        "enabled": True, "up": True, "addresses": [known],
        "options": {"requested-tnl-key": str(server.number),
                    "requested-chassis": server.host if own else f"c-{server.host}"},
        "port_security": [guarded] if own and server.groups else [],
        "dhcpv4_options": f"dhcp-{server.net.id}" if own else [], "external_ids": {},
    }  # fmt: skip


def _match(rule: Row) -> str:
    into, name = rule["direction"] == "ingress", "ip6" if rule["ethertype"] == "IPv6" else "ip4"
    side = f"{name}.{'src' if into else 'dst'}"
    words = [f"{'outport' if into else 'inport'} == @pg_{rule['security_group_id']}", name]
    if rule["remote_ip_prefix"]:
        words.append(f"{side} == {rule['remote_ip_prefix']}")
    if rule["remote_group_id"]:
        words.append(f"{side} == $pg_{rule['remote_group_id']}_{name}")
    low, high, protocol = rule["port_range_min"], rule["port_range_max"], rule["protocol"]
    if protocol in {"icmp", "ipv6-icmp"}:
        words.append("icmp6" if name == "ip6" else "icmp4")
    elif protocol:
        words.append(protocol)
        if low is not None and low == high:
            words.append(f"{protocol}.dst == {low}")
        elif low is not None:
            words += [f"{protocol}.dst >= {low}", f"{protocol}.dst <= {high}"]
    return " && ".join(words)


def _acls(group: Group) -> list[Row]:
    action = "allow-related" if group.stateful else "allow-stateless"
    return [
        {"_uuid": rule["id"], "priority": 1002, "action": action, "match": _match(rule),
         "direction": "to-lport" if rule["direction"] == "ingress" else "from-lport",
         "external_ids": {"neutron:security_group_rule_id": rule["id"]}} for rule in group.rules
    ]  # fmt: skip


def _policies(cloud: Grown, site: str) -> Tables:
    members = {one.id: [x for x in cloud.servers if one in x.groups and _is_here(site, x)]
               for one in cloud.groups}  # fmt: skip
    guarded = [one for one in cloud.servers if one.site == site and one.groups]
    drops = [
        {"_uuid": f"drop-{way}", "priority": 1001, "action": "drop", "direction": way,
         "match": f"{side} == @neutron_pg_drop && ip", "external_ids": {}}
        for way, side in (("from-lport", "inport"), ("to-lport", "outport"))
    ]  # fmt: skip
    return {
        "Port_Group": [
            *({"_uuid": f"pg-{one.id}", "name": f"pg_{one.id}",
               "ports": [f"u-{x.id}" for x in members[one.id]],
               "acls": [rule["id"] for rule in one.rules]} for one in cloud.groups),
            {"_uuid": "pg-drop", "name": "neutron_pg_drop", "acls": ["drop-from-lport",
             "drop-to-lport"], "ports": [f"u-{x.id}" for x in guarded]},
        ],
        "ACL": [*(acl for one in cloud.groups for acl in _acls(one)), *drops],
        "Address_Set": [],
    }  # fmt: skip


def _address_sets(cloud: Grown) -> list[Row]:
    """Write the address sets of port groups: members at all sites, with their pairs."""
    found = []
    for group in cloud.groups:
        mine = [one for one in cloud.servers if group in one.groups]
        four = [x for one in mine for x in (one.address(4), one.pair) if x]
        six = [one.address(6) for one in mine if one.net.has_six]
        found += [{"name": f"pg_{group.id}_ip4", "addresses": four},
                  {"name": f"pg_{group.id}_ip6", "addresses": six}]  # fmt: skip
    return found


def _router_rows(cloud: Grown, router: Router, site: str, into: Tables) -> None:
    plan = _plan(cloud, router, site)
    transit, name, mark = plan["transit"], f"isthmus-transit-{router.id}", {"isthmus:router": "r"}
    ports, nats, routes = list[Row](), list[Row](), list[Row]()
    bare: Row = {"enabled": [], "gateway_chassis": [], "ha_chassis_group": [], "options": {}}
    for net, family, row in _interfaces(router):
        if site not in net.sites:
            continue
        size = net.cidr(family).partition("/")[2]
        ports.append({**bare, "_uuid": f"u-lrp-{row['id']}", "name": f"lrp-{row['id']}",
                      "mac": row["mac_address"],
                      "networks": [f"{router.address(net, family)}/{size}"],
                      "ipv6_ra_configs": {"address_mode": "slaac", "send_periodic": "true"}
                      if family == 6 else {}})  # fmt: skip
        into["Logical_Switch_Port"].append(
            _plug(row["id"], "router", ["router"], **{"router-port": f"lrp-{row['id']}"})
        )
    if len(router.sites) > 1:
        ports.append(
            {
                **bare,
                "_uuid": f"u-{name}-lrp",
                "name": f"{name}-lrp",
                "mac": transit["mac"],
                "networks": [f"{one}/{64 if ':' in one else 24}" for one in transit["addresses"]],
            }
        )
        key = {"requested-tnl-key": str(transit["port_key"]), "router-port": f"{name}-lrp"}
        into["Logical_Switch_Port"].append(_plug(f"{name}-lsp", "router", ["router"], **key))
        for peer in transit["peers"]:
            more = {"requested-tnl-key": str(peer["port_key"]),
                    "requested-chassis": peer["hypervisor"]["chassis"]}  # fmt: skip
            at = [" ".join([peer["mac"], *peer["addresses"]])]
            into["Logical_Switch_Port"].append(
                _plug(f"{name}/{peer['site']}", "remote", at, **more)
            )
        into["Logical_Switch"].append({
            "_uuid": f"ts-{router.id}", "name": name, "acls": [], "ports": [],
            "other_config": {"requested-tnl-key": str(transit["datapath_key"])},
        })  # fmt: skip
    for number, route in enumerate(plan["routes"]):
        routes.append({
            "_uuid": f"route-{router.id}-{number}", "ip_prefix": route["destination"],
            "nexthop": route["next_hop"], "policy": [],
            "external_ids": {} if route["way"] == "local" else mark,
        })  # fmt: skip
    if router.exit_site == site:
        gateway = _gateway(router)
        ports.append({**bare, "_uuid": f"u-lrp-{gateway['id']}", "name": f"lrp-{gateway['id']}",
                      "mac": gateway["mac_address"], "networks": [f"{_snat(router)}/24"],
                      "ha_chassis_group": f"hcg-{router.id}"})  # fmt: skip
        host = cloud.hosts[site][0]
        into["HA_Chassis_Group"].append({"_uuid": f"hcg-{router.id}", "name": router.id,
                                         "ha_chassis": [f"hc-{router.id}"]})  # fmt: skip
        into["HA_Chassis"].append({"_uuid": f"hc-{router.id}", "chassis_name": f"c-{host}",
                                   "priority": 1})  # fmt: skip
        translation: Row = {"external_mac": [], "logical_port": [], "external_ids": {}}
        nats.append({**translation, "_uuid": f"snat-{router.id}", "type": "snat",
                     "external_ip": _snat(router), "logical_ip": "0.0.0.0/0"})  # fmt: skip
        nats += [
            {**translation, "_uuid": f"dnat-{one.number}", "type": "dnat_and_snat",
             "external_ip": one.public, "logical_ip": one.address(4)}
            for one in cloud.servers if one.public and one.net.router is router
        ]  # fmt: skip
        into["Logical_Switch"].append({
            "_uuid": f"ls-ext{router.number}", "name": f"neutron-ext{router.number}", "acls": [],
            "ports": [f"u-prov{router.number}"], "other_config": {},
        })  # fmt: skip
        into["Logical_Switch_Port"].append(
            _plug(f"prov{router.number}", "localnet", ["unknown"], network_name="public")
        )
    into["Logical_Router"].append({
        "_uuid": f"u-{router.id}", "name": f"neutron-{router.id}", "enabled": True,
        "ports": [one["_uuid"] for one in ports], "nat": [one["_uuid"] for one in nats],
        "static_routes": [one["_uuid"] for one in routes], "policies": [], "load_balancer": [],
    })  # fmt: skip
    into["Logical_Router_Port"] += ports
    into["NAT"] += nats
    into["Logical_Router_Static_Route"] += routes


def _plug(name: str, kind: str, addresses: list[str], **options: str) -> Row:
    return {"_uuid": f"u-{name}", "name": name, "type": kind, "enabled": [], "up": True,
            "options": options, "addresses": addresses, "port_security": [],
            "dhcpv4_options": [], "external_ids": {}}  # fmt: skip


def north(cloud: Grown, site: str) -> Tables:
    """Write the northbound database."""
    found: Tables = {
        name: [] for name in (
            "Logical_Router", "Logical_Router_Port", "NAT", "Logical_Router_Static_Route",
            "Logical_Router_Policy", "Load_Balancer", "HA_Chassis_Group", "HA_Chassis",
            "Gateway_Chassis",
        )
    }  # fmt: skip
    found["NB_Global"] = [{"nb_cfg": 7, "sb_cfg": 7, "hv_cfg": 7}]
    found["Logical_Switch"] = [
        {"_uuid": f"ls-{net.id}", "name": f"neutron-{net.id}", "acls": [], "ports": [],
         "other_config": {"requested-tnl-key": str(1000 + net.number)}}
        for net in cloud.nets if site in net.sites
    ]  # fmt: skip
    found["Logical_Switch_Port"] = [
        _switch_port(site, one) for one in cloud.servers if _is_here(site, one)
    ]
    found["server"] = [{"model": "clustered", "leader": True, "connected": True}]
    found["DHCP_Options"] = [
        {"_uuid": f"dhcp-{net.id}", "cidr": net.cidr(4), "options": {
            "server_id": net.address(4, 1), "router": net.address(4, 1), "mtu": "1442",
            "lease_time": "43200", "server_mac": "fa:16:3e:00:00:01", "domain_name": '"example"',
            "dns_server": "{192.0.2.53, 192.0.2.54}"}}
        for net in cloud.nets if site in net.sites
    ]  # fmt: skip
    for router in cloud.routers:
        if site in router.sites:
            _router_rows(cloud, router, site, found)
    return found | _policies(cloud, site)


def south(cloud: Grown, site: str) -> Tables:
    """Write the southbound database."""
    every = [(where, host) for where, hosts in cloud.hosts.items() for host in hosts]
    bindings: list[Row] = [
        {"_uuid": f"pb-{one.id}", "logical_port": one.id, "datapath": f"dp-{one.net.id}",
         "type": "" if one.site == site else "remote", "tunnel_key": one.number, "up": True,
         "chassis": f"u-c-{one.host}", "options": {}}
        for one in cloud.servers if _is_here(site, one)
    ]  # fmt: skip
    for router in cloud.routers:
        if site not in router.sites:
            continue
        name = f"isthmus-transit-{router.id}"
        bindings += [
            {"_uuid": f"pb-{name}/{one}", "logical_port": f"{name}/{one}", "type": "remote",
             "datapath": f"dp-ts{router.number}", "tunnel_key": 1, "up": True,
             "chassis": f"u-c-{cloud.hosts[one][0]}", "options": {}}
            for one in router.sites if one != site
        ]  # fmt: skip
        if router.exit_site == site:
            bindings.append({
                "_uuid": f"pb-cr{router.number}", "logical_port": f"cr-lrp-gw{router.number}",
                "type": "chassisredirect", "datapath": f"dp-r{router.number}", "tunnel_key": 1,
                "chassis": f"u-c-{cloud.hosts[site][0]}", "up": True, "options": {},
            })  # fmt: skip
    return {
        "SB_Global": [{"nb_cfg": 7}],
        "Chassis": [
            {"_uuid": f"u-c-{host}", "name": f"c-{host}", "external_ids": {},
             "hostname": host if where == site else f"{where}/{host}",
             "other_config": {"ovn-bridge-mappings": "public:br-ex"} if where == site
             else {"is-remote": "true"}} for where, host in every
        ],
        "Encap": [{"_uuid": f"e-{host}", "chassis_name": f"c-{host}", "type": "geneve",
                   "ip": _tunnel(cloud, host)} for _, host in every],
        "Chassis_Private": [{"name": f"c-{host}", "nb_cfg": 7, "nb_cfg_timestamp": 0,
                             "external_ids": {"neutron:ovn-metadata-sb-cfg": "6"},
                             "chassis": f"u-c-{host}"} for host in cloud.hosts[site]],
        "Port_Binding": bindings,
        "Datapath_Binding": [{"_uuid": f"dp-{net.id}", "tunnel_key": 1000 + net.number}
                             for net in cloud.nets],
        "Address_Set": _address_sets(cloud),
        "MAC_Binding": [], "FDB": [], "Service_Monitor": [], "BFD": [],
        "server": [{"model": "clustered", "leader": False, "connected": True}],
    }  # fmt: skip
