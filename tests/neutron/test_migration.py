"""The migrations end where the tables are, and a created database counts as migrated."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from isthmus.store.sql.tables import METADATA

pytestmark = pytest.mark.neutron


def manage(folder: Path, database: Path, *arguments: str) -> str:
    conf = folder / "neutron.conf"
    conf.write_text(f"[database]\nconnection = sqlite:///{database}\n")
    program = str(Path(sys.executable).with_name("neutron-db-manage"))
    command = [program, "--config-file", str(conf)]
    done = subprocess.run(
        [*command, "--subproject", "isthmus", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    output: str = done.stdout
    return output


def describe(engine: sa.Engine) -> dict[str, Any]:
    inspector = sa.inspect(engine)
    found: dict[str, Any] = {}
    for table in METADATA.tables:
        unique = inspector.get_unique_constraints(table)
        found[table] = {
            "columns": {
                (column["name"], str(column["type"]), column["nullable"])
                for column in inspector.get_columns(table)
            },
            "key": inspector.get_pk_constraint(table)["constrained_columns"],
            "unique": {tuple(one["column_names"]) for one in unique},
            "indexes": {tuple(one["column_names"]) for one in inspector.get_indexes(table)},
        }
    return found


def test_migrations_make_the_tables(tmp_path: Path) -> None:
    manage(tmp_path, tmp_path / "migrated.db", "upgrade", "heads")
    migrated = sa.create_engine(f"sqlite:///{tmp_path}/migrated.db")
    made = sa.create_engine(f"sqlite:///{tmp_path}/made.db")
    METADATA.create_all(made)
    try:
        assert describe(migrated) == describe(made)
    finally:
        migrated.dispose()
        made.dispose()


def test_a_created_database_is_at_the_head(neutron_template: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(neutron_template.read_bytes())
    assert "(head)" in manage(tmp_path, copy, "current")
    assert "Need to apply" not in manage(tmp_path, copy, "has_offline_migrations")
    manage(tmp_path, copy, "upgrade", "heads")
    manage(tmp_path, copy, "check_migration")
