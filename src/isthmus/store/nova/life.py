"""Changes of cell mappings in Nova's API database, each in one transaction."""

import sqlalchemy as sa

from isthmus import errors
from isthmus.store.nova import tables
from isthmus.store.nova.reading import API_DATABASE, writing


def set_enabled(url: str, cell: str, timeout_s: float, *, enabled: bool) -> bool:
    """Enable or disable a cell; return whether that changed anything.

    Args:
        url: of the API database.
        cell: its uuid.
        timeout_s: for each answer.
        enabled: what it is to be.

    Raises:
        Unreachable: the database does not answer.
    """
    table = tables.CELL_MAPPINGS
    with writing(url, timeout_s, API_DATABASE) as connection:
        done = connection.execute(
            sa.update(table)
            .where(table.c.uuid == cell, table.c.disabled == int(enabled))
            .values(disabled=int(not enabled))
        )
        return bool(done.rowcount)


def delete_cell(url: str, cell: str, timeout_s: float) -> None:
    """Delete the mapping of a cell that is disabled, with those of its hosts and servers.

    Args:
        url: of the API database.
        cell: its uuid.
        timeout_s: for each answer.

    Raises:
        Conflict: it is enabled.
        Unreachable: the database does not answer.
    """
    table = tables.CELL_MAPPINGS
    with writing(url, timeout_s, API_DATABASE) as connection:
        row = connection.execute(
            sa.select(table.c.id, table.c.disabled).where(table.c.uuid == cell).with_for_update()
        ).first()
        if row is None:
            return
        if not row.disabled:
            raise errors.Conflict(f"cell {cell} was enabled meanwhile: nothing was removed")
        for mappings in (tables.INSTANCE_MAPPINGS, tables.HOST_MAPPINGS):
            connection.execute(sa.delete(mappings).where(mappings.c.cell_id == row.id))
        connection.execute(sa.delete(table).where(table.c.id == row.id))
