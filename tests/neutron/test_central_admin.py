"""The Admin API: what operators see and do, and what others do not."""

import datetime
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.server import ADMIN, CARRIER, READER, Reply, site_user, tenant
from tests.neutron.test_central_report import Stretched, item

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal
from isthmus.store.sql.tables import DATAPATHS, JOURNAL, LEASES, LOCATIONS, SITE_MAPPINGS, SITES

pytestmark = pytest.mark.neutron

LISTS = ("sites", "site-mappings", "site-jobs", "site-presences", "site-leases")


def new_site(**more: Any) -> dict[str, Any]:
    name = f"s{uuid.uuid4().hex[:8]}"
    return {
        "name": name,
        "region": f"region-of-{name}",
        "availability_zones": [f"zone-of-{name}"],
        "service_user": f"isthmus-{name}",
        **more,
    }


def test_a_site_from_its_making_to_its_end(central: CentralServer) -> None:
    wanted = new_site(description="a place")
    site = central.create("site", **wanted)
    assert wanted.items() <= site.items()
    assert (site["state"], site["reachability"]) == ("enabled", "unknown")
    assert (site["backlog"], site["parked"]) == (0, 0)
    path = f"/v2.0/sites/{site['id']}"
    assert central.call("GET", path).only() == site
    assert central.call("GET", f"/v2.0/sites/{site['name']}").only() == site
    assert central.call("GET", f"/v2.0/sites?region={site['region']}").only() == [site]
    changed = central.call("PUT", path, {"site": {"state": "draining"}}).only()
    assert changed["state"] == "draining"
    assert central.call("PUT", path, {"site": {"name": "x"}}).status == 400
    assert central.call("DELETE", path).status == 204
    assert central.call("GET", path).status == 404


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"name": "central"}, 400),
        ({"name": "Not A Name"}, 400),
        ({"availability_zones": []}, 400),
        ({"availability_zones": "zone1"}, 400),
        ({"state": "gone"}, 400),
        ({"region": "Region1"}, 409),
        ({"name": "site1"}, 409),
        ({"service_user": "isthmus-site1"}, 409),
    ],
)
def test_bad_sites(central: CentralServer, values: dict[str, object], status: int) -> None:
    reply = central.call("POST", "/v2.0/sites", {"site": new_site(**values)})
    assert reply.status == status, reply


def test_a_reader_reads_and_changes_nothing(central: CentralServer) -> None:
    for path in (*LISTS, "site-holdings"):
        assert central.call("GET", f"/v2.0/{path}", user=READER).status == 200
    assert central.call("GET", "/v2.0/sites", user=READER).only()
    assert central.call("POST", "/v2.0/sites", {"site": new_site()}, READER).status == 403
    (site,) = central.call("GET", "/v2.0/sites?name=site1").only()
    path = f"/v2.0/sites/{site['id']}"
    assert central.call("DELETE", path, user=READER).status == 403
    assert central.call("PUT", path, {"site": {"state": "disabled"}}, READER).status == 403


def test_a_tenant_sees_nothing(central: CentralServer) -> None:
    net = Stretched(central)
    net.must_take(net.port())
    (site,) = central.call("GET", "/v2.0/sites?name=site1").only()
    (job, *_) = central.call("GET", "/v2.0/site-jobs").only()
    for user in (net.user, site_user("site1")):
        for path in (*LISTS, "site-holdings"):
            assert central.call("GET", f"/v2.0/{path}", user=user).only() == []
        for path in (f"sites/{site['id']}", f"site-jobs/{job['id']}"):
            assert central.call("GET", f"/v2.0/{path}", user=user).status == 404
        assert central.call("DELETE", f"/v2.0/sites/{site['id']}", user=user).status == 404
        for action in ("retry", "cancel"):
            path = f"/v2.0/site-jobs/{job['id']}/{action}"
            assert central.call("PUT", path, {}, user).status == 404
    body = {"site_desired_state": {"site": "site1", "keys": []}}
    for user in (ADMIN, READER, net.user, site_user("site1")):
        assert central.call("POST", "/v2.0/site-desired-states", body, user).status == 403
    assert central.call("POST", "/v2.0/site-desired-states", body, CARRIER).status == 201


def test_jobs_are_filtered_sorted_and_paged(central: CentralServer) -> None:
    central.clear_journal()
    net = Stretched(central)
    ports = [net.port() for _ in range(7)]
    central.report("site1", *map(item, ports))
    base = "/v2.0/site-jobs?site=site2&type=shadow&sort_key=resource_id&sort_dir=desc&limit=3"
    seen: list[str] = []
    marker = ""
    while page := central.call("GET", base + marker).body["site_jobs"]:
        assert len(page) <= 3
        seen += [job["resource_id"] for job in page]
        marker = f"&marker={page[-1]['id']}"
    assert seen == sorted((port["id"] for port in ports), reverse=True)
    job = central.call("GET", f"/v2.0/site-jobs?resource_id={seen[0]}").only()[0]
    assert (job["state"], job["site"], job["attempts"]) == ("waiting", "site2", 0)
    assert central.call("GET", "/v2.0/site-jobs?state=parked").only() == []
    assert central.call("GET", "/v2.0/site-jobs?age=3600").only() == []
    assert central.call("GET", "/v2.0/site-jobs?age=0").only()
    assert central.call("GET", "/v2.0/site-jobs?age=old").status == 400
    assert central.call("GET", "/v2.0/site-jobs?marker=nowhere&limit=1").status == 400


def test_a_parked_job_is_retried_or_cancelled(central: CentralServer) -> None:
    central.clear_journal()
    net = Stretched(central)
    net.must_take(net.port())
    with central.database(write=True) as connection:
        connection.execute(
            sa.update(JOURNAL).where(JOURNAL.c.lane == "site2").values(parked=True, attempts=4)
        )
    (site,) = central.call("GET", "/v2.0/sites?name=site2").only()
    assert (site["backlog"], site["parked"]) == (0, 1)
    (job,) = central.call("GET", "/v2.0/site-jobs?site=site2&state=parked").only()
    path = f"/v2.0/site-jobs/{job['id']}"
    assert central.call("PUT", f"{path}/retry", {}, READER).status == 403
    assert central.call("PUT", f"{path}/retry", {}).only()["state"] == "waiting"
    assert central.call("GET", path).only()["state"] == "waiting"
    assert central.call("PUT", f"{path}/cancel", {}).status == 200
    assert central.call("GET", path).status == 404
    assert central.call("PUT", f"{path}/cancel", {}).status == 404


def test_the_job_by_which_a_restored_central_hears_of_a_port_is_not_cancelled(
    central: CentralServer,
) -> None:
    """Nobody would report the port: others would wait for it until all sites are compared."""
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    central.clear_journal()
    ours = sa.and_(SITE_MAPPINGS.c.resource_id == port["id"], SITE_MAPPINGS.c.type == "port")
    with central.database(write=True) as connection:
        connection.execute(sa.update(SITE_MAPPINGS).where(ours).values(stale=True))
        keys = [IntentKey(SiteName("site1"), ResourceType.PORT, port["id"])]
        keys += [IntentKey(SiteName("site2"), ResourceType.SHADOW, port["id"])]
        journal.record(connection, keys)
    jobs = central.call("GET", f"/v2.0/site-jobs?resource_id={port['id']}").only()
    cancel = {one["site"]: f"/v2.0/site-jobs/{one['id']}/cancel" for one in jobs}
    refused = central.call("PUT", cancel["site1"], {})
    assert refused.status == 409
    assert "has yet to report port" in refused.text
    assert central.call("PUT", cancel["site2"], {}).status == 200
    with central.database(write=True) as connection:
        connection.execute(sa.update(SITE_MAPPINGS).where(ours).values(stale=False))
    assert central.call("PUT", cancel["site1"], {}).status == 200


def test_a_network_is_extended_ahead_of_use_and_withdrawn(central: CentralServer) -> None:
    net = Stretched(central, present=("site1",))
    network_id = net.network["id"]
    net.must_take(net.port())
    central.clear_journal()
    presence = central.create("site_presence", network_id=network_id, site="site2")
    assert (presence["network_id"], presence["site"]) == (network_id, "site2")
    jobs = central.jobs("site2")
    assert {("network", network_id), ("subnet", net.subnet["id"])} <= jobs
    assert {kind for kind, _ in jobs} == {"security_group", "network", "subnet", "shadow"}
    states = central.desired("site2", *jobs)
    assert None not in states.values()
    central.clear_journal()
    path = f"/v2.0/site-presences/{presence['id']}"
    assert central.call("DELETE", path).status == 204
    assert central.jobs("site2") == {("network", network_id), ("subnet", net.subnet["id"])}
    assert central.call("GET", path).only()["withdrawn"] is True
    wanted = central.desired("site2", *jobs)
    assert wanted[("network", network_id)] is None
    assert wanted[("subnet", net.subnet["id"])] is None
    assert all(state is None for (kind, _), state in wanted.items() if kind == "shadow")
    central.acknowledge_all()
    assert central.call("GET", path).status == 404
    held = central.call("GET", f"/v2.0/site-leases?pool_id={network_id}").only()
    assert [lease["site"] for lease in held] == ["site1"]
    # Where a port lives, it stays.
    (first,) = central.call("GET", f"/v2.0/site-presences?network_id={network_id}").only()
    reply = central.call("DELETE", f"/v2.0/site-presences/{first['id']}")
    assert reply.refusal() == (409, "isthmus.refused.in_use")


def test_mappings_are_found_by_project_site_and_type(central: CentralServer) -> None:
    net = Stretched(central, present=("site1",))
    port = net.port()
    net.must_take(port)
    base = f"/v2.0/site-mappings?project_id={net.project}"
    rows = central.call("GET", base).only()
    assert {row["type"] for row in rows} == {"network", "subnet", "security_group", "port"}
    (row,) = central.call("GET", f"{base}&type=port&site=site1").only()
    assert (row["resource_id"], row["withdrawn"]) == (port["id"], False)
    assert central.call("GET", f"/v2.0/site-mappings/{row['id']}").only() == row
    assert central.call("GET", f"{base}&site=site2").only() == []


def test_presences_of_what_cannot_be(central: CentralServer) -> None:
    network = central.create("network", tenant(uuid.uuid4().hex), name="n")
    for values, status in (
        ({"network_id": network["id"], "site": "nowhere"}, 404),
        ({"network_id": str(uuid.uuid4()), "site": "site1"}, 404),
        ({"network_id": "not-a-uuid", "site": "site1"}, 400),
    ):
        body = {"site_presence": values}
        assert central.call("POST", "/v2.0/site-presences", body).status == status
    tunnelled = central.create("network", ADMIN, **{"router:external": True})
    body = {"site_presence": {"network_id": tunnelled["id"], "site": "site1"}}
    assert central.call("POST", "/v2.0/site-presences", body).status == 501


def test_draining_and_disabled_sites(central: CentralServer) -> None:
    site = central.create("site", **new_site())
    name, path = site["name"], f"/v2.0/sites/{site['id']}"
    net = Stretched(central, present=(name,))
    other = Stretched(central, present=())
    central.call("PUT", path, {"site": {"state": "draining"}}).only()
    again = central.bundle(name, "network", net.network["id"], project=net.project)
    assert again["items"]
    refused = central.bundle(name, "network", other.network["id"], project=other.project)
    assert refused["items"] == []
    assert "draining" in refused["refused"][0]["message"]
    assert central.call("DELETE", path).refusal() == (409, "isthmus.refused.in_use")
    central.call("PUT", path, {"site": {"state": "disabled"}}).only()
    body = {"site_report": {"sequence": 1, "items": []}}
    reply = central.call("POST", "/v2.0/site-reports", body, site_user(name))
    assert reply.refusal() == (503, "isthmus.transient.busy")
    # A disabled site may be forgotten with all that it held.
    assert central.call("DELETE", path).status == 204
    with central.database() as connection:
        for table in (SITE_MAPPINGS, LEASES, LOCATIONS):
            assert connection.execute(sa.select(table).where(table.c.site == name)).all() == []


def test_a_site_is_removed_only_as_it_was_shown(central: CentralServer) -> None:
    site = central.create("site", **new_site())
    name, path = site["name"], f"/v2.0/sites/{site['id']}"
    net = Stretched(central, present=(name,))

    def show() -> dict[str, int]:
        found = central.call("GET", f"{path}?fields=holds").only()
        assert set(found) == {"holds"}
        holds: dict[str, int] = found["holds"]
        return holds

    assert "holds" not in central.call("GET", path).only()
    before = show()
    # It is counted for who may see it, and of one site at a time.
    assert central.call("GET", "/v2.0/sites?fields=holds").status == 400
    assert central.call("GET", "/v2.0/sites?fields=holds", user=net.user).only() == []
    leases = central.call("GET", f"/v2.0/site-leases?site={name}").only()
    sizes = {
        kind: sum(one["size"] for one in leases if one["kind"] == kind)
        for kind in ("subnet", "port_key")
    }
    assert before == {
        "leases": len(leases),
        "addresses": sizes["subnet"],
        "port_keys": sizes["port_key"],
        "ports": 0,
        "networks": 1,
        "networks_only_here": 1,
    }
    remove = f"{path}/remove_site"
    body = {"holds": before}
    assert central.call("PUT", remove, body).refusal() == (409, "isthmus.refused.in_use")
    central.create("site_presence", network_id=net.network["id"], site="site1")
    central.call("PUT", path, {"site": {"state": "disabled"}}).only()
    reply = central.call("PUT", remove, body)
    assert reply.refusal() == (409, "isthmus.refused.conflict")
    assert "0 networks only here" in reply.text
    assert show() == before | {"networks_only_here": 0}
    wrongs: tuple[dict[str, object], ...] = ({}, {"holds": 3}, {"holds": {}})
    for wrong in wrongs:
        assert central.call("PUT", remove, wrong).status in (400, 409)
    assert central.call("PUT", remove, body, READER).status == 403
    assert central.call("PUT", remove, body, net.user).status == 404
    assert central.call("PUT", remove, {"holds": show()}).only()["name"] == name
    assert central.call("GET", path).status == 404
    held = central.call("GET", f"/v2.0/site-leases?site=gone/{site['id']}").only()
    assert {one["id"] for one in held} == {one["id"] for one in leases}


def test_what_is_asked_for_at_once_is_compared_once_and_ends_where_nobody_will(
    central: CentralServer,
) -> None:
    sites = [central.create("site", **new_site()) for _ in range(3)]

    def ask(name: str) -> Reply:
        return central.call("POST", "/v2.0/site-renewals", {"site_renewal": {"site": name}})

    with ThreadPoolExecutor(len(sites) * 4) as pool:
        asked = list(pool.map(ask, [site["name"] for site in sites] * 4))
    waiting = {(one.only()["site"], one.only()["id"]) for one in asked}
    assert len(waiting) == len(sites)
    for site in sites:
        central.call("PUT", f"/v2.0/sites/{site['id']}", {"site": {"state": "disabled"}}).only()
        (row,) = central.call("GET", f"/v2.0/site-renewals?site={site['name']}").only()
        assert (row["state"], row["last_error"]) == ("failed", "the site was disabled")
        assert ask(site["name"]).status == 409
        assert central.call("DELETE", f"/v2.0/sites/{site['id']}").status == 204
    assert ask(sites[0]["name"]).status == 404


def test_a_silent_site_keeps_its_networks(central: CentralServer) -> None:
    site = central.create("site", **new_site())
    net = Stretched(central, present=(site["name"],))
    path = f"/v2.0/networks/{net.network['id']}"
    ever = datetime.datetime(2099, 1, 1)  # noqa: DTZ001
    long_ago = datetime.datetime(2020, 1, 1)  # noqa: DTZ001
    for what in (
        {"reachability": "unreachable", "last_seen_at": ever},
        {"reachability": "reachable", "last_seen_at": ever},  # the clock was set back since
        {"reachability": "reachable", "last_seen_at": long_ago},  # Xjob looks no more
        {"reachability": "reachable", "last_seen_at": None},
        {"reachability": "unknown", "last_seen_at": None},  # nobody has ever looked
    ):
        with central.database(write=True) as connection:
            connection.execute(sa.update(SITES).where(SITES.c.name == site["name"]).values(what))
        (presence,) = central.call(
            "GET", f"/v2.0/site-presences?network_id={net.network['id']}"
        ).only()
        withdrawal = f"/v2.0/site-presences/{presence['id']}"
        for one, user in (
            (path, net.user),
            (f"/v2.0/subnets/{net.subnet['id']}", net.user),
            (withdrawal, ADMIN),
        ):
            reply = central.call("DELETE", one, user=user)
            assert reply.refusal() == (409, "isthmus.refused.in_use"), what
            assert site["name"] in reply.text
    central.hear(site["name"])
    assert central.call("DELETE", path, user=net.user).status == 204


def test_nothing_is_left_of_a_deleted_network(central: CentralServer) -> None:
    net = Stretched(central)
    ports = [net.port() for _ in range(2)]
    central.report("site1", *map(item, ports))
    central.create("port", net.user, network_id=net.network["id"])
    for port in central.call("GET", f"/v2.0/ports?network_id={net.network['id']}").only():
        assert central.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    assert central.call("DELETE", f"/v2.0/networks/{net.network['id']}").status == 204
    held = central.call("GET", f"/v2.0/site-leases?pool_id={net.subnet['id']}").only()
    assert {lease["site"] for lease in held} == {"site1", "site2"}  # until they know
    central.acknowledge_all()
    ids = [net.network["id"], net.subnet["id"], *(port["id"] for port in ports)]
    with central.database() as connection:
        for column in (
            SITE_MAPPINGS.c.resource_id,
            LEASES.c.pool_id,
            DATAPATHS.c.network_id,
            LOCATIONS.c.port_id,
            JOURNAL.c.resource_id,
        ):
            assert connection.execute(sa.select(column).where(column.in_(ids))).all() == []


def test_the_holdings_tell_all_of_a_network(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    path = f"/v2.0/site-holdings?network_id={net.network['id']}"
    # It tells of all tenants, so it is an operator's to read: neither Xjob nor a site needs it.
    for user in (CARRIER, site_user("site1")):
        assert central.call("GET", path, user=user).only() == []
    (found,) = central.call("GET", path, user=READER).only()
    assert found["tier"] == "central"
    assert [one["id"] for one in found["ports"]] == [port["id"]]
    assert [one["chassis"] for one in found["locations"]] == ["chassis-1"]
    assert {one["site"] for one in found["leases"]} == {"site1", "site2"}
    kinds = {one["type"] for one in found["mappings"]}
    assert kinds == {"network", "subnet", "port", "security_group"}  # those that its ports name
    (part,) = central.call("GET", path + "&fields=datapaths").only()
    assert set(part) == {"datapaths"}
