"""The relay while it waits for central's answer to a report."""

import dataclasses
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from isthmus.model.intent import IntentKey
from isthmus.model.item import Item, ItemResult, taken
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import journal
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.sql.tables import JOURNAL, METADATA
from isthmus.testing.until import until

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.local.report import relay as module

KEY = IntentKey(CENTRAL, ResourceType.PORT, "p1")


class Central:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.batches = 0
        self.pings = 0
        self.fails = 0
        self.gone = False  # whether all ports are deleted

    def find(self) -> "Central":
        return self

    def ping(self) -> None:
        self.pings += 1

    def read(self, _lane: SiteName, keys: Sequence[IntentKey]) -> Mapping[IntentKey, Item]:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("nobody foresaw this")
        return {key: Item(key.type, key.id, None if self.gone else {}) for key in keys}

    def deliver(
        self, _lane: SiteName, items: Sequence[Item], *, sequence: int
    ) -> Sequence[ItemResult]:
        assert sequence
        self.batches += 1
        self.goes_on.wait()
        return [taken(item) for item in items]


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    url = f"sqlite:///{tmp_path}/neutron.db"
    if request.param == "mariadb":
        url = request.getfixturevalue("mariadb_url")
    engine = open_engine(url)
    METADATA.create_all(engine)
    yield engine
    METADATA.drop_all(engine)
    engine.dispose()


def test_a_relay_that_waits_holds_its_claims_and_looks_for_the_link(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLAIM_MARGIN_S", 12.0)
    central: Any = Central()
    relay = start(engine, central)
    try:
        until(lambda: central.batches == 1, what="a report is under way")
        ends = {find_end(engine)}
        until(lambda: len(ends | {find_end(engine)}) > 1, what="the claim holds longer")
        pings = central.pings
        until(lambda: central.pings > pings + 1, what="the link is looked at")
        rival = SqlJournal(engine).claim(CENTRAL, owner="rival", claim_s=60, limit=10)
        assert not rival.claims
    finally:
        central.goes_on.set()
        until(lambda: find_end(engine) is None, what="the report is settled")
        relay.stop()
    assert central.batches == 1


def test_a_relay_that_waits_can_be_stopped(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STOP_S", 0.1)
    central: Any = Central()
    relay = start(engine, central)
    until(lambda: central.batches == 1, what="a report is under way")
    relay.stop()  # it returns, or the test runs into its time limit
    assert find_end(engine) is not None
    central.goes_on.set()
    until(lambda: find_end(engine) is None, what="the report is settled all the same")


def test_what_a_failed_pass_left_claimed_is_reported_by_the_next(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claims would be extended with those of each report that is waited for."""
    monkeypatch.setattr(module, "_CLAIM_MARGIN_S", 3600.0)
    central: Any = Central()
    central.fails = 1
    central.goes_on.set()
    relay = start(engine, central)
    try:
        until(lambda: central.batches == 1, what="it is reported again")
    finally:
        relay.stop()


def test_many_ports_that_are_deleted_at_once_are_reported_at_once(engine: sa.Engine) -> None:
    """Each batch of removals was put behind the others, and then nothing done until the next poll.

    Central may have been away for an hour.
    """
    central: Any = Central()
    central.gone = True
    central.goes_on.set()
    with writing(engine) as connection:
        journal.record(connection, [dataclasses.replace(KEY, id=f"q{one}") for one in range(60)])
    relay = start(engine, central, poll_s=3600.0)
    try:
        until(lambda: not count(engine), what="all are reported")
    finally:
        relay.stop()


def count(engine: sa.Engine) -> int:
    with reading(engine) as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(JOURNAL)) or 0)


def start(engine: sa.Engine, central: Any, poll_s: float = 0.05) -> module.Relay:
    woken = threading.Event()
    woken.set()
    relay = module.Relay(
        engine=lambda: engine,
        source=central,
        carrier=central,
        client=central.find,
        woken=woken,
        list_open=tuple,
        is_heard=lambda: True,
        poll_s=poll_s,
        call_s=0.0,
    )
    with writing(engine) as connection:
        journal.record(connection, [KEY])
    relay.start()
    return relay


def find_end(engine: sa.Engine) -> object:
    with reading(engine) as connection:
        return connection.scalar(sa.select(JOURNAL.c.expires_at))
