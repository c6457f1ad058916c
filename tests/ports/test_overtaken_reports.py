"""A report that was read of a database which has gone back to a backup since is not sent."""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.model import attribute
from isthmus.model.item import Item, ItemResult
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import lane
from isthmus.store.local import mapping
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.tables import EPOCHS, METADATA, SITE_MAPPINGS, WITNESSES
from isthmus.store.tiers import epoch

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.db.witness import Witness
    from isthmus.neutron.local.report.carrier import CentralCarrier


def carrier_of(engine: sa.Engine, send: Any, look: Callable[[], epoch.Epoch]) -> CentralCarrier:
    """Make a carrier whose reports are answered by a function."""
    client = cast(CentralClient, SimpleNamespace(send_reports=send))
    return CentralCarrier(
        SiteName("site1"),
        lambda: client,
        lambda: engine,
        look=look,
        when_overtaken=lambda: None,
    )


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

    carrier = carrier_of(engine, send, look)
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


@pytest.mark.parametrize("noticed", [False, True])
@pytest.mark.parametrize("goes_back", [False, True])
def test_what_central_took_is_not_agreed_on_by_a_database_that_went_back_meanwhile(
    tmp_path: Path, goes_back: bool, noticed: bool
) -> None:
    """Its port is as it was; with the newer base that would look like a change made since."""
    engine = open_engine(f"sqlite:///{tmp_path / 'site.db'}")
    METADATA.create_all(engine)
    witness = Witness(tmp_path, "site1")
    tables = (EPOCHS, WITNESSES, SITE_MAPPINGS)

    def look() -> epoch.Epoch:
        return witness.advance(lambda: writing(engine)).own

    def back_up() -> Callable[[], None]:
        with writing(engine) as connection:
            rows = [
                [dict(row) for row in connection.execute(sa.select(table)).mappings()]
                for table in tables
            ]

        def restore() -> None:
            with writing(engine) as connection:
                for table, found in zip(tables, rows, strict=True):
                    connection.execute(sa.delete(table))
                    connection.execute(sa.insert(table), found)

        return restore

    old, new = {"name": "v1"}, {"name": "v2"}
    look()
    with writing(engine) as connection:
        mapping.add(connection, ResourceType.PORT, "p", SiteName("site1"), project_id="a", base=old)
    restore = back_up()

    def send(items: Any, *, sequence: int) -> list[Any]:
        assert sequence
        if goes_back:
            restore()
            if noticed:  # by another process
                look()
        return [ItemResult(one.type, one.id) for one in items]

    carrier = carrier_of(engine, send, look)
    with writing(engine) as connection:
        sequence = lane.next_sequence(connection, CENTRAL)
    item = Item(ResourceType.PORT, "p", {**new, attribute.BASE: old, "project_id": "a"})
    if goes_back:
        with pytest.raises(errors.Busy, match="restored"):
            carrier.deliver(CENTRAL, [item], sequence=sequence)
    else:
        carrier.deliver(CENTRAL, [item], sequence=sequence)
    with writing(engine) as connection:
        base = mapping.find_bases(connection, ["p"])["p"] or {}
    assert base["name"] == ("v1" if goes_back else "v2")
    engine.dispose()
