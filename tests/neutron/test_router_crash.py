"""A site's Neutron is killed on its way to a router, or away from it; nothing is lost or left."""

import uuid

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, tenant
from tests.neutron.test_local_apply import carried
from tests.neutron.test_local_crash import dying, site2
from tests.neutron.test_provider_networks import ask
from tests.neutron.test_routers import find_router, join, leave, make_network, row

pytestmark = [pytest.mark.neutron, pytest.mark.stress, pytest.mark.timeout(600)]
assert site2 is not None  # the fixture


@pytest.mark.parametrize(
    "point",
    ["apply.router.gateway", "apply.router.joined", "apply.router.made"],
)
def test_a_site_dies_while_a_router_comes_and_goes(
    central: CentralServer,
    site2: LocalServer,
    point: str,
) -> None:
    user = tenant(uuid.uuid4().hex)
    pairs = [make_network(central, user, f"10.{n}.0.0/24") for n in (1, 2)]
    external = ask(
        central, f"p{uuid.uuid4().hex[:8]}", ["zone2"], **{"router:external": True}
    ).only()
    cidr = {"cidr": "172.31.8.0/24", "ip_version": 4, "enable_dhcp": False}
    central.create("subnet", ADMIN, network_id=external["id"], **cidr)
    router = central.create("router", user, name="r")
    ports = [
        join(central, router, user, subnet_id=subnet["id"]).body["port_id"] for _, subnet in pairs
    ]
    gateway = {"router": {"external_gateway_info": {"network_id": external["id"]}}}
    assert central.call("PUT", f"/v2.0/routers/{router['id']}", gateway).status == 200
    owner = f"device_id={router['id']}&device_owner=network:router_gateway"
    (leaves_by,) = central.call("GET", f"/v2.0/ports?{owner}").only()
    ports.append(leaves_by["id"])
    body = {"network_id": pairs[0][0]["id"], "site": "site2"}
    assert central.try_create("site_presence", **body).status == 201
    with dying(site2, point):
        carried(central, site2)
    carried(central, site2)
    for port in ports:
        shown = site2.get(f"ports/{port}").only()
        assert row(site2, "Logical_Router_Port", f"lrp-{port}", "mac") == shown["mac_address"]
    assert len(site2.call("GET", f"/v2.0/ports?device_id={router['id']}").only()) == len(ports)
    assert len(site2.rows("isthmus_exits")) == 1
    for _, subnet in pairs:
        assert leave(central, router, user, subnet_id=subnet["id"]).status == 200
    assert central.call("DELETE", f"/v2.0/routers/{router['id']}", user=user).status == 204
    with dying(site2, "apply.router.removed"):
        carried(central, site2)
    carried(central, site2)
    assert site2.get(f"routers/{router['id']}").status == 404
    assert find_router(site2, router) == ""
    assert {row(site2, "Logical_Router_Port", f"lrp-{one}", "mac") for one in ports} == {""}
    assert {row(site2, "Logical_Switch_Port", one, "type") for one in ports} == {""}
    assert site2.rows("isthmus_exits") == []
