"""Excess: what a site that registers has of central's, and is not to have any more.

A site that came back from a backup has what was removed since; central forgot it with its
acknowledgement. A central that came back has forgotten what was made since. No change tells of
either, so the site names what it has and central notes what of it is not wanted: as with every
intent, what is wanted is read when it is acted upon.
"""

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from isthmus.model.intent import IntentKey, ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal
from isthmus.store.sql.tables import JOURNAL, LOCATIONS, SITE_MAPPINGS
from isthmus.store.tiers.latest import Latest

_CHUNK = 500
#: How long a shadow is left to a site whose central was restored, in seconds: the port's own site
#: reports it meanwhile, a hundred ports in ten seconds, and the shadow stays what it is.
_FORGOTTEN_S = 120.0


def record(
    connection: sa.Connection,
    site: SiteName,
    known: Mapping[ResourceType, Collection[str]],
    *,
    forgot: bool,
) -> None:
    """Note what a site is not to have any more, in the transaction that registers it.

    Args:
        connection: where.
        site: which.
        known: ids of what it has, by type.
        forgot: whether central may have forgotten what the site was told: a port that it does not
            know was made since, and its site reports it.
    """
    for kind, ids in sorted(known.items()):
        if kind is ResourceType.LEASE or (kind is ResourceType.PORT and forgot):
            continue
        left = sorted(set(ids) - _list_wanted(connection, site, kind, ids))
        new = left
        if kind is ResourceType.SHADOW and forgot:
            new = sorted(set(left) - _list_noted(connection, site, left))
        journal.record(connection, [IntentKey(site, kind, one) for one in new])
        if kind is ResourceType.SHADOW and forgot:
            for chunk in _chunks(new):
                journal.delay(connection, site, kind, chunk, delay_s=_FORGOTTEN_S)


def is_going(connection: sa.Connection, site: SiteName, port_id: str) -> bool:
    """Tell, of a port that central has not, whether its site is yet to hear that it is gone."""
    query = sa.select(JOURNAL.c.id).where(
        JOURNAL.c.lane == site,
        JOURNAL.c.type == ResourceType.PORT.value,
        JOURNAL.c.resource_id == port_id,
    )
    return bool(Latest.read(connection, query, lambda row: str(row.id), write=False))


def _list_wanted(
    connection: sa.Connection, site: SiteName, kind: ResourceType, ids: Collection[str]
) -> set[str]:
    if kind is ResourceType.SHADOW:  # which network it is on is looked at when it is carried
        column, there = LOCATIONS.c.port_id, LOCATIONS.c.site != site
    else:
        column = SITE_MAPPINGS.c.resource_id
        there = sa.and_(SITE_MAPPINGS.c.type == kind.value, SITE_MAPPINGS.c.site == site)
    return {
        one
        for chunk in _chunks(ids)
        for one in connection.scalars(sa.select(column).where(there, column.in_(chunk)))
    }


def _list_noted(connection: sa.Connection, site: SiteName, ids: Collection[str]) -> set[str]:
    shadows = sa.and_(JOURNAL.c.lane == site, JOURNAL.c.type == ResourceType.SHADOW.value)
    column = JOURNAL.c.resource_id
    return {
        one
        for chunk in _chunks(ids)
        for one in connection.scalars(sa.select(column).where(shadows, column.in_(chunk)))
    }


def _chunks(ids: Collection[str]) -> list[list[str]]:
    found = sorted(set(ids))
    return [found[start : start + _CHUNK] for start in range(0, len(found), _CHUNK)]
