"""The one upsert, on SQLite and on MariaDB."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from isthmus.store.sql.engine import open_engine
from isthmus.store.sql.upsert import insert_or_keep, insert_or_update

METADATA = sa.MetaData()
THINGS = sa.Table(
    "upsert_things",
    METADATA,
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("name", sa.String(8), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("note", sa.String(8)),
)


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Connection]:
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'some.db'}")
    else:
        engine = sa.create_engine(request.getfixturevalue("mariadb_url"))
    METADATA.create_all(engine)
    with engine.begin() as opened:
        opened.execute(sa.insert(THINGS).values(kind="a", name="b", count=1, note="old"))
        yield opened
    METADATA.drop_all(engine)
    engine.dispose()


def rows(connection: sa.Connection) -> list[tuple[object, ...]]:
    query = sa.select(THINGS).order_by(THINGS.c.kind, THINGS.c.name)
    return [tuple(row) for row in connection.execute(query)]


def test_what_is_there_is_kept(connection: sa.Connection) -> None:
    insert = insert_or_keep(connection, THINGS)
    for name in ("b", "c"):
        connection.execute(insert.values(kind="a", name=name, count=7, note="new"))
    assert rows(connection) == [("a", "b", 1, "old"), ("a", "c", 7, "new")]


def test_what_is_there_is_updated_from_the_new_row_and_its_own(connection: sa.Connection) -> None:
    insert = insert_or_update(
        connection, THINGS, lambda new: {"count": THINGS.c.count + new.count, "note": new.note}
    )
    some = [
        {"kind": "a", "name": name, "count": count, "note": "new"}
        for name, count in (("b", 5), ("c", 6))
    ]
    connection.execute(insert, some)  # one statement for any number of rows
    assert rows(connection) == [("a", "b", 6, "new"), ("a", "c", 6, "new")]
    connection.execute(insert.values(some))  # and all rows in one statement
    assert rows(connection) == [("a", "b", 11, "new"), ("a", "c", 12, "new")]


def test_rows_come_from_a_select(connection: sa.Connection) -> None:
    chosen = sa.select(sa.literal("a"), THINGS.c.name, sa.literal(3), sa.literal("more")).where(
        sa.text("1 = 1")
    )
    insert = insert_or_update(connection, THINGS, lambda new: {"count": new.count})
    connection.execute(insert.from_select(["kind", "name", "count", "note"], chosen))
    assert rows(connection) == [("a", "b", 3, "old")]
