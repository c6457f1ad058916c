"""A report that comes twice at once: whichever is first, both are taken."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.neutron.test_central_report import Stretched, item
from tests.neutron.test_late_reports import Paused, on_mariadb, on_sqlite

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]

__all__ = ["on_mariadb", "on_sqlite"]

PLACES = ["on_sqlite", pytest.param("on_mariadb", marks=pytest.mark.db)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("point", ["central.report.sought", "central.report.unknown"])
def test_a_report_whose_twin_makes_the_port_is_taken(
    request: pytest.FixtureRequest, place: str, point: str
) -> None:
    held: Paused = request.getfixturevalue(place)
    net, number = Stretched(held.server), held.next()
    # Central has room for just one more: the port that its twin has made is not a second one.
    quota = {"quota": {"port": 1}}
    held.server.call("PUT", f"/v2.0/quotas/{net.project}", quota).only()
    port = net.port()
    with held.pause.during(
        point, lambda: held.server.report("site1", item(port), sequence=number)
    ) as done:
        assert net.report(port, sequence=number)["code"] == ""
    (result,) = done["result"]
    assert (result["code"], result.get("refused")) == ("", None), result
    check_taken(held, net, port)


@pytest.mark.parametrize("place", PLACES)
def test_equal_reports_at_once_are_taken(request: pytest.FixtureRequest, place: str) -> None:
    held: Paused = request.getfixturevalue(place)
    net = Stretched(held.server)
    for _ in range(6):
        port, number = net.port(), held.next()
        with ThreadPoolExecutor(3) as threads:
            every = [threads.submit(net.report, port, sequence=number) for _ in range(3)]
            codes = {one.result()["code"] for one in every}
        # One that has tried in vain for long enough is to come again, as its sender has it do.
        assert "" in codes
        assert all(one.startswith("isthmus.transient.") for one in codes - {""}), codes
        check_taken(held, net, port)


def check_taken(held: Paused, net: Stretched, port: dict[str, Any]) -> None:
    shown = net.shown(port)
    for name in ("mac_address", "fixed_ips", "security_groups", "device_id", "name", "status"):
        assert shown[name] == port[name], name
    path = f"/v2.0/site-mappings?type=port&resource_id={port['id']}"
    assert [one["site"] for one in held.server.call("GET", path).only()] == ["site1"]
    refused = held.server.call("GET", "/v2.0/site-refusals").only()
    assert port["id"] not in {one["resource_id"] for one in refused}
