"""What a restored central delivers while it does not know better than its sites.

Its tables are as old as its backup. Until a site has registered, central does not know which leases
the site has returned since: nothing is delivered to it, because networks and subnets come with the
leases that they had; nor to one that central went on without. Until all sites have registered,
central does not know which ports they have: a port could be made at a site that it has left, and
the shadow of a server be removed, or brought back. Groups, networks and routers go to sites that
have registered; what is deferred waits in the journal.
"""

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteState
from isthmus.store.delivery.claiming import ALL, Deliverable
from isthmus.store.delivery.lane import FIRST_EPOCH
from isthmus.store.sql.neutron_tables import PORTS
from isthmus.store.sql.tables import (
    JOURNAL,
    LOCATIONS,
    NAMED_PORTS,
    REGISTRATIONS,
    SITE_MAPPINGS,
    SITES,
)
from isthmus.store.tiers import epoch

#: What rests on which site has which port and number.
_UNCERTAIN = (ResourceType.PORT.value, ResourceType.LEASE.value)
_IS_SHADOW = JOURNAL.c.type == ResourceType.SHADOW.value
_PORT = ResourceType.PORT.value


def find_deliverable(connection: sa.Connection) -> Deliverable:
    """Return which intents may be delivered now.

    Args:
        connection: of the transaction that claims, or looks what is due.
    """
    own = epoch.peek(connection)
    if own is None or own.epoch <= FIRST_EPOCH:
        return ALL  # it was never restored
    lost = sa.or_(REGISTRATIONS.c.waits.is_(sa.true()), REGISTRATIONS.c.owes.is_(sa.true()))
    held = frozenset(connection.scalars(sa.select(REGISTRATIONS.c.site).where(lost)))
    # Its home has yet to report it since the restore. Of a home that is gone, or disabled, nobody
    # waits for that; nor of a port that was deleted, wherever it was.
    reporting = sa.select(SITES.c.name).where(SITES.c.state != SiteState.DISABLED.value)
    stale = sa.exists().where(
        PORTS.c.id == JOURNAL.c.resource_id,
        SITE_MAPPINGS.c.type == _PORT,
        SITE_MAPPINGS.c.resource_id == JOURNAL.c.resource_id,
        SITE_MAPPINGS.c.stale.is_(sa.true()),
        SITE_MAPPINGS.c.site.in_(reporting),
    )
    if own.recovered:
        # Nobody loses the shadow that he has meanwhile.
        named = sa.exists().where(NAMED_PORTS.c.port_id == JOURNAL.c.resource_id)
        known = sa.not_(sa.or_(named, stale))
        return Deliverable(but=held, only=(sa.or_(sa.not_(_IS_SHADOW), _is_wanted(), known),))
    # What was reported is new to all; of the rest a site that was restored as well lacks some, and
    # what others have is as new as central's, or newer.
    restored = sa.select(REGISTRATIONS.c.site).where(REGISTRATIONS.c.named_ports.is_(sa.false()))
    lacks = sa.and_(_is_wanted(), sa.or_(JOURNAL.c.lane.in_(restored), sa.not_(stale)))
    return Deliverable(
        but=held, only=(JOURNAL.c.type.not_in(_UNCERTAIN), sa.or_(sa.not_(_IS_SHADOW), lacks))
    )


def _is_wanted() -> sa.ColumnElement[bool]:
    """Tell whether a site is to have a shadow: the port is elsewhere, its network is there."""
    return (
        sa.exists()
        .where(
            LOCATIONS.c.port_id == JOURNAL.c.resource_id,
            LOCATIONS.c.site != JOURNAL.c.lane,
            SITE_MAPPINGS.c.type == ResourceType.NETWORK.value,
            SITE_MAPPINGS.c.resource_id == LOCATIONS.c.network_id,
            SITE_MAPPINGS.c.site == JOURNAL.c.lane,
            SITE_MAPPINGS.c.withdrawn.is_(sa.false()),
        )
        .correlate(JOURNAL)
    )
