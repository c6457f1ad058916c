"""What Neutron keeps of an object beside its row, and trips over where the row alone has gone.

A row that was removed by hand, or by a restore of a part of the database, leaves the revision
number that ML2/OVN keeps of it. Neutron then takes the duplicate for a collision with another
writer and tries again for minutes, holding up everything that came in the same batch.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db.models import ovn as ovn_models
from neutron_lib.db import api as db_api

_REVISIONS = ovn_models.OVNRevisionNumbers.__table__


def clear(context: Any, ids: Collection[str]) -> None:
    """Remove what is left of objects that are not here and are about to be made."""
    if not ids:
        return
    with db_api.CONTEXT_READER.using(context):
        found = context.session.connection().scalar(
            sa.select(_REVISIONS.c.resource_uuid)
            .where(_REVISIONS.c.resource_uuid.in_(sorted(ids)))
            .limit(1)
        )
    if found is None:
        return
    with db_api.CONTEXT_WRITER.using(context):
        context.session.connection().execute(
            sa.delete(_REVISIONS).where(_REVISIONS.c.resource_uuid.in_(sorted(ids)))
        )
