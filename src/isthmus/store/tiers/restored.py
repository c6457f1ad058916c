"""What a restored central delivers while it does not know better than its sites.

Its tables are as old as its backup. Until a site has registered, central does not know which leases
the site has returned since: nothing is delivered to it, because networks and subnets come with the
leases that they had. Until all sites have registered, it does not know which ports they have: a
port could be made at a site that it has left, and the shadow of a server that was booted since the
backup be removed. Groups and networks go to sites that have registered; what is held back waits in
the journal.
"""

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.store.delivery.journal import Conditions
from isthmus.store.sql.tables import CLAIMS, JOURNAL, LOCATIONS, REGISTRATIONS
from isthmus.store.tiers import epoch

#: What rests on which site has which port and number.
_UNCERTAIN = (ResourceType.PORT.value, ResourceType.LEASE.value)
_IS_SHADOW = JOURNAL.c.type == ResourceType.SHADOW.value


def list_conditions(connection: sa.Connection) -> Conditions:
    """Return what holds of the intents that may be delivered now; nothing where all may.

    Args:
        connection: of the transaction that claims, or looks what is due.
    """
    located = sa.exists().where(LOCATIONS.c.port_id == JOURNAL.c.resource_id)
    if not epoch.is_settled(connection):
        waiting = sa.select(REGISTRATIONS.c.site).where(REGISTRATIONS.c.waits.is_(sa.true()))
        return (
            JOURNAL.c.lane.not_in(waiting),
            JOURNAL.c.type.not_in(_UNCERTAIN),
            sa.or_(sa.not_(_IS_SHADOW), located),
        )
    if connection.scalar(sa.select(CLAIMS.c.port_id).limit(1)) is None:
        return ()
    claimed = sa.exists().where(CLAIMS.c.port_id == JOURNAL.c.resource_id)
    return (sa.or_(sa.not_(_IS_SHADOW), located, sa.not_(claimed)),)
