import pytest
from tests.neutron.central_server import ADMIN, CentralServer

pytestmark = pytest.mark.neutron


def test_loads_and_serves(central: CentralServer) -> None:
    aliases = {one["alias"] for one in central.call("GET", "/v2.0/extensions").only()}
    assert {"isthmus", "security-group", "trunk", "qos", "availability_zone"} <= aliases
    network = central.create("network", name="n")
    assert central.call("GET", f"/v2.0/networks/{network['id']}", user=ADMIN).only()["mtu"] == 1442
