"""A site that asks too often is told to wait; others are not, nor is another kind of call of it."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.server import Reply, site_user

from isthmus import errors
from isthmus.model.site import SiteName
from isthmus.neutron.central.site_api.belief.rate import Rate

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]

AT_ONCE = 5


@pytest.fixture(scope="module")
def strict(neutron_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A central that answers five calls, and then one in a thousand seconds."""
    limits = {"site_calls_per_s": 0.001, "site_calls_at_once": AT_ONCE}
    server = CentralServer(
        tmp_path_factory.mktemp("strict"), neutron_template, extra={"isthmus": limits}
    )
    server.start(ASGI_WORKERS="1")
    try:
        server.make_sites()
        yield server
    finally:
        server.kill()


def bundle(central: CentralServer, site: str) -> Reply:
    return central.try_bundle(site, "network", str(uuid.uuid4()), project="p")


def look(central: CentralServer, site: str) -> Reply:
    """Ask for the site itself, by no person's word."""
    return central.try_bundle(site, "port", str(uuid.uuid4()), project=None, show_only=True)


def lease_request(central: CentralServer, site: str) -> Reply:
    return central.lease_request(site, kind="subnet", pool_id=str(uuid.uuid4()), count=1)


def report(central: CentralServer, site: str) -> Reply:
    body = {"site_report": {"sequence": 1, "items": []}}
    return central.call("POST", "/v2.0/site-reports", body, site_user(site))


def register(central: CentralServer, site: str) -> Reply:
    body = {"site_registration": {"epoch": 1}}
    return central.call("POST", "/v2.0/site-registrations", body, site_user(site))


@pytest.mark.parametrize(
    "ask",
    [
        register,
        *(pytest.param(one, marks=pytest.mark.stress) for one in (bundle, lease_request, report)),
    ],
)
def test_one_call_too_many(
    strict: CentralServer, ask: Callable[[CentralServer, str], Reply]
) -> None:
    for _ in range(AT_ONCE):
        assert ask(strict, "site1").status != 503
    refused = ask(strict, "site1")
    assert refused.refusal() == (503, errors.Busy.code)
    assert "site1" in refused.text
    assert ask(strict, "site2").status != 503, "that was another one"


@pytest.mark.stress
def test_who_looks_counts_as_well(strict: CentralServer) -> None:
    while look(strict, "site1").status != 503:
        pass
    assert bundle(strict, "site1").status == 503


def test_what_was_used_comes_back_with_time() -> None:
    now = [0.0]
    rate = Rate(per_s=2.0, burst=3, clock=lambda: now[0])
    one, two = SiteName("one"), SiteName("two")
    for _ in range(3):
        rate.count(one)
    with pytest.raises(errors.Busy):
        rate.count(one)
    rate.count(two)
    now[0] = 0.5
    rate.count(one)
    with pytest.raises(errors.Busy):
        rate.count(one)
    now[0] = 1000.0
    for _ in range(3):
        rate.count(one)
    with pytest.raises(errors.Busy):
        rate.count(one)
