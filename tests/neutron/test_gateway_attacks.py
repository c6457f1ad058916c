"""What changes under routers with gateways and floating IPs: places, sites, reports, tenants."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.outside import (
    add_gateway,
    extend,
    make_inside,
    make_outside,
    plan_at,
    put_floating,
    remove,
    set_gateway,
    sites_of,
    state_at,
    told,
)
from tests.neutron.server import ADMIN, tenant
from tests.neutron.test_routers import join, leave, make_network

from isthmus.model import attribute
from isthmus.model.exits.plan import Lack, Way
from isthmus.model.site import Reachability, SiteName
from isthmus.store.sql.tables import GATEWAY_HYPERVISORS
from isthmus.wiring.central_database import CentralDatabase

pytestmark = [pytest.mark.neutron, pytest.mark.stress]


def put_site(central: CentralServer, name: str, **values: Any) -> None:
    path = f"/v2.0/sites/{name}"
    changed = central.call("PUT", path, {"site": values})
    assert changed.status == 200, changed.text


class Third:
    """A site beside the two."""

    def __init__(self, central: CentralServer, number: int) -> None:
        self.central, self.number, self.name = central, number, f"site{number}"

    def add(self) -> None:
        self.central.create(
            "site",
            name=self.name,
            region=f"Region{self.number}",
            availability_zones=[f"zone{self.number}"],
            service_user=f"isthmus-{self.name}",
        )
        self.central.hear(self.name)

    def remove(self) -> None:
        put_site(self.central, self.name, state="disabled")
        gone = self.central.call("DELETE", f"/v2.0/sites/{self.name}")
        assert gone.status == 204, gone.text


@pytest.fixture
def third(central: CentralServer) -> Iterator[Third]:
    site = Third(central, 3)
    site.add()
    yield site
    site.remove()


def test_a_port_that_comes_from_a_disabled_home_takes_its_floating_ip_along(
    central: CentralServer,
) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    outside, _ = make_outside(central, 1)
    other, _ = make_outside(central, 2)
    router, network, _ = make_inside(central, user, "site1", "site2")
    for one in (outside, other):
        assert add_gateway(central, router, one, ADMIN).status == 200
    port = central.create("port", user, network_id=network["id"])
    central.bundle("site1", "port", port["id"], project=project)
    floating = central.create("floatingip", user, floating_network_id=other["id"])
    assert put_floating(central, floating, user, port_id=port["id"]).status == 200
    put_site(central, "site1", state="disabled")
    try:
        central.clear_journal()
        central.bundle("site2", "port", port["id"], project=project)
        assert told(central, router) == {"site1", "site2"}
        (nat,) = plan_at(central, "site2", router).floating
        assert nat.at_home
    finally:
        put_site(central, "site1", state="enabled")


def test_by_which_site_a_subnet_is_reached_follows_who_is_heard(
    central: CentralServer, third: Third
) -> None:
    user = tenant(uuid.uuid4().hex)
    outside, _ = make_outside(central, 3)
    router, _, inside = make_inside(central, user, "site1", "site2")
    assert set_gateway(central, router, user, outside).status == 200
    everywhere = {"site1", "site2", "site3"}
    assert told(central, router) == everywhere

    def find_host() -> str:
        (found,) = (
            one.site
            for one in plan_at(central, "site3", router).routes
            if str(one.destination) == inside["cidr"]
        )
        return found

    assert find_host() == "site1"
    database = CentralDatabase(central.url)
    try:
        for reachability, host in (
            (Reachability.UNREACHABLE, "site2"),
            (Reachability.REACHABLE, "site1"),
        ):
            central.clear_journal()
            database.record_reachability(SiteName("site1"), reachability)
            assert find_host() == host
            assert told(central, router) == everywhere
    finally:
        database.close()
        central.hear()
    assert set_gateway(central, router, user, None).status == 200


def test_what_is_lost_of_a_router_is_in_the_way_of_no_repair(
    central: CentralServer, third: Third
) -> None:
    """The site of its gateway is gone: another gateway, interface and route can be had."""
    user = tenant(uuid.uuid4().hex)
    lost, _ = make_outside(central, 3)
    router, network, _ = make_inside(central, user, "site1")
    assert set_gateway(central, router, user, lost).status == 200
    third.remove()
    try:
        _, more = make_network(central, user, "10.8.0.0/24")
        joined = join(central, router, user, subnet_id=more["id"])
        assert joined.status == 200, joined.text
        port = central.create("port", user, network_id=network["id"])
        via = port["fixed_ips"][0]["ip_address"]
        routes = {"routes": [{"destination": "192.0.2.0/24", "nexthop": via}]}
        changed = central.call("PUT", f"/v2.0/routers/{router['id']}", {"router": routes}, user)
        assert changed.status == 200, changed.text
        found, _ = make_outside(central, 1)
        added = add_gateway(central, router, found, ADMIN)
        assert added.status == 200, added.text
        exit_ = plan_at(central, "site1", router).exits[4]
        assert not isinstance(exit_, Lack)
        assert (exit_.way, exit_.network_id) == (Way.LOCAL, found["id"])
        # What is asked for is still refused by itself.
        second, _ = make_outside(central, 1)
        refused = add_gateway(central, router, second, ADMIN)
        assert refused.status == 409, refused.text
        assert "two-exits-at-one-site" in refused.text
    finally:
        third.add()


def test_a_gateway_is_back_when_its_network_has_a_site_again(
    central: CentralServer, third: Third
) -> None:
    user = tenant(uuid.uuid4().hex)
    outside, _ = make_outside(central, 3)
    router, _, _ = make_inside(central, user, "site1")
    assert set_gateway(central, router, user, outside).status == 200
    assert sites_of(central, router) == {"site1", "site3"}
    third.remove()
    third.add()
    assert sites_of(central, router) == {"site1"}
    central.clear_journal()
    extended = extend(central, outside, "site3")
    assert extended.status == 201, extended.text
    assert sites_of(central, router) == {"site1", "site3"}
    assert told(central, router) == {"site1", "site3"}
    assert state_at(central, "site3", router)[attribute.GATEWAY] is not None
    exit_ = plan_at(central, "site1", router).exits[4]
    assert not isinstance(exit_, Lack)
    assert exit_.site == "site3"
    assert set_gateway(central, router, user, None).status == 200


def test_a_router_follows_the_zones_of_sites(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    outside, _ = make_outside(central, 2)
    network, subnet = make_network(central, user, "10.1.0.0/24")
    assert extend(central, network, "site1").status == 201
    router = central.create("router", user, name="l", availability_zone_hints=["zone1"])
    assert join(central, router, user, subnet_id=subnet["id"]).status == 200
    try:
        put_site(central, "site2", availability_zones=["zone2", "zone1"])
        assert set_gateway(central, router, user, outside).status == 200
        assert sites_of(central, router) == {"site1", "site2"}
        central.clear_journal()
        put_site(central, "site2", availability_zones=["zone2"])
        assert told(central, router) == {"site1", "site2"}
        assert plan_at(central, "site1", router).exits[4] is Lack.NO_GATEWAY
    finally:
        put_site(central, "site2", availability_zones=["zone2"])
        assert set_gateway(central, router, user, None).status == 200


def find_gateway(central: CentralServer, router: Any) -> Any:
    owner = f"device_id={router['id']}&device_owner=network:router_gateway"
    (port,) = central.call("GET", f"/v2.0/ports?{owner}").only()
    return port


def located(central: CentralServer, site: str, port: Any, **more: Any) -> dict[str, Any]:
    """Give a report of where a gateway is."""
    leases = central.call("GET", f"/v2.0/site-leases?pool_id={port['network_id']}").only()
    keys = [one for one in leases if one["kind"] == "port_key" and one["site"] == site]
    key = int(keys[0]["first"]) + 3 if keys else 3
    number = site[-1]
    location = {
        "chassis": f"gw-{number}",
        "hostname": f"gw-host-{number}",
        "encap_ip": f"192.0.2.20{number}",
        "port_key": key,
        **more,
    }
    state = {**port, "isthmus:base": None, "isthmus:location": location}
    return {"type": "port", "id": port["id"], "state": state}


def hypervisors(central: CentralServer, router: Any) -> dict[str, str]:
    with central.database() as connection:
        query = sa.select(GATEWAY_HYPERVISORS.c.site, GATEWAY_HYPERVISORS.c.chassis).where(
            GATEWAY_HYPERVISORS.c.router_id == router["id"]
        )
        return dict(map(tuple, connection.execute(query)))


def test_where_a_gateway_was_is_forgotten_with_it(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    (one, _), (two, _) = make_outside(central, 1), make_outside(central, 2)
    router, _, _ = make_inside(central, user, "site1", "site2")
    assert set_gateway(central, router, user, one).status == 200
    port = find_gateway(central, router)
    (result,) = central.report("site1", located(central, "site1", port))
    assert result["code"] == "", result
    assert hypervisors(central, router) == {"site1": "gw-1"}
    # The router goes on at the site, and leaves by the other one.
    assert set_gateway(central, router, ADMIN, two).status == 200
    assert hypervisors(central, router) == {}
    (result,) = central.report("site1", located(central, "site1", port))
    assert result["code"] != "", "it is gone"
    # Where the other one is, its own site says.
    port = find_gateway(central, router)
    (result,) = central.report("site1", located(central, "site1", port))
    assert hypervisors(central, router) == {}, result
    (result,) = central.report("site2", located(central, "site2", port))
    assert result["code"] == "", result
    assert hypervisors(central, router) == {"site2": "gw-2"}
    assert set_gateway(central, router, ADMIN, None).status == 200
    assert hypervisors(central, router) == {}
    assert central.call("GET", f"/v2.0/ports/{port['id']}").status == 404


def test_a_site_says_of_gateways_and_floating_ips_where_they_are_and_nothing_else(
    central: CentralServer,
) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    outside, _ = make_outside(central, 1)
    router, network, _ = make_inside(central, user, "site1", "site2")
    assert set_gateway(central, router, user, outside).status == 200
    port = central.create("port", user, network_id=network["id"])
    floating = central.create("floatingip", user, floating_network_id=outside["id"])
    assert put_floating(central, floating, user, port_id=port["id"]).status == 200
    gate = find_gateway(central, router)
    (address,) = central.call("GET", f"/v2.0/ports?device_id={floating['id']}").only()
    parts = {
        one["id"]: one
        for one in central.call("GET", f"/v2.0/ports?device_id={router['id']}").only()
    } | {address["id"]: address}

    def look() -> Any:
        found = {}
        for one in parts:
            shown = central.call("GET", f"/v2.0/ports/{one}")
            assert shown.status == 200, one
            found[one] = {
                name: value
                for name, value in shown.only().items()
                if name not in ("updated_at", "revision_number", "status")
            }
        return found, central.call("GET", f"/v2.0/floatingips/{floating['id']}").only()["port_id"]

    before = look()
    for site in ("site1", "site2"):
        for one in parts.values():
            said = located(central, site, one)
            changes: tuple[dict[str, Any], ...] = (
                {"mac_address": "fa:16:3e:66:66:66"},
                {"fixed_ips": []},
                {"name": "x", "admin_state_up": False},
                {"device_id": "vm", "device_owner": "compute:nova"},
                {"binding:host_id": "host1", "binding:vif_type": "ovs"},
            )
            for change in changes:
                central.report(site, {**said, "state": {**said["state"], **change}})
                lie = {**said["state"], **change, "isthmus:base": one}
                central.report(site, {**said, "state": lie})
            central.report(site, {"type": "port", "id": one["id"], "state": None})
            asked = central.try_bundle(site, "port", one["id"], project=project, admin=True)
            assert asked.status in (201, 404, 409), asked.text
            homes = central.call("GET", f"/v2.0/site-mappings?resource_id={one['id']}").only()
            assert homes == [], one["device_owner"]
    assert look() == before
    assert set(hypervisors(central, router)) <= {"site1", "site2"}
    # Another site's hypervisor is none of this one's.
    (result,) = central.report("site1", located(central, "site1", gate))
    assert result["code"] == ""
    (result,) = central.report(
        "site2", located(central, "site2", gate, chassis="gw-1", encap_ip="192.0.2.201")
    )
    assert result["code"] != "", result
    assert hypervisors(central, router)["site1"] == "gw-1"
    for odd in (
        {"encap_ip": "not-an-ip; drop"},
        {"chassis": "x" * 300},
        {"port_key": 999999},
        {"port_key": -1},
        {"hostname": None},
    ):
        (result,) = central.report("site1", located(central, "site1", gate, **odd))
        assert result["code"] != "", odd
    # A port of a floating IP or a gateway is not a site's to invent.
    for owner in ("network:router_gateway", "network:floatingip"):
        made = located(central, "site1", {**gate, "id": str(uuid.uuid4()), "device_owner": owner})
        (result,) = central.report("site1", made)
        assert result["code"] != "", owner
        assert central.call("GET", f"/v2.0/ports/{made['id']}").status == 404


def test_nobody_has_a_part_of_anothers_router(central: CentralServer) -> None:
    mine, theirs = (tenant(uuid.uuid4().hex) for _ in range(2))
    outside, _ = make_outside(central, 1)
    router, network, inside = make_inside(central, theirs, "site1")
    assert set_gateway(central, router, theirs, outside).status == 200
    port = central.create("port", theirs, network_id=network["id"])
    floating = central.create("floatingip", theirs, floating_network_id=outside["id"])
    own, own_network, own_inside = make_inside(central, mine, "site1", cidr="10.5.0.0/24")
    own_floating = central.create("floatingip", mine, floating_network_id=outside["id"])
    gate = find_gateway(central, router)
    before = state_at(central, "site1", router)
    calls = [
        set_gateway(central, router, mine, None),
        set_gateway(central, router, mine, outside),
        add_gateway(central, router, outside, mine),
        join(central, router, mine, subnet_id=own_inside["id"]),
        join(central, own, mine, subnet_id=inside["id"]),
        join(central, own, mine, port_id=port["id"]),
        join(central, own, mine, port_id=gate["id"]),
        leave(central, router, mine, subnet_id=inside["id"]),
        put_floating(central, own_floating, mine, port_id=port["id"]),
        put_floating(central, floating, mine, port_id=None),
        put_floating(central, own_floating, mine, port_id=gate["id"]),
        remove(central, "floatingip", floating["id"], mine),
        remove(central, "router", router["id"], mine),
        remove(central, "port", gate["id"], mine),
        remove(central, "port", gate["id"], theirs),
        central.try_create("floatingip", mine, floating_network_id=network["id"]),
        set_gateway(central, own, mine, network),
        set_gateway(central, own, mine, own_network),
    ]
    assert [one.status for one in calls if one.status < 400 or one.status >= 500] == [], [
        (number, one.status, one.text) for number, one in enumerate(calls) if one.status < 400
    ]
    assert state_at(central, "site1", router) == before
    for path in ("router-exits", f"router-exits/{own['id']}", f"router-exits?id={router['id']}"):
        shown = central.call("GET", f"/v2.0/{path}", user=mine)
        assert shown.status in (403, 404) or shown.only() == [], path
