"""Alembic's environment for our branches (alembic runs this file itself)."""

from typing import Any

from alembic import context
from neutron.db.migration.connection import DBConnection
from neutron_lib.db import model_base

from isthmus.neutron.db import models
from isthmus.neutron.db.migration import VERSION_TABLE

models.register()


def _is_ours(_object: Any, name: str | None, kind: str, _reflected: bool, _compare: Any) -> bool:
    return kind != "table" or name in models.TABLE_NAMES


def _run_offline() -> None:
    database = context.config.neutron_config.database
    if database.connection:
        context.configure(url=database.connection, version_table=VERSION_TABLE)
    else:
        context.configure(dialect_name=database.engine, version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


def _run_online() -> None:
    config = context.config
    url = config.neutron_config.database.connection
    with DBConnection(url, config.attributes.get("connection")) as connection:
        context.configure(
            connection=connection,
            target_metadata=model_base.BASEV2.metadata,
            include_object=_is_ours,
            version_table=VERSION_TABLE,
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    _run_offline()
else:
    _run_online()
