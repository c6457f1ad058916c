"""A report that was slow in central never undoes a newer one, wherever it stood meanwhile."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.pausing import Pause
from tests.neutron.server import OnBehalf, site_user
from tests.neutron.test_central_report import _LOCATION, Stretched, item
from tests.neutron.test_registration import known_as, make_network, register, try_register

from isthmus.clients.http.neutron import collection_path
from isthmus.journal import crash
from isthmus.model.site import SiteName
from isthmus.store.sql.tables import NAMED_PORTS, REGISTRATIONS, SITES
from isthmus.store.tiers import epoch, registration

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]

#: Every step of taking a report. A slow one that is inside a transaction holds its locks.
POINTS = [name for name, _ in crash.POINTS if name.startswith("central.report.")]
INSIDE = {"central.report.merging", "central.report.before_commit"}
#: Those of a report of a port that central does not have yet.
MAKING = {"central.report.unknown", "central.report.created"}


@dataclass
class Paused:
    """A central that can be held at a point."""

    server: CentralServer
    pause: Pause
    sequence: int = 0

    def next(self) -> int:
        self.sequence += 1
        return self.sequence


@contextlib.contextmanager
def serving(server: CentralServer, folder: Path) -> Iterator[Paused]:
    pause = Pause(folder)
    server.start(**pause.environment)
    try:
        server.make_sites()
        yield Paused(server, pause)
    finally:
        server.kill()


@pytest.fixture(scope="module")
def on_sqlite(neutron_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paused]:
    folder = tmp_path_factory.mktemp("held")
    with serving(CentralServer(folder / "central", neutron_template), folder / "pause") as held:
        yield held


@pytest.fixture(scope="module")
def on_mariadb(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Paused]:
    folder = tmp_path_factory.mktemp("held-mariadb")
    server = CentralServer(folder, folder / "none", url=new_database())
    with serving(server, folder / "pause") as held:
        yield held


def check_overtaken(held: Paused, point: str) -> None:
    """Hold a report at a point, send a newer one, let the first one go."""
    net = Stretched(held.server)
    port = net.port()
    old = {
        **port,
        "device_id": "old",
        "isthmus:location": {**_LOCATION, "chassis": "old", "encap_ip": "192.0.2.11"},
    }
    new = {
        **port,
        "description": "new",
        "device_id": "new",
        "isthmus:base": dict(port),
        "isthmus:location": {**_LOCATION, "chassis": "new", "encap_ip": "192.0.2.12"},
    }
    if point not in MAKING:
        assert net.report(port, sequence=held.next())["code"] == ""
        old["isthmus:base"] = dict(port)
    gone = point == "central.report.removed"
    late = item(old, gone=gone)
    number, newer = held.next(), held.next()
    answers: dict[str, Any] = {}

    def send_newer() -> None:
        answers["newer"] = net.report(new, sequence=newer)["code"]

    thread = threading.Thread(target=send_newer, daemon=True)
    with held.pause.during(
        point, lambda: held.server.report("site1", late, sequence=number)
    ) as done:
        thread.start()
        if point not in INSIDE:
            thread.join(120)
            assert not thread.is_alive()
    thread.join(120)
    (result,) = done["result"]
    if gone:  # the port went at central, and came back with the newer one
        assert (answers["newer"], result["code"]) == ("", "isthmus.transient.stale")
        path = f"/v2.0/site-mappings?resource_id={port['id']}"
        assert [one["site"] for one in held.server.call("GET", path).only()] == ["site1"]
    if answers["newer"]:  # it met what the late one had begun; its sender tries again
        new["isthmus:base"] = {**port, "description": net.shown(port)["description"]}
        assert net.report(new, sequence=held.next())["code"] == ""
    assert (net.shown(port)["description"], net.shown(port)["device_id"]) == ("new", "new")
    shadow = held.server.desired("site2", ("shadow", port["id"]))[("shadow", port["id"])]
    assert (shadow["chassis"], shadow["encap_ip"]) == ("new", "192.0.2.12")
    again = net.report(old, sequence=number)
    assert again["code"] == "isthmus.transient.stale"
    assert again["seen"] == held.sequence, "the sender learns where to go on"


@pytest.mark.parametrize("point", POINTS)
def test_a_newer_report_stands(on_sqlite: Paused, point: str) -> None:
    check_overtaken(on_sqlite, point)


@pytest.mark.db
@pytest.mark.parametrize("point", ["central.report.updated", "central.report.before_commit"])
def test_a_newer_report_stands_on_mariadb(on_mariadb: Paused, point: str) -> None:
    check_overtaken(on_mariadb, point)


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("on_sqlite", "name"),
        pytest.param("on_mariadb", "fixed_ips", marks=pytest.mark.db),
    ],
)
def test_what_a_person_changes_while_a_report_is_merged_stands(
    request: pytest.FixtureRequest, place: str, what: str
) -> None:
    """The report changes another attribute as well, and of the same one the person's counts."""
    held: Paused = request.getfixturevalue(place)
    net = Stretched(held.server)
    port = net.port(device_id="old")
    assert net.report(port, sequence=held.next())["code"] == ""
    theirs: Any = "a person's" if what == "name" else []
    mine: Any = "the site's" if what == "name" else net.port()["fixed_ips"]
    new = {**port, what: mine, "description": "new", "device_id": "new", "isthmus:base": dict(port)}

    with held.pause.during(
        "central.report.read", lambda: net.report(new, sequence=held.next())
    ) as done:
        path, body = f"/v2.0/ports/{port['id']}", {"port": {what: theirs}}
        assert held.server.call("PUT", path, body, net.user).status == 200
    assert done["result"]["code"] == ""
    shown = net.shown(port)
    assert (shown[what], shown["description"], shown["device_id"]) == (theirs, "new", "new")


@pytest.mark.db
@pytest.mark.parametrize("what", ["fixed_ips", "security_groups", "allowed_address_pairs"])
def test_what_a_person_changes_behind_the_back_of_a_report_stands(
    on_mariadb: Paused, what: str
) -> None:
    """The report's transaction has read the port already, and changes nothing of its own row."""
    held = on_mariadb
    net = Stretched(held.server)
    port = net.port()
    assert net.report(port, sequence=held.next())["code"] == ""
    pairs = [{"ip_address": "10.0.0.77", "mac_address": port["mac_address"]}]
    mine = {
        "fixed_ips": [*port["fixed_ips"], *net.port()["fixed_ips"]],
        "security_groups": [],
        "allowed_address_pairs": pairs,
    }[what]
    group = held.server.create("security_group", net.user, name="g")["id"]
    theirs = {
        "fixed_ips": [],
        "security_groups": [*port["security_groups"], group],
        "allowed_address_pairs": [{**pairs[0], "ip_address": "10.0.0.78"}],
    }[what]
    new = {**port, what: mine, "isthmus:base": dict(port)}
    with held.pause.during(
        "central.report.merging", lambda: net.report(new, sequence=held.next())
    ) as done:
        path, body = f"/v2.0/ports/{port['id']}", {"port": {what: theirs}}
        assert held.server.call("PUT", path, body, net.user).status == 200
    assert done["result"]["code"] == ""
    shown = net.shown(port)[what]
    assert sorted(shown, key=str) == sorted(theirs, key=str)


@pytest.mark.db
@pytest.mark.parametrize("what", ["network", "subnet"])
def test_what_a_site_may_use_that_falls_silent_meanwhile_is_not_removed(
    on_mariadb: Paused, what: str
) -> None:
    central = on_mariadb.server
    net = Stretched(central)
    path = f"/v2.0/{what}s/{(net.network if what == 'network' else net.subnet)['id']}"
    with (
        on_mariadb.pause.during(
            "central.removal.asked", lambda: central.call("DELETE", path, user=net.user)
        ) as done,
        central.database(write=True) as connection,
    ):
        connection.execute(sa.update(SITES).values(reachability="unreachable"))
    try:
        assert done["result"].status == 409
        assert "cannot be reached" in done["result"].text
    finally:
        central.hear()
    assert central.call("GET", path, user=net.user).status == 200
    assert central.call("DELETE", path, user=net.user).status == 204


@pytest.mark.db
def test_what_a_home_alone_sets_nobody_sets_once_the_port_has_come_home(on_mariadb: Paused) -> None:
    central = on_mariadb.server
    net = Stretched(central)
    port = central.create("port", net.user, network_id=net.network["id"])["id"]
    path, body = f"/v2.0/ports/{port}", {"port": {"device_id": "mine", "name": "mine"}}
    with on_mariadb.pause.during(
        "central.change.asked", lambda: central.call("PUT", path, body, net.user)
    ) as done:
        central.bundle("site1", "port", port, project=net.project)
    assert done["result"].status == 409
    assert "has its home at site site1" in done["result"].text
    shown = central.call("GET", path).only()
    assert (shown["device_id"], shown["name"]) == ("", "")


def test_a_report_that_is_late_changes_nothing_of_a_released_port(
    on_sqlite: Paused,
) -> None:
    """What it says of its binding and its server concerns the home alone, too."""
    held = on_sqlite
    net = Stretched(held.server)
    port = net.port(device_id="old")
    assert net.report(port, sequence=held.next())["code"] == ""
    new = {**port, "device_id": "new", "binding:host_id": "host2", "status": "DOWN"}
    new["isthmus:base"] = dict(port)
    with held.pause.during(
        "central.report.read", lambda: net.report(new, sequence=held.next())
    ) as done:
        mappings = held.server.call("GET", f"/v2.0/site-mappings?resource_id={port['id']}").only()
        path = f"/v2.0/site-mappings/{mappings[0]['id']}/release"
        held.server.call("PUT", path, {"force": True}).only()
    assert done["result"]["code"] == "isthmus.refused.conflict"
    shown = net.shown(port)
    assert (shown["device_id"], shown["binding:host_id"], shown["status"]) == (
        "old",
        "site1/host1",
        "ACTIVE",
    )


def test_a_claim_ends_with_what_is_recorded_of_the_port(on_sqlite: Paused) -> None:
    """In between others would be sent the removal of the shadow that they have."""
    held, net = on_sqlite, Stretched(on_sqlite.server)
    port = net.port()

    def claimed() -> bool:
        with held.server.database() as connection:
            of_port = sa.select(NAMED_PORTS).where(NAMED_PORTS.c.port_id == port["id"])
            return connection.execute(of_port).first() is not None

    with held.server.database(write=True) as connection:
        connection.execute(sa.insert(NAMED_PORTS).values(port_id=port["id"], site="site1"))
    number = held.next()
    with held.pause.during(
        "central.report.created",
        lambda: held.server.report("site1", item(port), sequence=number),
    ) as done:
        assert claimed()
    (result,) = done["result"]
    assert result["code"] == ""
    assert not claimed()


@pytest.mark.parametrize("place", ["on_sqlite", pytest.param("on_mariadb", marks=pytest.mark.db)])
def test_a_late_registration_takes_nothing_back(request: pytest.FixtureRequest, place: str) -> None:
    """Of two that are on their way, the first is slow; the site was leased something meanwhile."""
    held: Paused = request.getfixturevalue(place)
    central = held.server
    network, subnet, _ = make_network(central, 40)
    central.bundle("site1", "network", network, project=None, admin=True)
    register(central, "site1")
    mine = central.lease_request("site1", kind="subnet", pool_id=subnet, count=0).only()["leases"]
    keys = central.lease_request("site1", kind="port_key", pool_id=network, count=0).only()
    names = {"leases": [*mine, *keys["leases"]], "ports": [], "addresses": {}, "shadows": []}
    with central.database(write=True) as connection:
        connection.execute(
            sa.update(REGISTRATIONS).where(REGISTRATIONS.c.site == "site1").values(owes=True)
        )

    def register_late() -> int:
        return int(try_register(central, "site1", **known_as(central, "site1"), **names).status)

    with held.pause.during("registration.begun", register_late) as late:
        register(central, "site1", **names)
        more = central.lease_request("site1", kind="subnet", pool_id=subnet, count=4)
        new = {one["id"] for one in more.only()["leases"]} - {one["id"] for one in mine}
        assert new
    assert late["result"] == 503
    path = f"/v2.0/site-leases?site=site1&pool_id={subnet}"
    assert new <= {one["id"] for one in central.call("GET", path).only()}
    # Or central finds out meanwhile that it was restored, and waits for what sites name then.
    with central.database(write=True) as connection:
        registration.ask_again(connection, SiteName("site1"))
    with (
        held.pause.during("registration.begun", register_late) as late,
        central.database(write=True) as connection,
    ):
        epoch.begin(connection, "restored, the test says")
    with central.database(write=True) as connection:
        waiting = epoch.list_waiting(connection)
        for one in waiting:
            registration.go_on_without(connection, one, welcome=lambda *_: None)
        connection.execute(sa.update(REGISTRATIONS).values(owes=False))
    assert late["result"] == 503
    assert "site1" in waiting


@pytest.mark.parametrize("place", ["on_sqlite", pytest.param("on_mariadb", marks=pytest.mark.db)])
def test_a_late_call_of_an_old_incarnation_changes_nothing(
    request: pytest.FixtureRequest, place: str
) -> None:
    """It was heard when it came; then the site was restored, and its new incarnation registered."""
    held: Paused = request.getfixturevalue(place)
    central = held.server
    register(central, "site1")
    net = Stretched(central)
    port = net.port()
    assert net.report(port, sequence=held.next())["code"] == ""
    (lease,) = (one for one in net.leases["site1"] if one["kind"] == "subnet")
    other = central.create("network", net.user, name="other")["id"]
    part = {"lease": lease["id"], "first": lease["last"], "last": lease["last"]}
    subnet = {"kind": "subnet", "pool_id": net.subnet["id"]}
    person = OnBehalf(net.user, site_user("site1"))
    for name, body, who in (
        ("site_report", {"sequence": held.next(), "items": [item(port, gone=True)]}, None),
        ("site_lease_request", {**subnet, "give_back": [part]}, None),
        ("site_lease_request", {**subnet, "count": 8}, None),
        ("site_bundle", {"type": "network", "ids": [other]}, person),
    ):
        known = known_as(central, "site1")
        old = {name: {**body, "incarnation": f"{known['registration']}/{known['epoch']}"}}
        path = collection_path(name)
        call = partial(central.call, "POST", path, old, who or site_user("site1"))
        with held.pause.during("central.call.heard", call) as late:
            register(central, "site1", epoch=known["epoch"] + 1)
        assert late["result"].status == 503, (name, late["result"])
    assert net.shown(port)["id"] == port["id"]
    leases = central.call("GET", f"/v2.0/site-leases?site=site1&pool_id={net.subnet['id']}").only()
    assert [(one["first"], one["last"]) for one in leases] == [(lease["first"], lease["last"])]
    assert central.call("GET", f"/v2.0/site-mappings?resource_id={other}").only() == []


def test_a_wrong_number_is_refused_and_silences_nobody(on_sqlite: Paused) -> None:
    net = Stretched(on_sqlite.server)
    port = net.port()
    assert net.report(port, sequence=on_sqlite.next())["code"] == ""
    for wrong in (2**62, 2**70):
        assert net.report(port, sequence=wrong)["code"] == "isthmus.refused.invalid"
    assert net.report(port, sequence=on_sqlite.next())["code"] == ""
