"""Ways through routers: which end is meant, what is read of central, and the way that follows."""

import time
from typing import Any

import pytest
from tests.unit.test_diagnose_collect import Lists, Rows, Ways, port, ways
from typing_extensions import override

from isthmus import errors
from isthmus.diagnose.collect import router_rows
from isthmus.diagnose.collect.resolve import resolve_end
from isthmus.diagnose.collect.routers import RouterFacts, list_sites
from isthmus.diagnose.collect.tasks import gather
from isthmus.diagnose.collect.world import collect_scene
from isthmus.diagnose.course import Halt
from isthmus.diagnose.judge import Word, judge
from isthmus.diagnose.question import PING, EndKind, parse_service
from isthmus.diagnose.route.fabric import Fabric
from isthmus.diagnose.route.walk import MOST_ROUTERS, Walk, walk
from isthmus.diagnose.world import Seen, Source, World

A = port("a", "10.0.0.5")
B = port("b", "10.0.1.6", network_id="m")
FLOATING = {
    "id": "f", "floating_ip_address": "198.51.100.3", "floating_network_id": "x",
    "router_id": "r", "port_id": "b", "fixed_ip_address": "10.0.1.6", "status": "ACTIVE",
}  # fmt: skip


def interface(router: str, network: str, address: str, subnet: str) -> dict[str, Any]:
    return port(
        f"{router}-{network}", address, network_id=network, device_id=router,
        device_owner="network:router_interface",
        fixed_ips=[{"subnet_id": subnet, "ip_address": address}],
    )  # fmt: skip


def subnet(name: str, network: str, cidr: str, gateway: str | None, **more: Any) -> dict[str, Any]:
    return {"id": name, "network_id": network, "cidr": cidr, "ip_version": 4,
            "gateway_ip": gateway, "host_routes": [], **more}  # fmt: skip


def tables(
    *routers: dict[str, Any], ports: list[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    return {
        "router": [*routers],
        "router_port": ports,
        "next_hop_port": [],
        "joined_subnet": [
            subnet("sub", "n", "10.0.0.0/24", "10.0.0.1"),
            subnet("subm", "m", "10.0.1.0/24", "10.0.1.1"),
            subnet("subt", "t", "10.9.0.0/24", None),
        ],
    }


def router(name: str, *routes: tuple[str, str]) -> dict[str, Any]:
    listed = [{"destination": one, "nexthop": hop} for one, hop in routes]
    return {"id": name, "name": name, "admin_state_up": True, "routes": listed}


ONE = tables(
    router("r"),
    ports=[interface("r", "n", "10.0.0.1", "sub"), interface("r", "m", "10.0.1.1", "subm")],
)
#: Two routers, joined by a network of their own.
TWO = tables(
    router("r", ("10.0.1.0/24", "10.9.0.2")), router("q", ("10.0.0.0/24", "10.9.0.1")),
    ports=[interface("r", "n", "10.0.0.1", "sub"), interface("r", "t", "10.9.0.1", "subt"),
           interface("q", "t", "10.9.0.2", "subt"), interface("q", "m", "10.0.1.1", "subm")],
)  # fmt: skip


def go(
    found: dict[str, list[dict[str, Any]]],
    target: str,
    network: str = "n",
    source: str = "10.0.0.5",
) -> Walk:
    seen = {(Source.CENTRAL, "central"): Seen(found)}
    return walk(Fabric(World(seen)), network, source, target)


def changed(found: dict[str, list[dict[str, Any]]], name: str, **change: Any) -> dict[str, Any]:
    rows = [{**one, **change} if one["id"] == name else one for one in found["joined_subnet"]]
    return {**found, "joined_subnet": rows}


def test_one_router_joins_both_networks() -> None:
    found = go(ONE, "10.0.1.6")
    assert found.halt is Halt.ARRIVED
    (passage,) = found.passages
    assert (passage.router_id, passage.route, passage.via) == ("r", "10.0.1.0/24", "")
    assert passage.leaves is not None
    assert passage.leaves["id"] == "r-m"


def test_two_routers_in_a_row_are_followed_there_and_back() -> None:
    found = go(TWO, "10.0.1.6")
    assert found.halt is Halt.ARRIVED
    assert [(one.router_id, one.via) for one in found.passages] == [("r", "10.9.0.2"), ("q", "")]
    back = go(TWO, "10.0.0.5", "m", "10.0.1.6")
    assert [one.router_id for one in back.passages] == ["q", "r"]


def test_what_no_router_joins_leaves_by_the_last_one() -> None:
    assert go(ONE, "192.0.2.1").halt is Halt.LEAVES
    assert go(ONE, "192.0.2.1").router_id == "r"


def test_an_address_of_its_own_subnet_needs_no_router() -> None:
    assert go(ONE, "10.0.0.9") == Walk()


def test_an_address_of_a_router_arrives_there() -> None:
    found = go(ONE, "10.0.1.1")
    assert found.halt is Halt.ARRIVED
    assert found.passages[0].leaves is None


def test_the_longest_prefix_decides_and_of_equals_the_joined_subnet() -> None:
    more = {**ONE, "router": [router("r", ("10.0.1.0/24", "10.0.0.77"))]}
    assert go(more, "10.0.1.6").halt is Halt.ARRIVED
    more = {**ONE, "router": [router("r", ("10.0.1.6/32", "10.0.0.77"))]}
    assert go(more, "10.0.1.6").halt is Halt.NEXT_HOP_DEAD
    assert go(more, "10.0.1.7").halt is Halt.ARRIVED


def test_host_routes_come_before_the_gateway() -> None:
    told = [{"destination": "10.0.1.0/24", "nexthop": "10.0.0.66"}]
    more = changed(ONE, "sub", host_routes=told)
    assert go(more, "10.0.1.6").halt is Halt.NEXT_HOP_DEAD
    assert go(more, "192.0.2.1").halt is Halt.LEAVES


@pytest.mark.parametrize(
    ("found", "halt"),
    [
        (changed(ONE, "sub", gateway_ip=None), Halt.NO_GATEWAY_IP),
        (changed(ONE, "sub", gateway_ip="10.0.0.9"), Halt.GATEWAY_ELSEWHERE),
        ({**ONE, "router_port": ONE["router_port"][1:]}, Halt.NO_ROUTER),
        ({**ONE, "router_port": ONE["router_port"][:1]}, Halt.LEAVES),
        ({**ONE, "router": []}, Halt.ROUTER_UNSEEN),
        ({**ONE, "router": [router("r", ("10.0.1.6/32", "172.16.0.1"))]}, Halt.NEXT_HOP_NOWHERE),
        ({**ONE, "joined_subnet": []}, Halt.NO_SUBNET),
        (
            {**TWO, "router": [router("r", ("10.0.1.6/32", "10.9.0.2")),
                               router("q", ("10.0.1.6/32", "10.9.0.1"))]}, Halt.LOOP,
        ),
    ],
)  # fmt: skip
def test_where_a_way_ends(found: dict[str, Any], halt: Halt) -> None:
    assert go(found, "10.0.1.6").halt is halt


def test_a_next_hop_that_is_a_server_ends_the_way() -> None:
    server = port("fw", "10.0.0.66", device_owner="compute:x")
    more = {**ONE, "router": [router("r", ("10.0.1.6/32", "10.0.0.66"))], "next_hop_port": [server]}
    found = go(more, "10.0.1.6")
    assert found.halt is Halt.THROUGH_SERVER
    assert found.about is not None
    assert found.about["port"]["id"] == "fw"


def test_many_routers_in_a_row_are_not_followed_for_ever() -> None:
    names = [f"r{number}" for number in range(MOST_ROUTERS + 2)]
    ports, subnets, routers = [], [subnet("s", "n", "10.0.0.0/24", "10.0.0.1")], []
    for number, name in enumerate(names):
        near = "n" if number == 0 else f"t{number - 1}"
        near_ip = "10.0.0.1" if number == 0 else f"10.1.{number - 1}.2"
        ports.append(interface(name, near, near_ip, "s" if number == 0 else near))
        ports.append(interface(name, f"t{number}", f"10.1.{number}.1", f"t{number}"))
        subnets.append(subnet(f"t{number}", f"t{number}", f"10.1.{number}.0/24", None))
        routers.append(router(name, ("10.8.0.0/16", f"10.1.{number}.2")))
    found = go({"router": routers, "router_port": ports, "next_hop_port": [],
                "joined_subnet": subnets}, "10.8.0.1")  # fmt: skip
    assert found.halt is Halt.LOOP
    assert len(found.passages) == MOST_ROUTERS


def small_cloud(**more: Any) -> Ways:
    """Return a cloud of two networks, a router that joins them, and its exit at s1."""
    found = ways(A, B)
    gateway = port("gw", "198.51.100.2", network_id="x", device_id="r",
                   device_owner="network:router_gateway")  # fmt: skip
    held = found.api.tables
    held["port"] += [*ONE["router_port"], gateway]
    held["network"] += [
        {"id": "m", "name": "other", "mtu": 1442},
        {"id": "x", "name": "out", "mtu": 1500, "router:external": True},
    ]
    held["subnet"] = [*ONE["joined_subnet"], subnet("subx", "x", "198.51.100.0/24", None)]
    held["router"] = [router("r")]
    held["floatingip"] = [FLOATING]
    exit_ = {"way": "local", "site": "s1", "network_id": "x", "next_hop": "198.51.100.1"}
    held["router_exit"] = [
        {"id": "r", "name": "r", "forwardings": [], "gateways": [{**gateway, "site": "s1"}],
         "floating_ips": [{"id": "f", "site": "s1", "idle": None, "network_id": "x"}],
         "sites": [{"site": one, "state": "enabled", "exits": {"4": exit_}}
                   for one in ("s1", "s2")],
         **more}
    ]  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("asked", "kind", "address"),
    [
        ("external", EndKind.OUTSIDE, ""),
        ("8.8.8.8", EndKind.OUTSIDE, "8.8.8.8"),
        ("198.51.100.77", EndKind.OUTSIDE, "198.51.100.77"),
        ("198.51.100.2", EndKind.OUTSIDE, "198.51.100.2"),
        ("198.51.100.3", EndKind.PORT, "10.0.1.6"),
        ("f", EndKind.PORT, "10.0.1.6"),
        ("r", EndKind.ROUTER, ""),
        ("10.0.1.1", EndKind.ROUTER, "10.0.1.1"),
        ("10.0.1.6@other", EndKind.PORT, "10.0.1.6"),
    ],
)
def test_who_is_meant(asked: str, kind: EndKind, address: str) -> None:
    found = resolve_end(small_cloud(), asked, PING)
    assert (found.kind, found.address) == (kind, address)
    assert (found.floating is not None) is (asked in ("f", FLOATING["floating_ip_address"]))


def test_an_address_of_a_network_inside_that_nobody_has_is_refused() -> None:
    with pytest.raises(errors.NotFound):
        resolve_end(small_cloud(), "10.0.1.99", PING)


def test_a_floating_ip_leads_to_the_server_of_the_port_that_is_asked_for() -> None:
    cloud = small_cloud(
        forwardings=[
            {"id": one, "floating_ip_id": "f", "protocol": "tcp", "ports": ports, "port_id": one,
             "fixed_address": address}
            for one, ports, address in (("a", "80", "10.0.0.5"), ("b", "443:445", "10.0.1.6"))
        ]
    )  # fmt: skip
    cloud.api.tables["floatingip"] = [{**FLOATING, "port_id": None, "fixed_ip_address": None}]
    for service, server in (("tcp/80", "a"), ("tcp/444", "b")):
        assert resolve_end(cloud, "198.51.100.3", parse_service(service)).port["id"] == server


def test_a_floating_ip_of_nobody_is_an_end_all_the_same() -> None:
    cloud = small_cloud()
    cloud.api.tables["floatingip"] = [{**FLOATING, "port_id": None, "router_id": None}]
    found = resolve_end(cloud, "198.51.100.3", PING)
    assert (found.kind, found.port) == (EndKind.ROUTER, {})


@pytest.mark.parametrize(
    ("source", "target"), [("r", "a"), ("external", "8.8.8.8"), ("external", "r"), ("a", "name-a")]
)
def test_what_no_packet_answers_is_refused(source: str, target: str) -> None:
    with pytest.raises(errors.Invalid):
        collect_scene(small_cloud(), source, target, timeout_s=30, now=lambda: "t")


def test_routers_of_the_ends_are_read_and_what_they_lead_to() -> None:
    cloud = small_cloud()
    cloud.api.tables["port"] = [A, *TWO["router_port"]]
    cloud.api.tables["router"] = TWO["router"]
    facts = RouterFacts(cloud.api)
    facts.collect([A], [ONE["joined_subnet"][0]], [])
    assert {one["id"] for one in facts.tables["router"]} == {"r", "q"}
    assert {one["network_id"] for one in facts.tables["joined_subnet"]} == {"n", "m", "t", "x"}
    assert facts.tables["next_hop_port"] == []
    assert list_sites(facts.tables, ["s2"], ()) == ["s1"]
    assert facts.unseen == []


def test_exits_that_a_person_is_not_shown_are_told_of() -> None:
    class Refusing(Lists):
        @override
        def list(self, resource: str, **filters: Any) -> Any:
            if resource == "router_exit":
                raise errors.Refused("not for you")
            return super().list(resource, **filters)

    cloud = small_cloud()
    cloud.api = Refusing(cloud.api.tables)
    facts = RouterFacts(cloud.api)
    facts.collect([A], [], [])
    assert [one.reason for one in facts.unseen] == ["exits of routers: not for you"]


def test_nothing_of_routers_is_asked_where_none_is_on_the_way() -> None:
    cloud = ways(A, port("c", "10.0.0.7"))
    collect_scene(cloud, "a", "c", timeout_s=30, now=lambda: "t")
    asked = {one for one, _ in cloud.api.asked}
    assert not asked & {"router", "router_exit", "floatingip"}


@pytest.mark.parametrize("target", ["b", "198.51.100.3", "external", "r"])
def test_a_question_is_collected_and_not_told_without_ovn(target: str) -> None:
    scene = collect_scene(small_cloud(), "a", target, timeout_s=30, now=lambda: "t")
    found = judge(scene.world, scene.source, scene.target, PING, scene.family)
    assert found.word in (Word.UNDETERMINED, Word.BLOCKED)
    told = {(one.source, one.place) for one in found.unseen}
    assert (Source.NB, "s1") in told


def test_rows_of_routers_are_read_with_what_they_name() -> None:
    nb = Rows(
        {
            "Logical_Router": [
                {"_uuid": "lr", "name": "neutron-r", "enabled": True, "ports": "p1",
                 "nat": ["n1", "n2"], "static_routes": "s1", "policies": [], "load_balancer": []}
            ],
            "Logical_Router_Port": [
                {"_uuid": "p1", "name": "lrp-gw", "mac": "m", "networks": "198.51.100.2/24",
                 "enabled": [], "gateway_chassis": [], "ha_chassis_group": "g", "options": {}},
                {"_uuid": "p9", "name": "lrp-else"},
            ],
            "Logical_Router_Static_Route": [{"_uuid": "s1", "ip_prefix": "0.0.0.0/0"}],
            "NAT": [{"_uuid": "n1"}, {"_uuid": "n2"}, {"_uuid": "n3"}],
            "HA_Chassis_Group": [{"_uuid": "g", "ha_chassis": "h"}],
            "HA_Chassis": [{"_uuid": "h", "chassis_name": "c1", "priority": 2}],
            "Logical_Switch": [{"_uuid": "x", "name": "neutron-x", "ports": "l"},
                               {"_uuid": "t", "name": "isthmus-transit-r", "other_config": {}}],
            "Logical_Switch_Port": [
                {"_uuid": "l", "name": "provnet", "type": "localnet"},
                {"_uuid": "k", "name": "gw", "type": "router"},
                {"_uuid": "o", "name": "isthmus-transit-r/s2", "type": "remote"},
            ],
        }
    )  # fmt: skip
    sb = Rows(
        {
            "Port_Binding": [{"logical_port": "cr-lrp-gw", "type": "chassisredirect"},
                             {"logical_port": "lrp-else", "type": "patch"}],
            "MAC_Binding": [{"logical_port": "lrp-gw", "ip": "198.51.100.1", "mac": "m"}],
        }
    )  # fmt: skip
    wanted = router_rows.Wanted(
        routers=["r"], ports=["gw"], externals=["x"], peers=["isthmus-transit-r/s2"]
    )
    found = gather([*router_rows.tasks("s1", nb, sb, wanted)], time.monotonic() + 30, lambda: "t")
    assert found.unseen == []
    north = found.seen[Source.NB, "s1"].tables
    assert [one["networks"] for one in north["Logical_Router_Port"]] == [["198.51.100.2/24"]]
    assert [one["_uuid"] for one in north["NAT"]] == ["n1", "n2"]
    assert [(one["port"], one["chassis_name"]) for one in north["gateway_host"]] == [
        ("lrp-gw", "c1")
    ]
    assert {one["name"] for one in north["router_lsp"]} == {"gw", "isthmus-transit-r/s2"}
    assert [one["type"] for one in north["external_port"]] == ["switch", "localnet"]
    assert [one["name"] for one in north["transit_switch"]] == ["isthmus-transit-r"]
    south = found.seen[Source.SB, "s1"].tables
    assert [one["logical_port"] for one in south["router_binding"]] == ["cr-lrp-gw"]
    assert [one["ip"] for one in south["MAC_Binding"]] == ["198.51.100.1"]
