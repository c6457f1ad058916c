"""Which objects are central's, asked while they come, and by more than one process."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.local import mapping
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.tables import METADATA

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.local.owned.ownership_cache import OwnershipCache

SITE = SiteName("site1")
NETWORK = ResourceType.NETWORK


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    opened = open_engine(f"sqlite:///{tmp_path}/neutron.db")
    METADATA.create_all(opened)
    neutron_rows.METADATA.create_all(opened)
    yield opened
    opened.dispose()


class Committed:
    """A connection whose every statement sees what is committed by then, as at READ COMMITTED."""

    def __init__(self, engine: sa.Engine, behind_the_first: Callable[[], None]) -> None:
        self._engine = engine
        self._next: Callable[[], None] | None = behind_the_first

    def scalar(self, query: Any) -> Any:
        return next(iter(self.scalars(query)), None)

    def scalars(self, query: Any) -> list[Any]:
        with self._engine.connect() as connection:
            found = list(connection.scalars(query))
        if self._next is not None:
            come, self._next = self._next, None
            come()
        return found


def test_a_network_that_comes_while_it_is_looked_for_is_not_taken_for_the_sites_own(
    engine: sa.Engine,
) -> None:
    def come() -> None:
        with writing(engine) as connection:
            connection.execute(sa.insert(neutron_rows.TABLES["networks"]).values(id="n"))
            mapping.add(connection, NETWORK, "n", SITE, project_id="p")

    cache = OwnershipCache()
    cache.is_stretched(cast("sa.Connection", Committed(engine, come)), "n")
    with engine.connect() as connection:
        assert cache.is_stretched(connection, "n")
    assert not cache.is_own("n")


def test_a_network_of_the_sites_own_is_asked_for_once(engine: sa.Engine) -> None:
    cache = OwnershipCache()
    with writing(engine) as connection:
        assert not cache.is_stretched(connection, "n")
        assert not cache.is_own("n"), "it may come yet"
        connection.execute(sa.insert(neutron_rows.TABLES["networks"]).values(id="n"))
        assert not cache.is_stretched(connection, "n")
    assert cache.is_own("n")


def test_that_a_network_lacks_something_is_known_in_every_process(engine: sa.Engine) -> None:
    one, other = OwnershipCache(), OwnershipCache()
    with writing(engine) as connection:
        mapping.add(connection, NETWORK, "n", SITE, project_id="p")
        mapping.set_complete(connection, "n", complete=True)
        assert one.is_complete(connection, "n")
        assert other.is_complete(connection, "n")
        one.doubt(connection, "n")
        assert not one.is_complete(connection, "n")
        assert not other.is_complete(connection, "n")
