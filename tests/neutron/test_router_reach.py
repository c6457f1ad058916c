"""Where central has routers, and what it refuses of them; sites are only told, none runs."""

import uuid

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.outside import (
    add_gateway,
    extend,
    make_inside,
    make_outside,
    plan_at,
    presences,
    put_floating,
    remove,
    see_shown,
    set_gateway,
    sites_of,
    state_at,
    told,
)
from tests.neutron.server import ADMIN, tenant
from tests.neutron.test_central_report import Stretched, item
from tests.neutron.test_routers import join, leave, make_network

from isthmus.model import attribute
from isthmus.model.exits.plan import Lack, Way
from isthmus.model.exits.plan_form import from_form

pytestmark = pytest.mark.neutron


def test_networks_of_two_sites_are_brought_together(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    (a, sa), (b, sb), (c, sc) = (make_network(central, user, f"10.{n}.0.0/24") for n in (1, 2, 3))
    assert extend(central, a, "site1").status == 201
    assert extend(central, b, "site2").status == 201
    router = central.create("router", user, name="r")
    assert join(central, router, user, subnet_id=sa["id"]).status == 200
    assert sites_of(central, router) == {"site1"}
    assert presences(central, b) == {"site2"}
    central.clear_journal()
    assert join(central, router, user, subnet_id=sb["id"]).status == 200
    assert presences(central, a) == presences(central, b) == {"site1", "site2"}
    assert sites_of(central, router) == {"site1", "site2"}
    assert {("network", b["id"]), ("subnet", sb["id"]), ("router", router["id"])} <= central.jobs(
        "site1"
    )
    assert {("network", a["id"]), ("router", router["id"])} <= central.jobs("site2")
    shown = central.call("GET", f"/v2.0/routers/{router['id']}", user=user).only()
    assert shown["availability_zones"] == ["zone1", "zone2"]
    # A second router carries on from there.
    other = central.create("router", user, name="s")
    asked = central.create("port", user, network_id=b["id"])
    assert join(central, other, user, port_id=asked["id"]).status == 200
    assert join(central, other, user, subnet_id=sc["id"]).status == 200
    assert presences(central, c) == {"site1", "site2"}
    for one, how in ((other, {"port_id": asked["id"]}), (other, {"subnet_id": sc["id"]})):
        assert leave(central, one, user, **how).status == 200
    assert sites_of(central, other) == set()
    assert presences(central, c) == {"site1", "site2"}  # nothing is withdrawn by itself


def test_networks_leave_a_site_together(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    (a, sa), (b, sb) = (make_network(central, user, f"10.{n}.0.0/24") for n in (1, 2))
    router = central.create("router", user, name="r")
    for subnet in (sa, sb):
        assert join(central, router, user, subnet_id=subnet["id"]).status == 200
    assert sites_of(central, router) == set()
    for site in ("site1", "site2"):
        assert extend(central, a, site).status == 201
    assert presences(central, b) == {"site1", "site2"}
    path = f"/v2.0/site-presences?network_id={b['id']}&site=site2"
    (row,) = central.call("GET", path).only()
    assert central.call("DELETE", f"/v2.0/site-presences/{row['id']}").status == 204
    assert presences(central, a) == presences(central, b) == {"site1"}
    assert sites_of(central, router) == {"site1"}
    assert central.desired("site2", ("router", router["id"])) == {("router", router["id"]): None}
    central.acknowledge_all("site2")
    assert sites_of(central, router) == {"site1"}


def test_a_local_router_stays_where_it_is_for(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    a, subnet = make_network(central, user, "10.1.0.0/24")
    b, other = make_network(central, user, "10.2.0.0/24")
    router = central.create("router", user, name="l", availability_zone_hints=["zone2"])
    assert extend(central, a, "site1").status == 201
    for one in (subnet, other):
        assert join(central, router, user, subnet_id=one["id"]).status == 200
    assert sites_of(central, router) == set()
    assert extend(central, a, "site2").status == 201
    assert sites_of(central, router) == {"site2"}
    assert presences(central, b) == {"site2"}
    unknown = central.try_create("router", user, availability_zone_hints=["nowhere"])
    assert unknown.status == 404


def test_a_network_for_other_zones_does_not_follow(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    hints = ({"availability_zone_hints": ["zone1"]}, {"availability_zone_hints": ["zone2"]})
    a, sa = make_network(central, user, "10.1.0.0/24", **hints[0])
    b, sb = make_network(central, user, "10.2.0.0/24", **hints[1])
    assert extend(central, a, "site1").status == 201
    router = central.create("router", user, name="r")
    assert join(central, router, user, subnet_id=sa["id"]).status == 200
    central.clear_journal()
    refused = join(central, router, user, subnet_id=sb["id"])
    assert refused.status == 409, refused.text
    assert f"a router joins network {b['id']} with networks that are at site site1" in refused.text
    assert central.jobs("site1") <= {("router", router["id"])}  # only to look at it once more
    assert presences(central, b) == set()
    ports = central.call("GET", f"/v2.0/ports?device_id={router['id']}").only()
    assert [one["network_id"] for one in ports] == [a["id"]]
    refused = extend(central, a, "site2")
    assert refused.status == 409, refused.text


def test_what_ml2_ovn_cannot_have_is_refused(central: CentralServer) -> None:
    refused = central.try_create("router", ha=False)
    assert refused.status == 400, refused.text
    assert "Provider ovn does not support ha=False" in refused.text


def test_an_interface_comes_home_nowhere(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    _, subnet = make_network(central, user, "10.1.0.0/24")
    router = central.create("router", user, name="r")
    made = join(central, router, user, subnet_id=subnet["id"])
    bundle = central.bundle("site1", "port", made.body["port_id"], project=project)
    assert bundle["items"] == []
    (refusal,) = bundle["refused"]
    assert f"an interface of router {router['id']}" in refusal["message"]


def test_a_site_leaves_by_itself_and_the_other_over_it(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    outside, subnet = make_outside(central, 2)
    router, network, inside = make_inside(central, user, "site1")
    central.clear_journal()
    assert state_at(central, "site1", router)[attribute.EXITS] is None
    changed = set_gateway(central, router, user, outside)
    assert changed.status == 200, changed.text
    # The router goes to its gateway's site, and its network does not.
    assert sites_of(central, router) == {"site1", "site2"}
    assert presences(central, network) == {"site1"}
    assert told(central, router) == {"site1", "site2"}
    gate = central.call("GET", f"/v2.0/ports?device_id={router['id']}").only()
    (gate,) = (one for one in gate if one["device_owner"] == "network:router_gateway")
    first, second = (state_at(central, f"site{n}", router) for n in (1, 2))
    assert first[attribute.GATEWAY] is None
    assert second[attribute.GATEWAY] == {
        "id": gate["id"],
        "network_id": outside["id"],
        "mac_address": gate["mac_address"],
        "fixed_ips": gate["fixed_ips"],
        "enable_snat": True,
    }
    assert len(first[attribute.INTERFACES]) == 1
    assert second[attribute.INTERFACES] == []
    near, far = (from_form(state[attribute.EXITS]) for state in (first, second))
    exit_, local = near.exits[4], far.exits[4]
    assert not isinstance(exit_, Lack)
    assert not isinstance(local, Lack)
    assert (exit_.way, exit_.site, local.way) == (Way.TRANSIT, "site2", Way.LOCAL)
    assert str(local.next_hop) == subnet["gateway_ip"]
    assert near.transit is not None
    assert far.transit is not None
    assert exit_.next_hop in far.transit.addresses
    assert {str(one.destination) for one in far.routes} == {"0.0.0.0/0", inside["cidr"]}
    assert [str(one.internal) for one in far.snats] == [inside["cidr"]]
    assert near.transit.datapath_key == far.transit.datapath_key
    (peer,) = near.transit.peers
    assert (peer.site, peer.port_key, peer.mac) == ("site2", far.transit.port_key, far.transit.mac)
    see_shown(central, router, user, {gate["id"]: "site2"}, {inside["id"]: ["site1"]})
    # Without it nothing is left of it.
    assert set_gateway(central, router, user, None).status == 200
    assert sites_of(central, router) == {"site1"}
    assert told(central, router) == {"site1", "site2"}
    assert state_at(central, "site1", router)[attribute.EXITS] is None
    assert state_at(central, "site2", router) is None


def test_routers_hear_of_a_site_s_first_hypervisor(central: CentralServer) -> None:
    net = Stretched(central, present=("site1",))
    outside, _ = make_outside(central, 2)
    router = central.create("router", net.user, name="r")
    assert join(central, router, net.user, subnet_id=net.subnet["id"]).status == 200
    assert set_gateway(central, router, net.user, outside).status == 200

    def arrives() -> str | None:
        """Give the hypervisor to which site2 sends what is for site1."""
        transit = plan_at(central, "site2", router).transit
        assert transit is not None
        (peer,) = transit.peers
        return peer.hypervisor.chassis if peer.hypervisor is not None else None

    assert arrives() is None
    central.clear_journal()
    port = net.port()
    net.must_take(port)
    assert arrives() == "chassis-1"
    assert told(central, router) == {"site1", "site2"}
    net.must_take(net.port())
    assert told(central, router) == set()


def test_a_floating_ip_follows_its_port(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    outside, _ = make_outside(central, 1)
    other, _ = make_outside(central, 2)
    router, network, _ = make_inside(central, user, "site1", "site2")
    for one in (outside, other):
        assert add_gateway(central, router, one, ADMIN).status == 200
    port = central.create("port", user, network_id=network["id"])
    floating = central.create("floatingip", user, floating_network_id=outside["id"])
    assert floating["status"] == "DOWN"
    central.clear_journal()
    # Associated before the port is anywhere.
    done = put_floating(central, floating, user, port_id=port["id"])
    assert done.status == 200, done.text
    assert done.only()["status"] == "ACTIVE"
    assert done.only()["port_details"]["network_id"] == network["id"]
    assert told(central, router) == {"site1", "site2"}
    (nat,) = plan_at(central, "site1", router).floating
    assert (str(nat.external), nat.port_id, nat.at_home) == (
        floating["floating_ip_address"],
        port["id"],
        False,
    )
    assert nat.mac is not None
    # It comes to live at the site that has another exit: replies have to leave by site1.
    central.bundle("site2", "port", port["id"], project=project)
    assert told(central, router) == {"site1", "site2"}
    there = plan_at(central, "site2", router)
    assert there.floating == ()
    (policy,) = there.policies
    assert (str(policy.source), policy.site) == (port["fixed_ips"][0]["ip_address"], "site1")
    # It goes with its port, whatever else is still there.
    assert remove(central, "port", port["id"], user).status == 204
    assert told(central, router) == {"site1", "site2"}
    left = central.call("GET", f"/v2.0/floatingips/{floating['id']}", user=user).only()
    assert (left["port_id"], left["router_id"], left["status"]) == (None, None, "DOWN")
    assert plan_at(central, "site1", router).floating == ()
    again = central.create("port", user, network_id=network["id"])
    assert put_floating(central, floating, user, port_id=again["id"]).status == 200
    central.clear_journal()
    assert put_floating(central, floating, user, port_id=None).status == 200
    assert told(central, router) == {"site1", "site2"}
    assert put_floating(central, floating, user, port_id=again["id"]).status == 200
    central.clear_journal()
    assert remove(central, "floatingip", floating["id"], user).status == 204
    assert told(central, router) == {"site1", "site2"}
    assert plan_at(central, "site1", router).floating == ()


def test_no_site_makes_an_interface_of_a_router_of_central_s(central: CentralServer) -> None:
    """Nobody could delete it at central, nor the network, while there is that router."""
    net = Stretched(central)
    router = central.create("router", net.user, name="r")
    interface = {"device_owner": "network:router_interface", "device_id": router["id"]}
    bare = {"security_groups": [], "port_security_enabled": False}
    port, fine = net.port(**bare), net.port(**bare, device_owner="network:router_interface")
    for lie in ({**port, **interface}, port, {**port, **interface, "isthmus:base": port}):
        (result,) = central.report("site1", item(lie))
        wanted = "" if lie is port else "isthmus.refused"
        assert result["code"] == wanted, result
    net.must_take(fine)  # of a router of the site's own
    found = central.call("GET", f"/v2.0/ports?device_id={router['id']}").only()
    assert found == []
