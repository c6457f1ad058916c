"""The exits of central's routers at a site: gateways as Neutron has them, and rows beside them."""

import dataclasses
import json
import uuid
from ipaddress import ip_network
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, User, tenant
from tests.neutron.test_local_apply import carried
from tests.neutron.test_provider_networks import ask
from tests.neutron.test_routers import join, make_network, row
from tests.ports.row_kinds.exits import (
    DEFAULT,
    FLOATING,
    GATEWAY,
    HERE,
    POLICY,
    THERE,
    make_plan,
    make_transit,
)

from isthmus.federation.exits.transit import make_port
from isthmus.model.exits.plan_form import from_form, to_form
from isthmus.model.exits.request import Hypervisor
from isthmus.store.local import exit_plan
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress]


class World:
    """A router at the site, and what central says of its exits."""

    def __init__(self, central: CentralServer, site: LocalServer) -> None:
        self.central, self.site = central, site
        self.user: User = tenant(uuid.uuid4().hex)
        physical = f"p{uuid.uuid4().hex[:8]}"
        more = {"router:external": True}
        self.external = ask(central, physical, ["zone1"], **more).only()
        self.outside = central.create(
            "subnet",
            ADMIN,
            network_id=self.external["id"],
            cidr="172.31.7.0/24",
            ip_version=4,
            gateway_ip="172.31.7.1",
            enable_dhcp=False,
        )
        network, self.subnet = make_network(central, self.user, "10.7.0.0/24")
        self.server = site.create("port", self.user, network_id=network["id"])
        self.router = central.create("router", self.user, name="r")
        joined = join(central, self.router, self.user, subnet_id=self.subnet["id"])
        assert joined.status == 200, joined.text
        carried(central, site)
        self.port_id = str(uuid.uuid4())

    def gateway(self, address: str, **more: Any) -> dict[str, Any]:
        return {
            "id": self.port_id,
            "network_id": self.external["id"],
            "mac_address": "fa:16:3e:07:00:0a",
            "enable_snat": True,
            "fixed_ips": [{"subnet_id": self.outside["id"], "ip_address": address}],
            **more,
        }

    def apply(self, gateway: Any, plan: Any = None) -> str:
        router_id = self.router["id"]
        state = self.central.desired("site1", ("router", router_id))["router", router_id]
        state |= {"isthmus:gateway": gateway, "isthmus:exits": plan}
        item = {"type": "router", "id": router_id, "state": state}
        code = self.site.apply(item)[router_id]
        self.said = self.site.messages[router_id]
        return code

    def nats(self) -> list[tuple[str, str, str]]:
        """List the translations of the router: type, external and internal address."""
        return sorted(self.children("nat", "NAT", "type", "external_ip", "logical_ip"))

    def routes(self) -> list[tuple[str, str]]:
        names = ("static_routes", "Logical_Router_Static_Route", "ip_prefix", "nexthop")
        return sorted(self.children(*names))

    def children(self, column: str, table: str, *columns: str) -> list[Any]:
        name = f"neutron-{self.router['id']}"
        ids = row(self.site, "Logical_Router", name, column).split()
        found = []
        for one in ids:
            words = ("--format=json", f"--columns={','.join(columns)}", "list", table, one)
            (cells,) = json.loads(self.site.ovn.nbctl(*words))["data"]
            found.append(tuple(str(cell) for cell in cells))
        return found


@pytest.fixture(scope="module")
def world(central: CentralServer, site1: LocalServer) -> World:
    return World(central, site1)


def test_a_gateway_is_centrals_port_and_follows_it(world: World) -> None:
    site, router_id = world.site, world.router["id"]
    assert world.apply(world.gateway("172.31.7.10")) == "", world.said
    (port,) = site.call(
        "GET", f"/v2.0/ports?device_id={router_id}&device_owner=network:router_gateway"
    ).only()
    assert (port["id"], port["mac_address"]) == (world.port_id, "fa:16:3e:07:00:0a")
    info = site.get(f"routers/{router_id}").only()["external_gateway_info"]
    assert info["network_id"] == world.external["id"]
    assert [one["ip_address"] for one in info["external_fixed_ips"]] == ["172.31.7.10"]
    lrp = f"lrp-{world.port_id}"
    assert row(site, "Logical_Router_Port", lrp, "networks") == "172.31.7.10/24"
    assert world.nats() == [("snat", "172.31.7.10", "0.0.0.0/0")]
    assert world.routes() == [("0.0.0.0/0", "172.31.7.1")]
    # Again; another address; without translation: the port stays.
    assert world.apply(world.gateway("172.31.7.10")) == ""
    assert world.apply(world.gateway("172.31.7.11")) == ""
    assert row(site, "Logical_Router_Port", lrp, "networks") == "172.31.7.11/24"
    assert world.nats() == [("snat", "172.31.7.11", "0.0.0.0/0")]
    assert world.apply(world.gateway("172.31.7.11", enable_snat=False)) == ""
    assert world.nats() == []
    assert row(site, "Logical_Router_Port", lrp, "mac") == "fa:16:3e:07:00:0a"
    # It is central's: nobody changes it here, but for Neutron, which binds it.
    body = {"port": {"name": "mine"}}
    assert site.call("PUT", f"/v2.0/ports/{world.port_id}", body).status == 409
    assert site.call("DELETE", f"/v2.0/ports/{world.port_id}").status == 409
    bound = {"port": {"binding:host_id": "host1"}}
    assert site.call("PUT", f"/v2.0/ports/{world.port_id}", bound).status == 200
    taken = {"router": {"external_gateway_info": None}}
    assert site.call("PUT", f"/v2.0/routers/{router_id}", taken).status == 409
    # Another port in its place, and none.
    world.port_id = str(uuid.uuid4())
    assert world.apply(world.gateway("172.31.7.12")) == ""
    assert row(site, "Logical_Router_Port", lrp, "mac") == ""
    assert world.nats() == [("snat", "172.31.7.12", "0.0.0.0/0")]
    assert world.apply(None) == ""
    assert (world.nats(), world.routes()) == ([], [])
    assert site.get(f"ports/{world.port_id}").status == 404
    # What is not here yet is waited for.
    gateway = world.gateway("172.31.7.10", network_id=str(uuid.uuid4()))
    assert world.apply(gateway) == "isthmus.transient.stale"
    assert world.apply(None, {"exits": "none"}) == "isthmus.broken.protocol"


def list_rows(site: LocalServer, table: str, key: str, value: str) -> int:
    """Count the rows that bear a mark of ours."""
    find = ("--bare", "--columns=_uuid", "find", table, f"external_ids:isthmus\\:{key}={value}")
    return len(site.ovn.nbctl(*find).split())


def test_rows_beside_neutrons_come_back_and_go_with_the_router(world: World) -> None:
    site, router_id = world.site, world.router["id"]
    beyond = dataclasses.replace(DEFAULT, destination=ip_network("10.99.0.0/24"))
    plan = make_plan(routes=(beyond,), policies=(POLICY,), floating=(FLOATING,))
    world.port_id = str(uuid.uuid4())
    assert world.apply(world.gateway("172.31.7.20"), to_form(plan)) == "", world.said
    tables = {
        "Logical_Router_Static_Route": "router",
        "Logical_Router_Policy": "router",
        "NAT": "router",
        "Logical_Router_Port": "transit",
        "Logical_Switch": "transit",
    }

    def all_there() -> bool:
        found = {table: list_rows(site, table, key, router_id) for table, key in tables.items()}
        peers = list_rows(site, "Logical_Switch_Port", "transit", router_id)
        return set(found.values()) == {1} and peers == 2

    until(all_there, what="the rows of the router's exits")
    assert world.nats() == [
        ("dnat_and_snat", "172.16.0.9", "10.0.0.5"),
        ("snat", "172.31.7.20", "0.0.0.0/0"),
    ]
    assert ("10.99.0.0/24", "100.64.0.2") in world.routes()
    chassis = ("--bare", "--columns=hostname", "find", "Chassis", "other_config:is-remote=true")
    until(lambda: site.ovn.sbctl(*chassis) == "site2/host-g", what="the gateway's hypervisor")
    # Neutron writes its own anew, beside ours.
    for address in ("172.31.7.21", "172.31.7.22"):
        assert world.apply(world.gateway(address), to_form(plan)) == ""
    assert world.apply(None, to_form(plan)) == ""
    assert all_there()
    assert world.nats() == [("dnat_and_snat", "172.16.0.9", "10.0.0.5")]
    # Whoever takes a row away wakes the thread that writes it again.
    name = f"neutron-{router_id}"
    for words in (
        ("clear", "Logical_Router", name, "nat"),
        ("clear", "Logical_Router", name, "static_routes"),
        ("clear", "Logical_Router", name, "policies"),
        ("lrp-del", f"isthmus-transit-{router_id}-lrp"),
        ("lsp-del", f"isthmus-transit-{router_id}/site2"),
        ("ls-del", f"isthmus-transit-{router_id}"),
    ):
        site.ovn.nbctl(*words)
        until(all_there, what=f"what was lost by {' '.join(words[:2])}")
    until(lambda: site.holdings("ovn")["ovn"]["drift"] == [], what="nothing is left to do")
    # A hypervisor that is another now; and what is decided no more.
    other = Hypervisor(chassis="hv-h", hostname="host-h", encap_ip="192.0.2.8")
    moved = make_plan(transit=make_port(make_transit(site2=other), HERE))
    assert world.apply(None, to_form(moved)) == ""
    peer = f"isthmus-transit-{router_id}/site2"
    until(lambda: "hv-h" in row(site, "Logical_Switch_Port", peer, "options"), what="it moves")
    until(lambda: not world.nats() and not world.routes(), what="the others go")
    until(lambda: site.ovn.sbctl(*chassis) == "site2/host-h", what="the hypervisor before is gone")
    assert len(site.rows("isthmus_exits")) == 1
    item = {"type": "router", "id": router_id, "state": None}
    assert site.apply(item) == {router_id: ""}
    assert site.rows("isthmus_exits") == site.rows("isthmus_exit_hypervisors") == []
    until(
        lambda: (
            not list_rows(site, "Logical_Switch_Port", "transit", router_id)
            and site.ovn.sbctl(*chassis) == ""
        ),
        what="nothing of the router is left",
    )


def test_a_router_that_is_gone_by_hand_leaves_nothing_decided(world: World) -> None:
    """Nobody else would ever get the key of its transit network."""
    site, router_id = world.site, str(uuid.uuid4())
    with site.database(write=True) as connection:
        exit_plan.record(connection, router_id, make_plan())
    assert router_id in {row["router_id"] for row in site.rows("isthmus_exits")}
    item = {"type": "router", "id": router_id, "state": None}
    assert site.apply(item) == {router_id: ""}
    for table in ("isthmus_exits", "isthmus_exit_hypervisors"):
        assert router_id not in {row["router_id"] for row in site.rows(table)}


def test_transit_ports_change_places(central: CentralServer, site1: LocalServer) -> None:
    """Central that was restored may give the keys of a transit network out the other way round."""
    world = World(central, site1)
    router_id = world.router["id"]
    names = (f"isthmus-transit-{router_id}-lsp", f"isthmus-transit-{router_id}/site2")

    def keys() -> list[str]:
        find = ("--bare", "--columns=tunnel_key", "find", "Port_Binding")
        return [site1.ovn.sbctl(*find, f"logical_port={name}") for name in names]

    for here, there in ((1, 2), (2, 1), (1, 2)):
        transit = dataclasses.replace(
            make_transit(site2=GATEWAY), port_keys={HERE: here, THERE: there}
        )
        plan = make_plan(transit=make_port(transit, HERE))
        assert world.apply(None, to_form(plan)) == "", world.said
        wanted = [str(here), str(there)]
        until(lambda wanted=wanted: keys() == wanted, what=f"keys {wanted}")  # type: ignore[misc]
    assert world.apply(None) == ""


def test_other_sites_send_to_the_hypervisor_that_has_the_gateway(
    central: CentralServer, site1: LocalServer
) -> None:
    world = World(central, site1)
    router_id = world.router["id"]
    body = {"network_id": world.server["network_id"], "site": "site2"}
    assert central.try_create("site_presence", **body).status == 201
    info = {"router": {"external_gateway_info": {"network_id": world.external["id"]}}}
    assert central.call("PUT", f"/v2.0/routers/{router_id}", info).status == 200
    carried(central, site1)
    owner = f"device_id={router_id}&device_owner=network:router_gateway"
    (port,) = central.call("GET", f"/v2.0/ports?{owner}").only()
    (here,) = site1.call("GET", f"/v2.0/ports?{owner}").only()
    assert (here["id"], here["mac_address"]) == (port["id"], port["mac_address"])

    def find_hypervisor() -> str:
        state = central.desired("site2", ("router", router_id))["router", router_id]
        transit = from_form(state["isthmus:exits"]).transit
        assert transit is not None
        (peer,) = transit.peers
        return peer.hypervisor.chassis if peer.hypervisor is not None else ""

    for host, chassis in (("host1", "hv1"), ("host2", "hv2")):
        # As Neutron does when OVN says which hypervisor has the gateway.
        bound = {"port": {"binding:host_id": host}}
        assert site1.call("PUT", f"/v2.0/ports/{port['id']}", bound).status == 200
        until(lambda chassis=chassis: find_hypervisor() == chassis, what=chassis)  # type: ignore[misc]
    # It is a part of the router all the same: it has no home, and the site refuses nothing.
    homes = central.call("GET", f"/v2.0/site-mappings?resource_id={port['id']}").only()
    assert homes == []
    assert central.call("GET", f"/v2.0/site-refusals?resource_id={port['id']}").only() == []


def test_no_address_of_an_external_subnet_is_had_twice(
    central: CentralServer, site1: LocalServer
) -> None:
    """Central gives them to gateways and floating IPs, the site to DHCP and routers of its own."""
    user = tenant(uuid.uuid4().hex)
    external = ask(
        central, f"p{uuid.uuid4().hex[:8]}", ["zone1"], **{"router:external": True}
    ).only()
    cidr = {"cidr": "172.31.9.0/26", "ip_version": 4}
    central.create("subnet", ADMIN, network_id=external["id"], **cidr)
    network, subnet = make_network(central, user, "10.9.0.0/24")
    server = site1.create("port", user, network_id=network["id"])
    router = central.create("router", user, name="r")
    assert join(central, router, user, subnet_id=subnet["id"]).status == 200
    info = {"router": {"external_gateway_info": {"network_id": external["id"]}}}
    assert central.call("PUT", f"/v2.0/routers/{router['id']}", info, user).status == 200
    carried(central, site1)
    floating = [
        central.create("floatingip", user, floating_network_id=external["id"]) for _ in range(6)
    ]
    until(lambda: central.call("GET", f"/v2.0/ports/{server['id']}").status == 200, what="known")
    here = {"floatingip": {"port_id": server["id"]}}
    path = f"/v2.0/floatingips/{floating[0]['id']}"
    assert central.call("PUT", path, here, user).status == 200
    carried(central, site1)
    # A router of the site's own leaves by the same network, and so do floating IPs made there.
    own = site1.create("router", user, name="own")
    gate = {"router": {"external_gateway_info": {"network_id": external["id"]}}}
    own_gate = site1.call("PUT", f"/v2.0/routers/{own['id']}", gate, user)
    assert own_gate.status in (200, 403, 404, 409), own_gate.text
    made = [
        site1.try_create("floatingip", user, floating_network_id=external["id"]) for _ in range(3)
    ]
    assert {one.status for one in made} <= {201, 403, 404, 409, 503}, [one.text for one in made]
    for one in made:
        if one.status == 201:  # it is no part of central's router
            put = {"floatingip": {"port_id": server["id"]}}
            refused = site1.call("PUT", f"/v2.0/floatingips/{one.only()['id']}", put, user)
            assert refused.status in (400, 404, 409), refused.text
    owners: dict[str, set[str]] = {}
    for tier in (central, site1):
        for port in tier.call("GET", f"/v2.0/ports?network_id={external['id']}").only():
            for one in port["fixed_ips"]:
                owners.setdefault(one["ip_address"], set()).add(port["id"])
    assert {one: ports for one, ports in owners.items() if len(ports) > 1} == {}
    # All that is left of the subnet can be had, and nothing of what the site has.
    more = 0
    while central.try_create("floatingip", user, floating_network_id=external["id"]).status == 201:
        more += 1
        assert more < 64
    for port in central.call("GET", f"/v2.0/ports?network_id={external['id']}").only():
        for one in port["fixed_ips"]:
            owners.setdefault(one["ip_address"], set()).add(port["id"])
    assert {one: ports for one, ports in owners.items() if len(ports) > 1} == {}
