"""A database that was not migrated says what to run, on SQLite and on MariaDB."""

from pathlib import Path

import pytest

from isthmus import errors
from isthmus.store.sql.engine import open_engine, reading, writing


@pytest.mark.parametrize("backend", ["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
@pytest.mark.parametrize(
    "statement", ["SELECT * FROM isthmus_none", "SELECT missing FROM isthmus_old"]
)
def test_what_is_missing_is_said_with_the_remedy(
    backend: str, statement: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'some.db'}"
    engine = open_engine(url if backend == "sqlite" else request.getfixturevalue("mariadb_url"))
    try:
        with writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS isthmus_old (id INTEGER)")
        with (
            pytest.raises(errors.Unreachable, match="neutron-db-manage upgrade heads"),
            reading(engine) as connection,
        ):
            connection.exec_driver_sql(statement)
        with writing(engine) as connection:
            connection.exec_driver_sql("DROP TABLE isthmus_old")
    finally:
        engine.dispose()
