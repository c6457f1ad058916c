"""How servers came and went in one cell, also those that `nova-manage db archive` has moved."""

import datetime
from collections import Counter

import sqlalchemy as sa

from isthmus.model.compute.growth import CellHistory
from isthmus.store.nova.reading import read_now, reading

#: Where deleted servers are before and after they are archived.
_TABLES = ("instances", "shadow_instances")


def collect_history(url: str, days: float, timeout_s: float) -> CellHistory:
    """Count the servers that ran, by flavor: who came and who went in the last days.

    Args:
        url: of the cell's database.
        days: before now, by its clock.
        timeout_s: for each answer.

    Raises:
        Unreachable: the database does not answer.
    """
    came: Counter[int] = Counter()
    went: Counter[int] = Counter()
    oldest = None
    with reading(url, timeout_s) as connection:
        now = connection.scalar(sa.select(sa.type_coerce(read_now(connection), sa.DateTime())))
        assert isinstance(now, datetime.datetime)
        since = now - datetime.timedelta(days=days)
        for name in _TABLES:
            if not sa.inspect(connection).has_table(name):
                continue
            table = _describe(name)
            ran = table.c.launched_at.is_not(None)
            first = connection.scalar(sa.select(sa.func.min(table.c.created_at)).where(ran))
            oldest = min((one for one in (oldest, first) if one), default=None)
            for found, column in ((came, table.c.created_at), (went, table.c.deleted_at)):
                statement = (
                    sa.select(table.c.instance_type_id, sa.func.count())
                    .where(ran, column >= since, table.c.instance_type_id.is_not(None))
                    .group_by(table.c.instance_type_id)
                )
                for flavor, count in connection.execute(statement):
                    found[flavor] += count
    age = (now - oldest).total_seconds() / 86400 if oldest else 0.0
    return CellHistory(came=dict(came), went=dict(went), days=min(days, age))


def _describe(name: str) -> sa.TableClause:
    times = ("created_at", "deleted_at", "launched_at")
    return sa.table(
        name,
        sa.column("instance_type_id"),
        *(sa.column(one, sa.DateTime()) for one in times),
    )
