"""Of a site one incarnation is heard: that which has registered last."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.server import ADMIN, OnBehalf, Reply, site_user

from isthmus.model.site import SiteName
from isthmus.store.tiers import registration

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
            assert "heard when it registers" in reply.text
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
    copy = database.read_bytes()  # stopped, so that all of it is in the one file
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
    assert "site1, site2" in refused.text
    for site in ("site1", "site2"):
        register(central, site, epoch=1, registration=row_id if site == "site1" else None)
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
