"""Our SQL on Neutron's own transactions: it commits with the change that caused it."""

import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api


@contextlib.contextmanager
def reading(context: Any) -> Iterator[sa.Connection]:
    """Join the context's transaction, or open one that only reads."""
    with db_api.CONTEXT_READER.using(context) as session:
        yield session.connection()


@contextlib.contextmanager
def writing(context: Any) -> Iterator[sa.Connection]:
    """Join the context's transaction, or open one that commits at the end."""
    with db_api.CONTEXT_WRITER.using(context) as session:
        yield session.connection()


def now() -> datetime.datetime:
    """Return the time as Neutron's tables keep it: UTC, naive."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
