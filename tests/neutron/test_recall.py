"""A recall whose answer never comes keeps nothing else away."""

import pytest
import sqlalchemy as sa
from neutron_lib import context as n_context
from tests.neutron.two_databases import SITE, SUBNET, ZERO, Pair, pair, tiers

from isthmus import errors
from isthmus.model.intent import IntentKey
from isthmus.model.lease import Block, LeaseId
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central import silence
from isthmus.neutron.central.leases import pool, recall
from isthmus.store.leases import lease
from isthmus.store.leases import recall as store
from isthmus.store.sql.tables import JOURNAL
from isthmus.store.tiers import forget

pytestmark = pytest.mark.neutron

__all__ = ["pair", "tiers"]

OTHER = SiteName("site2")


@pytest.fixture
def able(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> set[SiteName]:
    """Give the sites that can answer, as the test would have it."""
    sites = {SITE}
    monkeypatch.setattr(silence, "list_able", lambda _connection: sites)
    monkeypatch.setattr(n_context, "get_admin_context", lambda: None)
    for name in ("reading", "writing"):
        monkeypatch.setattr(recall, name, lambda _context: pair.central.engine.begin())
    return sites


def jobs(pair: Pair) -> set[str]:
    with pair.central.engine.connect() as connection:
        return set(connection.scalars(sa.select(JOURNAL.c.resource_id)))


def carry(pair: Pair) -> None:
    """Make as if sites had taken what they were to hear."""
    with pair.central.engine.begin() as connection:
        connection.execute(sa.delete(JOURNAL))


def test_what_a_site_heard_and_forgot_it_is_asked_again(pair: Pair, able: set[SiteName]) -> None:
    subnet = pair.subnet()
    lease_id = pair.lease(subnet, 0, 63)
    assert recall.ask_idle(subnet)
    assert jobs(pair) == {lease_id}
    carry(pair)
    assert recall.ask_idle(subnet)
    assert jobs(pair) == {lease_id}
    (row,) = pair.central.recalls()
    assert row.wanted == 32


def test_a_silent_site_keeps_no_other_from_being_asked(pair: Pair, able: set[SiteName]) -> None:
    subnet = pair.subnet()
    theirs = pair.lease(subnet, 0, 63, site=OTHER)
    able |= {OTHER}
    assert recall.ask_idle(subnet)
    carry(pair)
    able.remove(OTHER)
    assert not recall.ask_idle(subnet)  # nobody can answer, so nobody is waited for
    recall.wait([subnet], 10**6)
    ours = pair.lease(subnet, 64, 127)
    assert recall.ask_idle(subnet)
    assert jobs(pair) == {ours}
    assert {row.lease_id for row in pair.central.recalls()} == {ours, theirs}


def test_an_address_of_a_silent_site_is_refused_for_good(pair: Pair, able: set[SiteName]) -> None:
    subnet = pair.subnet()
    pair.lease(subnet, 0, 63)
    assert recall.ask(subnet, [Block(ZERO + 5, ZERO + 5)])
    for sites, number, error in (
        ({SITE}, 5, errors.Busy),
        ({SITE}, 6, errors.Conflict),  # of which nothing was asked
        (set(), 5, errors.Conflict),
    ):
        able.clear()
        able.update(sites)
        with pair.central.engine.begin() as connection, pytest.raises(error):
            pool.lease_address(
                pool.lock_only(connection, SUBNET, subnet), SiteName("central"), ZERO + number
            )


@pytest.mark.parametrize("how", ["freed", "withdrawn", "gone", "unheard", "site"])
def test_a_recall_goes_with_its_lease_and_its_site(
    pair: Pair, able: set[SiteName], how: str
) -> None:
    subnet = pair.subnet()
    lease_id = LeaseId(pair.lease(subnet, 0, 63))
    assert recall.ask_idle(subnet)
    with pair.central.engine.begin() as connection:
        assert store.list_in(connection, subnet)
        if how == "freed":
            lease.delete(connection, [lease_id])
        elif how == "withdrawn":
            forget.forget_objects(connection, [IntentKey(SITE, ResourceType.SUBNET, subnet)])
        elif how == "gone":
            lease.delete_unheld(connection, SUBNET, subnet, set())
        elif how == "unheard":
            forget.forget_objects(connection, [IntentKey(SITE, ResourceType.LEASE, lease_id)])
        else:
            forget.forget_site(connection, SITE, welcome=lambda *_: None)
        assert not store.list_in(connection, subnet)
