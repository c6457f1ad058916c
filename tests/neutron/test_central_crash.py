"""Central dies amid a bundle, a report or desired states; what was asked is asked again."""

import http.client
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.test_central_report import Stretched, item

from isthmus.journal.crash import EXIT_CODE, POINTS
from isthmus.store.sql.tables import JOURNAL, LEASES, LOCATIONS, SITE_MAPPINGS

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]

#: Passed by calls of persons, not of sites and Xjob.
BY_PERSONS = ("central.change.asked", "central.removal.asked")
NAMES = [name for name, _ in POINTS if name.startswith("central.") and name not in BY_PERSONS]
#: Those that every run of the tests pays for, on either side of each commit; `./dev test all` does
#: all of them.
DECISIVE = (
    "central.bundle.before_commit",
    "central.bundle.committed",
    "central.report.created",
    "central.report.removed",
    "central.report.before_commit",
    "central.report.taken",
)


def ask(call: Callable[[], Any]) -> bool:
    """Make a call and tell whether it was answered."""
    try:
        call()
    except (OSError, http.client.HTTPException):
        return False
    return True


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(DECISIVE, id="decisive"),
        pytest.param(sorted({*NAMES} - {*DECISIVE}), id="rest", marks=pytest.mark.stress),
    ],
)
def test_every_point_is_passed_and_nothing_is_lost(
    new_central: Callable[[], CentralServer], names: Sequence[str]
) -> None:
    assert len(NAMES) == 13
    assert {*DECISIVE} < {*NAMES}
    central = new_central()
    central.start()
    central.make_sites()
    for name in names:
        net = Stretched(central, present=("site1",))
        port = net.port()
        extra = net.port()
        central.report("site1", item(port))
        central.clear_journal()
        changed = {**port, "name": "changed", "isthmus:base": port}

        def bundle(net: Stretched = net) -> Any:
            return central.bundle("site2", "network", net.network["id"], project=net.project)

        def report(items: tuple[Any, ...] = (item(changed), item(extra))) -> Any:
            return central.report("site1", *items)

        def remove(items: tuple[Any, ...] = (item(port, gone=True),)) -> Any:
            return central.report("site1", *items)

        def desired(port_id: str = port["id"]) -> Any:
            return central.desired("site1", ("port", port_id))

        central.kill()
        central.start(ISTHMUS_CRASH_AT=name)
        answered = [ask(call) for call in (bundle, report, desired, remove)]
        assert answered.count(False) >= 1, name
        assert central.wait_dead() == EXIT_CODE
        central.start()
        leases = by_type(bundle()["items"], "lease")
        assert leases == by_type(bundle()["items"], "lease")
        assert all(one["code"] == "" for one in report())
        desired()
        assert [one["code"] for one in remove()] == [""]
        check_whole(central, net, port, extra, name)


def test_what_is_extended_is_on_its_way_though_central_dies(
    new_central: Callable[[], CentralServer],
) -> None:
    central = new_central()
    central.start()
    central.make_sites()
    net = Stretched(central, present=("site1",))
    central.kill()
    central.start(ISTHMUS_CRASH_AT="central.bundle.committed")
    body = {"site_presence": {"network_id": net.network["id"], "site": "site2"}}
    assert not ask(lambda: central.call("POST", "/v2.0/site-presences", body))
    assert central.wait_dead() == EXIT_CODE
    with central.database() as connection:
        query = sa.select(JOURNAL.c.type, JOURNAL.c.resource_id)
        told = {tuple(row) for row in connection.execute(query.where(JOURNAL.c.lane == "site2"))}
    assert {("network", net.network["id"]), ("subnet", net.subnet["id"])} < told
    assert "security_group" in {kind for kind, _ in told}


def test_what_a_person_asks_for_is_whole_or_not_at_all(
    new_central: Callable[[], CentralServer],
) -> None:
    central = new_central()
    central.start()
    central.make_sites()
    net = Stretched(central, present=("site1",))
    port = central.create("port", net.user, network_id=net.network["id"])
    ways = {
        "central.change.asked": ("PUT", f"/v2.0/ports/{port['id']}", {"port": {"device_id": "d"}}),
        "central.removal.asked": ("DELETE", f"/v2.0/subnets/{net.subnet['id']}", None),
    }
    assert ways.keys() == set(BY_PERSONS)
    for name, way in ways.items():
        central.kill()
        central.start(ISTHMUS_CRASH_AT=name)
        assert not ask(lambda way=way: central.call(*way)), name  # type: ignore[misc]
        assert central.wait_dead() == EXIT_CODE
        central.start()
        path = f"/v2.0/ports/{port['id']}"
        assert central.call("GET", path).only()["device_id"] == ""
        answer = central.call(*way)
        if name == "central.change.asked":
            assert answer.only()["device_id"] == "d"
            assert central.call("DELETE", path).status == 204
            port = central.create("port", net.user, network_id=net.network["id"], fixed_ips=[])
        else:
            assert answer.status == 204, answer.text
    assert central.call("GET", f"/v2.0/subnets?network_id={net.network['id']}").only() == []


def check_whole(central: CentralServer, net: Stretched, port: Any, extra: Any, name: str) -> None:
    """After everything was asked again, all is as if nothing had happened."""
    found = central.call("GET", f"/v2.0/ports?network_id={net.network['id']}").only()
    assert [one["id"] for one in found] == [extra["id"]], name
    with central.database() as connection:
        places = connection.execute(
            sa.select(LOCATIONS.c.port_id).where(LOCATIONS.c.network_id == net.network["id"])
        ).scalars()
        assert list(places) == [extra["id"]], name
        homes = connection.execute(
            sa.select(SITE_MAPPINGS.c.resource_id).where(SITE_MAPPINGS.c.type == "port")
        ).scalars()
        assert port["id"] not in set(homes), name
        # Each site has one block of each pool, and no two blocks meet.
        runs = connection.execute(
            sa.select(LEASES.c.site, LEASES.c.first, LEASES.c.last).where(
                LEASES.c.pool_id == net.subnet["id"]
            )
        ).all()
        assert sorted(run.site for run in runs) == ["site1", "site2"], name
        (one, two) = sorted((run.first, run.last) for run in runs)
        assert one[1] < two[0]
        told = connection.execute(
            sa.select(JOURNAL.c.resource_id).where(
                JOURNAL.c.lane == "site2", JOURNAL.c.type == "shadow"
            )
        ).scalars()
        # The shadow of the one is to be made, that of the other to go.
        assert set(told) >= {extra["id"]}, name
