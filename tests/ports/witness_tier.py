"""A tier's database, hosts that serve it, and backups: what a witness looks at."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.tables import EPOCHS, METADATA, WITNESSES
from isthmus.store.tiers import epoch

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.db.witness import Look, Witness

#: What a test's fixture is parametrised with.
KINDS = [
    "sqlite",
    pytest.param("REPEATABLE READ", marks=pytest.mark.db),
    pytest.param("READ COMMITTED", marks=pytest.mark.db),
]
_TABLES = (EPOCHS, WITNESSES)


class Tier:
    """A tier's database, hosts that serve it, and backups."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self.engine = engine
        self._folder = folder

    def host(self, name: str) -> Witness:
        """Give the witness of a process that has just started there."""
        return Witness(self._folder / name, "site1")

    def look(self, witness: Witness) -> Look:
        return witness.advance(lambda: writing(self.engine))

    def back_up(self) -> list[list[dict[str, Any]]]:
        with writing(self.engine) as connection:
            return [
                [dict(row) for row in connection.execute(sa.select(table)).mappings()]
                for table in _TABLES
            ]

    def restore(self, backup: list[list[dict[str, Any]]]) -> None:
        with writing(self.engine) as connection:
            for table, rows in zip(_TABLES, backup, strict=True):
                connection.execute(sa.delete(table))
                if rows:
                    connection.execute(sa.insert(table), rows)

    def epoch(self) -> int:
        with writing(self.engine) as connection:
            return epoch.read(connection).epoch


@contextlib.contextmanager
def open_tier(request: pytest.FixtureRequest, folder: Path) -> Iterator[Tier]:
    """Open the database of the kind that a fixture asks for, without any row of a tier."""
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{folder}/neutron.db")
    else:
        url = request.getfixturevalue("mariadb_url")
        engine = sa.create_engine(url, isolation_level=request.param)
    # With what an epoch changes when it begins.
    METADATA.create_all(engine)
    with writing(engine) as connection:
        for table in _TABLES:
            connection.execute(sa.delete(table))
    yield Tier(engine, folder)
    with writing(engine) as connection:
        for table in _TABLES:
            connection.execute(sa.delete(table))
    engine.dispose()
