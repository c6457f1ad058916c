"""A batch or a bundle that was slow at a site never undoes a newer batch, wherever it stood."""

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer, add_chassis
from tests.neutron.pausing import Pause
from tests.neutron.server import site_user, tenant
from tests.neutron.test_carried import ask
from tests.neutron.test_local_crash import MAKING, REMOVING, make_port, some_at_once
from tests.neutron.wan import Wan

from isthmus.testing.ovn import OvnDatabases

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]

#: Where the site keeps what an item is about. The API would fetch from central what is not there.
TABLES = {
    "network": "networks",
    "subnet": "subnets",
    "port": "ports",
    "security_group": "securitygroups",
    "address_group": "address_groups",
    "qos_policy": "qos_policies",
    "lease": "isthmus_leases",
}
#: The few that every run of the tests pays for; `./dev test all` does all of them.
DECISIVE = ("apply.admitted", "apply.port.made", "apply.network.removed")


@dataclass
class Paused:
    """A site that can be held at a point."""

    server: LocalServer
    pause: Pause
    wan: Wan

    def next(self) -> int:
        return self.server.next_sequence()


@contextlib.contextmanager
def run_held(
    central: CentralServer,
    template: Path,
    made: pytest.TempPathFactory,
    extra: dict[str, dict[str, Any]] | None = None,
) -> Iterator[Paused]:
    """Run a site that can be held, and end it.

    Args:
        central: central.
        template: of its Neutron's database.
        made: makes its folders.
        extra: more of its configuration.
    """
    folder = Path(tempfile.mkdtemp(prefix="isthmus-ovn-"))
    wan = Wan(lambda: central.port, site_user("site2"))
    pause = Pause(made.mktemp("pause"))
    try:
        with OvnDatabases(folder) as ovn:
            add_chassis(ovn, "hv3", "host3", "192.0.2.3")
            place = made.mktemp("held-site2")
            server = LocalServer(place, template, ovn, "site2", wan, extra=extra or {})
            server.start(**pause.environment)
            try:
                server.wait_registered()
                yield Paused(server, pause, wan)
            finally:
                server.kill()
    finally:
        wan.close()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def held(
    central: CentralServer, neutron_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Paused]:
    with run_held(central, neutron_template, tmp_path_factory) as found:
        yield found


def check_told(held: Paused, items: list[Any], codes: dict[str, str]) -> None:
    """See that every object which a batch was told to be taken is as the batch said."""
    for item in items:
        if not codes[item["id"]]:
            there = {row["id"] for row in held.server.rows(TABLES[item["type"]])}
            assert (item["id"] in there) == (item["state"] is not None), item["type"]


def send(held: Paused, items: list[Any], sequence: int | None = None) -> dict[str, str]:
    return held.server.apply(*items, sequence=sequence)


def check_overtaken(held: Paused, point: str, old: list[Any], new: list[Any]) -> None:
    """Hold a batch at a point, send a newer one that says the contrary, let the first one go."""
    number = held.next()
    with held.pause.during(point, lambda: send(held, old, number)):
        codes = send(held, new)
    check_told(held, new, codes)
    codes = send(held, new)  # as its sender does with what was refused
    assert set(codes.values()) == {""}
    check_told(held, new, codes)
    assert set(send(held, old, number).values()) == {"isthmus.transient.stale"}


def of_port(items: list[Any]) -> list[Any]:
    return [one for one in items if one["type"] in ("port", "subnet", "network", "lease")]


@pytest.mark.parametrize("point", some_at_once(MAKING, *DECISIVE))
def test_what_is_gone_does_not_come_back(central: CentralServer, held: Paused, point: str) -> None:
    _, items = make_port(central)
    gone = [{**one, "state": None} for one in reversed(of_port(items))]
    check_overtaken(held, point, items, gone)


@pytest.mark.parametrize("point", some_at_once(REMOVING, *DECISIVE))
def test_what_came_back_does_not_go(central: CentralServer, held: Paused, point: str) -> None:
    _, items = make_port(central)
    assert set(send(held, items).values()) == {""}
    gone = [{**one, "state": None} for one in reversed(of_port(items))]
    check_overtaken(held, point, gone, items)


def test_a_shadow_that_is_gone_does_not_come_back(central: CentralServer, held: Paused) -> None:
    _, items = make_port(central)
    assert set(send(held, items).values()) == {""}
    network_id = next(one["id"] for one in items if one["type"] == "network")
    port_id = str(uuid.uuid4())
    state = {
        "id": port_id,
        "network_id": network_id,
        "site": "site1",
        "chassis": "hv-far",
        "hostname": "far",
        "encap_ip": "192.0.2.99",
        "port_key": 9000,
        "mac_address": "fa:16:41:00:00:99",
        "addresses": ["10.0.0.250"],
        "extra_addresses": [],
        "accepts_unknown": False,
        "security_groups": [],
    }
    shadow = {"type": "shadow", "id": port_id, "state": state}
    number = held.next()
    with held.pause.during("apply.admitted", lambda: send(held, [shadow], number)) as late:
        assert send(held, [{**shadow, "state": None}]) == {port_id: ""}
    assert late["result"] == {port_id: "isthmus.transient.stale"}
    assert port_id not in {row["port_id"] for row in held.server.rows("isthmus_shadows")}


@pytest.mark.parametrize("point", some_at_once(("apply.network.made", "apply.admitted"), *DECISIVE))
def test_a_bundle_does_not_bring_back_what_was_deleted(
    central: CentralServer, held: Paused, point: str
) -> None:
    """A port is deleted at central while the site makes it for a person who asked for it."""
    project = uuid.uuid4().hex
    user = tenant(project)
    network = central.create("network", user, name="n")
    central.create("subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    port = central.create("port", user, network_id=network["id"])
    site = held.server

    def ask() -> int:
        return site.update("port", port["id"], user, name="asked").status

    with held.pause.during(point, ask) as done:
        assert central.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
        carry(central, site)
    assert done["result"] == 404
    assert port["id"] not in {row["id"] for row in site.rows("ports")}
    address = port["fixed_ips"][0]["ip_address"]
    again = central.try_create(
        "port", user, network_id=network["id"], fixed_ips=[{"ip_address": address}]
    )
    if again.status == 201:
        there = {(row["network_id"], row["ip_address"]) for row in site.rows("ipallocations")}
        assert (network["id"], address) not in there


def test_bundles_get_through_while_batches_keep_coming(
    central: CentralServer, held: Paused
) -> None:
    """Batches about other objects leave a bundle alone, however many come while it is made."""
    project = uuid.uuid4().hex
    user = tenant(project)
    network = central.create("network", user, name="n")
    central.create("subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    _, items = make_port(central)
    other = [one for one in items if one["type"] == "security_group"]

    def ask() -> int:
        return held.server.get(f"networks/{network['id']}", user).status

    first = held.next()
    assert "" in send(held, other, first).values()
    with held.pause.during("apply.network.made", ask) as done:
        for later in range(1, 9):  # as a sender numbers them; `next` goes by the clock
            assert "" in send(held, other, first + later).values()
    assert done["result"] == 200
    asked = [body for body in held.wan.bodies if network["id"].encode() in body]
    assert len(asked) == 1


def test_a_batch_is_not_refused_between_the_commits_of_neutron_and_ovn() -> None:
    """Neutron would take it for a failure of OVN and delete what it has just made."""
    asked = ask("""
import json
from isthmus.neutron.db import guard
from isthmus.neutron.local.plugin import _finishing

asked = []
call = _finishing(lambda name: asked.append([name, guard._current.get().asks]))
with guard.Guarded(lambda connection: None):
    for name in ("create_subnet_precommit", "create_subnet_postcommit", "update_port_precommit"):
        call(name)
print(json.dumps(asked))
""")
    assert asked == [
        ["create_subnet_precommit", True],
        ["create_subnet_postcommit", False],
        ["update_port_precommit", True],
    ]
