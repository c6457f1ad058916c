"""A port that moves takes its address along: its old home must not give the address out again."""

import uuid
from collections.abc import Collection
from types import SimpleNamespace
from typing import cast

import pytest
import sqlalchemy as sa
from tests.neutron.two_databases import CENTRAL, SITE, SUBNET, ZERO, Pair, pair, tiers

from isthmus.federation.leases.lease import MOST_RETURNS
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central.leases import at_rest, pool, spares
from isthmus.neutron.local.lease.addresses import Addresses
from isthmus.neutron.local.owned.ownership_cache import OwnershipCache
from isthmus.store.delivery import journal
from isthmus.store.leases import resting
from isthmus.store.leases.lease import to_text
from isthmus.store.ports import port_key
from isthmus.store.sql.tables import LOCATIONS, NAMED_NUMBERS

pytestmark = pytest.mark.neutron

SUBNETS = sa.table("subnets", sa.column("id"), sa.column("network_id"))

__all__ = ["pair", "tiers"]


def free_at_site(pair: Pair, subnet: str) -> set[int]:
    """List what the site may give out."""
    held = {number for a, b in pair.site.blocks(subnet) for number in range(a, b + 1)}
    return held - pair.site.rests(subnet)


def full(pair: Pair, *more: int) -> str:
    """Make a subnet of which the site has ten addresses, the most of them in use."""
    subnet = pair.subnet()
    pair.lease(subnet, 0, 9)
    for tier in (pair.site, pair.central):
        tier.use(subnet, 0, 1, 2, 5, 6, 8, 9, *more)
    return subnet


def of_ten(blocks: Collection[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what of blocks lies in the ten addresses; a site that runs low gets more."""
    return [(first, min(last, 9)) for first, last in blocks if first <= 9]


def both(pair: Pair, subnet: str) -> list[tuple[int, int]]:
    """List what of the ten addresses the site has, by both tiers' word."""
    own, theirs = of_ten(pair.site.blocks(subnet)), of_ten(pair.central.blocks(subnet))
    assert own == theirs
    return own


def move(pair: Pair, subnet: str, *numbers: int, home: str | None = "site2") -> str:
    """Move a port away that was born at the site, with addresses of the site's lease."""
    port = str(uuid.uuid4())
    for number in numbers:
        pair.central.have(subnet, number, port, home=home)
    pair.site.rest(subnet, *((number, port) for number in numbers))
    return port


def spare_at_central(pair: Pair, subnet: str) -> list[int]:
    """List the addresses that central gives out next, without giving them out."""
    with pair.central.engine.begin() as connection:
        locked = pool.lock_only(connection, SUBNET, subnet)
        found = spares.take(locked, 1, 1)
        connection.rollback()
    return [number - ZERO for number in found]


@pytest.mark.parametrize("home", ["site2", None], ids=["moved", "on its way"])
def test_an_address_that_a_port_took_along_becomes_centrals(pair: Pair, home: str | None) -> None:
    subnet = full(pair)
    port = move(pair, subnet, 3, 4, 7, home=home)
    keeper = pair.keeper()
    keeper.sweep()
    left = [(0, 2), (5, 6), (8, 9)]
    assert both(pair, subnet) == left
    assert of_ten(pair.central.blocks(subnet, site=CENTRAL)) == [(3, 4), (7, 7)]
    assert not pair.site.rests(subnet), "nothing is left to ask"
    # The port has released one at its new home, of which not every site has heard, and then has.
    pair.central.let_go(4)
    pair.central.rest(subnet, (4, port))
    with pair.central.engine.begin() as connection:
        journal.record(connection, [IntentKey(SiteName("x"), ResourceType.SHADOW, port)])
    keeper.sweep()
    assert both(pair, subnet) == left
    with pair.central.engine.begin() as connection:
        journal.delete(connection, IntentKey(SiteName("x"), ResourceType.SHADOW, port))
    assert spare_at_central(pair, subnet) == [4]


def test_whatever_call_or_answer_is_lost_it_is_given_out_by_nobody(pair: Pair) -> None:
    subnet = full(pair, 3, 7)
    move(pair, subnet, 4)
    for _ in range(4):
        pair.link.lost = 1
        pair.keeper().sweep()
        assert 4 not in free_at_site(pair, subnet)
        pair.assert_agreed(subnet)
    for body in [one for one in pair.link.bodies if one["give_back"]]:
        pair.link.send(body)
    pair.keeper().sweep()
    assert both(pair, subnet) == [(0, 3), (5, 9)]
    assert of_ten(pair.central.blocks(subnet, site=CENTRAL)) == [(4, 4)]


def test_a_port_that_is_back_before_its_address_was_returned_may_move_again(pair: Pair) -> None:
    subnet = full(pair, 3, 7)
    port = move(pair, subnet, 4)
    keeper = pair.keeper()
    keeper.end_rest(SUBNET, subnet)
    assert of_ten(pair.site.blocks(subnet)) == [(0, 3), (5, 9)]
    # It comes home before central has heard of that, and so central grants the address again.
    pair.central.set_home(port, SITE)
    pair.site.use(subnet, 4)
    pair.link.lost = 9
    keeper.sweep()
    pair.link.lost = 0
    assert of_ten(pair.central.blocks(subnet)) == [(0, 9)]
    assert of_ten(pair.site.blocks(subnet)) == [(0, 3), (5, 9)], "the answer was lost"
    # It goes again before the site has heard of that.
    pair.site.free(4)
    pair.site.rest(subnet, (4, port))
    for home, leaving in ((SITE, True), (None, False), ("site2", False), ("site2", False)):
        pair.central.set_home(port, home, leaving=leaving)
        keeper.sweep()
        assert 4 not in free_at_site(pair, subnet)
        pair.assert_agreed(subnet)
    assert both(pair, subnet) == [(0, 3), (5, 9)]
    assert of_ten(pair.central.blocks(subnet, site=CENTRAL)) == [(4, 4)]


def test_what_is_asked_while_the_port_comes_back_is_kept(pair: Pair) -> None:
    """The answer says that the port is elsewhere, but by then it is here."""
    subnet = full(pair, 3, 7)
    move(pair, subnet, 4)
    send = pair.link.send

    def late(body: dict[str, object]) -> object:
        answer = send(body)
        pair.site.use(subnet, 4)
        with pair.site.engine.begin() as connection:  # as the address is taken by its port
            resting.delete(connection, subnet, [ZERO + 4])
        return answer

    pair.link.send = late  # type: ignore[method-assign, assignment]
    pair.keeper().end_rest(SUBNET, subnet)
    assert pair.site.blocks(subnet) == [(0, 9)]


def test_an_address_rests_while_central_keeps_it_for_a_port_it_has_to_learn(pair: Pair) -> None:
    subnet = full(pair)
    pair.site.rest(subnet, (3, str(uuid.uuid4())), (4, str(uuid.uuid4())))
    with pair.central.engine.begin() as connection:
        connection.execute(
            sa.insert(NAMED_NUMBERS).values(
                site="site2",
                kind="subnet",
                pool_id=subnet,
                number=to_text(ZERO + 4),
                port_id=str(uuid.uuid4()),
                word="has",
                home="site2",
                decided=True,
            )
        )
    pair.keeper().sweep()
    assert pair.site.rests(subnet) == {4}


def test_of_a_returned_block_only_what_the_site_itself_uses_is_granted_again(pair: Pair) -> None:
    """As a site does that was restored and does not know what it gave to ports that moved."""
    subnet = pair.subnet()
    pair.lease(subnet, 0, 9)
    pair.lease(subnet, 64, 127)
    pair.lease(subnet, 128, 191)
    pair.central.have(subnet, 70, str(uuid.uuid4()), home="site2")
    pair.central.have(subnet, 130, str(uuid.uuid4()), home="site2")
    pair.central.have(subnet, 140, str(uuid.uuid4()), home=SITE)
    pair.keeper().sweep()
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet)
    assert pair.site.blocks(subnet) == [(0, 9), (128, 129), (131, 191)]
    assert pair.central.blocks(subnet, site=CENTRAL) == [(70, 70), (130, 130)]


def test_a_site_that_registers_is_told_what_its_ports_took_along(pair: Pair) -> None:
    subnet, other = pair.subnet(), pair.subnet()
    here, there, nowhere = (str(uuid.uuid4()) for _ in range(3))
    pair.central.have(subnet, 1, here, home=SITE)
    pair.central.have(subnet, 2, there, home="site2")
    pair.central.have(other, 3, nowhere, home=None)
    with pair.central.engine.begin() as connection:
        found = at_rest.list_elsewhere(connection, SITE, [subnet, other])
    assert sorted(found) == sorted([(subnet, ZERO + 2, there), (other, ZERO + 3, nowhere)])


def test_more_addresses_at_rest_than_one_question_may_name(pair: Pair) -> None:
    subnet = pair.subnet()
    pair.lease(subnet, 0, 511)
    first = [(number, str(uuid.uuid4())) for number in range(MOST_RETURNS + 6)]
    last = [(number, str(uuid.uuid4())) for number in range(300, 310)]
    pair.site.rest(subnet, *first, *last)
    with pair.central.engine.begin() as connection:  # of the first ones somebody has yet to hear
        journal.record(
            connection, [IntentKey(SITE, ResourceType.SHADOW, port) for _, port in first]
        )
    pair.keeper().sweep()
    assert pair.site.rests(subnet) == {number for number, _ in first}
    one_question = pair.keeper()
    one_question.end_rest(SUBNET, subnet)
    pair.site.rest(subnet, *last)
    one_question.end_rest(SUBNET, subnet)
    assert pair.site.rests(subnet) == {number for number, _ in first}


def test_a_port_key_rests_while_central_knows_a_port_with_it(pair: Pair) -> None:
    network, keys = _network_with_keys(pair, 3)
    with pair.central.engine.begin() as connection:
        connection.execute(
            sa.insert(LOCATIONS).values(
                port_id=str(uuid.uuid4()),
                network_id=network,
                site="site2",
                chassis="c",
                hostname="h",
                encap_ip="192.0.2.1",
                port_key=keys[0],
            )
        )
    pair.keeper().sweep()
    with pair.site.engine.connect() as connection:
        resting_keys = [key for key, _ in port_key.list_resting(connection, network, 9)]
    assert resting_keys == [keys[0]]


def _network_with_keys(pair: Pair, count: int) -> tuple[str, list[int]]:
    """Make a network whose first keys rest at the site."""
    network = _network_of(pair, pair.subnet())
    with pair.site.engine.begin() as connection:
        for key in range(1, count + 1):
            port_id = str(uuid.uuid4())
            port_key.insert(connection, port_id, network, key)
            port_key.free(connection, [port_id])
    return network, list(range(1, count + 1))


def _network_of(pair: Pair, subnet: str) -> str:
    query = sa.select(SUBNETS.c.network_id).where(SUBNETS.c.id == subnet)
    with pair.site.engine.connect() as connection:
        return str(connection.scalar(query))


def test_only_subnets_with_too_few_addresses_are_refilled(pair: Pair) -> None:
    """Whether they lack addresses, or an address turned out not to be free any more."""
    empty, other = pair.subnet(), pair.subnet()
    pair.lease(other, 0, 9)
    networks = [_network_of(pair, one) for one in (empty, other)]
    owned = cast("OwnershipCache", SimpleNamespace(is_stretched=lambda *_: True))
    Addresses(SITE, owned, pair.keeper()).refill(networks, 2)
    assert [one["pool_id"] for one in pair.link.bodies] == [empty]
    pair.site.rest(other, *((number, str(uuid.uuid4())) for number in range(9)))
    with pair.site.engine.connect() as connection:
        assert resting.find_resting(connection, other, [ZERO + 8, ZERO + 9]) == {ZERO + 8}
    Addresses(SITE, owned, pair.keeper()).refill(networks[1:], 2)
    assert pair.link.bodies[-1]["pool_id"] == other
