"""Events: what happened at central, and whose request it was."""

import datetime
import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.server import READER, tenant
from tests.neutron.test_central_admin import new_site
from tests.neutron.test_central_report import Stretched, item

pytestmark = pytest.mark.neutron


def events(central: CentralServer, query: str) -> list[Any]:
    found: list[Any] = central.call(
        "GET", f"/v2.0/site-events?sort_key=number&sort_dir=asc&{query}"
    ).only()
    return found


def test_the_life_of_a_site_is_told_with_whose_work_it_was(central: CentralServer) -> None:
    site = central.create("site", **new_site())
    path = f"/v2.0/sites/{site['id']}"
    assert central.call("PUT", path, {"site": {"state": "draining"}}).status == 200
    assert central.call("PUT", path, {"site": {"region": "Region1"}}).status == 409
    assert central.call("DELETE", path).status == 204
    rows = events(central, f"site={site['name']}")
    assert [(row["what"], row["details"]) for row in rows] == [
        ("site.created", f"region {site['region']}"),
        ("site.changed", "state from enabled to draining"),
        ("site.deleted", "with 0 objects"),
    ]
    assert {row["who"] for row in rows} == {"admin"}
    assert events(central, f"site={site['name']}&what=site.changed") == [rows[1]]
    assert central.call("GET", f"/v2.0/site-events/{rows[0]['id']}").only() == rows[0]


def test_a_network_comes_to_a_site_with_its_leases_and_leaves_it(central: CentralServer) -> None:
    network = central.create("network", name="told")["id"]
    subnet = central.create("subnet", network_id=network, ip_version=4, cidr="10.78.0.0/24")["id"]
    made = central.create("site_presence", network_id=network, site="site1")
    (came,) = events(central, f"resource_id={network}&what=mapping")
    assert (came["what"], came["site"], came["type"]) == ("mapping.extended", "site1", "network")
    (keys,) = events(central, f"resource_id={network}&what=lease")
    (addresses,) = events(central, f"resource_id={subnet}")
    assert (keys["what"], addresses["what"]) == ("lease.granted", "lease.granted")
    assert addresses["details"].startswith("10.78.0.")
    # Once more is no news.
    central.create("site_presence", network_id=network, site="site1")
    assert len(events(central, f"resource_id={network}&what=mapping")) == 1
    assert central.call("DELETE", f"/v2.0/site-presences/{made['id']}").status == 204
    assert [one["what"] for one in events(central, f"resource_id={network}&what=mapping")] == [
        "mapping.extended",
        "mapping.withdrawn",
    ]


def test_a_site_that_asks_is_named(central: CentralServer) -> None:
    net = Stretched(central)
    rows = events(central, f"resource_id={net.network['id']}&what=mapping.extended")
    assert {row["site"] for row in rows} == {"site1", "site2"}
    assert all(row["who"] and row["who"] != "central" for row in rows)


def test_jobs_that_a_person_touches_are_told(central: CentralServer) -> None:
    central.clear_journal()
    net = Stretched(central)
    central.report("site1", item(net.port()))
    (job,) = central.call("GET", "/v2.0/site-jobs?site=site2&type=shadow").only()
    for action in ("retry", "cancel"):
        assert central.call("PUT", f"/v2.0/site-jobs/{job['id']}/{action}", {}).status == 200
    found = events(central, f"resource_id={job['resource_id']}&site=site2")
    assert [(one["what"], one["type"]) for one in found] == [
        ("job.retried", "shadow"),
        ("job.cancelled", "shadow"),
    ]


def test_events_are_cut_by_time(central: CentralServer) -> None:
    site = central.create("site", **new_site())["name"]
    assert len(events(central, f"site={site}&since=3600")) == 1
    assert events(central, f"site={site}&until=3600") == []
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    hour = datetime.timedelta(hours=1)
    for text, count in (((now - hour).isoformat(), 1), ((now + hour).isoformat(), 0)):
        assert len(events(central, f"site={site}&since={text}")) == count
        assert len(events(central, f"site={site}&until={text}")) == 1 - count
    for bad in ("yesterday", "-5", "1e300", "nan"):
        reply = central.call("GET", f"/v2.0/site-events?since={bad}")
        assert reply.status == 400, bad
        assert "since must be" in reply.text
    for query in (
        "what=nothing",
        "what=",
        f"number={'9' * 30}",
        "created_at=0001-01-01T00:00:00%2b14:00",
        "marker=nothing&limit=1",
    ):
        assert central.call("GET", f"/v2.0/site-events?{query}").status == 400, query
    assert central.call("GET", "/v2.0/site-events?site=%00").status < 500


def test_operators_read_events_and_nobody_else(central: CentralServer) -> None:
    somebody = tenant(uuid.uuid4().hex)
    central.create("site", **new_site())
    rows = central.call("GET", "/v2.0/site-events", user=READER).only()
    assert rows
    assert central.call("GET", "/v2.0/site-events", user=somebody).only() == []
    path = f"/v2.0/site-events/{rows[0]['id']}"
    assert central.call("GET", path, user=somebody).status == 404
