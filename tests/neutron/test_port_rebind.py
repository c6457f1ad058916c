"""`isthmus port rebind`, from the states that the audit's findings describe."""

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.front import Front, isthmus
from tests.neutron.local_server import LocalServer, add_chassis
from tests.neutron.server import tenant
from tests.neutron.test_local_apply import carried
from tests.neutron.test_routers import make_network

from isthmus.testing.cloud import running
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]


class Bound:
    """A port that lives at the site, and an operator."""

    def __init__(
        self, central: CentralServer, site: LocalServer, environment: dict[str, str]
    ) -> None:
        self.central, self.site, self.environment = central, site, environment
        user = tenant(uuid.uuid4().hex)
        network, _ = make_network(central, user, "10.8.0.0/24")
        self.id = site.create("port", user, network_id=network["id"])["id"]
        self.network_id = network["id"]
        carried(central, site)

    def bind(self, host: str) -> Any:
        body = {"port": {"binding:host_id": host, "device_owner": "compute:nova"}}
        return self.site.call("PUT", f"/v2.0/ports/{self.id}", body).only()

    def shown(self) -> Any:
        return self.site.get(f"ports/{self.id}").only()

    def option(self, name: str) -> str:
        found = self.site.ovn.nbctl(
            "--if-exists", "get", "Logical_Switch_Port", self.id, f"options:{name}"
        )
        return found.strip('"')

    def plug(self, chassis: str) -> None:
        """Have a hypervisor say that the port is up there, and wait until Neutron has it ACTIVE."""
        row = self.site.ovn.sbctl("get", "Chassis", chassis, "_uuid")
        self.site.ovn.sbctl("set", "Port_Binding", self.id, f"chassis={row}", "up=true")
        until(lambda: self.shown()["status"] == "ACTIVE", what=f"the port is ACTIVE on {chassis}")

    def write_binding(self, **values: str) -> None:
        """Change Neutron's binding behind its back."""
        table = sa.table("ml2_port_bindings", sa.column("port_id"), *map(sa.column, values))
        self._write(sa.update(table).where(table.c.port_id == self.id).values(**values))

    def write_status(self, status: str) -> None:
        table = sa.table("ports", sa.column("id"), sa.column("status"))
        self._write(sa.update(table).where(table.c.id == self.id).values(status=status))

    def _write(self, change: sa.Update) -> None:
        with self.site.database(write=True) as connection:
            assert connection.execute(change).rowcount == 1

    def known(self) -> None:
        """Wait until central has what the site has reported."""
        carried(self.central, self.site)
        until(
            lambda: self.central.call("GET", f"/v2.0/ports/{self.id}").status == 200,
            what="central has heard of the port",
        )

    def find(self, code: str) -> list[Any]:
        ran = isthmus(
            self.environment, "audit", "--network", self.network_id, "-o", "json", code=None
        )
        return [row for row in json.loads(ran.stdout) if row["code"] == code]

    def run_remedy(self, found: Any, **wanted: Any) -> None:
        """Run what a finding tells to run, as it is printed."""
        (command,) = re.findall(r"`isthmus ([^`]+)`", found["remedy"])
        isthmus(self.environment, *command.split(), **wanted)


@pytest.fixture
def bound(central: CentralServer, site1: LocalServer, tmp_path: Path) -> Iterator[Bound]:
    with running(Front(central=central.call, Region1=site1.call)) as front:
        yield Bound(central, site1, front.write_clouds(tmp_path))


def test_a_port_whose_hypervisor_was_away_is_bound_once_it_is_back(bound: Bound) -> None:
    assert bound.bind("host7")["binding:vif_type"] == "binding_failed"
    bound.known()
    (found,) = bound.find("port.binding_failed")
    assert (found["name"], found["place"]) == (bound.id, "site1")
    assert "host7" in found["evidence"]
    bound.run_remedy(found, code=2, says="could not bind port .* to host7")
    add_chassis(bound.site.ovn, "hv7", "host7", "192.0.2.7")

    def is_seen() -> bool:
        agents = bound.site.call("GET", "/v2.0/agents?host=host7").only()
        return any(one["alive"] for one in agents)

    until(is_seen, what="Neutron sees the hypervisor")
    bound.run_remedy(found, says="site1 has bound port .* to host7")
    assert bound.shown()["binding:vif_type"] == "ovs"
    assert bound.option("requested-chassis") == "host7"
    assert bound.find("port.binding_failed") == []


def test_a_row_that_asks_for_another_hypervisor_is_written_again(bound: Bound) -> None:
    assert bound.bind("host1")["binding:vif_type"] == "ovs"
    bound.known()
    assert bound.find("port.other_hypervisor") == []
    key = bound.option("requested-tnl-key")
    bound.site.ovn.nbctl("set", "Logical_Switch_Port", bound.id, "options:requested-chassis=host2")
    until(lambda: len(bound.find("port.other_hypervisor")) == 1, what="the audit sees it")
    (found,) = bound.find("port.other_hypervisor")
    assert found["evidence"].startswith("Neutron has it on host1, OVN is asked for host2")
    bound.run_remedy(found, says="has bound port .* to host1")
    assert (bound.option("requested-chassis"), bound.option("requested-tnl-key")) == ("host1", key)
    assert bound.find("port.other_hypervisor") == []


def test_a_port_stays_active_while_its_row_is_written_again(bound: Bound) -> None:
    bound.bind("host1")
    bound.plug("hv1")
    bound.known()
    before = bound.shown()["revision_number"]
    isthmus(bound.environment, "port", "rebind", bound.id, says="has bound port .* to host1")
    after = bound.shown()
    assert (after["status"], after["revision_number"]) == ("ACTIVE", before)
    carried(bound.central, bound.site)
    assert bound.central.call("GET", f"/v2.0/ports/{bound.id}").only()["status"] == "ACTIVE"


def test_a_port_that_is_bound_where_it_is_up_is_active(bound: Bound) -> None:
    """OVN has had it up all the time, and does not say so again."""
    bound.bind("host1")
    bound.plug("hv1")
    bound.known()
    bound.write_binding(host="elsewhere")
    (found,) = bound.find("port.other_hypervisor")
    bound.run_remedy(found, says="has bound port .* to host1; Neutron had it on elsewhere")
    assert bound.shown()["status"] == "ACTIVE"
    bound.write_binding(vif_type="binding_failed")
    bound.write_status("DOWN")
    (found,) = bound.find("port.binding_failed")
    bound.run_remedy(found, says="has bound port .* to host1")
    assert bound.shown()["status"] == "ACTIVE"
    carried(bound.central, bound.site)
    assert bound.central.call("GET", f"/v2.0/ports/{bound.id}").only()["status"] == "ACTIVE"


def test_a_port_that_is_bound_where_it_is_not_yet_is_down(bound: Bound) -> None:
    bound.bind("host1")
    bound.plug("hv1")
    bound.known()
    isthmus(bound.environment, "port", "rebind", bound.id, "--host", "host2")
    assert bound.shown()["status"] == "DOWN"
    isthmus(bound.environment, "port", "rebind", bound.id)
    assert bound.shown()["status"] == "DOWN"
    bound.plug("hv2")
