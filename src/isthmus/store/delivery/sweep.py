"""Sweeps: what no change records in the journal."""

from collections.abc import Callable, Iterable

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import claiming, journal
from isthmus.store.delivery import lane as lane_store
from isthmus.store.ports import location
from isthmus.store.sql.tables import JOURNAL, LANES, LEASES, SITE_MAPPINGS, SITES


def drop_orphans(connection: sa.Connection) -> int:
    """Delete intents and batch numbers of deleted sites.

    Returns:
        How many intents.
    """
    known = sa.select(SITES.c.name)
    lane_store.forget_unknown(connection, known)
    lanes = set(connection.scalars(sa.select(JOURNAL.c.lane).distinct()))
    orphans = sorted(lanes - set(connection.scalars(known)))
    if not orphans:
        return 0
    return journal.delete_lanes(connection, orphans)


def release_dead(connection: sa.Connection, is_dead: Callable[[str], bool]) -> int:
    """Release the claims of dead workers at once.

    Args:
        connection: of the transaction.
        is_dead: returns whether an owner is dead.

    Returns:
        How many claims.
    """
    # A lane that was ever claimed has its row: one index look-up for each. One owner claims it at a
    # time, and what is left of another has expired.
    last = (
        sa.select(JOURNAL.c.owner)
        .where(JOURNAL.c.lane == LANES.c.lane)
        .order_by(JOURNAL.c.owner.desc())
        .limit(1)
        .correlate(LANES)
    )
    owners = sa.select(LANES.c.lane, claiming.through(last, "owner").scalar_subquery())
    released = 0
    for lane, owner in connection.execute(owners).all():
        if owner is not None and is_dead(owner):
            released += claiming.release_owner(connection, lane, owner)
    return released


def renew(
    connection: sa.Connection,
    site: "SiteName | sa.Select[str]",
    kinds: Iterable[ResourceType] = tuple(ResourceType),
) -> None:
    """Record an intent for everything that a site should have, or each of several.

    Intents are level-triggered, so this is harmless: what is right already is acknowledged.

    Args:
        connection: of the transaction.
        site: the site; for several, which select names them, and no shadows can be asked for.
        kinds: types of the objects.
    """
    sites = [site] if isinstance(site, str) else site
    for kind in kinds:
        if kind is ResourceType.SHADOW:
            assert isinstance(site, str), "shadows are selected for one site"
            selection = location.select_shadows(at=site)
        elif kind is ResourceType.LEASE:
            selection = sa.select(LEASES.c.site, LEASES.c.id).where(LEASES.c.site.in_(sites))
        else:
            selection = sa.select(SITE_MAPPINGS.c.site, SITE_MAPPINGS.c.resource_id).where(
                SITE_MAPPINGS.c.type == kind.value, SITE_MAPPINGS.c.site.in_(sites)
            )
        journal.record_selected(connection, kind, selection)
