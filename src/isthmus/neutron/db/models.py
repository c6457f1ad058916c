"""Our tables in Neutron's metadata.

Neutron builds (and compares) its schema from one declarative metadata, which gets copies of the
tables of `isthmus.store.sql.tables`; queries use the originals, which have the same names.
"""

from neutron_lib.db import model_base

from isthmus.store.sql.tables import METADATA

#: Names of all our tables, for migrations and audits.
TABLE_NAMES = frozenset(METADATA.tables)


def register() -> None:
    """Copy our tables into Neutron's metadata; idempotent."""
    theirs = model_base.BASEV2.metadata
    for table in METADATA.sorted_tables:
        if table.name not in theirs.tables:
            table.to_metadata(theirs)


register()
