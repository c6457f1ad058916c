"""Creates a new Neutron database at once: `python -m isthmus.neutron.db.create --url-file FILE`.

A URL with a password is not an argument, because every user of the machine sees those: it is in a
file or in the environment (`ISTHMUS_DATABASE_URL`).

Neutron's migrations cannot run on SQLite and take many seconds on MariaDB, so a new database is
created from the models as they are at the head, ours included, and stamped with the head revisions
of every branch, after which `neutron-db-manage upgrade heads` works as usual.
"""

import argparse
import os
import sys
from pathlib import Path

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from neutron.db.migration import cli as migration_cli
from neutron.db.migration.models import head

from isthmus.neutron.db import models
from isthmus.neutron.db.migration import VERSION_TABLE
from isthmus.store.sql.engine import open_engine

#: The variable that may hold the URL.
VARIABLE = "ISTHMUS_DATABASE_URL"
#: Where each project of the database keeps its revision (Source: the env.py of each).
_VERSION_TABLES = {"neutron": "alembic_version", "isthmus": VERSION_TABLE}

#: The migration that brought default rules of security groups, in Neutron 2023.2.
_DEFAULT_RULES = "c33da356b165"


def create(url: str) -> None:
    """Create every table at `url` and stamp it with the head revisions.

    Raises:
        Invalid: it is not a URL, or of a database that is not supported.
        sqlalchemy.exc.SQLAlchemyError: the database refuses, for instance because it is not empty.
    """
    models.register()
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            head.get_metadata().create_all(connection, checkfirst=False)
            _insert_default_rules(connection)
            _stamp(connection)
    finally:
        engine.dispose()


def _insert_default_rules(connection: sa.Connection) -> None:
    """Insert the rules that every new security group starts with.

    They are the only rows that Neutron's migrations insert into a new database; without them a
    server cannot even send. The migration itself defines them.
    """
    (config,) = (
        one
        for one in migration_cli.get_alembic_configs()
        if one.get_main_option("neutron_project") == "neutron"
    )
    script = ScriptDirectory.from_config(config).get_revision(_DEFAULT_RULES)
    assert script is not None, f"Neutron has no migration {_DEFAULT_RULES}"
    tables = head.get_metadata().tables
    for rule in script.module.default_template_rules:
        row = dict(rule)
        attributes = connection.execute(
            sa.insert(tables["standardattributes"]).values(
                resource_type="securitygroupdefaultrules",
                description=row.pop("description"),
                revision_number=0,
            )
        ).inserted_primary_key
        assert attributes is not None
        connection.execute(
            sa.insert(tables["securitygroupdefaultrules"]).values(
                **row, standard_attr_id=attributes[0]
            )
        )


def _stamp(connection: sa.Connection) -> None:
    for config in migration_cli.get_alembic_configs():
        project = config.get_main_option("neutron_project")
        table = _VERSION_TABLES.get(project)
        if table is None:
            continue  # another project's branch: its tables are not created here
        script = ScriptDirectory.from_config(config)
        context = MigrationContext.configure(connection, opts={"version_table": table})
        context.stamp(script, "heads")


def main(arguments: list[str] | None = None) -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(
        prog="python -m isthmus.neutron.db.create", description=__doc__
    )
    parser.add_argument(
        "url", nargs="?", help="SQLAlchemy URL of an empty database, if there is no password in it"
    )
    parser.add_argument("--url-file", type=Path, help="a file that holds the URL")
    found = parser.parse_args(arguments)
    if found.url_file is not None:
        url = found.url_file.read_text().strip()
    elif found.url is not None:
        url = found.url
        if sa.engine.make_url(url).password:
            parser.error(f"the URL has a password: give it by --url-file or {VARIABLE}")
    else:
        url = os.environ.get(VARIABLE, "")
    if not url:
        parser.error(f"give the URL, by --url-file or {VARIABLE} where it has a password")
    create(url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
