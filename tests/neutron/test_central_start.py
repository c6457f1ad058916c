"""Central is a whole Neutron: what ML2 gives is there, with sites in the place of agents."""

import uuid

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.server import ADMIN, tenant

from isthmus.federation.identity import default_security_group_id

pytestmark = pytest.mark.neutron


def test_loads_and_serves(central: CentralServer) -> None:
    aliases = {one["alias"] for one in central.call("GET", "/v2.0/extensions").only()}
    assert {
        "isthmus",
        "security-group",
        "availability_zone",
        "qos",
        "qos-fip",
        "qos-gateway-ip",
        "trunk",
    } <= aliases
    # What no site would carry out is not offered.
    assert "isthmus-local" not in aliases


def test_the_mtu_leaves_room_for_the_tunnel(central: CentralServer) -> None:
    network = central.create("network", name="n")
    assert network["mtu"] == 1442
    body = {"network": {"name": "n", "mtu": 1443}}
    assert central.call("POST", "/v2.0/networks", body).status == 400
    body = {"network": {"name": "n", "mtu": 1400}}
    assert central.call("POST", "/v2.0/networks", body).only()["mtu"] == 1400


def test_a_default_group_has_the_id_that_every_tier_derives(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    (group,) = central.call("GET", "/v2.0/security-groups", user=tenant(project)).only()
    assert (group["name"], group["id"]) == ("default", default_security_group_id(project))


def test_a_port_is_bound_wherever_it_is_said_to_be(central: CentralServer) -> None:
    network = central.create("network", name="n")
    port = central.create("port", ADMIN, network_id=network["id"], **{"binding:host_id": "site1/h"})
    assert (port["binding:vif_type"], port["status"]) == ("other", "ACTIVE")


def test_many_ports_at_once(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    network = central.create("network", user, name="n")
    central.create("subnet", user, network_id=network["id"], cidr="10.0.0.0/25", ip_version=4)
    body = {"ports": [{"network_id": network["id"]} for _ in range(40)]}
    ports = central.call("POST", "/v2.0/ports", body, user).only()
    assert len({port["fixed_ips"][0]["ip_address"] for port in ports}) == 40


def test_subnets_from_a_pool(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    pool = central.create(
        "subnetpool", user, name="pool", prefixes=["10.9.0.0/16"], default_prefixlen=26
    )
    network = central.create("network", user, name="n")
    subnet = central.create(
        "subnet", user, network_id=network["id"], subnetpool_id=pool["id"], ip_version=4
    )
    assert subnet["cidr"].endswith("/26")
    assert central.create("port", user, network_id=network["id"])["fixed_ips"]
