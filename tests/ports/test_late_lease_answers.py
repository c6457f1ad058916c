"""Leases in an answer that a batch of central's has overtaken, on SQLite and on MariaDB.

Central answers, withdraws the network, and is told that the site has let go; only then does the
answer arrive. By now another site may hold these numbers.
"""

import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows

from isthmus import errors
from isthmus.clients.http.central import CentralClient, LeaseAnswer
from isthmus.model import number
from isthmus.model.lease import Block, Lease, LeaseId, PoolKind
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import lane
from isthmus.store.leases import lease as both
from isthmus.store.leases import resting, returns
from isthmus.store.local import lease
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.sql.tables import METADATA
from isthmus.store.tiers import epoch

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.local.lease.giving import Giving
    from isthmus.neutron.local.lease.keeper import Keeper
    from isthmus.neutron.local.registrar import Registrar

LISTED, MINE = (str(uuid.uuid5(uuid.NAMESPACE_OID, one)) for one in ("listed", "mine"))
SITE, POOL, KIND = SiteName("site1"), "pool", PoolKind.SUBNET


def lease_of(lease_id: str, first: int, last: int) -> Lease:
    return Lease(id=LeaseId(lease_id), kind=KIND, pool_id=POOL, site=SITE, block=Block(first, last))


STATE = both.to_state(lease_of(LISTED, 0, 9))
#: What a batch may deal with when it takes a lease back, or something else.
DEALT_WITH = [pytest.param(LISTED, id="lease"), pytest.param(POOL, id="pool")]


class Central:
    """Lists a lease; before the answer is there, a batch removes it."""

    def __init__(self, engine: sa.Engine, concerned: str) -> None:
        self._engine = engine
        self._concerned = concerned
        self.listed = [STATE]
        self.elsewhere = frozenset[int]()
        self.asked = 0

    def request_leases(self, *_: Any, **__: Any) -> LeaseAnswer:
        answer = LeaseAnswer(self._list(), frozenset(), self.elsewhere)
        self._overtake()
        return answer

    def register(self, body: dict[str, Any]) -> dict[str, Any]:
        said = {"restored": False, "register": False, "epoch": body["epoch"], "seen": 0}
        leases = []
        if body["leases"] is not None:  # and not just a hello
            leases = self._list()
            self._overtake()
        given = {"void": [], "leases": leases, "port_keys": [], "aside": [], "pending": 0}
        return {**said, **given, "registration": "row", "heard": number.make(1, 7), "proof": "x"}

    def _list(self) -> list[Any]:
        self.asked += 1
        return list(self.listed)

    def _overtake(self) -> None:
        """Have a batch remove what was listed, or what it is of, the first time."""
        if self.asked > 1:
            return
        with writing(self._engine) as connection:
            sequence = number.make(1, 2)
            lane.admit(connection, CENTRAL, sequence)
            lane.record_applied(connection, [self._concerned], sequence)
            if self._concerned in (LISTED, POOL):
                lease.remove(connection, [LISTED])
                self.listed = []


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    if request.param == "sqlite":
        made = open_engine(f"sqlite:///{tmp_path / 'site.db'}")
    else:
        made = sa.create_engine(request.getfixturevalue("mariadb_url"))
    METADATA.create_all(made)
    neutron_rows.METADATA.create_all(made)
    with writing(made) as connection:
        lane.admit(connection, CENTRAL, number.make(1, 1))
    yield made
    neutron_rows.METADATA.drop_all(made)
    METADATA.drop_all(made)
    made.dispose()


@pytest.fixture
def keeper_of(engine: sa.Engine) -> Callable[[Central], Keeper]:
    def make(central: Central) -> Keeper:
        client = cast(CentralClient, central)
        return Keeper(SITE, lambda: client, lambda: engine, sweep_s=60.0, idle_s=0.0)

    return make


def held(engine: sa.Engine) -> list[Block]:
    with reading(engine) as connection:
        return lease.read_blocks(connection, KIND, POOL)


@pytest.mark.parametrize("concerned", DEALT_WITH)
def test_what_was_requested_is_requested_again(
    engine: sa.Engine, keeper_of: Callable[[Central], Keeper], concerned: str
) -> None:
    central = Central(engine, concerned)
    assert keeper_of(central).fetch(KIND, POOL, count=4) == []
    assert (held(engine), central.asked) == ([], 2)
    central.listed = [STATE]  # and leases it again
    assert keeper_of(central).fetch(KIND, POOL, count=4) == [LISTED]
    assert held(engine) == [Block(0, 9)]


def test_a_batch_about_something_else_overtakes_nothing(
    engine: sa.Engine, keeper_of: Callable[[Central], Keeper]
) -> None:
    central = Central(engine, "something else")
    assert keeper_of(central).fetch(KIND, POOL, count=4) == [LISTED]
    assert (held(engine), central.asked) == ([Block(0, 9)], 1)


@pytest.mark.parametrize("concerned", DEALT_WITH)
def test_what_rests_rests_until_leases_are_known(
    engine: sa.Engine, keeper_of: Callable[[Central], Keeper], concerned: str
) -> None:
    with writing(engine) as connection:
        resting.record(connection, [(POOL, 5, "port")])
    central = Central(engine, concerned)
    central.elsewhere = frozenset({5})
    keeper = keeper_of(central)
    with pytest.raises(errors.Stale):
        keeper.end_rest(KIND, POOL)
    with reading(engine) as connection:
        assert resting.list_numbers(connection, POOL) == {5}
    assert held(engine) == []
    assert keeper.end_rest(KIND, POOL) == 0
    with reading(engine) as connection:
        assert resting.list_numbers(connection, POOL) == set()


@pytest.mark.parametrize("concerned", DEALT_WITH)
def test_what_is_returned_brings_no_lease_back(engine: sa.Engine, concerned: str) -> None:
    with writing(engine) as connection:
        lease.add(connection, SITE, [both.to_state(lease_of(MINE, 20, 29))])
        lease.set_aside(connection, POOL, [MINE])
    central = Central(engine, concerned)
    client = cast(CentralClient, central)
    giving = Giving(SITE, lambda: client, lambda: engine, idle_s=0.0)
    with pytest.raises(errors.Stale):
        giving.tell(POOL)
    assert held(engine) == []
    giving.tell(POOL)  # nothing of the first answer counted, so it is told again
    assert held(engine) == []
    with reading(engine) as connection:
        assert returns.list_acknowledged(connection) == {MINE}


@pytest.mark.parametrize("concerned", DEALT_WITH)
def test_a_registration_brings_no_lease_back(
    engine: sa.Engine, tmp_path: Path, concerned: str
) -> None:
    """And is taken all the same: a busy lane would keep a large site from ever registering."""
    central = Central(engine, concerned)
    client = cast(CentralClient, central)
    registrar = Registrar(SITE, lambda: client, lambda: engine, folder=tmp_path, every_s=1)
    with writing(engine) as connection:
        epoch.begin(connection, "restored")
    registrar.turn()
    assert held(engine) == []
    with reading(engine) as connection:
        assert epoch.peek(connection) is not None
    assert registrar.greeted
