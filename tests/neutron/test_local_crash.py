"""A site's Neutron is killed at each step of what it does for the join; nothing is lost or left."""

import contextlib
import http.client
import ipaddress
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.local_server import LocalServer, add_chassis
from tests.neutron.server import ADMIN, site_user, tenant
from tests.neutron.wan import Wan

from isthmus.journal import crash
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(300)]

MAKING = (
    "apply.admitted",
    "apply.address_group.made",
    "apply.security_group.made",
    "apply.qos_policy.made",
    "apply.network.made",
    "apply.subnet.made",
    "apply.port.made",
    "apply.done",
)
REMOVING = ("apply.port.removed", "apply.subnet.removed", "apply.network.removed")
REPORTING = (
    "delivery.claimed",
    "delivery.read",
    "report.taken",
    "delivery.delivered",
    "delivery.settled",
)


def some_at_once(points: tuple[str, ...], *chosen: str) -> list[Any]:
    """Have each test run take the chosen points, and the long one all of them."""
    return [one if one in chosen else pytest.param(one, marks=pytest.mark.stress) for one in points]


@pytest.fixture(scope="module")
def site2(
    central: CentralServer, neutron_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServer]:
    """A site that is started by each test, and dies."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="isthmus-ovn-"))
    wan = Wan(lambda: central.port, site_user("site2"))
    with OvnDatabases(folder) as ovn:
        add_chassis(ovn, "hv3", "host3", "192.0.2.3")
        server = LocalServer(
            tmp_path_factory.mktemp("site2"),
            neutron_template,
            ovn,
            "site2",
            wan,
            isthmus={"lease_sweep_s": 0.5, "lease_idle_s": 4.0},
        )
        yield server
        server.stop()
    wan.close()
    shutil.rmtree(folder)


@contextlib.contextmanager
def dying(site: LocalServer, point: str) -> Iterator[None]:
    """Run a site that dies at a crash point, and start it again."""
    site.stop()
    with contextlib.suppress(AssertionError):  # it may be dead before it has answered anything
        site.start(**{crash.VARIABLE: point})
    with contextlib.suppress(http.client.HTTPException, OSError):
        yield
    assert site.wait_dead() == crash.EXIT_CODE
    site.start()


def make_port(central: CentralServer, site: str = "site2") -> tuple[dict[str, Any], list[Any]]:
    """Make a port at central that takes one of everything, and what a site is told of it."""
    project = uuid.uuid4().hex
    user = tenant(project)
    policy = {"name": "p", "project_id": project}
    made = central.call("POST", "/v2.0/qos/policies", {"policy": policy}).only()
    limit = {"bandwidth_limit_rule": {"max_kbps": 1000}}
    central.call("POST", f"/v2.0/qos/policies/{made['id']}/bandwidth_limit_rules", limit).only()
    network = central.create("network", user, name="n", qos_policy_id=made["id"])
    central.create("subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    addresses = central.create("address_group", user, name="a", addresses=["192.0.2.0/24"])
    group = central.create("security_group", user, name="g")
    for remote in ({"remote_address_group_id": addresses["id"]}, {"remote_group_id": group["id"]}):
        central.create(
            "security_group_rule",
            user,
            security_group_id=group["id"],
            direction="ingress",
            **remote,
        )
    port = central.create("port", user, network_id=network["id"], security_groups=[group["id"]])
    items = central.bundle(site, "port", port["id"], project=project)["items"]
    return port, items


def agree(central: CentralServer, site: LocalServer, port_id: str) -> None:
    """Wait until both tiers tell the same of a port and neither owes the other anything."""

    def settled() -> bool:
        carry(central, site)
        return port_id not in {row["resource_id"] for row in site.rows("isthmus_journal")}

    until(settled, timeout_s=60, what="the journal is settled")
    here = site.get(f"ports/{port_id}")
    there = central.call("GET", f"/v2.0/ports/{port_id}")
    assert here.status == there.status
    if here.status == 200:
        for name in ("mac_address", "fixed_ips", "security_groups", "name"):
            assert here.only()[name] == there.only()[name], name


def check_addresses(site: LocalServer) -> None:
    """No address twice, none allocated without a port."""
    ports = [(row["subnet_id"], row["ip_address"]) for row in site.rows("ipallocations")]
    assert len(ports) == len(set(ports))
    subnets = {row["id"]: row["neutron_subnet_id"] for row in site.rows("ipamsubnets")}
    taken = {
        (subnets[row["ipam_subnet_id"]], row["ip_address"]) for row in site.rows("ipamallocations")
    }
    assert taken == set(ports)


@pytest.mark.parametrize(
    "point", some_at_once(MAKING, *(one for one in MAKING if one != "apply.qos_policy.made"))
)
def test_while_objects_are_made(central: CentralServer, site2: LocalServer, point: str) -> None:
    port, items = make_port(central)
    with dying(site2, point):
        site2.apply(*items)
    assert set(site2.apply(*items).values()) == {""}
    here = site2.get(f"ports/{port['id']}").only()
    assert here["fixed_ips"] == port["fixed_ips"]
    (group,) = [one for one in by_type(items, "security_group") if one["name"] == "g"]
    rules = site2.get(f"security-groups/{group['id']}").only()["security_group_rules"]
    assert {one["id"] for one in rules} == {one["id"] for one in group["security_group_rules"]}
    check_addresses(site2)
    assert f"neutron-{port['network_id']}" in site2.ovn.nbctl("ls-list")
    agree(central, site2, port["id"])


@pytest.mark.parametrize("point", REMOVING)
def test_while_objects_are_removed(central: CentralServer, site2: LocalServer, point: str) -> None:
    port, items = make_port(central)
    site2.stop()
    site2.start()
    assert set(site2.apply(*items).values()) == {""}
    kinds = ("port", "subnet", "network", "lease")
    gone = [{**one, "state": None} for one in items if one["type"] in kinds]
    # Central still leases to the site what is removed here by hand, and a sweep would ask for it.
    assert site2.wan is not None
    site2.wan.cut()
    try:
        with dying(site2, point):
            site2.apply(*gone)
        assert set(site2.apply(*gone).values()) == {""}
    finally:
        site2.wan.heal()
    ids = {one["id"] for one in gone}
    for table in ("networks", "subnets", "ports", "isthmus_leases"):
        assert not ids & {row["id"] for row in site2.rows(table)}, table
    for table, column in (
        ("isthmus_site_mappings", "resource_id"),
        ("isthmus_datapaths", "network_id"),
        ("isthmus_port_keys", "network_id"),
        ("isthmus_leases", "pool_id"),
    ):
        assert not ids & {row[column] for row in site2.rows(table)}, table
    check_addresses(site2)
    assert f"neutron-{port['network_id']}" not in site2.ovn.nbctl("ls-list")


def test_while_a_change_is_merged(central: CentralServer, site2: LocalServer) -> None:
    port, items = make_port(central)
    site2.stop()
    site2.start()
    assert set(site2.apply(*items).values()) == {""}
    body = {"port": {"name": "from central"}}
    assert central.call("PUT", f"/v2.0/ports/{port['id']}", body).status == 200
    with dying(site2, "apply.port.merged"):
        carry(central, site2)
    agree(central, site2, port["id"])
    assert site2.get(f"ports/{port['id']}").only()["name"] == "from central"


@pytest.mark.parametrize("point", some_at_once(REPORTING, "report.taken", "delivery.delivered"))
def test_while_a_port_is_reported(central: CentralServer, site2: LocalServer, point: str) -> None:
    seed, items = make_port(central)
    site2.stop()
    site2.start()
    assert set(site2.apply(*items).values()) == {""}
    made: dict[str, Any] = {}
    with dying(site2, point):
        made.update(
            site2.create(
                "port",
                ADMIN,
                network_id=seed["network_id"],
                project_id=seed["project_id"],
                device_owner="compute:nova",
                device_id="d",
                **{"binding:host_id": "host3"},
            )
        )
        site2.wait_dead()
    ports = [
        row["id"]
        for row in site2.rows("ports")
        if row["network_id"] == seed["network_id"] and row["id"] != seed["id"]
    ]
    for port_id in ports:
        agree(central, site2, port_id)
        there = central.call("GET", f"/v2.0/ports/{port_id}").only()
        assert there["fixed_ips"]
    if made:
        assert ports == [made["id"]]
    check_addresses(site2)


def test_while_a_lease_arrives(central: CentralServer, site2: LocalServer) -> None:
    seed, items = make_port(central)
    site2.stop()
    site2.start()
    assert set(site2.apply(*items).values()) == {""}
    wanted = {"network_id": seed["network_id"], "project_id": seed["project_id"]}
    fixed = [{"ip_address": "10.0.0.222"}]
    with dying(site2, "lease.answered"):
        site2.create("port", ADMIN, **wanted, fixed_ips=fixed)
    # The site does not know what it was given; asking again tells it.
    port = site2.create("port", ADMIN, **wanted, fixed_ips=fixed)
    assert port["fixed_ips"][0]["ip_address"] == "10.0.0.222"
    check_addresses(site2)
    agree(central, site2, port["id"])


@pytest.mark.parametrize(
    "point", some_at_once(("", "lease.set_aside", "lease.given_back"), "lease.given_back")
)
def test_idle_blocks_go_back_and_are_never_given_twice(
    central: CentralServer, site2: LocalServer, point: str
) -> None:
    seed, items = make_port(central)
    site2.stop()
    site2.start()
    assert set(site2.apply(*items).values()) == {""}
    wanted = {"network_id": seed["network_id"], "project_id": seed["project_id"]}
    (subnet,) = by_type(items, "subnet")

    def held(site: str) -> set[tuple[int, int]]:
        with central.database() as connection:
            rows = connection.exec_driver_sql(
                "SELECT first, last FROM isthmus_leases WHERE site = ? AND pool_id = ?",
                (site, subnet["id"]),
            ).all()
        return {(int(first), int(last)) for first, last in rows}

    def known() -> set[tuple[int, int]]:
        return {
            (int(row["first"]), int(row["last"]))
            for row in site2.rows("isthmus_leases")
            if row["pool_id"] == subnet["id"] and row["kind"] == "subnet"
        }

    ports = [
        site2.create("port", ADMIN, **wanted, fixed_ips=[{"ip_address": f"10.0.0.{number}"}])
        for number in range(230, 236)
    ]
    assert len(held("site2")) == 7
    kept = site2.create("port", ADMIN, **wanted)
    for port in ports:
        assert site2.delete("port", port["id"]).status == 204
    if point:
        with dying(site2, point):
            site2.wait_dead()
    until(lambda: len(held("site2")) == 1, timeout_s=60, what="idle blocks are back at central")
    until(lambda: known() == held("site2"), what="both tiers know the same blocks")
    # What went back is central's to give; the site asks like anybody else.
    (block,) = held("site2")
    for port in (kept, *(site2.create("port", ADMIN, **wanted) for _ in range(3))):
        number = int(ipaddress.ip_address(port["fixed_ips"][0]["ip_address"]))
        assert block[0] <= number <= block[1]
    check_addresses(site2)
