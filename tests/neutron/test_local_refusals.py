"""What a site cannot have is said, with its reason, and not left out."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.delivery import SiteDelivery
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, site_user, tenant
from tests.neutron.test_local_report import backlog
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
    wan = Wan(lambda: central.port, site_user("site1"))
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
        server.wait_registered()
        yield server
    finally:
        server.kill()
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
    state = central.desired("site1", ("subnet", subnet["id"]))[("subnet", subnet["id"])]
    codes = site1.apply({"type": "subnet", "id": subnet["id"], "state": state})
    assert codes[subnet["id"]].startswith("isthmus.refused")
    reply = site1.try_create("port", user, network_id=network["id"])
    assert reply.status in (400, 409), reply.text
    assert subnet["id"] in reply.text


def _known(
    central: CentralServer, site1: LocalServer, user: Any, host: str = "host1"
) -> dict[str, Any]:
    """Make a server's port, bound to a host or (with "") nowhere, of which central knows."""
    network = central.create("network", user, name="n")
    central.create("subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    port = site1.create(
        "port",
        ADMIN,
        network_id=network["id"],
        project_id=user.project,
        device_owner="compute:nova",
        device_id="vm",
        **{"binding:host_id": host},
    )

    def known() -> bool:
        reply = central.call("GET", f"/v2.0/ports/{port['id']}")
        return reply.status == 200 and (not host or reply.only()["binding:vif_type"] == "ovs")

    until(known, what="central to know the port as it is", timeout_s=120)
    return port


def test_central_refuses_a_pair_that_ovn_cannot_take(
    central: CentralServer, site1: LocalServer
) -> None:
    user = tenant(uuid.uuid4().hex)
    port = _known(central, site1, user)
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
    port = _known(central, site1, user)
    key = ("port", port["id"])
    state = dict(central.desired("site1", key)[key])
    state["allowed_address_pairs"] = [
        {"ip_address": "10.0.0.200", "mac_address": "fa:16:3e:99:99:99"}
    ]
    codes = site1.apply({"type": "port", "id": port["id"], "state": state})
    assert codes[port["id"]] == "isthmus.refused.invalid"
    assert "fa:16:3e:99:99:99" in site1.messages[port["id"]]


class _Told:
    """A port at home at the site, changed at central."""

    def __init__(self, central: CentralServer, site: LocalServer, port: dict[str, Any]) -> None:
        self.central, self.site, self.id = central, site, port["id"]
        self.delivery = SiteDelivery(central, site)

    def change(self, **values: Any) -> None:
        body = {"port": values}
        assert self.central.call("PUT", f"/v2.0/ports/{self.id}", body).status == 200

    def has(self, **values: Any) -> bool:
        """Carry what is due; tell whether the site has the port so."""
        self.delivery.lose_patience()
        shown = self.site.get(f"ports/{self.id}").only()
        return all(shown[name] == value for name, value in values.items())

    def parked(self) -> str:
        return self.delivery.parked().get(("port", self.id), "")

    def quiet(self) -> bool:
        self.delivery.run()
        return not backlog(self.site, self.id) and ("port", self.id) not in self.central.jobs(
            self.site.site
        )

    def agree(self) -> None:
        until(self.quiet, what="nothing is left to say of the port", timeout_s=120)
        here = self.site.get(f"ports/{self.id}").only()
        there = self.central.call("GET", f"/v2.0/ports/{self.id}").only()
        for name in ("name", "description", "mac_address", "allowed_address_pairs", "fixed_ips"):
            assert here[name] == there[name], name


@pytest.mark.parametrize("why", ["the metadata port has the address", "the port is bound"])
def test_what_a_site_refuses_of_a_port_keeps_nothing_else_away(
    central: CentralServer, site1: LocalServer, why: str
) -> None:
    """Central knows nothing of a site's metadata port, nor of what a cut site has just bound."""
    assert site1.wan is not None
    user = tenant(uuid.uuid4().hex)
    bound = why == "the port is bound"
    told = _Told(central, site1, _known(central, site1, user, host="" if bound else "host1"))
    refused: dict[str, Any]
    if bound:
        refused = {"mac_address": "fa:16:3e:10:20:30"}
        site1.wan.cut()
        site1.update("port", told.id, ADMIN, **{"binding:host_id": "host1"}).only()
    else:
        network_id = site1.get(f"ports/{told.id}").only()["network_id"]
        path = f"ports?network_id={network_id}&device_owner=network:distributed"
        (metadata,) = site1.get(path).only()
        pair = {"ip_address": metadata["fixed_ips"][0]["ip_address"]}
        refused = {"allowed_address_pairs": [pair]}
    try:
        told.change(name="new", **refused)
        until(lambda: told.has(name="new"), what="the name arrives", timeout_s=120)
    finally:
        site1.wan.heal()
    until(lambda: told.quiet() or bool(told.parked()), what="the refusal is seen", timeout_s=120)
    assert next(iter(refused)) in told.parked()
    told.change(description="newer")
    until(lambda: told.has(description="newer"), what="so does what is next", timeout_s=120)
    site1.update("port", told.id, user, name="from the site").only()

    def heard() -> bool:
        shown = central.call("GET", f"/v2.0/ports/{told.id}").only()
        return bool(shown["name"] == "from the site")

    until(heard, what="central hears of the port", timeout_s=120)
    # With its reason the refusal goes, and nobody has to retry anything.
    if bound:
        site1.update("port", told.id, ADMIN, **{"binding:host_id": ""}).only()
        until(lambda: told.has(**refused), what="the MAC arrives", timeout_s=120)
    else:
        told.change(allowed_address_pairs=[])
    told.agree()


def test_a_pair_that_was_taken_of_an_unbound_port_stands_against_its_binding_alone(
    central: CentralServer, site1: LocalServer
) -> None:
    """ML2/OVN looks at the MACs of pairs once a port is bound."""
    user = tenant(uuid.uuid4().hex)
    told = _Told(central, site1, _known(central, site1, user, host=""))
    pair = {"ip_address": "10.0.0.200", "mac_address": "fa:16:3e:99:99:99"}
    told.change(allowed_address_pairs=[pair])
    until(lambda: told.has(allowed_address_pairs=[pair]), what="the pair arrives", timeout_s=120)
    refused = site1.update("port", told.id, ADMIN, **{"binding:host_id": "host1"})
    assert refused.status == 400, refused.text
    assert "fa:16:3e:99:99:99" in refused.text
    assert site1.get(f"ports/{told.id}").only()["binding:vif_type"] == "unbound"
    told.change(name="new")
    until(lambda: told.has(name="new"), what="a name arrives all the same", timeout_s=120)
    told.change(allowed_address_pairs=[])
    until(lambda: told.has(allowed_address_pairs=[]), what="the pair goes", timeout_s=120)
    bound = site1.update("port", told.id, ADMIN, **{"binding:host_id": "host1"}).only()
    assert bound["binding:vif_type"] == "ovs"
    told.agree()
