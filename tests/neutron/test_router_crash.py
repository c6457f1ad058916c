"""A site's Neutron is killed on its way to a router, or away from it; nothing is lost or left."""

import uuid

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import tenant
from tests.neutron.test_local_apply import carried
from tests.neutron.test_local_crash import dying, site2
from tests.neutron.test_routers import find_router, join, leave, make_network, row

pytestmark = [pytest.mark.neutron, pytest.mark.stress, pytest.mark.timeout(600)]
assert site2 is not None  # the fixture


@pytest.mark.parametrize(
    "point",
    ["apply.router.joined", "apply.router.made"],
)
def test_a_site_dies_while_a_router_comes_and_goes(
    central: CentralServer,
    site2: LocalServer,
    point: str,
) -> None:
    user = tenant(uuid.uuid4().hex)
    pairs = [make_network(central, user, f"10.{n}.0.0/24") for n in (1, 2)]
    router = central.create("router", user, name="r")
    ports = [
        join(central, router, user, subnet_id=subnet["id"]).body["port_id"] for _, subnet in pairs
    ]
    body = {"network_id": pairs[0][0]["id"], "site": "site2"}
    assert central.try_create("site_presence", **body).status == 201
    with dying(site2, point):
        carried(central, site2)
    carried(central, site2)
    for port in ports:
        shown = site2.get(f"ports/{port}", user).only()
        assert row(site2, "Logical_Router_Port", f"lrp-{port}", "mac") == shown["mac_address"]
    assert len(site2.call("GET", f"/v2.0/ports?device_id={router['id']}").only()) == len(ports)
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
