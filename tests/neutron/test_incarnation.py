"""Of a site one incarnation is heard: that which has registered last."""

import contextlib
import shutil
import sqlite3
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.server import ADMIN, OnBehalf, Reply, site_user

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import lane as lane_store
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.tables import LANES, REGISTRATIONS
from isthmus.store.tiers import epoch, registration

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.local.registrar import Registrar

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]


def register(central: CentralServer, site: str, **said: Any) -> Any:
    body = {"registration": None, "heard": 0, "proof": None, "leases": [], **said}
    path, body = "/v2.0/site-registrations", {"site_registration": body}
    return central.call("POST", path, body, site_user(site)).only()


def speak(central: CentralServer, site: str, pool: str, incarnation: str | None) -> list[Reply]:
    """Make every call of a site that changes something at central."""
    said = {} if incarnation is None else {"incarnation": incarnation}
    calls: list[tuple[str, dict[str, Any], Any]] = [
        ("site_lease_request", {"kind": "port_key", "pool_id": pool, "count": 1}, site_user(site)),
        ("site_report", {"sequence": 1 << 41, "items": []}, site_user(site)),
        ("site_bundle", {"type": "network", "ids": [pool]}, OnBehalf(ADMIN, site_user(site))),
    ]
    return [
        central.call("POST", f"/v2.0/{name.replace('_', '-')}s", {name: {**body, **said}}, who)
        for name, body, who in calls
    ]


def test_an_old_incarnation_that_still_runs_is_not_heard(central: CentralServer) -> None:
    """A process on the database from before the restore, say, or on a copy of it."""
    network = central.create("network", name="incarnation")["id"]
    central.bundle("site1", "network", network, project=None, admin=True)
    assert [one.status for one in speak(central, "site1", network, None)] == [201] * 3
    row_id = register(central, "site1", epoch=1)["registration"]
    assert [one.status for one in speak(central, "site1", network, f"{row_id}/1")] == [201] * 3
    register(central, "site1", epoch=2, registration=row_id)
    for old in (f"{row_id}/1", f"{row_id}/3", "/2", None):
        for reply in speak(central, "site1", network, old):
            assert reply.status == 503, (old, reply)
            assert "has to register before it can call" in reply.text
    assert [one.status for one in speak(central, "site1", network, f"{row_id}/2")] == [201] * 3
    # A hello of the old one says what it is, and changes nothing.
    answer = register(central, "site1", epoch=1, registration=row_id)
    assert (answer["restored"], answer["epoch"]) == (True, 2)
    assert [one.status for one in speak(central, "site1", network, f"{row_id}/2")] == [201] * 3


def test_a_site_made_again_is_not_heard_before_it_registers(central: CentralServer) -> None:
    network = central.create("network", name="again")["id"]
    central.bundle("site2", "network", network, project=None, admin=True)
    row_id = register(central, "site2", epoch=1)["registration"]
    central.call("PUT", "/v2.0/sites/site2", {"site": {"state": "disabled"}})
    assert central.call("DELETE", "/v2.0/sites/site2").status == 204
    body: dict[str, Any] = {
        "region": "Region2",
        "availability_zones": ["z"],
        "service_user": "isthmus-site2",
    }
    central.create("site", name="site2", **body)
    assert {one.status for one in speak(central, "site2", network, f"{row_id}/1")} == {503}


def test_a_restored_central_leases_nothing_before_anybody_registered(
    new_central: Callable[[], CentralServer],
) -> None:
    """Its witness shows it at the start: no site has to say hello for that."""
    central = new_central()
    central.start()
    central.make_sites()
    network = central.create("network", name="witness")["id"]
    central.bundle("site1", "network", network, project=None, admin=True)
    row_id = register(central, "site1", epoch=1)["registration"]
    central.stop()
    database = central.folder / "neutron.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it is in the one file
    copy = database.read_bytes()
    central.start()
    register(central, "site1", epoch=1, registration=row_id)
    central.stop()
    for end in ("-wal", "-shm"):
        Path(f"{database}{end}").unlink(missing_ok=True)
    database.write_bytes(copy)
    central.start()
    request = {"kind": "port_key", "pool_id": network, "count": 1}
    refused = central.lease_request("site1", **request)
    assert refused.status == 503
    assert "restored" in refused.text
    assert "site1" in refused.text
    register(central, "site1", epoch=1, registration=row_id)
    refused = central.lease_request("site1", **request)
    assert refused.status == 503
    assert "site2 to register" in refused.text
    register(central, "site2", epoch=1)
    assert central.lease_request("site1", **request).status == 201


def test_nobody_takes_up_what_another_site_left_behind(central: CentralServer) -> None:
    """The registration that it names proves nothing; what central told that very site does."""
    network = central.create("network", name="left")["id"]
    central.bundle("site1", "network", network, project=None, admin=True)
    body: dict[str, Any] = {
        "region": "RegionX",
        "availability_zones": ["z"],
        "service_user": "isthmus-lost",
    }
    central.create("site", name="lost", **body)
    central.bundle("lost", "network", network, project=None, admin=True)
    told = register(central, "lost", epoch=1)
    held = [one for one in told["leases"] if one["pool_id"] == network]
    assert held
    central.call("PUT", "/v2.0/sites/lost", {"site": {"state": "disabled"}})
    assert central.call("DELETE", "/v2.0/sites/lost").status == 204
    holder = registration.aside(told["registration"])
    named = [{key: one[key] for key in ("id", "kind", "pool_id", "first", "last")} for one in held]
    with central.database() as connection:
        known = registration.find(connection, SiteName("site1"))
    epoch = known.epoch if known is not None and known.epoch else 1
    said = {key: told[key] for key in ("registration", "heard", "proof")}
    answer = register(central, "site1", epoch=epoch, leases=named, **said)
    assert sorted(answer["void"]) == sorted(one["id"] for one in held)
    central.create("site", name="lost", **body)
    answer = register(central, "lost", epoch=1, leases=named, **said)
    assert answer["void"] == []
    leases = central.call("GET", "/v2.0/site-leases").only()
    assert not any(one["site"] == holder for one in leases)


class Database:
    """A site's database, and the registrar of a process on it."""

    def __init__(self, central: CentralServer, file: Path, folder: Path) -> None:
        self.central, self.file = central, file
        self.engine = open_engine(f"sqlite:///{file}")
        self.folder = folder
        self.restart()

    def restart(self) -> None:
        client = cast("CentralClient", self)
        self.registrar = Registrar(
            SiteName("site1"), lambda: client, lambda: self.engine, folder=self.folder, every_s=60
        )

    def register(self, body: Any) -> Any:
        path, body = "/v2.0/site-registrations", {"site_registration": body}
        return self.central.call("POST", path, body, site_user("site1")).only()

    def turn(self) -> None:
        """Do what the process does by itself until there is nothing more to do."""
        for _ in range(5):
            with contextlib.suppress(errors.Transient):
                if self.registrar.turn():
                    return
        raise AssertionError("it comes to no end")

    def own(self) -> epoch.Epoch:
        with writing(self.engine) as connection:
            return epoch.read(connection)

    def is_heard(self, network: str) -> bool:
        with writing(self.engine) as connection:
            said = epoch.peek_incarnation(connection)
        (status,) = {one.status for one in speak(self.central, "site1", network, said)}
        return bool(status == 201)

    def report(self) -> None:
        """Report something; central sees a batch that the others did not send."""
        with writing(self.engine) as connection:
            sequence = lane_store.next_sequence(connection, CENTRAL)
            body = {"sequence": sequence, "items": [], "incarnation": ""}
            body["incarnation"] = epoch.peek_incarnation(connection)
        item = {"type": "port", "id": str(uuid.uuid4()), "state": None}
        report = {"site_report": {**body, "items": [item]}}
        answer = self.central.call("POST", "/v2.0/site-reports", report, site_user("site1"))
        assert answer.only()["results"][0]["code"] in ("", "isthmus.transient.stale")

    def copy(self, name: str) -> "Database":
        """Copy the database, as a backup does, to another host."""
        folder = self.folder.parent / name
        folder.mkdir()
        file = folder / "neutron.db"
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            connection.execute("VACUUM INTO ?", (str(file),))
        return Database(self.central, file, folder)


@pytest.fixture
def original(central: CentralServer, neutron_template: Path, tmp_path: Path) -> Iterator[Database]:
    """A site that central hears; nothing of it is left for the next test."""
    register(central, "site1", epoch=1)  # as one that was here before, under that name
    folder = tmp_path / "original"
    folder.mkdir()
    shutil.copy(neutron_template, folder / "neutron.db")
    found = Database(central, folder / "neutron.db", folder)
    found.turn()
    found.report()
    yield found
    with central.database(write=True) as connection:
        connection.execute(sa.delete(REGISTRATIONS).where(REGISTRATIONS.c.site == "site1"))
        connection.execute(sa.delete(LANES).where(LANES.c.lane == "site1"))


@pytest.mark.parametrize("first", ["original", "copy"])
@pytest.mark.parametrize("ahead", ["original", "copy"])
def test_of_a_site_and_its_copy_that_runs_beside_it_one_is_heard(
    central: CentralServer, original: Database, first: str, ahead: str
) -> None:
    """The other gives nothing out, reports nothing, and says why; nor do they take turns."""
    network = central.create("network", name="copied")["id"]
    central.bundle("site1", "network", network, project=None, admin=True)
    both = {"original": original, "copy": original.copy("copy")}
    both["copy"].turn()
    assert both[ahead].own().epoch == 1, "they cannot be told apart yet"
    both[ahead].report()
    order = sorted(both, reverse=first == "original")
    for _ in range(4):
        for name in order:
            both[name].turn()
    heard = {name for name in both if both[name].is_heard(network)}
    assert len(heard) == 1, heard
    (other,) = both.keys() - heard
    assert both[other].own().replaced_by == both[heard.pop()].own().epoch
    with writing(both[other].engine) as connection, pytest.raises(errors.Busy, match="a copy of"):
        epoch.require_recovered(connection)
    assert not both[other].registrar.greeted, "it reports nothing"
    before = {name: one.own().epoch for name, one in both.items()}
    for one in both.values():  # nor does a restart help
        one.restart()
    for _ in range(3):
        for name in order:
            both[name].turn()
    assert {name: one.own().epoch for name, one in both.items()} == before
    # An operator says which is right, and stops the other one.
    with writing(both[other].engine) as connection:
        epoch.begin(connection, "restored, an operator says")
    both[other].turn()
    assert both[other].is_heard(network)
    assert both[other].own().recovered


@pytest.mark.parametrize("knows", ["both", "neither"])
def test_two_databases_that_came_from_one_backup_are_two_incarnations(
    central: CentralServer, original: Database, knows: str
) -> None:
    """Each begins the same epoch, since neither can know of the other one."""
    network = central.create("network", name="backup")["id"]
    central.bundle("site1", "network", network, project=None, admin=True)
    again, once_more = original.copy("again"), original.copy("once-more")
    for one in (again, once_more):
        if knows == "both":
            with writing(one.engine) as connection:
                epoch.begin(connection, "restored, an operator says")
    if knows == "neither":
        original.report()
    again.turn()
    assert again.is_heard(network)
    assert again.own().epoch == 2
    once_more.turn()
    assert once_more.is_heard(network)
    assert once_more.own().epoch == 3
    assert not again.is_heard(network)


def test_a_batch_that_is_sent_first_does_not_hide_that_a_site_was_restored(
    central: CentralServer, original: Database
) -> None:
    """Central tells which batch it has seen, and the site's numbers do not go on above it."""
    backup = original.copy("backup")
    for _ in range(5):
        original.report()
    backup.report()
    store = SqlJournal(backup.engine)
    with central.database() as connection:
        _, seen = lane_store.peek(connection, SiteName("site1"))
    store.go_on_above(CENTRAL, seen)
    backup.turn()
    assert backup.own().epoch == 2


def test_a_batch_that_is_carried_first_does_not_hide_that_central_was_restored(
    central: CentralServer, original: Database
) -> None:
    before = _own_epoch(central)
    with central.database(write=True) as connection:
        backup = connection.execute(sa.select(LANES).where(LANES.c.lane == "site1")).one()
    original.turn()
    heard = original.own().heard
    with central.database(write=True) as connection:
        here = LANES.c.lane == "site1"
        connection.execute(sa.update(LANES).where(here).values(sent=backup.sent, told=backup.told))
        # Xjob carries, and is told of a later batch.
        lane_store.go_on_above(connection, SiteName("site1"), heard + 7)
    original.turn()
    assert _own_epoch(central) == before + 1
    with central.database() as connection:
        waiting = epoch.list_waiting(connection)
    for site in waiting:
        register(central, site, epoch=1)
    with central.database() as connection:
        assert epoch.list_waiting(connection) == []


def _own_epoch(central: CentralServer) -> int:
    with central.database() as connection:
        found = epoch.peek(connection)
    assert found is not None
    return found.epoch
