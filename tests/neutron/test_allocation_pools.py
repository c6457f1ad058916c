"""What a nameless port is given: within the pools, and nothing that others take for another's."""

import uuid
from typing import Any

import netaddr
import pytest
import sqlalchemy as sa
from tests.neutron.two_databases import SITE, SUBNET, T0, ZERO, Pair, pair, tiers

from isthmus import errors
from isthmus.model.intent import IntentKey
from isthmus.model.lease import Block
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.neutron.central.leases import pool, spares
from isthmus.neutron.db import leased
from isthmus.neutron.local.ipam import LocalSubnet
from isthmus.store.delivery import journal
from isthmus.store.leases import lease, resting
from isthmus.store.sql.tables import JOURNAL

pytestmark = pytest.mark.neutron

__all__ = ["pair", "tiers"]

AWAY = SiteName("site3")


def give_up(pair: Pair, subnet: str, *numbers: int, unacknowledged: bool = False) -> None:
    """Make as if ports had given numbers up; somebody may have yet to hear of it."""
    with pair.central.engine.begin() as connection:
        for number in numbers:
            port = str(uuid.uuid4())
            resting.record(connection, [(subnet, ZERO + number, port)])
            if unacknowledged:
                journal.record(connection, [IntentKey(AWAY, ResourceType.SHADOW, port)])


def carry(pair: Pair) -> None:
    with pair.central.engine.begin() as connection:
        connection.execute(sa.delete(JOURNAL))


def test_what_was_named_beyond_the_pools_is_given_to_nobody_else(pair: Pair) -> None:
    subnet = pair.subnet(10, 20)
    with pair.central.engine.begin() as connection:
        for number in (1, 250):
            locked = pool.lock_only(connection, SUBNET, subnet)
            pool.lease_address(locked, CENTRAL, ZERO + number)
    give_up(pair, subnet, 1, 250)
    with pair.central.engine.begin() as connection:
        given = spares.take(pool.lock_only(connection, SUBNET, subnet), 5, 8)
    assert [one - ZERO for one in given] == [10, 11, 12, 13, 14]
    # Nobody holds them now; whoever names one may have it.
    assert all(
        last <= 20 and first >= 10 for first, last in pair.central.blocks(subnet, site=CENTRAL)
    )
    with pair.central.engine.begin() as connection:
        locked = pool.lock_only(connection, SUBNET, subnet)
        assert pool.lease_address(locked, SITE, ZERO + 250).site == SITE


def test_what_rested_within_the_pools_is_found_behind_much_beyond_them(pair: Pair) -> None:
    subnet = pair.subnet(1000, 1003)
    with pair.central.engine.begin() as connection:
        lease.insert(connection, SUBNET, subnet, CENTRAL, Block(ZERO + 100, ZERO + 199), now=T0)
        lease.insert(connection, SUBNET, subnet, CENTRAL, Block(ZERO + 1000, ZERO + 1003), now=T0)
    give_up(pair, subnet, *range(100, 200), 1002)
    with pair.central.engine.begin() as connection:
        locked = pool.lock_only(connection, SUBNET, subnet)
        assert [one - ZERO for one in spares.take(locked, 1, 8)] == [1002]


def test_a_site_picks_within_the_pools() -> None:
    subnet: Any = object.__new__(LocalSubnet)
    subnet._cidr = netaddr.IPNetwork("10.0.0.0/24")
    subnet._pools = [netaddr.IPRange("10.0.0.10", "10.0.0.20")]
    blocks = [Block(ZERO + 250, ZERO + 250), Block(ZERO + 8, ZERO + 20)]
    found = subnet._pick(blocks, set(), 11, False)
    assert sorted(found) == sorted(f"10.0.0.{one}" for one in range(10, 21))


def test_a_site_gives_back_what_lies_beyond_the_pools(pair: Pair) -> None:
    subnet = pair.subnet(0, 99)
    pair.lease(subnet, 0, 49)
    pair.lease(subnet, 250, 250)
    pair.lease(subnet, 251, 251)
    pair.site.use(subnet, 251, *range(40))
    pair.central.use(subnet, 251)
    pair.keeper().sweep()
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == [(0, 49), (251, 251)]


@pytest.mark.parametrize("holder", [SITE, CENTRAL])
def test_what_rests_is_leased_to_nobody(pair: Pair, holder: SiteName) -> None:
    """The lease over it is gone, as when the site that had it let go of the network."""
    subnet = pair.subnet(0, 7)
    give_up(pair, subnet, 1, 4, unacknowledged=True)
    give_up(pair, subnet, 6)

    def take_all() -> set[int]:
        for _ in range(8):
            try:
                with pair.central.engine.begin() as connection:
                    locked = pool.lock(connection, SUBNET, subnet)
                    pool.lease_more(locked, holder, 8)
            except (errors.Exhausted, errors.Conflict):
                break
        held = pair.central.blocks(subnet, site=holder)
        return {one for first, last in held for one in range(first, last + 1)}

    assert take_all() == {0, 2, 3, 5, 6, 7}
    carry(pair)
    assert take_all() == set(range(8))


@pytest.mark.parametrize(
    ("address_mode", "ra_mode", "wanted"),
    [
        (None, None, True),
        ("dhcpv6-stateful", "dhcpv6-stateful", True),
        ("slaac", "slaac", False),
        (None, "slaac", False),
        ("slaac", None, False),
        (None, "dhcpv6-stateless", False),
    ],
)
def test_addresses_made_of_macs_need_no_lease(
    pair: Pair, address_mode: str | None, ra_mode: str | None, wanted: bool
) -> None:
    subnet = pair.subnet()
    with pair.central.engine.begin() as connection:
        connection.execute(
            sa.text(
                "UPDATE subnets SET ip_version = 6, ipv6_address_mode = :a, ipv6_ra_mode = :r "
                "WHERE id = :i"
            ),
            {"a": address_mode, "r": ra_mode, "i": subnet},
        )
        assert (subnet in leased.pick_leased(connection, [subnet])) is wanted
