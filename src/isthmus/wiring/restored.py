"""Tells a tier's database that it came back from a backup."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isthmus.config.database import read_url
from isthmus.model.site import CENTRAL
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.tiers import epoch

REASON = "this database was restored, an operator says"


def begin_epoch(config_files: Sequence[Path]) -> dict[str, Any]:
    """Begin a new epoch in the database that configuration files name.

    Returns:
        The epoch, its reason and who is waited for: sites, or at a site central.

    Raises:
        Invalid: they name no database, or one without the tables of Isthmus.
        Unreachable: it does not answer.
    """
    engine = open_engine(read_url(config_files))
    try:
        with writing(engine) as connection:
            epoch.check_tables(connection)
            own = epoch.begin(connection, REASON)
            waiting = epoch.list_waiting(connection) or ([CENTRAL] if own.registration else [])
    finally:
        engine.dispose()
    return {"epoch": own.epoch, "reason": own.reason, "waits_for": waiting}
