"""Gateways and floating IPs at central: what sites are told of them, and what is refused."""

import uuid

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.outside import (
    add_gateway,
    make_inside,
    make_outside,
    networks_of,
    plan_at,
    put_floating,
    remove,
    see_refused,
    set_gateway,
    sites_of,
    state_at,
    told,
)
from tests.neutron.server import ADMIN, tenant
from tests.neutron.test_routers import join, leave, make_network

from isthmus.model import attribute
from isthmus.model.exits.plan import Lack, Way
from isthmus.model.exits.plan_form import from_form
from isthmus.model.site import Reachability, SiteName
from isthmus.store.sql.tables import DATAPATHS, JOURNAL, SITE_MAPPINGS, TRANSIT_PORTS
from isthmus.wiring.central_database import CentralDatabase

pytestmark = [pytest.mark.neutron, pytest.mark.stress]


def test_two_sites_leave_by_gateways_of_their_own(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    (one, _), (two, _) = make_outside(central, 1), make_outside(central, 2)
    router, _, _ = make_inside(central, user, "site1", "site2")
    for network in (one, two):
        added = add_gateway(central, router, network, ADMIN)
        assert added.status == 200, added.text
    shown = central.call("GET", f"/v2.0/routers/{router['id']}", user=ADMIN).only()
    assert [gate["network_id"] for gate in shown["external_gateways"]] == [one["id"], two["id"]]
    for site, network in (("site1", one), ("site2", two)):
        state = state_at(central, site, router)
        assert state[attribute.GATEWAY]["network_id"] == network["id"]
        plan = from_form(state[attribute.EXITS])
        exit_ = plan.exits[4]
        assert not isinstance(exit_, Lack)
        assert exit_.way is Way.LOCAL
        assert plan.transit is None
    # A disabled site takes its exit along: the other's is then reached over a transit network.
    (site1,) = (row for row in central.call("GET", "/v2.0/sites").only() if row["name"] == "site1")
    central.clear_journal()
    path = f"/v2.0/sites/{site1['id']}"
    try:
        assert central.call("PUT", path, {"site": {"state": "draining"}}).status == 200
        assert told(central, router) == {"site1", "site2"}
        again = plan_at(central, "site1", router).exits[4]
        assert not isinstance(again, Lack)
        assert again.way is Way.LOCAL
    finally:
        assert central.call("PUT", path, {"site": {"state": "enabled"}}).status == 200
    removed = central.call(
        "PUT",
        f"/v2.0/routers/{router['id']}/remove_external_gateways",
        {"router": {"external_gateways": [{"network_id": one["id"]}]}},
        ADMIN,
    )
    assert removed.status == 200, removed.text
    assert told(central, router) == {"site1", "site2"}
    left = plan_at(central, "site1", router)
    exit_ = left.exits[4]
    assert not isinstance(exit_, Lack)
    assert (exit_.way, exit_.site) == (Way.TRANSIT, "site2")


def test_a_gateway_is_active_however_it_was_set(central: CentralServer) -> None:
    """No site reports the port of a gateway, and OVN shows one as active."""
    user = tenant(uuid.uuid4().hex)
    (one, _), (two, _) = make_outside(central, 1), make_outside(central, 2)
    info = {"external_gateway_info": {"network_id": one["id"]}}
    at_once = central.create("router", ADMIN, name="at-once", **info)
    later, _, _ = make_inside(central, user, "site1")
    assert set_gateway(central, later, ADMIN, one).status == 200
    assert add_gateway(central, later, two, ADMIN).status == 200
    for router, count in ((at_once, 1), (later, 2)):
        path = f"/v2.0/ports?device_owner=network:router_gateway&device_id={router['id']}"
        ports = central.call("GET", path).only()
        assert [port["status"] for port in ports] == ["ACTIVE"] * count
    assert told(central, at_once) == {"site1"}


def test_a_port_that_a_site_asks_for_is_no_news_of_its_network_s_routers(
    central: CentralServer,
) -> None:
    """Each server that is booted would otherwise be work for every site of its router."""
    user = tenant(uuid.uuid4().hex)
    outside, _ = make_outside(central, 1)
    router, network, _ = make_inside(central, user, "site1")
    assert set_gateway(central, router, ADMIN, outside).status == 200
    central.clear_journal()
    central.bundle("site2", "network", network["id"], project=user.project)
    assert "site1" in told(central, router)  # a network that comes to another site is news
    port = central.create("port", user, network_id=network["id"])
    central.clear_journal()
    assert central.bundle("site1", "port", port["id"], project=user.project)["items"]
    assert told(central, router) == set()


def test_whether_a_site_is_heard_counts_where_there_are_several_exits(
    central: CentralServer,
) -> None:
    user = tenant(uuid.uuid4().hex)
    (one, _), (two, _) = make_outside(central, 1), make_outside(central, 2)
    router, _, _ = make_inside(central, user, "site1", "site2")
    for network in (one, two):
        assert add_gateway(central, router, network, ADMIN).status == 200
    lonely, _, _ = make_inside(central, user, "site1", cidr="10.4.0.0/24")
    assert set_gateway(central, lonely, user, one).status == 200
    central.clear_journal()
    database = CentralDatabase(central.url)
    try:
        for reachability in (Reachability.UNREACHABLE, Reachability.REACHABLE):
            for _ in range(2):
                database.record_reachability(SiteName("site1"), reachability)
            with central.database() as connection:
                query = sa.select(JOURNAL.c.lane, JOURNAL.c.resource_id, JOURNAL.c.generation)
                rows = set(map(tuple, connection.execute(query.where(JOURNAL.c.type == "router"))))
            assert rows == {(name, router["id"], 1) for name in ("site1", "site2")}
            central.clear_journal()
    finally:
        database.close()
        central.hear()


def test_what_changes_of_an_exit_is_told_to_every_site(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    outside, subnet = make_outside(central, 1)
    router, network, _ = make_inside(central, user, "site1", "site2")
    assert set_gateway(central, router, user, outside).status == 200
    everywhere = {"site1", "site2"}
    assert told(central, router) == everywhere
    path = f"/v2.0/subnets/{subnet['id']}"
    hop = subnet["cidr"].replace(".0/24", ".254")
    changed = central.call("PUT", path, {"subnet": {"gateway_ip": hop}}, ADMIN)
    assert changed.status in (200, 409), changed.text
    if changed.status == 200:
        assert told(central, router) == everywhere
    port = central.create("port", user, network_id=network["id"])
    via = port["fixed_ips"][0]["ip_address"]
    routes = {"routes": [{"destination": "192.0.2.0/24", "nexthop": via}]}
    path = f"/v2.0/routers/{router['id']}"
    assert central.call("PUT", path, {"router": routes}, user).status == 200
    assert told(central, router) == everywhere
    off = {"external_gateway_info": {"network_id": outside["id"], "enable_snat": False}}
    assert central.call("PUT", path, {"router": off}, ADMIN).status == 200
    assert told(central, router) == everywhere
    assert plan_at(central, "site1", router).snats == ()
    assert state_at(central, "site1", router)[attribute.GATEWAY]["enable_snat"] is False


def test_a_gateway_that_cannot_be_is_refused_before_any_site_hears(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    nowhere, _ = make_outside(central, None)
    one, _ = make_outside(central, 1)
    rival, _ = make_outside(central, 1)
    clash, _ = make_outside(central, 2, "100.64.1.0/24")
    router, network, _ = make_inside(central, user, "site1")
    see_refused(
        central, router, "network-at-no-site", lambda: set_gateway(central, router, user, nowhere)
    )
    info = {"network_id": nowhere["id"]}
    made = central.try_create("router", user, external_gateway_info=info, name="n")
    assert made.status == 409, made.text
    assert central.call("GET", "/v2.0/routers?name=n", user=user).only() == []
    see_refused(
        central, router, "transit-in-use", lambda: set_gateway(central, router, user, clash)
    )
    assert sites_of(central, router) == {"site1"}
    assert networks_of(central, router) == {network["id"]}
    assert set_gateway(central, router, user, one).status == 200
    see_refused(
        central, router, "two-exits-at-one-site", lambda: add_gateway(central, router, rival, ADMIN)
    )
    assert networks_of(central, router) == {network["id"], one["id"]}
    local = central.create("router", user, name="l", availability_zone_hints=["zone2"])
    see_refused(
        central, local, "network-at-no-site", lambda: set_gateway(central, local, user, one)
    )


def test_a_route_in_the_transit_range_is_refused_by_each_call(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    outside, _ = make_outside(central, 2)
    router, network, _ = make_inside(central, user, "site1")
    assert set_gateway(central, router, user, outside).status == 200
    port = central.create("port", user, network_id=network["id"])
    via = port["fixed_ips"][0]["ip_address"]
    body = {"router": {"routes": [{"destination": "100.64.3.0/24", "nexthop": via}]}}
    path = f"/v2.0/routers/{router['id']}"
    for call in (path, f"{path}/add_extraroutes"):
        see_refused(
            central,
            router,
            "transit-in-use",
            lambda call=call: central.call("PUT", call, body, user),  # type: ignore[misc]
        )


def test_a_floating_ip_that_cannot_be_is_refused(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    (one, _), (two, _) = make_outside(central, 1), make_outside(central, 2)
    router, network, _ = make_inside(central, user, "site1")
    for outside in (one, two):
        assert add_gateway(central, router, outside, ADMIN).status == 200
    # Two floating IPs of one address, whose replies could leave by one site alone.
    port = central.create("port", user, network_id=network["id"])
    first = central.create("floatingip", user, floating_network_id=one["id"], port_id=port["id"])
    second = central.create("floatingip", user, floating_network_id=two["id"])
    here = {"port_id": port["id"]}
    body = {"floating_network_id": two["id"], **here}
    for call in (
        lambda: put_floating(central, second, user, **here),
        lambda: central.try_create("floatingip", user, **body),
    ):
        see_refused(central, router, "floating-ip-other-way", call)
    assert len(central.call("GET", "/v2.0/floatingips", user=user).only()) == 2
    # Neutron's own refusals stay as they are.
    in_use = set_gateway(central, router, user, None)
    assert in_use.status == 409, in_use.text
    elsewhere, _ = make_network(central, user, "10.9.0.0/24")
    lonely = central.create("port", user, network_id=elsewhere["id"])
    no_way = put_floating(central, second, user, port_id=lonely["id"])
    assert no_way.status == 404, no_way.text
    assert "is not reachable from subnet" in no_way.text
    # A repair is never refused because of something else that cannot be.
    assert put_floating(central, first, user, port_id=None).status == 200


def test_a_subnet_over_the_transit_range_is_refused(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    outside, _ = make_outside(central, 2)
    router, network, _ = make_inside(central, user, "site1")
    assert set_gateway(central, router, user, outside).status == 200
    clash = central.create(
        "subnet", user, network_id=network["id"], cidr="100.64.0.0/24", ip_version=4
    )
    see_refused(
        central,
        router,
        "transit-overlaps-subnet",
        lambda: join(central, router, user, subnet_id=clash["id"]),
    )


@pytest.mark.parametrize("order", ["router first", "floating first"])
def test_nothing_is_left_whatever_goes_first(central: CentralServer, order: str) -> None:
    user = tenant(uuid.uuid4().hex)
    outside, subnet = make_outside(central, 2)
    router, network, inside = make_inside(central, user, "site1")
    assert set_gateway(central, router, user, outside).status == 200
    port = central.create("port", user, network_id=network["id"])
    floating = central.create(
        "floatingip", user, floating_network_id=outside["id"], port_id=port["id"]
    )
    path = f"/v2.0/site-presences?network_id={outside['id']}"
    (presence,) = central.call("GET", path).only()
    kept = central.call("DELETE", f"/v2.0/site-presences/{presence['id']}")
    assert kept.status == 409, kept.text
    assert "leave by it" in kept.text
    assert remove(central, "network", outside["id"], ADMIN).status == 409
    if order == "router first":
        assert leave(central, router, user, subnet_id=inside["id"]).status == 409
        assert remove(central, "port", port["id"], user).status == 204
        assert leave(central, router, user, subnet_id=inside["id"]).status == 200
        assert remove(central, "router", router["id"], user).status == 204
        assert remove(central, "floatingip", floating["id"], user).status == 204
    else:
        assert remove(central, "floatingip", floating["id"], user).status == 204
        assert set_gateway(central, router, user, None).status == 200
        assert leave(central, router, user, subnet_id=inside["id"]).status == 200
        assert remove(central, "router", router["id"], user).status == 204
        assert remove(central, "port", port["id"], user).status == 204
    assert state_at(central, "site1", router) is None
    central.acknowledge_all()
    assert remove(central, "subnet", subnet["id"], ADMIN).status == 204
    assert remove(central, "network", outside["id"], ADMIN).status == 204
    with central.database() as connection:
        for table, column in (
            (SITE_MAPPINGS, "resource_id"),
            (TRANSIT_PORTS, "router_id"),
            (DATAPATHS, "network_id"),
        ):
            query = sa.select(table).where(table.c[column] == router["id"])
            assert connection.execute(query).all() == [], table.name
