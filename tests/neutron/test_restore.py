"""A tier that came back from a backup, or was made again, gives nothing out twice."""

import contextlib
import ipaddress
import itertools
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron import mariadb
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer, add_chassis
from tests.neutron.server import ADMIN, Server, site_user, tenant
from tests.neutron.wan import Wan

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.sql.tables import EPOCHS, LEASES, SITE_MAPPINGS
from isthmus.store.tiers import forget
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]


class Cloud:
    """A central, a real site1 with servers, and site2, which only asks."""

    def __init__(self, central: CentralServer, site: LocalServer, folder: Path) -> None:
        self.central = central
        self.site = site
        self._folder = folder
        self.user = tenant("p")
        self.network = central.create("network", self.user, name="n")
        self.subnet = central.create(
            "subnet", self.user, network_id=self.network["id"], cidr="10.0.0.0/24", ip_version=4
        )
        central.bundle("site2", "network", self.network["id"], project="p")

    def boot(self, **more: Any) -> str:
        """Make a port at site1, as for a server; gives its address."""
        port = self.site.create(
            "port",
            ADMIN,
            network_id=self.network["id"],
            project_id="p",
            device_owner="compute:nova",
            device_id="d",
            **{"binding:host_id": "host1"},
            **more,
        )
        return str(port["fixed_ips"][0]["ip_address"])

    def try_boot(self, **more: Any) -> bool:
        """Tell whether a port as for a server could be made at site1."""
        values = {"network_id": self.network["id"], "project_id": "p", "device_id": "d"}
        values |= {"device_owner": "compute:nova", "binding:host_id": "host1"}
        return self.site.try_create("port", ADMIN, **values, **more).status == 201

    def change(self, port_id: str) -> str:
        """Give a port another name and address at the site; gives that."""
        body = {"name": "new", "fixed_ips": [{"ip_address": "10.0.0.223"}]}
        self.site.update("port", port_id, ADMIN, **body).only()
        self.settle()
        return "10.0.0.223"

    def check_changed(self, port_id: str, address: str) -> None:
        """See that what was changed of a port stands in both tiers."""
        for tier in (self.site, self.central):
            port = tier.call("GET", f"/v2.0/ports/{port_id}").only()
            found = [one["ip_address"] for one in port["fixed_ips"]]
            assert (port["name"], found) == ("new", [address]), tier
        with self.central.database() as connection:
            stale = sa.select(SITE_MAPPINGS.c.resource_id).where(
                SITE_MAPPINGS.c.stale.is_(sa.true())
            )
            assert connection.execute(stale).all() == []

    def check_moved(self, port_id: str) -> None:
        """See that a port which came to the site is at home there, and its server runs on."""
        (row,) = self.central.call("GET", f"/v2.0/site-mappings?resource_id={port_id}").only()
        assert row["site"] == "site1"
        assert self.site.get(f"ports/{port_id}").only()["binding:host_id"] == "host1"
        at_central = self.central.call("GET", f"/v2.0/ports/{port_id}").only()
        assert at_central["binding:host_id"] == "site1/host1"

    def move_to_site1(self, port_id: str) -> None:
        """Have a port that lies unused at site2 come to a server at site1."""
        body = {"binding:host_id": "host1", "device_owner": "compute:nova", "device_id": "d"}
        assert self.site.update("port", port_id, ADMIN, **body).status >= 400  # asks site2 first
        with self.central.database(write=True) as connection:
            key = IntentKey(SiteName("site2"), ResourceType.PORT, port_id)
            forget.forget_objects(connection, [key])  # as if site2 had taken that
        self.site.update("port", port_id, ADMIN, **body).only()

    def back_up(self, tier: Server, name: str) -> str:
        """Back a tier's database up; gives what `restore` takes."""
        database = sa.make_url(tier.url).database or ""
        if tier.url.startswith("mysql"):
            mariadb.copy(tier.url, database, f"{database}_{name}")
            return f"{database}_{name}"
        copy = self._folder / name
        with (
            contextlib.closing(sqlite3.connect(tier.folder / "neutron.db")) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        return str(copy)

    def restore(self, tier: Server, copy: str) -> None:
        tier.stop()
        self.put_back(tier, copy)
        tier.start()

    def put_back(self, tier: Server, copy: str) -> None:
        """Put a tier's database back as it was."""
        database = sa.make_url(tier.url).database or ""
        if tier.url.startswith("mysql"):
            mariadb.drop(tier.url, database)
            mariadb.copy(tier.url, copy, database)
            return
        for end in ("", "-wal", "-shm"):
            (tier.folder / f"neutron.db{end}").unlink(missing_ok=True)
        shutil.copy(copy, tier.folder / "neutron.db")

    def settle(self) -> None:
        """Carry until neither tier owes the other anything and both have recovered."""

        def quiet() -> bool:
            carry(self.central, self.site)
            owed = {row["id"] for row in self.site.rows("isthmus_journal")}
            return not (owed or self.central.jobs("site1") or self.why(self.site))

        until(quiet, timeout_s=240, what="both tiers are quiet")

    def why(self, tier: Server) -> str:
        """Tell what a tier that has not recovered waits for."""
        with tier.database() as connection:
            row = connection.execute(sa.select(EPOCHS)).one_or_none()
        return "" if row is None or row.recovered else str(row.reason)

    def epoch(self, tier: Server) -> int:
        with tier.database() as connection:
            return int(connection.scalar(sa.select(EPOCHS.c.epoch)) or 0)

    def held(self, holder: str) -> list[range]:
        with self.central.database() as connection:
            query = sa.select(LEASES).where(
                LEASES.c.site == holder, LEASES.c.pool_id == self.subnet["id"]
            )
            return [range(int(one.first), int(one.last) + 1) for one in connection.execute(query)]

    def known(self) -> list[range]:
        return [
            range(int(row["first"]), int(row["last"]) + 1)
            for row in self.site.rows("isthmus_leases")
            if row["pool_id"] == self.subnet["id"] and row["kind"] == "subnet"
        ]

    def check(self, *running: str) -> None:
        """See that no number is held twice, and none that a server has by anybody else."""
        with self.central.database() as connection:
            rows = connection.execute(
                sa.select(LEASES).where(LEASES.c.pool_id == self.subnet["id"])
            ).all()
        blocks = sorted((int(row.first), int(row.last), row.site) for row in rows)
        for left, right in itertools.pairwise(blocks):
            assert left[1] < right[0], (left, right)
        assert len(running) == len(set(running))
        for address in running:
            number = int(ipaddress.ip_address(address))
            (holder,) = {site for first, last, site in blocks if first <= number <= last}
            assert holder == "site1" or holder.startswith("gone/"), (address, holder)


@pytest.fixture(
    params=["sqlite", pytest.param("mariadb", marks=[pytest.mark.db, pytest.mark.stress])]
)
def cloud(
    request: pytest.FixtureRequest, neutron_template: Path, tmp_path: Path
) -> Iterator[Cloud]:
    on_mariadb = request.param == "mariadb"
    new_url = request.getfixturevalue("new_database") if on_mariadb else lambda: ""
    central = CentralServer(tmp_path / "central", neutron_template, url=new_url())
    central.start()
    try:
        central.make_sites()
        yield from _open(central, new_url(), neutron_template, tmp_path)
    finally:
        central.kill()


def _open(central: CentralServer, url: str, template: Path, tmp_path: Path) -> Iterator[Cloud]:
    folder = Path(tempfile.mkdtemp(prefix="isthmus-ovn-"))
    wan = Wan(lambda: central.port, site_user("site1"))
    try:
        with OvnDatabases(folder) as ovn:
            add_chassis(ovn, "hv1", "host1", "192.0.2.1")
            site = LocalServer(
                tmp_path / "site1",
                template,
                ovn,
                "site1",
                wan,
                url=url,
                isthmus={"lease_sweep_s": 1.0, "lease_idle_s": 600.0},
            )
            site.start()
            try:
                site.wait_registered()
                yield Cloud(central, site, tmp_path)
            finally:
                site.kill()
    finally:
        wan.close()
        shutil.rmtree(folder)


def lease_request(cloud: Cloud, count: int) -> Any:
    return cloud.central.lease_request(
        "site2", kind="subnet", pool_id=cloud.subnet["id"], count=count, address=None
    )


def test_a_site_restored_from_a_backup(cloud: Cloud) -> None:
    """What its servers have since is not given again, be central there or not."""
    running = [cloud.boot() for _ in range(2)]
    cloud.settle()
    copy = cloud.back_up(cloud.site, "before")
    before = cloud.epoch(cloud.site)
    running += [cloud.boot() for _ in range(6)]
    cloud.settle()
    assert cloud.site.wan is not None
    cloud.site.wan.cut()
    cloud.restore(cloud.site, copy)
    until(lambda: cloud.why(cloud.site), timeout_s=60, what="the site knows by its witness")
    refused = cloud.site.try_create(
        "port", ADMIN, network_id=cloud.network["id"], project_id="p", device_owner="compute:nova"
    )
    assert refused.status == 503
    assert "restored" in refused.text
    cloud.site.wan.heal()
    cloud.settle()
    assert cloud.epoch(cloud.site) > before
    running += [cloud.boot() for _ in range(3)]
    cloud.settle()
    cloud.check(*running)
    keys = [row["port_key"] for row in cloud.site.rows("isthmus_port_keys") if row["freed"] is None]
    assert len(keys) == len(set(keys))


@pytest.mark.stress
def test_what_rests_is_not_forgotten_with_a_restore(cloud: Cloud) -> None:
    """An address and a key were given and given up since the backup, and site2 has yet to hear."""
    cloud.boot()
    cloud.settle()
    copy = cloud.back_up(cloud.site, "before")
    address = cloud.boot()
    path = f"ports?network_id={cloud.network['id']}&fixed_ips=ip_address%3D{address}"
    (port,) = cloud.site.get(path).only()
    rows = cloud.site.rows("isthmus_port_keys")
    (key,) = (row["port_key"] for row in rows if row["port_id"] == port["id"])
    cloud.settle()
    assert cloud.site.delete("port", port["id"]).status == 204
    cloud.settle()
    assert ("shadow", port["id"]) in cloud.central.jobs("site2")
    cloud.restore(cloud.site, copy)
    cloud.settle()
    body = {"network_id": cloud.network["id"], "project_id": "p"}
    named = {**body, "fixed_ips": [{"ip_address": address}]}
    refused = cloud.site.try_create("port", ADMIN, **named)
    assert refused.status == 503, refused
    assert port["id"] in refused.text
    cloud.boot()
    held = [row for row in cloud.site.rows("isthmus_port_keys") if row["freed"] is None]
    assert key not in [row["port_key"] for row in held]
    cloud.central.acknowledge_all("site2")
    until(
        lambda: cloud.site.try_create("port", ADMIN, **named).status == 201,
        timeout_s=120,
        what="the address is free when site2 has heard",
    )


def test_a_block_that_went_back_before_the_restore(cloud: Cloud) -> None:
    """The site believes in a block which is another's by now."""
    named = [{"ip_address": "10.0.0.222"}]
    running = [cloud.boot()]
    cloud.boot(fixed_ips=named)
    (port,) = cloud.site.get(
        f"ports?network_id={cloud.network['id']}&fixed_ips=ip_address%3D10.0.0.222"
    ).only()
    assert cloud.site.delete("port", port["id"]).status == 204
    cloud.settle()
    number = int(ipaddress.ip_address("10.0.0.222"))
    (block,) = (one for one in cloud.known() if number in one)
    copy = cloud.back_up(cloud.site, "before")
    (turn,) = (row["turn"] for row in cloud.site.rows("isthmus_witnesses"))
    until(lambda: cloud.site.rows("isthmus_witnesses")[0]["turn"] > turn, timeout_s=60)
    cloud.site.stop()
    with cloud.central.database(write=True) as connection:
        moved = sa.update(LEASES).where(
            LEASES.c.site == "site1",
            LEASES.c.pool_id == cloud.subnet["id"],
            LEASES.c.first <= f"{number:040d}",
            LEASES.c.last >= f"{number:040d}",
        )
        found = connection.execute(
            moved.values(site="site2", id="00000000-0000-0000-0000-000000000001")
        )
        assert found.rowcount == 1
    cloud.restore(cloud.site, copy)
    until(lambda: block not in cloud.known(), timeout_s=120, what="the block is void")
    cloud.settle()
    body = {"network_id": cloud.network["id"], "project_id": "p", "fixed_ips": named}
    assert cloud.site.try_create("port", ADMIN, **body).status in (400, 409)
    running.append(cloud.boot())
    cloud.settle()
    cloud.check(*running)


def check_recovering(tier: Server) -> None:
    """See that a tier says of itself that it gives out no numbers, and why."""
    (held,) = tier.call("GET", "/v2.0/site-holdings?fields=epoch").only()
    assert (held["epoch"]["recovered"], held["epoch"]["stands_down"]) == (False, False)
    assert "restored" in held["epoch"]["reason"]


def test_central_restored_from_a_backup(cloud: Cloud) -> None:
    running = [cloud.boot()]
    (first,) = cloud.site.get(f"ports?network_id={cloud.network['id']}&device_id=d").only()
    moved = cloud.central.create("port", cloud.user, network_id=cloud.network["id"])["id"]
    cloud.central.bundle("site2", "port", moved, project="p")
    cloud.settle()
    # Whoever heard from central since can show it.
    copy = cloud.back_up(cloud.central, "before")
    heard = cloud.site.rows("isthmus_epochs")[0]["heard"]
    running.append(cloud.boot())
    running.append(cloud.boot(fixed_ips=[{"ip_address": "10.0.0.222"}]))
    cloud.move_to_site1(moved)
    cloud.settle()
    running[0] = cloud.change(first["id"])
    until(lambda: cloud.site.rows("isthmus_epochs")[0]["heard"] > heard, what="the site said hello")
    blocks = cloud.known()
    assert len(blocks) > 1
    # site2 registers as well, so that central waits for it.
    body: dict[str, Any] = {
        "registration": None,
        "epoch": 1,
        "heard": 0,
        "proof": None,
        "leases": [],
        "ports": [],
        "addresses": {},
        "shadows": [],
    }
    cloud.restore(cloud.central, copy)
    until(lambda: cloud.epoch(cloud.central) > 1, timeout_s=60, what="central knows")
    shown = cloud.central.call("GET", "/v2.0/sites").only()
    assert "restored" in {one["name"]: one["waits_for"] for one in shown}["site2"]
    assert {one["ports_due"] for one in shown} == {0}
    check_recovering(cloud.central)
    refused = lease_request(cloud, 8)
    assert refused.status == 503
    assert "site2" in refused.text
    port = cloud.central.try_create("port", cloud.user, network_id=cloud.network["id"])
    assert port.status == 503
    answer = cloud.central.call(
        "POST", "/v2.0/site-registrations", {"site_registration": body}, site_user("site2")
    )
    assert answer.status == 201
    until(lambda: lease_request(cloud, 8).status == 201, timeout_s=120, what="all have registered")
    until(  # a block that the site asks for is central's word a moment earlier
        lambda: sorted(map(str, cloud.known())) == sorted(map(str, cloud.held("site1"))),
        what="both tiers know the same blocks",
    )
    cloud.settle()
    running.append(cloud.boot())
    cloud.settle()
    cloud.check(*running)
    there = {
        one["fixed_ips"][0]["ip_address"]
        for one in cloud.central.call("GET", "/v2.0/ports?device_owner=compute:nova").only()
    }
    assert set(running) <= there
    # What was changed since is not taken back.
    cloud.check_changed(first["id"], running[0])
    cloud.check_moved(moved)


@pytest.mark.stress
def test_addresses_that_changed_hands_before_central_was_restored(cloud: Cloud) -> None:
    """One is another port's by now, and one of central's own came to the site with its port."""
    former = cloud.boot()
    (first,) = cloud.site.get(f"ports?network_id={cloud.network['id']}&device_id=d").only()
    cloud.settle()
    copy = cloud.back_up(cloud.central, "before")
    running = [cloud.change(first["id"]), former]
    cloud.central.acknowledge_all("site2")
    again = {"fixed_ips": [{"ip_address": former}]}
    until(lambda: cloud.try_boot(**again), timeout_s=120, what="the address has rested")
    made = cloud.central.create("port", cloud.user, network_id=cloud.network["id"])
    bound = {"binding:host_id": "host1", "device_owner": "compute:nova", "device_id": "d"}
    cloud.site.update("port", made["id"], ADMIN, **bound).only()
    cloud.settle()
    heard = cloud.site.rows("isthmus_epochs")[0]["heard"]
    until(lambda: cloud.site.rows("isthmus_epochs")[0]["heard"] > heard, what="the site said hello")
    cloud.restore(cloud.central, copy)
    until(lambda: cloud.epoch(cloud.central) > 1, timeout_s=60, what="central knows")
    body: dict[str, Any] = {"registration": None, "epoch": 1, "leases": [], "ports": []}
    body |= {"addresses": {}, "shadows": []}
    central = cloud.central
    answer = central.call(
        "POST", "/v2.0/site-registrations", {"site_registration": body}, site_user("site2")
    )
    assert answer.status == 201
    until(lambda: lease_request(cloud, 8).status == 201, timeout_s=120, what="all have registered")
    cloud.settle()
    cloud.check(*running)
    running.append(made["fixed_ips"][0]["ip_address"])
    for _ in range(8):
        central.create("port", cloud.user, network_id=cloud.network["id"])
    for address in running:
        found = cloud.central.call("GET", f"/v2.0/ports?fixed_ips=ip_address%3D{address}").only()
        assert [one["device_id"] for one in found] == ["d"], address


@pytest.mark.stress
def test_a_site_removed_and_made_again_under_its_name(cloud: Cloud) -> None:
    running = [cloud.boot() for _ in range(2)]
    cloud.settle()
    assert cloud.site.wan is not None
    cloud.site.wan.cut()
    blocks = cloud.known()
    central = cloud.central
    body = {"site": {"state": "disabled"}}
    assert central.call("PUT", "/v2.0/sites/site1", body).status == 200
    assert central.call("DELETE", "/v2.0/sites/site1").status == 204
    aside = [
        one
        for one in central.call("GET", "/v2.0/site-leases").only()
        if one["site"].startswith("gone/")
    ]
    assert aside
    while lease_request(cloud, 64).status == 201:
        pass
    cloud.check(*running)
    running.append(cloud.boot())  # cut off, it goes on from its blocks
    cloud.check(*running)
    central.create(
        "site",
        name="site1",
        region="Region1",
        availability_zones=["zone1"],
        service_user="isthmus-site1",
    )
    before = cloud.epoch(central)
    cloud.site.wan.heal()
    until(lambda: cloud.held("site1") == blocks, timeout_s=120, what="its blocks are its own again")
    # What the site that was removed can prove says nothing of central's database.
    assert cloud.epoch(central) == before
    assert lease_request(cloud, 8).status != 503
    cloud.settle()
    running.append(cloud.boot())
    cloud.settle()
    cloud.check(*running)


@pytest.mark.stress
def test_an_operator_says_that_a_site_never_comes_back(cloud: Cloud) -> None:
    cloud.boot()
    cloud.settle()
    cloud.site.stop()
    central = cloud.central
    body = {"site": {"state": "disabled"}}
    assert central.call("PUT", "/v2.0/sites/site1", body).status == 200
    assert central.call("DELETE", "/v2.0/sites/site1").status == 204
    for one in central.call("GET", "/v2.0/site-leases").only():
        freed = central.call("PUT", f"/v2.0/site-leases/{one['id']}/free_for_good", {})
        assert freed.status == (200 if one["site"].startswith("gone/") else 409)
    # The home of its port goes with the last lease of that incarnation.
    assert not any(
        one["site"].startswith("gone/") for one in central.call("GET", "/v2.0/site-mappings").only()
    )
    holders = {one["site"] for one in central.call("GET", "/v2.0/site-leases").only()}
    assert not any(one.startswith("gone/") for one in holders)
