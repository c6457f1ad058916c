"""Central goes back to a backup; routers that sites have since stay where servers need them."""

import json
from typing import Any

import pytest
from tests.neutron.carry import carry
from tests.neutron.outside import (
    extend,
    make_outside,
    plan_at,
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

__all__ = ["cloud"]


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

    def is_recovered() -> bool:
        if not find_router(cloud.site, router):
            lost.append("the router")
        return not cloud.why(central)

    until(is_recovered, timeout_s=240, what="central has recovered", most_s=0.02)
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
    until(lambda: not cloud.why(central), timeout_s=240, what="central has recovered")
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
