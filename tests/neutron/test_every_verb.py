"""Every resource of ours at both tiers, with every verb: nobody is answered by a 5xx."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Server, User, tenant

from isthmus.neutron.api import attributes

pytestmark = pytest.mark.neutron

#: What a resource has, besides a list and single rows; each other verb is 405 for an administrator.
CHANGED = {
    "sites": {"POST", "PUT", "DELETE"},
    "site_presences": {"POST", "DELETE"},
    "site_renewals": {"POST"},
    "site_bundles": {"POST"},
    "site_lease_requests": {"POST"},
    "site_reports": {"POST"},
    "site_registrations": {"POST"},
    "site_desired_states": {"POST"},
    "site_digests": {"POST"},
    "site_applies": {"POST"},
    "site_comparisons": {"POST"},
}
NOBODY = str(uuid.UUID(int=0))


def requests(plural: str, row: str) -> Iterator[tuple[str, str, Any]]:
    """List the requests: verb, path, body."""
    path = f"/v2.0/{plural.replace('_', '-')}"
    single = "site_apply" if plural == "site_applies" else plural.removesuffix("s")
    body: Any
    yield "GET", path, None
    for body in (None, {}, {single: {}}, {plural: [{}]}):
        yield "POST", path, body
    for one in {row, NOBODY, "new"}:
        yield "GET", f"{path}/{one}", None
        yield "GET", f"{path}/{one}/edit", None
        yield "DELETE", f"{path}/{one}", None
        for body in (None, {}, {single: {}}):
            yield "PUT", f"{path}/{one}", body
        for action in ("nothing", "retry", "release"):
            yield "PUT", f"{path}/{one}/{action}", {}
    for verb in ("PUT", "DELETE", "PATCH", "HEAD"):
        yield verb, path, None


def walk(server: Server, plurals: dict[str, Any], user: User) -> list[tuple[Any, ...]]:
    """Make each request, and return what was answered."""
    found = []
    for plural in plurals:
        path = f"/v2.0/{plural.replace('_', '-')}"
        listed = server.call("GET", path)
        rows = listed.only() if listed.status == 200 else []
        row = str(rows[0]["id"]) if rows and "id" in rows[0] else NOBODY
        for verb, where, body in requests(plural, row):
            if plural == "sites" and (verb, where) == ("DELETE", f"{path}/{row}"):
                continue  # the walk needs it
            reply = server.call(verb, where, body, user)
            found.append((plural, verb, where, body, reply.status))
    return found


def check(server: Server, plurals: dict[str, Any]) -> None:
    """Walk the resources as an administrator and as somebody."""
    by_admin = walk(server, plurals, ADMIN)
    assert [one for one in by_admin if one[-1] >= 500] == []
    for plural in plurals:
        path = f"/v2.0/{plural.replace('_', '-')}"
        for verb, where in (
            ("POST", path),
            ("PUT", f"{path}/{NOBODY}"),
            ("DELETE", f"{path}/{NOBODY}"),
        ):
            if verb not in CHANGED.get(plural, set()):
                said = {one[-1] for one in by_admin if one[1:3] == (verb, where)}
                assert said == {405}, (verb, where, said)
    by_somebody = walk(server, plurals, tenant("walkers"))
    assert [one for one in by_somebody if one[-1] >= 500] == []
    # What nobody but an operator has is not there; a list is empty.
    done = [one for one in by_somebody if one[-1] < 300]
    assert {one[1] for one in done} <= {"GET"}, done
    for plural, verb, where, body, status in by_somebody:
        if verb not in {"POST", "PUT", "DELETE"} - CHANGED.get(plural, set()):
            continue
        # No verb is ever found on the path of a list but POST.
        of_list = verb != "POST" and where == f"/v2.0/{plural.replace('_', '-')}"
        expected = {403, 404, 405} if of_list else {403, 404}
        assert status in expected, (verb, where, body, status)


def test_at_central(central: CentralServer) -> None:
    network = central.create("network", name="walked")["id"]
    central.create("subnet", network_id=network, ip_version=4, cidr="10.79.0.0/24")
    central.create("site_presence", network_id=network, site="site1")
    check(central, attributes.CENTRAL)


def test_at_a_site(site1: LocalServer) -> None:
    check(site1, attributes.LOCAL)
