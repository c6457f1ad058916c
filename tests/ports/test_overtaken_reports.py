"""A report that was read of a database which has gone back to a backup since is not sent."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import lane
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.tables import METADATA
from isthmus.store.tiers import epoch

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.local.report.carrier import CentralCarrier


def test_what_an_earlier_database_read_is_not_reported(tmp_path: Path) -> None:
    """The restored one may have registered already, and central would hear it as that one."""
    engine = open_engine(f"sqlite:///{tmp_path / 'site.db'}")
    METADATA.create_all(engine)
    sent: list[int] = []

    def send(_items: Any, *, sequence: int) -> list[Any]:
        sent.append(sequence)
        return []

    def look() -> epoch.Epoch:
        with writing(engine) as connection:
            return epoch.read(connection)

    def count() -> int:
        with writing(engine) as connection:
            return lane.next_sequence(connection, CENTRAL)

    client = cast(CentralClient, SimpleNamespace(send_reports=send))
    carrier = CentralCarrier(
        SiteName("site1"),
        lambda: client,
        lambda: engine,
        before_sending=look,
        when_overtaken=lambda: None,
    )
    look()
    first, late = count(), count()
    carrier.deliver(CENTRAL, [], sequence=first)
    with writing(engine) as connection:
        epoch.begin(connection, "restored")
    with pytest.raises(errors.Busy):
        carrier.deliver(CENTRAL, [], sequence=late)
    newest = count()
    carrier.deliver(CENTRAL, [], sequence=newest)
    assert sent == [first, newest]
    engine.dispose()
