"""What is there twice, at two sites: the remedies of the audit, as they are printed."""

import json
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.front import Front, isthmus
from tests.neutron.local_server import LocalServer, add_chassis
from tests.neutron.server import ADMIN, Reply, Server, site_user, tenant
from tests.neutron.test_local_apply import carried
from tests.neutron.test_routers import make_network
from tests.neutron.wan import Wan

from isthmus.store.sql.tables import PORT_KEYS
from isthmus.testing.cloud import running
from isthmus.testing.needed import skip_without
from isthmus.testing.ovn import OvnDatabases, missing_programs
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def site2(
    central: CentralServer, neutron_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServer]:
    skip_without(missing_programs())
    folder = Path(tempfile.mkdtemp(prefix="isthmus-ovn-"))
    wan = Wan(lambda: central.port, site_user("site2"))
    try:
        with OvnDatabases(folder) as ovn:
            add_chassis(ovn, "hv3", "host3", "192.0.2.3")
            server = LocalServer(
                tmp_path_factory.mktemp("site2"), neutron_template, ovn, "site2", wan
            )
            try:
                server.start()
                server.wait_registered()
                yield server
            finally:
                server.kill()
    finally:
        wan.close()
        shutil.rmtree(folder)


class Two:
    """A network at two sites with a port at each, and an operator."""

    def __init__(
        self, central: CentralServer, sites: tuple[LocalServer, ...], environment: dict[str, str]
    ) -> None:
        self.central, self.environment = central, environment
        self.clouds: dict[str, Server] = {"central": central}
        self.clouds |= {one.site: one for one in sites}
        self.sites = sites
        user = tenant(uuid.uuid4().hex)
        network, _ = make_network(central, user, "10.8.0.0/24")
        self.network_id = network["id"]
        self.ports = []
        for number, site in enumerate(sites):
            port = site.create("port", user, network_id=self.network_id)["id"]
            body = {
                "binding:host_id": ("host1", "host3")[number],
                "device_owner": "compute:nova",
                "device_id": f"vm{number}",
            }
            assert site.update("port", port, ADMIN, **body).status == 200
            self.ports.append(port)
        until(lambda: all(self.shown(one).status == 200 for one in self.ports), what="both known")
        until(lambda: self.settle() or not self.find(), what="an audit that is clean")

    def shown(self, port: str) -> Reply:
        return self.central.call("GET", f"/v2.0/ports/{port}")

    def settle(self) -> None:
        for site in self.sites:
            carried(self.central, site)

    def find(self, *codes: str) -> list[Any]:
        ran = isthmus(
            self.environment, "audit", "--network", self.network_id, "-o", "json", code=None
        )
        return [row for row in json.loads(ran.stdout) if row["code"] in codes or not codes]

    def write(self, site: LocalServer, *statements: str, **values: object) -> None:
        with site.database(write=True) as connection:
            for one in statements:
                assert connection.execute(sa.text(one), values).rowcount == 1, one

    def run_remedy(self, found: Any, choice: int = 0, **names: str) -> None:
        """Run one of the commands that a finding prints, in the words of a person's clouds."""
        commands = re.findall(
            r"`openstack (?:--os-cloud (\S+) )?port delete (\S+)`", found["remedy"]
        )
        cloud, port = commands[choice]
        server = self.clouds[names.get(cloud, cloud) or "central"]
        reply = server.call("DELETE", f"/v2.0/ports/{port}")
        assert reply.status == 204, reply
        until(lambda: self.settle() or not self.find(), what=f"clean, where there is {self.find()}")


@pytest.fixture
def two(
    central: CentralServer, site1: LocalServer, site2: LocalServer, tmp_path: Path
) -> Iterator[Two]:
    with running(Front(central=central.call, Region1=site1.call, Region2=site2.call)) as front:
        yield Two(central, (site1, site2), front.write_clouds(tmp_path))


@pytest.mark.parametrize("choice", [0, 1])
def test_an_address_that_was_given_twice(two: Two, choice: int) -> None:
    here, there = two.ports
    (address,) = (one["ip_address"] for one in two.shown(there).only()["fixed_ips"])
    two.write(
        two.sites[0],
        "UPDATE ipallocations SET ip_address = :address WHERE port_id = :port",
        address=address,
        port=here,
    )
    (found,) = two.find("port.address_twice")
    assert f"{here} (" in found["evidence"]
    two.run_remedy(found, choice)


@pytest.mark.parametrize("choice", [0, 1])
def test_a_key_that_two_ports_have(two: Two, choice: int) -> None:
    here, there = two.ports
    with two.sites[1].database() as connection:
        key = connection.scalar(sa.select(PORT_KEYS.c.port_key).where(PORT_KEYS.c.port_id == there))
    two.write(
        two.sites[0],
        "UPDATE isthmus_port_keys SET port_key = :key WHERE port_id = :port",
        key=key,
        port=here,
    )
    (found,) = two.find("port.key_twice")
    two.run_remedy(found, choice)


def test_a_port_at_two_sites(two: Two) -> None:
    here, _ = two.ports
    two.write(
        two.sites[1],
        "INSERT INTO standardattributes (id, resource_type, revision_number, created_at, "
        "updated_at) VALUES (999999, 'ports', 0, datetime('now'), datetime('now'))",
        "INSERT INTO ports (id, name, network_id, mac_address, admin_state_up, status, device_id, "
        "device_owner, standard_attr_id, project_id) VALUES (:port, 'twice', :network, "
        "'02:00:00:00:00:07', 1, 'DOWN', '', 'compute:nova', 999999, '')",
        port=here,
        network=two.network_id,
    )
    (found,) = two.find("port.two_homes")
    assert found["place"] == "site1, site2"
    two.run_remedy(found, SITE="site2")
    assert two.shown(here).status == 200, "the port that a server uses is gone"
    assert two.sites[0].call("GET", f"/v2.0/ports/{here}").status == 200
