"""The operators' commands against a real central Neutron, and what only it can refuse."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.front import Front, isthmus
from tests.neutron.outside import make_outside, set_gateway
from tests.neutron.server import ADMIN
from tests.neutron.test_routers import join

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal
from isthmus.testing.cloud import running

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(300)]


@pytest.fixture
def environment(central: CentralServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    with running(Front(central=central.call, site1=central.call, site2=central.call)) as front:
        yield front.write_clouds(tmp_path)


def data(environment: dict[str, str], *arguments: str) -> Any:
    return json.loads(isthmus(environment, *arguments, "-o", "json").stdout)


def test_the_life_of_a_site(environment: dict[str, str]) -> None:
    made = data(environment, "site", "create", "site9", "--zone", "z9", "--description", "x")
    assert (made["region"], made["service_user"]) == ("site9", "default/isthmus-site9")
    isthmus(environment, "site", "create", "site9", code=2, says="site9.* already")
    assert data(environment, "site", "show", "site9")["availability_zones"] == ["z9"]
    assert data(environment, "site", "show", made["id"])["name"] == "site9"
    assert data(environment, "site", "drain", "site9")["state"] == "draining"
    found = data(environment, "site", "list", "--state", "draining")
    assert [row["name"] for row in found] == ["site9"]
    assert data(environment, "site", "update", "site9", "--zone", "a", "--zone", "b")[
        "availability_zones"
    ] == ["a", "b"]
    isthmus(environment, "site", "create", "central", code=2, says="no site can be called")
    isthmus(environment, "site", "delete", "site9")
    isthmus(environment, "site", "show", "site9", code=2, says="error: ")


def test_networks_jobs_leases_and_status(
    environment: dict[str, str], central: CentralServer
) -> None:
    network = central.create("network", name="cli-net")["id"]
    subnet = central.create(
        "subnet", network_id=network, ip_version=4, cidr="10.77.0.0/24", name="cli-sub"
    )["id"]
    (made,) = data(environment, "network", "extend", "cli-net", "site1")
    assert (made["network_id"], made["site"]) == (network, "site1")
    shown = data(environment, "network", "show", "cli-net")
    assert shown["sites"] == ["site1"]
    assert shown["subnets"] == [subnet]
    assert shown["datapath_key"] >= 16711681
    leases = data(environment, "lease", "list", "--pool", "cli-sub", "--site", "site1")
    assert leases
    assert all(row["pool_id"] == subnet for row in leases)
    assert "10.77.0." in isthmus(environment, "lease", "list", "--pool", "cli-sub").stdout

    jobs = data(environment, "job", "list", "--resource", network, "--site", "site1")
    (job,) = jobs
    assert (job["type"], job["state"]) == ("network", "waiting")
    assert data(environment, "job", "show", job["id"])["resource_id"] == network
    assert data(environment, "job", "list", "--resource", network, "--older-than", "1d") == []
    shown = isthmus(
        environment, "status", "-o", "json", code=1
    )  # no site has been tried: there is no Xjob
    rows = {row["name"]: row for row in json.loads(shown.stdout)}
    assert rows["site1"]["backlog"] >= 1
    assert rows["site1"]["oldest"] >= 0
    isthmus(environment, "job", "retry", job["id"], says="1 job is due")
    isthmus(environment, "job", "cancel", "--resource", network, "--yes", says="1 job is dropped")
    assert data(environment, "job", "list", "--resource", network) == []

    isthmus(environment, "network", "withdraw", "cli-net", "site1")
    (row,) = data(environment, "network", "list", "--network", network)
    assert row["withdrawn"]
    isthmus(environment, "network", "extend", "cli-net", "siet1", code=2, says="did you mean site1")


def test_the_ways_out_of_a_router(environment: dict[str, str], central: CentralServer) -> None:
    outside, subnet = make_outside(central, 2)
    network = central.create("network", name="cli-inside")
    inside = central.create("subnet", network_id=network["id"], ip_version=4, cidr="10.78.0.0/24")
    router = central.create("router", name="cli-router")
    assert join(central, router, ADMIN, subnet_id=inside["id"]).status == 200
    isthmus(environment, "router", "show", "cli-router", says="at no site")
    isthmus(environment, "network", "extend", "cli-inside", "site1")
    assert set_gateway(central, router, ADMIN, outside).status == 200
    port = central.create("port", network_id=network["id"])
    central.create("floatingip", floating_network_id=outside["id"], port_id=port["id"])
    shown = isthmus(environment, "router", "show", "cli-router").stdout
    assert "over site2, to 100.64.0." in shown
    assert f"here, to {subnet['gateway_ip']}" in shown
    assert port["fixed_ips"][0]["ip_address"] in shown
    whole = data(environment, "router", "show", router["id"])
    assert [one["exits"]["4"]["way"] for one in whole["sites"]] == ["transit", "local"]
    (row,) = data(environment, "router", "list", "--site", "site2")
    assert (row["name"], row["sites"], row["exits"]) == (
        "cli-router",
        ["site1", "site2"],
        ["site2"],
    )
    assert (row["floating_ips"], row["idle"]) == (1, 0)
    isthmus(environment, "router", "show", "cli-ruoter", code=2, says="did you mean cli-router")
    says = "no site 'siet2'; did you mean site2"
    isthmus(environment, "router", "list", "--site", "siet2", code=2, says=says)


def test_a_site_that_holds_something_goes_as_it_was_shown(
    environment: dict[str, str], central: CentralServer
) -> None:
    made = data(environment, "site", "create", "site7")
    network = central.create("network", name="cli-seven")["id"]
    central.create("subnet", network_id=network, ip_version=4, cidr="10.79.0.0/24")
    data(environment, "network", "extend", "cli-seven", "site7")
    says = "site7 is enabled and holds 1 network, 0 ports, .* addresses.*site disable site7"
    remove = ("site", "delete", "site7", "--yes", "--confirm", "site7")
    isthmus(environment, *remove, code=2, says=says)
    data(environment, "site", "disable", "site7")
    isthmus(environment, *remove[:3], code=2, says="--yes --confirm site7")
    ran = isthmus(environment, *remove, "-o", "json", says="site7 is gone")
    shown = json.loads(ran.stdout)
    (gone,) = data(environment, "gone", "list")
    assert gone["incarnation"] == f"gone/{made['id']}"
    assert {word: shown[word] for word in ("leases", "addresses", "port_keys", "ports")} == {
        word: gone[word] for word in ("leases", "addresses", "port_keys", "ports")
    }
    assert shown["networks_only_here"] == 1
    isthmus(environment, "gone", "free", gone["incarnation"], "--yes")


def test_long_lists_come_page_by_page(environment: dict[str, str], central: CentralServer) -> None:
    keys = [IntentKey(SiteName("site2"), ResourceType.SHADOW, f"s{n:05}") for n in range(1203)]
    with central.database(write=True) as connection:
        journal.record(connection, keys)
    found = data(environment, "job", "list", "--site", "site2", "--type", "shadow")
    assert {row["resource_id"] for row in found} == {key.id for key in keys}
    some = data(environment, "job", "list", "--site", "site2", "--type", "shadow", "--limit", "7")
    assert len(some) == 7
    rest = data(
        environment, "job", "list", "--site", "site2", "--type", "shadow",
        "--marker", some[-1]["id"],
    )  # fmt: skip
    assert len(rest) == 1203 - 7
    central.clear_journal()


def test_a_reader_reads_and_changes_nothing(environment: dict[str, str]) -> None:
    watcher = {**environment, "OS_CLOUD": "watcher"}
    assert data(watcher, "site", "list")
    isthmus(watcher, "site", "drain", "site1", code=2, says="(403|policy|disallowed)")
    isthmus(watcher, "site", "create", "site8", code=2, says="(403|policy|disallowed)")


def test_events_are_listed_as_they_are_asked_for(environment: dict[str, str]) -> None:
    isthmus(environment, "site", "create", "told-site", "--zone", "told-zone")
    isthmus(environment, "site", "drain", "told-site")
    found = data(environment, "event", "list", "--site", "told-site")
    assert [row["what"] for row in found] == ["site.changed", "site.created"]
    assert all(row["who"] and row["created_at"] for row in found)
    for words, whats in (
        (["--what", "site.created"], ["site.created"]),
        (["--what", "job"], []),
        (["--since", "1h"], ["site.changed", "site.created"]),
        (["--until", "1h"], []),
        (["--until", "2020-01-01T00:00"], []),
        (["--since", "2020-01-01T00:00"], ["site.changed", "site.created"]),
        (["--who", "nobody"], []),
    ):
        rows = data(environment, "event", "list", "--site", "told-site", *words)
        assert [row["what"] for row in rows] == whats, words
    newest = isthmus(environment, "event", "list", "--site", "told-site", "--limit", "1")
    assert "state from enabled to draining" in newest.stdout
    assert "the newest 1; see --limit" in newest.stderr
    assert "ago" in newest.stdout
    isthmus(environment, "event", "list", "--site", "sit", code=2, says="no site 'sit'")
    isthmus(environment, "event", "list", "--what", "jobs", code=2, says="nothing that events")
    isthmus(environment, "event", "list", "--since", "noon", code=2, says="'noon' is no time")
