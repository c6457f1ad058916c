"""What can be wrong with a way through routers: each fault has its code, and a question."""

import copy
from collections.abc import Callable
from typing import Any

from tests.tables.routed_world import (
    CENTRAL,
    EXT,
    EXTSUB,
    FAR,
    FAR_PORT,
    FARSUB,
    FIP,
    GW,
    NEAR_PORT,
    PUBLIC,
    TRANSIT,
    R,
)
from tests.tables.test_diagnose import H1, N1, N2, NB1, NB2, SB1, SB2, Break, add, both, drop, put
from tests.tables.world import SUBNET, B, Tables

from isthmus.diagnose.world import Source

#: Questions: who asks for whom.
ROUTED, BACKWARDS = ("a", "b"), ("b", "a")
TO_FIP, FROM_OUTSIDE = ("a", "fip"), ("external", "fip")
OUT, OUT_OVER_TRANSIT = ("a", "external"), ("b", "external")
#: That of an exit has no floating IP of its own.
HEALTHY = (ROUTED, BACKWARDS, TO_FIP, FROM_OUTSIDE, OUT, OUT_OVER_TRANSIT, ("a", "router"))

Question = tuple[str, str]


def plan(change: Callable[[dict[str, Any]], Any]) -> Break:
    """Change what central has decided of the router."""
    return lambda tables: change(tables[CENTRAL]["router_exit"][0])


def lack(site: str, why: str) -> Break:
    """Let a site have no exit."""

    def change(found: dict[str, Any]) -> None:
        (here,) = (one for one in found["sites"] if one["site"] == site)
        here["exits"] = {"4": {"lack": why}}

    return plan(change)


def idle(why: str) -> Break:
    return plan(lambda found: found["floating_ips"][0].update(site=None, idle=why))


def central_router(**change: Any) -> Break:
    return put(CENTRAL, "router", "id", R, **change)


def subnet(subnet_id: str, **change: Any) -> Break:
    """Change a subnet in both tables that have it."""

    def do(tables: Tables) -> None:
        for table in ("subnet", "joined_subnet"):
            for row in tables[CENTRAL][table]:
                if row["id"] == subnet_id:
                    row.update(change)

    return do


def no_port(*ports: str) -> Break:
    """Take ports of the router away, at central and in OVN."""

    def do(tables: Tables) -> None:
        for found in tables.values():
            for table in ("router_port", "Logical_Router_Port", "router_lsp"):
                rows = found.get(table, [])
                gone = {*ports, *(f"lrp-{one}" for one in ports)}
                rows[:] = [row for row in rows if {row.get("id"), row.get("name")}.isdisjoint(gone)]

    return do


def hang(place: tuple[Source, str], column: str, table: str, **row: Any) -> Break:
    """Add a row that hangs on the router."""

    def do(tables: Tables) -> None:
        full = {"_uuid": f"more-{table}", "external_ids": {}, **row}
        tables[place][table].append(full)
        tables[place]["Logical_Router"][0][column].append(full["_uuid"])

    return do


def other_exit(tables: Tables) -> None:
    """Give s2 an exit of its own, so that replies of B need a policy there."""

    def change(found: dict[str, Any]) -> None:
        found["gateways"].append({**found["gateways"][0], "id": "gw2", "site": "s2",
                                  "network_id": "ext2", "fixed_ips": []})  # fmt: skip
        (here,) = (one for one in found["sites"] if one["site"] == "s2")
        exit_ = {"way": "local", "site": "s2", "network_id": "ext2", "next_hop": "203.0.113.1"}
        here["exits"] = {"4": exit_}
        here["routes"] = [{"purpose": "default", "destination": "0.0.0.0/0", **exit_}]
        here["policies"] = [{"floating_ip_id": FIP, "source": "10.0.2.6", "inside": [], "only": [],
                             "next_hop": "100.64.0.1", "site": "s1"}]  # fmt: skip

    plan(change)(tables)
    put(NB2, "Logical_Router_Static_Route", "_uuid", "route", nexthop="203.0.113.1",
        external_ids={})(tables)  # fmt: skip
    hang(
        NB2, "policies", "Logical_Router_Policy", priority=1000, action="reroute",
        match="ip4.src == 10.0.2.6 && !(ip4.dst == {10.0.0.0/24})", nexthops="100.64.0.1",
        external_ids={"isthmus:router": R},
    )(tables)  # fmt: skip


def no_policy(tables: Tables) -> None:
    other_exit(tables)
    tables[NB2]["Logical_Router"][0]["policies"] = []


def no_decided_policy(tables: Tables) -> None:
    other_exit(tables)
    plan(lambda found: found["sites"][1].update(policies=[]))(tables)


def forwarded(tables: Tables) -> None:
    """Let the floating IP forward TCP 443 to 8443 of B, and be B's no more."""
    tables[CENTRAL]["floatingip"][0].update(port_id=None, fixed_ip_address=None)
    for found in tables[CENTRAL]["router_exit"]:
        found["floating_ips"] = []
        found["forwardings"] = [
            {"id": "pf", "floating_ip_id": FIP, "address": PUBLIC, "network_id": EXT,
             "protocol": "tcp", "ports": "443", "fixed_address": "10.0.2.6",
             "fixed_ports": "8443", "port_id": B, "home": "s2", "site": "s1", "idle": None}
        ]  # fmt: skip
    tables[NB1]["Logical_Router"][0]["nat"].remove("dnat")
    hang(NB1, "load_balancer", "Load_Balancer", name="f", protocol="tcp",
         vips={f"{PUBLIC}:443": "10.0.2.6:8443"},
         external_ids={"isthmus:router": R})(tables)  # fmt: skip


def without_floating_ip(tables: Tables) -> None:
    tables[CENTRAL]["floatingip"].clear()
    tables[CENTRAL]["router_exit"][0]["floating_ips"].clear()
    tables[NB1]["Logical_Router"][0]["nat"].remove("dnat")


def second_router(tables: Tables, *routes: dict[str, str]) -> None:
    """Put a second router between the two networks: r1 leads to it by a route of its own."""
    for row in tables[CENTRAL]["router_port"]:
        if row["id"] == FAR_PORT:
            row["device_id"] = "r2"
    tables[CENTRAL]["router_port"].append(
        {**tables[CENTRAL]["router_port"][0], "id": "if-2", "device_id": "r2",
         "fixed_ips": [{"subnet_id": SUBNET, "ip_address": "10.0.0.254"}],
         "mac_address": "fa:16:3e:00:02:54"}
    )  # fmt: skip
    tables[CENTRAL]["router"].append(
        {"id": "r2", "name": "r2", "admin_state_up": True, "routes": [*routes]}
    )
    tables[CENTRAL]["router"][0]["routes"] = [
        {"destination": "10.0.2.0/24", "nexthop": "10.0.0.254"}
    ]
    for site in (NB1, NB2):
        lr, port = tables[site]["Logical_Router"], tables[site]["Logical_Router_Port"][0]
        lr[0]["ports"].remove(f"u-lrp-{FAR_PORT}")
        port = {**copy.deepcopy(port), "_uuid": "u-lrp-if-2", "name": "lrp-if-2",
                "networks": ["10.0.0.254/24"], "mac": "fa:16:3e:00:02:54"}  # fmt: skip
        tables[site]["Logical_Router_Port"].append(port)
        lr.append({"_uuid": "lr2", "name": "neutron-r2", "enabled": True, "load_balancer": [],
                   "ports": ["u-lrp-if-2", f"u-lrp-{FAR_PORT}"], "nat": [], "static_routes": [],
                   "policies": []})  # fmt: skip
        plug = tables[site]["router_lsp"][0]
        tables[site]["router_lsp"].append(
            {**plug, "name": "if-2", "options": {"router-port": "lrp-if-2"}}
        )


def loops(tables: Tables) -> None:
    second_router(tables, {"destination": "10.0.2.6/32", "nexthop": "10.0.0.1"})


def extra_route(hop: str) -> Break:
    return central_router(routes=[{"destination": "10.0.2.6/32", "nexthop": hop}])


def overlapping(tables: Tables) -> None:
    """Let the router join one more subnet that has B's address."""
    tables[CENTRAL]["joined_subnet"].append(
        {"id": "twin", "network_id": "net3", "cidr": "10.0.2.0/25", "ip_version": 4,
         "gateway_ip": "10.0.2.1"}
    )  # fmt: skip
    for row in tables[CENTRAL]["router_port"]:
        if row["id"] == FAR_PORT:
            row["fixed_ips"] = [
                *row["fixed_ips"], {"subnet_id": "twin", "ip_address": "10.0.2.1"}
            ]  # fmt: skip


def elsewhere(tables: Tables) -> None:
    """Let the router join another network with B's prefix, and not that of B."""
    for row in tables[CENTRAL]["joined_subnet"]:
        if row["id"] == FARSUB:
            row["network_id"] = "net3"
    for row in tables[CENTRAL]["router_port"]:
        if row["id"] == FAR_PORT:
            row["network_id"] = "net3"


_NO_EXIT = {"site": "s2", "state": "enabled", "exits": {"4": {"lack": "no gateway"}}}

#: code: (what is wrong, the question)
BLOCKED: dict[str, tuple[Break, Question]] = {
    "router.none": (no_port(NEAR_PORT), ROUTED),
    "router.not_joined": (no_port(FAR_PORT), ROUTED),
    "router.admin_down": (central_router(admin_state_up=False), ROUTED),
    "router.interface_down": (
        put(CENTRAL, "router_port", "id", FAR_PORT, admin_state_up=False), ROUTED),
    "subnet.no_gateway": (subnet(SUBNET, gateway_ip=None), ROUTED),
    "subnet.gateway_elsewhere": (subnet(SUBNET, gateway_ip="10.0.0.77"), ROUTED),
    "subnet.host_route_dead": (
        subnet(SUBNET, host_routes=[{"destination": "10.0.2.0/24", "nexthop": "10.0.0.66"}]),
        ROUTED),
    "route.next_hop_nowhere": (extra_route("10.9.9.9"), ROUTED),
    "route.next_hop_dead": (extra_route("10.0.0.66"), ROUTED),
    "route.loop": (loops, ROUTED),
    "router.subnets_overlap": (overlapping, ROUTED),
    "router.other_subnet": (elsewhere, ROUTED),
    "transit.range": (
        plan(lambda one: one["sites"][0]["transit"].update(prefixes=["192.0.2.0/24"])), OUT),
    "router.no_gateway": (
        both(lack("s1", "no gateway"), plan(lambda one: one["gateways"].clear())), OUT),
    "router.no_gateway_of_family": (
        both(lack("s1", "no gateway"), plan(lambda one: one["gateways"][0].update(fixed_ips=[
            {"subnet_id": "six", "ip_address": "2001:db8::2"}]))), OUT),
    "external.no_next_hop": (
        both(lack("s1", "no gateway"), subnet(EXTSUB, gateway_ip=None)), OUT),
    "exit.site_disabled": (
        both(lack("s2", "no site"), plan(lambda one: one["sites"][0].update(state="disabled")),
             plan(lambda one: one["gateways"][0].update(site=None))), OUT_OVER_TRANSIT),
    "exit.no_transit": (lack("s2", "no transit"), OUT_OVER_TRANSIT),
    "exit.seat_lost": (
        both(idle("no site"), plan(lambda one: one["gateways"][0].update(site=None))),
        FROM_OUTSIDE),
    "router.not_at_site": (plan(lambda one: one["sites"].pop(0)), OUT),
    "external.admin_down": (
        put(CENTRAL, "joined_network", "id", EXT, admin_state_up=False), FROM_OUTSIDE),
    "floating.none": (without_floating_ip, ("external", "b")),
    "floating.no_port": (
        put(CENTRAL, "floatingip", "id", FIP, port_id=None, router_id=None), FROM_OUTSIDE),
    "floating.down": (put(CENTRAL, "floatingip", "id", FIP, status="DOWN"), FROM_OUTSIDE),
    "floating.fixed_gone": (
        put(CENTRAL, "floatingip", "id", FIP, fixed_ip_address="10.0.2.99"), FROM_OUTSIDE),
    "floating.no_gateway": (idle("no gateway on its network"), FROM_OUTSIDE),
    "floating.no_interface": (idle("no subnet"), FROM_OUTSIDE),
    "floating.no_site": (idle("no site"), FROM_OUTSIDE),
    "floating.no_transit": (idle("no transit"), FROM_OUTSIDE),
    "floating.other_way": (idle("replies leave by another floating IP"), FROM_OUTSIDE),
    "floating.other_network": (
        put(CENTRAL, "floatingip", "id", FIP, floating_network_id="ext9"), FROM_OUTSIDE),
    "snat.off": (plan(lambda one: one["gateways"][0].update(enable_snat=False)), OUT),
    "return.other_exit": (no_decided_policy, FROM_OUTSIDE),
    "return.other_router": (
        both(put(CENTRAL, "router_port", "id", FAR_PORT, device_id="r9"),
             add(CENTRAL, "router", id="r9", name="r9", admin_state_up=True, routes=[]),
             add(CENTRAL, "router_exit", id="r9", gateways=[], sites=[_NO_EXIT])), FROM_OUTSIDE),
    "forwarding.none": (forwarded, ("external", "fip")),
    "forwarding.no_ping": (forwarded, ("external", "fip")),
    "forwarding.missing": (
        both(forwarded, lambda t: t[NB1]["Logical_Router"][0]["load_balancer"].clear()),
        FROM_OUTSIDE),
    "lr.missing": (drop(NB1, "Logical_Router", "name", f"neutron-{R}"), ROUTED),
    "lr.disabled": (put(NB1, "Logical_Router", "name", f"neutron-{R}", enabled=[False]), ROUTED),
    "lrp.missing": (drop(NB1, "Logical_Router_Port", "name", f"lrp-{FAR_PORT}"), ROUTED),
    "lrp.address": (
        put(NB1, "Logical_Router_Port", "name", f"lrp-{NEAR_PORT}", networks=["10.0.0.9/24"]),
        ROUTED),
    "lrp.mac": (
        put(NB1, "Logical_Router_Port", "name", f"lrp-{NEAR_PORT}", mac="fa:16:3e:00:00:99"),
        ROUTED),
    "lrp.disabled": (
        put(NB1, "Logical_Router_Port", "name", f"lrp-{FAR_PORT}", enabled=[False]), ROUTED),
    "lrp.stale_mac": (
        add(SB1, "MAC_Binding", _uuid="mb", logical_port=f"lrp-{FAR_PORT}", ip="10.0.2.6",
            mac="fa:16:3e:00:00:77"), ROUTED),
    "nat.no_mac": (put(NB1, "NAT", "_uuid", "dnat", logical_port="port-b"), FROM_OUTSIDE),
    "nat.no_fabric_at_port": (
        both(put(NB1, "NAT", "_uuid", "dnat", logical_port="port-b", external_mac="fa:16"),
             put(SB1, "Chassis", "name", "c2", hostname="h2", other_config={"is-remote": "true"})),
        FROM_OUTSIDE),
    "lrp.unplugged": (put(NB1, "router_lsp", "name", NEAR_PORT, type=""), ROUTED),
    "default_route.missing": (
        drop(NB1, "Logical_Router_Static_Route", "_uuid", "route"), OUT),
    "default_route.extra": (
        hang(NB1, "static_routes", "Logical_Router_Static_Route", ip_prefix="0.0.0.0/0",
             nexthop="198.51.100.9", policy=[]), OUT),
    "exit_route.missing": (
        drop(NB2, "Logical_Router_Static_Route", "_uuid", "route"), OUT_OVER_TRANSIT),
    "exit_route.extra": (
        hang(NB2, "static_routes", "Logical_Router_Static_Route", ip_prefix="0.0.0.0/0",
             nexthop="100.64.0.7", policy=[], external_ids={"isthmus:router": R}),
        OUT_OVER_TRANSIT),
    "exit_route.subnet_missing": (
        plan(lambda one: one["sites"][0]["routes"].append(
            {"purpose": "subnet", "destination": "10.0.9.0/24", "next_hop": "100.64.0.2",
             "way": "transit", "site": "s2"})), OUT),
    "nat.missing": (drop(NB1, "NAT", "_uuid", "dnat"), FROM_OUTSIDE),
    "nat.other_address": (
        hang(NB1, "nat", "NAT", type="dnat_and_snat", external_ip=PUBLIC, logical_ip="10.0.2.99"),
        FROM_OUTSIDE),
    "nat.no_source": (drop(NB1, "NAT", "_uuid", "snat"), OUT),
    "return_policy.missing": (no_policy, FROM_OUTSIDE),
    "transit.missing": (drop(NB2, "transit_switch", "name", TRANSIT), OUT_OVER_TRANSIT),
    "transit.key": (
        put(NB2, "transit_switch", "name", TRANSIT, other_config={"requested-tnl-key": "9"}),
        OUT_OVER_TRANSIT),
    "transit.port": (
        put(NB2, "Logical_Router_Port", "name", f"{TRANSIT}-lrp", networks=["100.64.0.9/17"]),
        OUT_OVER_TRANSIT),
    "transit.peer_missing": (drop(NB2, "router_lsp", "name", f"{TRANSIT}/s1"), OUT_OVER_TRANSIT),
    "transit.peer_differs": (
        put(NB2, "router_lsp", "name", f"{TRANSIT}/s1", addresses=["0a:00:00:00:00:09 1.1.1.1"]),
        OUT_OVER_TRANSIT),
    "transit.peer_unbound": (
        put(SB2, "router_binding", "logical_port", f"{TRANSIT}/s1", chassis=[]), OUT_OVER_TRANSIT),
    "transit.arrival": (drop(NB1, "router_lsp", "name", f"{TRANSIT}-lsp"), OUT_OVER_TRANSIT),
    "gateway.missing": (drop(NB1, "Logical_Router_Port", "name", f"lrp-{GW}"), OUT),
    "gateway.address": (
        put(NB1, "Logical_Router_Port", "name", f"lrp-{GW}", networks=["198.51.100.9/24"]), OUT),
    "gateway.not_scheduled": (lambda t: t[NB1]["gateway_host"].clear(), OUT),
    "gateway.no_chassis": (
        put(NB1, "gateway_host", "chassis_name", "c1", chassis_name="c9"), OUT),
    "gateway.not_claimed": (
        put(SB1, "router_binding", "logical_port", f"cr-lrp-{GW}", chassis=[]), OUT),
    "gateway.no_mapping": (put(SB1, "Chassis", "name", "c1", other_config={}), OUT),
    "external.no_fabric": (drop(NB1, "external_port", "type", "localnet"), FROM_OUTSIDE),
}  # fmt: skip

#: What else a case asks for than TCP 443.
SERVICES = {"forwarding.none": "tcp/80", "forwarding.no_ping": "icmp"}

DEGRADED: dict[str, tuple[Break, Question]] = {
    "mtu.networks_differ": (
        both(put(CENTRAL, "joined_network", "id", FAR, mtu=1300),
             put(CENTRAL, "network", "id", FAR, mtu=1300), put(N2, "network", "id", FAR, mtu=1300),
             put(N1, "network", "id", FAR, mtu=1300)), ROUTED),
    "mtu.gateway": (
        both(put(CENTRAL, "joined_network", "id", EXT, mtu=1300),
             put(NB1, "Logical_Router_Port", "name", f"lrp-{GW}", options={})), OUT),
    "exit.draining": (put(CENTRAL, "site", "name", "s1", state="draining"), OUT_OVER_TRANSIT),
    "site.unreachable": (
        put(CENTRAL, "site", "name", "s1", reachability="unreachable"), OUT_OVER_TRANSIT),
    "transit.peer_chassis": (
        put(NB2, "router_lsp", "name", f"{TRANSIT}/s1",
            options={"requested-tnl-key": "1", "requested-chassis": "c7"}), OUT_OVER_TRANSIT),
    "gateway.failed_over": (
        both(add(NB1, "gateway_host", port=f"lrp-{GW}", chassis_name="c7", priority=9),
             add(SB1, "Chassis", _uuid="u-c7", name="c7", hostname="h7", other_config={})), OUT),
    "gateway.by_hand": (
        add(NB1, "gateway_host", port=f"lrp-{GW}", chassis_name="c1", priority=1,
            name=f"lrp-{GW}-c1"), OUT),
    "return_policy.foreign": (
        hang(NB1, "policies", "Logical_Router_Policy", priority=5, action="drop",
             match="ip4.src == 10.0.0.5", nexthops=[]), OUT),
    "chassis.behind": (put(SB1, "Chassis_Private", "name", "c1", nb_cfg=3), FROM_OUTSIDE),
    "mtu.too_large": (put(H1, "route", "dev", "br-phys", mtu=1450), ROUTED),
}  # fmt: skip
CASES = BLOCKED | DEGRADED
