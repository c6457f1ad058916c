"""Where central has routers, and what it refuses of them; sites are only told, none runs."""

import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.server import tenant
from tests.neutron.test_routers import join, leave, make_network

pytestmark = pytest.mark.neutron


def extend(central: CentralServer, network: Any, site: str) -> Any:
    return central.try_create("site_presence", network_id=network["id"], site=site)


def presences(central: CentralServer, network: Any) -> set[str]:
    rows = central.call("GET", f"/v2.0/site-presences?network_id={network['id']}").only()
    return {row["site"] for row in rows if not row["withdrawn"]}


def sites_of(central: CentralServer, router: Any) -> set[str]:
    path = f"/v2.0/site-mappings?resource_id={router['id']}&type=router"
    return {row["site"] for row in central.call("GET", path).only() if not row["withdrawn"]}


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
