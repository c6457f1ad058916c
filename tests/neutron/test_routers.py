"""Routers that central has: what they are at a site, and in its OVN."""

import json
import uuid
from typing import Any

import pytest
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import User, tenant
from tests.neutron.test_local_apply import carried

pytestmark = pytest.mark.neutron


def make_network(central: CentralServer, user: User, cidr: str, **more: Any) -> tuple[Any, Any]:
    network = central.create("network", user, name=cidr, **more)
    subnet = central.create(
        "subnet", user, network_id=network["id"], cidr=cidr, ip_version=4 + 2 * (":" in cidr)
    )
    return network, subnet


def join(central: CentralServer, router: Any, user: User, **how: str) -> Any:
    path = f"/v2.0/routers/{router['id']}/add_router_interface"
    return central.call("PUT", path, how, user)


def leave(central: CentralServer, router: Any, user: User, **how: str) -> Any:
    path = f"/v2.0/routers/{router['id']}/remove_router_interface"
    return central.call("PUT", path, how, user)


def row(site: LocalServer, table: str, name: str, column: str) -> str:
    return site.ovn.nbctl("--if-exists", "--bare", f"--columns={column}", "list", table, name)


def find_router(site: LocalServer, router: Any) -> str:
    name = f"name=neutron-{router['id']}"
    return site.ovn.nbctl("--bare", "--columns=_uuid", "find", "Logical_Router", name)


def test_a_router_joins_a_network_that_is_here_with_one_that_is_not(
    central: CentralServer, site1: LocalServer
) -> None:
    user = tenant(uuid.uuid4().hex)
    here, subnet = make_network(central, user, "10.1.0.0/24")
    _, other = make_network(central, user, "10.2.0.0/24")
    local = site1.create("port", user, network_id=here["id"])
    router = central.create("router", user, name="r")
    for one in (subnet, other):
        joined = join(central, router, user, subnet_id=one["id"])
        assert joined.status == 200, joined.text
    carried(central, site1)
    shown = site1.get(f"routers/{router['id']}", user).only()
    assert (shown["name"], shown["status"]) == ("r", "ACTIVE")
    path = f"/v2.0/ports?device_id={router['id']}"
    ports = {one["id"]: one for one in central.call("GET", path).only()}
    assert len(ports) == 2
    for one in site1.call("GET", path).only():
        wanted = ports.pop(one["id"])
        for name in ("mac_address", "fixed_ips", "network_id", "device_owner", "project_id"):
            assert one[name] == wanted[name], name
        assert wanted["status"] == "ACTIVE"
        lrp = f"lrp-{one['id']}"
        assert row(site1, "Logical_Router_Port", lrp, "mac") == one["mac_address"]
        address = one["fixed_ips"][0]["ip_address"]
        assert row(site1, "Logical_Router_Port", lrp, "networks") == f"{address}/24"
        assert "requested-tnl-key=" in row(site1, "Logical_Switch_Port", one["id"], "options")
    assert ports == {}
    assert find_router(site1, router)
    # What the site's own Neutron notes of interfaces is no news to central.
    homes = central.call("GET", f"/v2.0/site-mappings?resource_id={joined.json['port_id']}").only()
    assert homes == []
    assert local["id"] in {one["id"] for one in site1.holdings("ports")["ports"]}
