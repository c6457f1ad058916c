"""Central goes back to a backup; routers that sites have since stay where servers need them."""

import json
from typing import Any

import pytest
from tests.neutron.carry import carry
from tests.neutron.mariadb import mariadb_url, new_database
from tests.neutron.outside import (
    extend,
    make_outside,
    plan_at,
    put_floating,
    set_gateway,
    sites_of,
    state_at,
)
from tests.neutron.server import ADMIN
from tests.neutron.test_exits_at_site import list_rows
from tests.neutron.test_restore import Cloud, cloud
from tests.neutron.test_restore_of_both import register_site2
from tests.neutron.test_routers import find_router, join, make_network

from isthmus.model import attribute
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress, pytest.mark.timeout(1500)]

__all__ = ["cloud", "mariadb_url", "new_database"]


def boot_on(cloud: Cloud, network: Any) -> Any:
    values = {"network_id": network["id"], "project_id": "p", "device_owner": "compute:nova"}
    values |= {"device_id": "d", "binding:host_id": "host1"}
    return cloud.site.create("port", ADMIN, **values)


def decided(cloud: Cloud) -> dict[str, Any]:
    return {row["router_id"]: json.loads(row["plan"]) for row in cloud.site.rows("isthmus_exits")}


def list_keys(cloud: Cloud) -> list[str]:
    """List the tunnel keys that switches of the site's OVN ask for."""
    rows = json.loads(
        cloud.site.ovn.nbctl("--format=json", "--columns=other_config", "list", "Logical_Switch")
    )["data"]
    asked = [dict(cell[1]).get("requested-tnl-key") for (cell,) in rows]
    return sorted(one for one in asked if one)


def test_a_router_stays_where_its_network_came_since_the_backup(cloud: Cloud) -> None:
    central = cloud.central
    network, subnet = make_network(central, cloud.user, "10.40.0.0/24")
    assert extend(central, network, "site2").status == 201
    outside, _ = make_outside(central, 2)
    router = central.create("router", cloud.user, name="r")
    assert join(central, router, cloud.user, subnet_id=subnet["id"]).status == 200
    assert set_gateway(central, router, ADMIN, outside).status == 200
    cloud.settle()
    copy = cloud.back_up(central, "before")
    boot_on(cloud, network)
    cloud.settle()
    assert sites_of(central, router) == {"site1", "site2"}
    assert find_router(cloud.site, router)
    before = decided(cloud)[router["id"]]
    assert before["transit"] is not None
    cloud.restore(central, copy)
    register_site2(cloud)
    lost: list[str] = []

    def is_settled() -> bool:
        if not find_router(cloud.site, router):
            lost.append("the router")
        return not cloud.why(central)

    until(is_settled, timeout_s=240, what="central has settled")
    for _ in range(5):
        carry(central, cloud.site)
        assert find_router(cloud.site, router), "its server's router was taken away"
    cloud.settle()
    assert not lost
    assert sites_of(central, router) == {"site1", "site2"}

    def agree() -> bool:
        carry(central, cloud.site)
        state = state_at(central, "site1", router)
        return bool(decided(cloud)[router["id"]] == state[attribute.EXITS])

    until(agree, timeout_s=120, what="both tiers agree on the router's exits")
    assert plan_at(central, "site1", router).transit is not None


def test_no_network_gets_the_key_of_a_transit_network_that_central_forgot(cloud: Cloud) -> None:
    central = cloud.central
    cloud.boot()
    outside, _ = make_outside(central, 2)
    router = central.create("router", cloud.user, name="r")
    assert join(central, router, cloud.user, subnet_id=cloud.subnet["id"]).status == 200
    cloud.settle()
    copy = cloud.back_up(central, "before")
    assert set_gateway(central, router, ADMIN, outside).status == 200
    cloud.settle()
    rows = until_written(cloud, router)
    cloud.restore(central, copy)
    register_site2(cloud)
    until(lambda: not cloud.why(central), timeout_s=240, what="central has settled")
    # Xjob is slow: the site has its former state still.
    network, _ = make_network(central, cloud.user, "10.41.0.0/24")
    values = {"network_id": network["id"], "project_id": "p", "device_owner": "compute:nova"}
    early = cloud.site.try_create("port", ADMIN, **values)
    assert early.status in (201, 503), early.text
    keys = list_keys(cloud)
    assert len(keys) == len(set(keys)), (keys, rows)
    cloud.settle()
    boot_on(cloud, network)
    assert set_gateway(central, router, ADMIN, outside).status == 200
    cloud.settle()
    until_written(cloud, router)
    keys = list_keys(cloud)
    assert len(keys) == len(set(keys))


def until_written(cloud: Cloud, router: Any) -> int:
    def written() -> bool:
        return list_rows(cloud.site, "Logical_Switch", "transit", router["id"]) == 1

    until(written, timeout_s=60, what="the transit network is in OVN")
    return 1


def go_on(cloud: Cloud, routers: Any, floating: Any, outside: tuple[Any, Any]) -> None:
    """One gateway goes, one comes, a floating IP goes, another is made, a router is new."""
    central, (here, there) = cloud.central, outside
    assert put_floating(central, floating, cloud.user, port_id=None).status == 200
    assert set_gateway(central, routers[0][0], ADMIN, None).status == 200
    assert set_gateway(central, routers[2][0], ADMIN, here).status == 200
    more = central.create("floatingip", cloud.user, floating_network_id=here["id"])
    put = put_floating(central, more, cloud.user, port_id=routers[2][1]["id"])
    assert put.status == 200, put.text
    network, subnet = make_network(central, cloud.user, "10.60.0.0/24")
    assert extend(central, network, "site1").status == 201
    late = central.create("router", cloud.user, name="late")
    assert join(central, late, cloud.user, subnet_id=subnet["id"]).status == 200
    assert set_gateway(central, late, ADMIN, there).status == 200


@pytest.mark.parametrize("tier", ["central", "site"])
def test_gateways_and_floating_ips_after_a_restore(cloud: Cloud, tier: str) -> None:
    """Made, changed and deleted since the backup: both tiers end alike, nothing is given twice."""
    central = cloud.central
    cloud.boot()
    (here, _), (there, _) = make_outside(central, 1), make_outside(central, 2)
    routers = []
    for number in range(3):
        network, subnet = make_network(central, cloud.user, f"10.{50 + number}.0.0/24")
        port = boot_on(cloud, network)
        router = central.create("router", cloud.user, name=f"r{number}")
        assert join(central, router, cloud.user, subnet_id=subnet["id"]).status == 200
        routers.append((router, port))
    assert set_gateway(central, routers[0][0], ADMIN, here).status == 200
    assert set_gateway(central, routers[1][0], ADMIN, there).status == 200
    cloud.settle()
    floating = central.create("floatingip", cloud.user, floating_network_id=here["id"])
    put = put_floating(central, floating, cloud.user, port_id=routers[0][1]["id"])
    assert put.status == 200, put.text
    cloud.settle()
    copy = cloud.back_up(central if tier == "central" else cloud.site, "before")
    go_on(cloud, routers, floating, (here, there))
    cloud.settle()
    if tier == "central":
        cloud.restore(central, copy)
        register_site2(cloud)
        until(lambda: not cloud.why(central), timeout_s=240, what="central has settled")
    else:
        cloud.restore(cloud.site, copy)
    cloud.settle()
    agree(cloud)
    keys = list_keys(cloud)
    assert len(keys) == len(set(keys))
    gates = f"/v2.0/ports?device_owner=network:router_gateway&network_id={here['id']}"
    assert {one["id"] for one in cloud.site.call("GET", gates).only()} == {
        one["id"] for one in central.call("GET", gates).only()
    }
    # And again to and fro.
    for router, _ in routers:
        assert set_gateway(central, router, ADMIN, None).status in (200, 409)
    cloud.settle()
    agree(cloud)


def agree(cloud: Cloud) -> None:
    """See that the site has central's routers with what is decided of them, and none besides."""

    def is_so() -> bool:
        carry(cloud.central, cloud.site)
        wanted, found = {}, {}
        for one in cloud.central.call("GET", "/v2.0/routers").only():
            state = state_at(cloud.central, "site1", one)
            if state is not None:
                wanted[one["id"]] = (state[attribute.EXITS], shape(state))
        plans = decided(cloud)
        for one in cloud.site.call("GET", "/v2.0/routers").only():
            path = f"/v2.0/ports?device_id={one['id']}"
            parts = sorted(
                (port["id"], port["mac_address"]) for port in cloud.site.call("GET", path).only()
            )
            found[one["id"]] = (plans.get(one["id"]), parts)
        assert plans.keys() <= found.keys()
        last[:] = [wanted, found]
        return wanted == found

    last: list[Any] = []
    try:
        until(is_so, timeout_s=90, what="both tiers have the same routers")
    except AssertionError as error:
        raise AssertionError(last) from error


def shape(state: Any) -> list[tuple[str, str]]:
    parts = [*state[attribute.INTERFACES], state[attribute.GATEWAY]]
    return sorted((one["id"], one["mac_address"]) for one in parts if one is not None)
