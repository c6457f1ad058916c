"""Leases that are not a site's own: the audit's remedy, run as printed, heals what it found."""

import json
import re
import subprocess
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.front import isthmus
from tests.neutron.server import READER
from tests.neutron.test_renewal import Things, pair, things
from tests.neutron.test_xjob_real import Cloud, cloud, xjob

from isthmus.store.leases.lease import to_text
from isthmus.store.sql.tables import LEASES, REGISTRATIONS
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.ovn, pytest.mark.timeout(600)]

__all__ = ["cloud", "pair", "things", "xjob"]

Start = Callable[..., subprocess.Popen[bytes]]


def find(cloud: Cloud, code: str) -> list[Any]:
    ran = isthmus(cloud.person, "audit", "-o", "json", code=1)  # there is no site2
    return [one for one in json.loads(ran.stdout) if one["code"] == code]


def follow(cloud: Cloud, finding: Any) -> None:
    """Run the first command of a remedy, as it is printed."""
    command = re.findall("`isthmus ([^`]+)`", finding["remedy"])[0]
    isthmus(cloud.person, *command.split(), says="is told what is its own")


def leases_of(cloud: Cloud, things: Things) -> dict[str, tuple[int, int]]:
    """Give the site's leases of the addresses."""
    query = sa.select(LEASES).where(LEASES.c.pool_id == things.subnet)
    with cloud.site.database() as connection:
        return {one.id: (int(one.first), int(one.last)) for one in connection.execute(query)}


def test_a_lease_that_central_does_not_know_is_given_back(
    things: Things, cloud: Cloud, xjob: Start
) -> None:
    xjob()
    before = leases_of(cloud, things)
    stray = str(uuid.uuid4())
    with cloud.site.database(write=True) as connection:
        row = connection.execute(sa.select(LEASES).where(LEASES.c.pool_id == things.subnet)).first()
        assert row is not None
        ends = {name: to_text(int(row.last) + far) for name, far in (("first", 9), ("last", 11))}
        connection.execute(sa.insert(LEASES).values({**row._mapping, "id": stray, **ends}))
    (found,) = find(cloud, "lease.unknown")
    assert (found["name"], found["place"]) == (stray, "site1")
    assert re.search(r"subnet \S+ [\d.]+\.\.[\d.]+ of site1", found["evidence"])
    follow(cloud, found)
    until(lambda: leases_of(cloud, things) == before, what="it is given back", timeout_s=120)
    assert find(cloud, "lease.unknown") == []


def test_a_lease_that_is_larger_than_at_central_is_narrowed(
    things: Things, cloud: Cloud, xjob: Start
) -> None:
    xjob()
    before = leases_of(cloud, things)
    (lease, (_, last)), *_ = before.items()
    with cloud.site.database(write=True) as connection:
        change = sa.update(LEASES).where(LEASES.c.id == lease).values(last=to_text(last + 5))
        connection.execute(change)
    (found,) = find(cloud, "lease.larger")
    assert found["name"] == lease
    follow(cloud, found)
    until(lambda: leases_of(cloud, things) == before, what="it is narrowed", timeout_s=120)
    assert find(cloud, "lease.larger") == []


def test_a_lease_of_the_site_stays_its_own(things: Things, cloud: Cloud, xjob: Start) -> None:
    before = leases_of(cloud, things)
    assert before
    for lease in before:
        isthmus(cloud.person, "lease", "return", "site1", lease)
    assert {("lease", one) for one in before} <= cloud.central.jobs("site1")
    xjob()
    until(lambda: not cloud.central.jobs("site1"), what="it is delivered", timeout_s=120)
    assert leases_of(cloud, things) == before


def test_who_may_have_it_given_back_and_when(cloud: Cloud) -> None:
    lease = str(uuid.uuid4())
    run = ("lease", "return")
    isthmus(cloud.person, *run, "siet1", lease, code=2, says="did you mean site1")
    isthmus(cloud.person, *run, "site1", "l1", code=2, says="is no id of a lease")
    isthmus(cloud.person, *run, "site1", lease, "--os-cloud", "watcher", code=2, says="403")
    (site,) = cloud.central.call("GET", "/v2.0/sites?name=site1").only()
    path = f"/v2.0/sites/{site['id']}/return_lease"
    assert cloud.central.call("PUT", path, {"lease_id": 3}).status == 400
    assert cloud.central.call("PUT", path, {"lease_id": lease}, READER).status == 403
    # A site that has no process: one that runs would register again before the command comes.
    isthmus(cloud.person, "site", "create", "site9")
    owing = {"site": "site9", "registration": "r9", "epoch": 1, "waits": False, "owes": True}
    with cloud.central.database(write=True) as connection:
        connection.execute(sa.insert(REGISTRATIONS).values(owing))
    says = "decided when all that central waits for have registered"
    isthmus(cloud.person, "lease", "return", "site9", lease, code=3, says=says)
    isthmus(cloud.person, "site", "delete", "site9", "--yes")
    isthmus(cloud.person, "site", "disable", "site1")
    try:
        isthmus(cloud.person, *run, "site1", lease, code=2, says="enable it first")
    finally:
        isthmus(cloud.person, "site", "enable", "site1")
    assert cloud.central.jobs("site1") == set()
