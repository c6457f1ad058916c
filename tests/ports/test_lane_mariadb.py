"""Numbers of batches where transactions have snapshots: what decides is never an old read."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from isthmus import errors
from isthmus.model import number
from isthmus.model.site import SiteName
from isthmus.store.delivery import lane as lane_store
from isthmus.store.sql.tables import APPLIED, EPOCHS, LANES, METADATA
from isthmus.store.tiers import epoch

pytestmark = pytest.mark.db

LANE = SiteName("late-site")


@pytest.fixture(params=["REPEATABLE READ", "READ COMMITTED"])
def engine(mariadb_url: str, request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    engine = sa.create_engine(mariadb_url, isolation_level=request.param)
    METADATA.create_all(engine, tables=[APPLIED, EPOCHS, LANES])
    with engine.begin() as connection:
        connection.execute(sa.delete(LANES).where(LANES.c.lane == LANE))
        connection.execute(sa.delete(APPLIED))
    yield engine
    engine.dispose()


@pytest.mark.parametrize("known", [True, False])
def test_a_late_batch_is_refused_behind_an_old_snapshot(engine: sa.Engine, *, known: bool) -> None:
    if known:
        with engine.begin() as connection:
            lane_store.admit(connection, LANE, 5)
    with engine.begin() as late:
        late.execute(sa.select(LANES)).all()  # from here on it sees what was
        with engine.begin() as newer:
            lane_store.admit(newer, LANE, 20)
        with pytest.raises(errors.Stale) as caught:
            lane_store.admit(late, LANE, 10)
    assert caught.value.fields["seen"] == 20


def take(connection: sa.Connection, sequence: int, *ids: str) -> None:
    lane_store.admit(connection, LANE, sequence)
    lane_store.record_applied(connection, ids, sequence)


def test_a_bundle_is_refused_behind_an_old_snapshot(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        take(connection, 5, "a")
    with engine.begin() as bundle:
        assert bundle.execute(sa.select(LANES.c.seen).where(LANES.c.lane == LANE)).scalar() == 5
        lane_store.refuse_overtaken(bundle, LANE, 5, ["a"])
    with engine.begin() as bundle:
        bundle.execute(sa.select(LANES)).all()
        bundle.execute(sa.select(APPLIED)).all()
        with engine.begin() as newer:
            take(newer, 6, "a")
        with pytest.raises(errors.Stale):
            lane_store.refuse_overtaken(bundle, LANE, 5, ["b", "a"])


def test_batches_about_other_objects_overtake_no_bundle(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        take(connection, 5, "a")
    for sequence in range(6, 9):
        with engine.begin() as newer:
            take(newer, sequence, "b", "c")
    with engine.begin() as bundle:
        lane_store.refuse_overtaken(bundle, LANE, 5, ["a", "d"])
        with pytest.raises(errors.Stale):
            lane_store.refuse_overtaken(bundle, LANE, 7, ["a", "b"])
        lane_store.refuse_overtaken(bundle, LANE, 8, ["a", "b"])


def test_where_it_is_not_known_any_more_a_bundle_is_asked_for_again(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        take(connection, 5, "a")
        take(connection, 5 + lane_store.KEPT, "b")
        assert connection.scalars(sa.select(APPLIED.c.resource_id)).all() == ["b"]
        lane_store.refuse_overtaken(connection, LANE, 5, ["a"])
        take(connection, 6 + lane_store.KEPT, "c")
        with pytest.raises(errors.Stale):
            lane_store.refuse_overtaken(connection, LANE, 5, ["a"])
        # Nor is anything of numbers that were forgotten, as of a central that was made anew.
        lane_store.begin_again(connection, above=None)
        assert connection.scalars(sa.select(APPLIED.c.resource_id)).all() == []
        with pytest.raises(errors.Stale):
            lane_store.refuse_overtaken(connection, LANE, 6 + lane_store.KEPT, ["a"])


def test_numbering_a_batch_waits_for_nobody_who_holds_the_epoch(engine: sa.Engine) -> None:
    """A registration does, for seconds; each lane would stand meanwhile, or collide with it."""
    with engine.begin() as connection:
        connection.execute(sa.delete(EPOCHS))
        epoch.read(connection)
        assert lane_store.next_sequence(connection, LANE) == number.make(1, 1)
    with engine.begin() as holder:
        epoch.read(holder)
        with engine.begin() as connection:
            connection.execute(sa.text("SET SESSION innodb_lock_wait_timeout = 1"))
            assert lane_store.next_sequence(connection, LANE) == number.make(1, 2)
