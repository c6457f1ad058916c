"""Port forwardings at a site: load balancers beside Neutron's own rows."""

import dataclasses
import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.test_exits_at_site import World
from tests.ports.row_kinds.exits import POLICY, WEB, make_plan

from isthmus.model.exits.plan_form import from_form, to_form
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress]


@pytest.fixture(scope="module")
def world(central: CentralServer, site1: LocalServer) -> World:
    return World(central, site1)


def find(site: LocalServer, table: str, column: str, *where: str) -> list[str]:
    return site.ovn.nbctl("--bare", f"--columns={column}", "find", table, *where).split()


def find_row(world: World, column: str = "_uuid") -> list[str]:
    name = f"isthmus-forward-{world.router['id']}-{WEB.floating_ip_id}-tcp"
    return find(world.site, "Load_Balancer", column, f"name={name}")


def see_on(world: World, *, router: bool, switch: bool) -> bool:
    """Tell whether the load balancer is there once, and on what it is to be."""
    found = find_row(world)
    if len(found) != 1:
        return False
    router_name, switch_name = (
        f"name=neutron-{one}" for one in (world.router["id"], world.server["network_id"])
    )
    on_router = find(world.site, "Logical_Router", "load_balancer", router_name)
    on_switch = find(world.site, "Logical_Switch", "load_balancer", switch_name)
    return (found[0] in on_router, found[0] in on_switch) == (router, switch)


def test_load_balancers_come_back_and_go_with_the_router(world: World) -> None:
    site, router_id = world.site, world.router["id"]
    world.port_id = str(uuid.uuid4())
    gateway = world.gateway("172.31.7.30")
    plan = make_plan(forwarded=(dataclasses.replace(WEB, replies=POLICY),))
    assert world.apply(gateway, to_form(plan)) == "", world.said
    until(lambda: see_on(world, router=True, switch=True), what="the load balancer")
    vips = find_row(world, "vips")
    assert "10.0.0.5:8080" in " ".join(vips)
    matches = " ".join(find(site, "Logical_Router_Policy", "match"))
    assert "tcp.src >= 8080 && tcp.src <= 8081" in matches
    assert [one for one in site.holdings("ovn")["ovn"]["forwards"] if one["router_id"] == router_id]
    # Whoever takes it away wakes the thread that writes it again.
    site.ovn.nbctl("lb-del", *find_row(world, "name"))
    until(lambda: see_on(world, router=True, switch=True), what="the load balancer again")
    # Neutron's own changes of the router leave it.
    assert world.apply(world.gateway("172.31.7.31"), to_form(plan)) == ""
    assert see_on(world, router=True, switch=True)
    # The floating IP is another site's now; then there is none; then there is no router.
    far: Any = make_plan(forwarded=(dataclasses.replace(WEB, answers=False),))
    assert world.apply(gateway, to_form(far)) == ""
    until(lambda: see_on(world, router=False, switch=True), what="on the switch alone")
    assert world.apply(gateway, to_form(make_plan())) == ""
    until(lambda: not find_row(world), what="none")
    assert world.apply(gateway, to_form(plan)) == ""
    until(lambda: see_on(world, router=True, switch=True), what="the load balancer")
    assert site.apply({"type": "router", "id": router_id, "state": None}) == {router_id: ""}
    until(lambda: not find_row(world), what="nothing is left")


def test_what_cannot_be_a_forwarding_is_refused_by_the_site(
    central: CentralServer, site1: LocalServer
) -> None:
    world = World(central, site1)
    form = to_form(make_plan(forwarded=(WEB,)))
    form["forwarded"][0]["protocol"] = "sctp"
    assert world.apply(None, form) == "isthmus.broken.protocol"
    assert from_form(to_form(make_plan(forwarded=(WEB,)))).forwarded == (WEB,)
