"""What a site cannot have is said, with its reason, and not left out."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, speaker, tenant
from tests.neutron.wan import Wan

from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = pytest.mark.neutron


@pytest.fixture(scope="module")
def site1(
    central: CentralServer,
    site_ovn: OvnDatabases,
    neutron_template: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LocalServer]:
    """A site that gives metadata by OVN: each network has a port with an address for that."""
    wan = Wan(lambda: central.port, speaker("site1"))
    server = LocalServer(
        tmp_path_factory.mktemp("site1"),
        neutron_template,
        site_ovn,
        "site1",
        wan,
        extra={"ovn": {"ovn_metadata_enabled": True}},
    )
    try:
        server.start()
        yield server
    finally:
        server.stop()
        wan.close()


def test_subnets_of_every_size_come_along(central: CentralServer, site1: LocalServer) -> None:
    user = tenant(uuid.uuid4().hex)
    for cidr, version, wanted in (
        ("fd00:24:3::7/128", 6, "fd00:24:3::7"),
        ("192.0.2.7/32", 4, "192.0.2.7"),
        ("fd00:24:4::/127", 6, None),
        ("192.0.2.8/31", 4, None),
    ):
        network = central.create("network", user, name="n")
        central.create(
            "subnet",
            user,
            network_id=network["id"],
            cidr=cidr,
            ip_version=version,
            enable_dhcp=False,
            gateway_ip=None,
        )
        port = site1.create("port", user, network_id=network["id"])
        (address,) = port["fixed_ips"]
        assert wanted is None or address["ip_address"] == wanted


@pytest.mark.parametrize("why", ["service types", "no address for metadata"])
def test_a_network_whose_subnet_cannot_be_here_has_no_ports_here(
    central: CentralServer, site1: LocalServer, why: str
) -> None:
    user = tenant(uuid.uuid4().hex)
    network = central.create("network", user, name="n")
    if why == "service types":
        central.create(
            "subnet",
            ADMIN,
            network_id=network["id"],
            project_id=user.project,
            cidr="10.0.0.0/24",
            ip_version=4,
            service_types=["compute:lab"],
        )
    else:
        central.create("subnet", user, network_id=network["id"], cidr="10.0.0.0/30", ip_version=4)
        central.create("port", user, network_id=network["id"])  # takes the only address
    for _ in range(3):
        reply = site1.try_create("port", user, network_id=network["id"])
        assert reply.status in (400, 409), reply.text
        assert "cannot be made at this site" in reply.text
        assert "subnet" in reply.text
    here = site1.get(f"ports?network_id={network['id']}").only()
    assert {one["device_owner"] for one in here} <= {"network:distributed"}


def test_a_subnet_that_comes_later_and_cannot_be_here_stops_ports_too(
    central: CentralServer, site1: LocalServer
) -> None:
    user = tenant(uuid.uuid4().hex)
    network = central.create("network", user, name="n")
    central.create("subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    site1.create("port", user, network_id=network["id"])
    subnet = central.create(
        "subnet",
        ADMIN,
        network_id=network["id"],
        project_id=user.project,
        cidr="10.1.0.0/24",
        ip_version=4,
        service_types=["compute:lab"],
    )
    state = central.snapshot("site1", ("subnet", subnet["id"]))[("subnet", subnet["id"])]
    codes = site1.apply({"type": "subnet", "id": subnet["id"], "state": state})
    assert codes[subnet["id"]].startswith("isthmus.refused")
    reply = site1.try_create("port", user, network_id=network["id"])
    assert reply.status in (400, 409), reply.text
    assert subnet["id"] in reply.text


def _bound(central: CentralServer, site1: LocalServer, user: Any) -> dict[str, Any]:
    network = central.create("network", user, name="n")
    central.create("subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    port = site1.create(
        "port",
        ADMIN,
        network_id=network["id"],
        project_id=user.project,
        device_owner="compute:nova",
        device_id="vm",
        **{"binding:host_id": "host1"},
    )

    def known() -> bool:
        reply = central.call("GET", f"/v2.0/ports/{port['id']}")
        return reply.status == 200 and bool(reply.only()["binding:host_id"])

    until(known, what="central to know the port as bound", timeout_s=120)
    return port


def test_central_refuses_a_pair_that_ovn_cannot_take(
    central: CentralServer, site1: LocalServer
) -> None:
    user = tenant(uuid.uuid4().hex)
    port = _bound(central, site1, user)
    pair = {"ip_address": "10.0.0.200", "mac_address": "fa:16:3e:99:99:99"}
    body = {"port": {"allowed_address_pairs": [pair]}}
    for server in (central, site1):
        reply = server.call("PUT", f"/v2.0/ports/{port['id']}", body, user)
        assert reply.status == 400, (server, reply.text)
        assert "fa:16:3e:99:99:99" in reply.text
    # One that OVN takes is taken, and goes on to the site.
    pair["mac_address"] = "00:00:5e:00:01:07"
    assert central.call("PUT", f"/v2.0/ports/{port['id']}", body, user).status == 200


def test_what_ovn_refuses_is_a_refusal_with_its_reason(
    central: CentralServer, site1: LocalServer
) -> None:
    user = tenant(uuid.uuid4().hex)
    port = _bound(central, site1, user)
    key = ("port", port["id"])
    state = dict(central.snapshot("site1", key)[key])
    state["allowed_address_pairs"] = [
        {"ip_address": "10.0.0.200", "mac_address": "fa:16:3e:99:99:99"}
    ]
    codes = site1.apply({"type": "port", "id": port["id"], "state": state})
    assert codes[port["id"]] == "isthmus.refused.invalid"
    assert "fa:16:3e:99:99:99" in site1.messages[port["id"]]
