"""Numbers of batches where transactions have snapshots: what decides is never an old read."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from isthmus import errors
from isthmus.model.site import SiteName
from isthmus.store.delivery import lane as lane_store
from isthmus.store.sql.tables import EPOCHS, LANES, METADATA

pytestmark = pytest.mark.db

LANE = SiteName("late-site")


@pytest.fixture(params=["REPEATABLE READ", "READ COMMITTED"])
def engine(mariadb_url: str, request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    engine = sa.create_engine(mariadb_url, isolation_level=request.param)
    METADATA.create_all(engine, tables=[EPOCHS, LANES])
    with engine.begin() as connection:
        connection.execute(sa.delete(LANES).where(LANES.c.lane == LANE))
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


def test_a_bundle_is_refused_behind_an_old_snapshot(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        lane_store.admit(connection, LANE, 5)
    with engine.begin() as bundle:
        assert bundle.execute(sa.select(LANES.c.seen).where(LANES.c.lane == LANE)).scalar() == 5
        lane_store.refuse_overtaken(bundle, LANE, 5)
    with engine.begin() as bundle:
        bundle.execute(sa.select(LANES)).all()
        with engine.begin() as newer:
            lane_store.admit(newer, LANE, 6)
        with pytest.raises(errors.Stale):
            lane_store.refuse_overtaken(bundle, LANE, 5)
