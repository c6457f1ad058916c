"""Numbers that a site gives back: once, however often and however late it is said."""

import contextlib
from datetime import timedelta

import pytest
import sqlalchemy as sa
from tests.neutron.two_databases import SITE, SUBNET, T0, ZERO, Pair, pair, tiers, to_text

from isthmus import errors
from isthmus.model.lease import Block, Lease, LeaseId, PoolKind
from isthmus.neutron.local.lease.keeper import REST_S
from isthmus.store.leases import lease, recall
from isthmus.store.local import lease as site_lease
from isthmus.store.sql.engine import writing
from isthmus.store.sql.tables import RETURNS
from isthmus.store.tiers import epoch

pytestmark = pytest.mark.neutron

__all__ = ["pair", "tiers"]

#: What a site keeps in reserve, below what a test is about.
RESERVE = (0, 9)


@pytest.mark.parametrize("used", [range(10), range(64, 101)], ids=["beside-it", "of-it"])
def test_a_lost_answer_takes_nothing_out_of_a_new_lease(
    pair: Pair, used: range, caplog: pytest.LogCaptureFixture
) -> None:
    subnet = pair.subnet()
    pair.lease(subnet, *RESERVE)
    pair.lease(subnet, 64, 127)
    keeper = pair.keeper()
    # Idle as a whole: it is set aside, central takes it back, and the answer is lost.
    pair.link.lost = 1
    keeper.sweep()
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == [RESERVE]
    # A new lease comes, of the same numbers, so many are used that it stays; then it is said again,
    # by more than one process.
    pair.lease(subnet, 64, 127)
    pair.site.use(subnet, *used)
    caplog.clear()
    keeper.sweep()
    pair.keeper().sweep()
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == [RESERVE, (64, 127)]
    assert not caplog.records


def test_the_witness_advances_before_central_is_told(pair: Pair) -> None:
    """Then a backup in which the lease is still the site's is known to be old."""
    subnet = pair.subnet()
    pair.lease(subnet, *RESERVE)
    pair.lease(subnet, 64, 127)
    told = []
    keeper = pair.keeper(before_returning=lambda: told.append(len(pair.link.bodies)))
    keeper.sweep()
    assert told == [0]
    assert len(pair.link.bodies) == 1


def test_what_was_read_of_a_database_is_not_said_after_it_went_back(pair: Pair) -> None:
    """A backup took its place meanwhile, in which the lease is the site's."""
    subnet = pair.subnet()
    pair.lease(subnet, *RESERVE)
    pair.lease(subnet, 64, 127)

    def go_back() -> None:
        with writing(pair.site.own) as connection:
            epoch.begin(connection, "restored")

    with writing(pair.site.own) as connection:
        epoch.read(connection)
    with contextlib.suppress(errors.Busy):
        pair.keeper(before_returning=go_back).sweep()
    assert pair.link.bodies == []


def test_what_is_not_set_aside_any_more_is_not_said(pair: Pair) -> None:
    """The database went back by less than the witness can tell; the lease is the site's again."""
    subnet = pair.subnet()
    pair.lease(subnet, *RESERVE)
    pair.lease(subnet, 64, 127)

    def go_back() -> None:
        with writing(pair.site.own) as connection:
            connection.execute(sa.delete(RETURNS))

    pair.keeper(before_returning=go_back).sweep()
    assert pair.link.bodies == []


def test_what_is_said_is_said_as_the_incarnation_that_read_it(pair: Pair) -> None:
    """The call may be repeated, and another one have registered by then."""
    subnet = pair.subnet()
    pair.lease(subnet, *RESERVE)
    pair.lease(subnet, 64, 127)
    with writing(pair.site.own) as connection:
        epoch.read(connection)
        said = epoch.peek_incarnation(connection)
    pair.keeper().sweep()
    assert pair.link.spoke == [said]


def test_a_call_that_comes_late_takes_nothing_out_of_a_new_lease(pair: Pair) -> None:
    subnet = pair.subnet()
    pair.lease(subnet, *RESERVE)
    pair.lease(subnet, 64, 127)
    pair.keeper().sweep()
    pair.lease(subnet, 64, 127)
    (late,) = [one for one in pair.link.bodies if one["give_back"]]
    with contextlib.suppress(errors.IsthmusError):
        pair.link.send(late)
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == [RESERVE, (64, 127)]


def test_an_old_answer_brings_nothing_back_whatever_the_clock_of_the_database_says(
    pair: Pair,
) -> None:
    subnet = pair.subnet()
    pair.lease(subnet, *RESERVE)
    given = pair.lease(subnet, 64, 127)
    ends = {"first": str(ZERO + 64), "last": str(ZERO + 127)}
    old = {"id": given, "kind": "subnet", "pool_id": subnet, "site": SITE, **ends}
    passed = [0.0]
    keeper = pair.keeper(lambda: passed[0])
    keeper.sweep()
    with pair.site.engine.begin() as connection:  # as where that clock has jumped ahead
        connection.execute(sa.update(RETURNS).values(changed_at=T0 - timedelta(days=9000)))
    keeper.sweep()
    pair.keeper().sweep()  # a process that has just begun knows of nothing that stood long
    with pair.site.engine.begin() as connection:
        site_lease.add(connection, SITE, [old])
    assert pair.site.blocks(subnet) == [RESERVE]
    passed[0] = REST_S
    keeper.sweep()
    with pair.site.engine.begin() as connection:
        assert not connection.execute(sa.select(RETURNS)).all()


def test_parts_that_go_one_after_the_other_keep_both_in_step(pair: Pair) -> None:
    """What was cut first, and what came of that, is told with what was cut next, and next."""
    subnet = pair.subnet()
    whole = pair.lease(subnet, 0, 99)
    for tier in (pair.site, pair.central):
        tier.use(subnet, 97, *range(0, 100, 10))
    keeper = pair.keeper()
    for first, last in ((51, 59), (81, 89), (91, 94)):
        lease_id = next(
            one for one, (a, b) in pair.site.leases(subnet).items() if a <= first and last <= b
        )
        pair.recall(subnet, lease_id, first, last, 100)
        pair.link.down = first == 51
        pair.link.lost = 1
        keeper.sweep()
    pair.link.lost = 0
    keeper.sweep()
    kept = [(0, 50), (60, 80), (90, 90), (95, 99)]
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == kept
    assert pair.site.leases(subnet) == pair.central.leases(subnet)
    assert whole in pair.site.leases(subnet)
    assert pair.central.recalls() == pair.site.recalls() == []


def test_what_central_still_knows_in_use_comes_back_as_a_new_lease(pair: Pair) -> None:
    subnet = pair.subnet()
    pair.lease(subnet, *RESERVE)
    old = pair.lease(subnet, 64, 127)
    pair.central.use(subnet, 70)
    keeper = pair.keeper()
    pair.link.lost = 1
    keeper.sweep()
    assert pair.site.blocks(subnet) == [RESERVE]
    keeper.sweep()
    # Whatever was said of the old one, and comes late, means nothing of the new one.
    for body in [one for one in pair.link.bodies if one["give_back"]]:
        pair.link.send(body)
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == [RESERVE, (64, 127)]
    assert old not in pair.site.leases(subnet)
    pair.central.free(70)
    keeper.sweep()
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == [RESERVE]


def test_what_central_has_smaller_becomes_smaller_at_the_site(pair: Pair) -> None:
    subnet = pair.subnet()
    lease_id = pair.lease(subnet, 0, 99)
    with pair.central.engine.begin() as connection:
        lease.shrink(connection, LeaseId(lease_id), ZERO + 49)
    pair.site.use(subnet, *range(40))
    pair.keeper().fetch(PoolKind.SUBNET, subnet, address=to_text(20))
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == [(0, 49)]


def test_more_parts_than_one_call_may_name(pair: Pair) -> None:
    subnet = pair.subnet()
    lease_id = pair.lease(subnet, 0, 511)
    used = range(0, 500, 2)
    pair.site.use(subnet, *used)
    pair.central.use(subnet, *used)
    pair.recall(subnet, lease_id, 0, 511, 256)
    pair.keeper().sweep()
    assert not pair.link.refusals
    assert pair.central.recalls() == pair.site.recalls() == []
    held = pair.site.blocks(subnet)
    assert held == pair.central.blocks(subnet)
    assert sum(last - first + 1 for first, last in held) == 512 - 256
    assert [len(one["give_back"]) for one in pair.link.bodies][:2] == [64, 64]
    assert [bool(one["answered"]) for one in pair.link.bodies] == [False] * 3 + [True]


def test_a_lease_longer_than_one_part_may_be(pair: Pair) -> None:
    subnet = pair.subnet()
    pair.lease(subnet, *RESERVE)
    pair.lease(subnet, 100, 100 + 4999)
    pair.keeper().sweep()
    assert not pair.link.refusals
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == [RESERVE]


def test_a_recall_outlives_the_process_that_heard_of_it(pair: Pair) -> None:
    subnet = pair.subnet()
    lease_id = pair.lease(subnet, 0, 63)
    pair.site.use(subnet, *range(8))
    pair.central.use(subnet, *range(8))
    pair.recall(subnet, lease_id, 0, 63, 32)
    pair.link.down = True
    pair.keeper().sweep()
    assert pair.site.blocks(subnet) == [(0, 31)]
    pair.link.down = False
    pair.link.lost = 1
    pair.keeper().sweep()
    assert pair.central.recalls() == []
    # It is a half that was asked for, however often that is said.
    pair.keeper().sweep()
    assert pair.site.recalls() == []
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == [(0, 31)]


def test_a_recall_that_comes_again_is_carried_out_once(pair: Pair) -> None:
    """Before central has the answer, and when it was on its way while central got it."""
    subnet = pair.subnet()
    lease_id = pair.lease(subnet, 0, 63)
    for tier in (pair.site, pair.central):
        tier.use(subnet, *range(4))
    tell_again = pair.recall(subnet, lease_id, 0, 63, 8)
    pair.link.down = True
    for _ in range(2):
        pair.keeper().sweep()
        assert pair.site.blocks(subnet) == [(0, 55)]
        tell_again()
    pair.link.down = False
    pair.keeper().sweep()
    assert pair.central.recalls() == pair.site.recalls() == []
    tell_again()
    pair.keeper().sweep()
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == [(0, 55)]
    assert pair.site.recalls() == [], "central has heard the answer to what it said again"
    pair.recall(subnet, lease_id, 0, 55, 8)  # another one counts
    pair.keeper().sweep()
    assert pair.site.blocks(subnet) == pair.central.blocks(subnet) == [(0, 47)]


def test_an_answer_does_not_end_what_central_has_asked_since(pair: Pair) -> None:
    subnet = pair.subnet()
    lease_id = pair.lease(subnet, 0, 63)
    for tier in (pair.site, pair.central):
        tier.use(subnet, *range(4))
    pair.recall(subnet, lease_id, 40, 47, 8)
    pair.keeper()._giving.cut_out_asked(subnet)
    asked = Lease(
        id=LeaseId(lease_id), kind=SUBNET, pool_id=subnet, site=SITE, block=Block(ZERO, ZERO + 63)
    )
    with pair.central.engine.begin() as connection:
        more = recall.record(connection, asked, Block(ZERO + 8, ZERO + 15), 8)
    pair.keeper()._giving.tell(subnet)
    assert [row.id for row in pair.central.recalls()] == [more.id]
    with pair.site.engine.begin() as connection:
        recall.take(connection, asked, more)
    pair.keeper().sweep()
    assert pair.central.recalls() == []
    assert (8, 15) not in pair.site.blocks(subnet)


@pytest.mark.parametrize("done", [True, False], ids=["cut out", "answered"])
def test_what_another_process_has_cut_out_is_not_cut_out_once_more(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """It has read the recall before the other one carried it out, and gets the lock after it."""
    subnet = pair.subnet()
    lease_id = pair.lease(subnet, 0, 99)
    pair.recall(subnet, lease_id, 0, 99, 5)
    with pair.site.engine.connect() as connection:
        before = recall.list_in(connection, subnet)
    if done:
        pair.keeper()._giving.cut_out_asked(subnet)
    else:
        pair.keeper()._answer_recall(SUBNET, subnet)
    monkeypatch.setattr(recall, "list_in", lambda *_: before)
    pair.keeper()._giving.cut_out_asked(subnet)
    assert pair.site.blocks(subnet) == [(0, 94)]


def test_what_has_yet_to_begin_is_not_queued_once_more(pair: Pair) -> None:
    """With central away each call takes as long as its timeout, and persons ask on."""
    subnet, other = pair.subnet(), pair.subnet()
    keeper = pair.keeper()
    for _ in range(3):
        keeper.notify_rested(SUBNET, subnet)
        keeper.answer_recall(subnet)
    keeper.notify_rested(SUBNET, other)
    assert keeper._queue.qsize() == 3
    pair.link.down = True
    for _ in range(3):
        work = keeper._queue.get()
        assert work is not None
        keeper._guarded(work)
    keeper.notify_rested(SUBNET, subnet)
    assert keeper._queue.qsize() == 1, "what comes while the work is done counts"
