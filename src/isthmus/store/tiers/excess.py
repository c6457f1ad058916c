"""Excess: what a registering site has of central's, and should not have any more.

A site that was restored from a backup has what was removed since; central deleted its own record
with the site's acknowledgement. A restored central has lost what was created since. No change
records either, so the site names what it has and central records intents for what is not wanted: as
with every intent, the desired state is read when it is delivered.
"""

import logging
from collections.abc import Collection, Mapping

import sqlalchemy as sa

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal
from isthmus.store.ports import location
from isthmus.store.sql.tables import JOURNAL, LOCATIONS, SITE_MAPPINGS
from isthmus.store.tiers import mapping
from isthmus.store.tiers.latest import Latest

LOG = logging.getLogger(__name__)

_CHUNK = 500
#: How long a site with a restored central keeps a shadow, in seconds: meanwhile the port's own site
#: reports it, a hundred ports in ten seconds, and the shadow stays as it is.
_FORGOTTEN_S = 120.0
#: Most intents of a lane: beyond that no excess is noted. What is left out the next comparison of
#: digests finds, so nothing is lost; and no site that names ids of nothing fills central's journal.
MOST_NOTED = 150_000


def record(
    connection: sa.Connection,
    site: SiteName,
    known: Mapping[ResourceType, Collection[str]],
    *,
    forgot: bool,
) -> None:
    """Record intents for what a site should not have any more, when it registers.

    Args:
        connection: of the transaction.
        site: the site.
        known: ids of what it has, by type.
        forgot: whether central may have lost what the site was told: a port that it does not know
            was created since, and its site reports it.
    """
    room = max(0, MOST_NOTED - _count_noted(connection, site)) if any(known.values()) else 0
    for kind, ids in sorted(known.items()):
        if kind is ResourceType.LEASE or (kind is ResourceType.PORT and forgot):
            continue
        left = sorted(set(ids) - _list_wanted(connection, site, kind, ids))
        noted = _list_noted(connection, site, kind, left)
        fresh = sorted(set(left) - noted)
        if len(fresh) > room:
            LOG.warning(
                "Site %s has %d %ss that it is not to have; %d of them are told of it later",
                site,
                len(left),
                kind.value,
                len(fresh) - room,
            )
        fresh = fresh[:room]
        room -= len(fresh)
        new = fresh if kind is ResourceType.SHADOW and forgot else [*fresh, *sorted(noted)]
        journal.record(connection, [IntentKey(site, kind, one) for one in new])
        if kind is ResourceType.SHADOW and forgot:
            for chunk in _chunks(new):
                journal.delay(connection, site, kind, chunk, delay_s=_FORGOTTEN_S)


def is_going(connection: sa.Connection, site: SiteName, port_id: str) -> bool:
    """Return, for a port that central does not have, whether its site has yet to be told so."""
    query = sa.select(JOURNAL.c.id).where(
        JOURNAL.c.lane == site,
        JOURNAL.c.type == ResourceType.PORT.value,
        JOURNAL.c.resource_id == port_id,
    )
    return bool(Latest.read(connection, query, lambda row: str(row.id), write=False))


def _list_wanted(
    connection: sa.Connection, site: SiteName, kind: ResourceType, ids: Collection[str]
) -> set[str]:
    if kind is ResourceType.SHADOW:
        column = LOCATIONS.c.port_id
        query = location.select_shadows(at=site).with_only_columns(column)
    else:
        column = SITE_MAPPINGS.c.resource_id
        query = mapping.select_ids(kind, site)
    return {
        one for chunk in _chunks(ids) for one in connection.scalars(query.where(column.in_(chunk)))
    }


def _count_noted(connection: sa.Connection, site: SiteName) -> int:
    query = sa.select(sa.func.count()).select_from(JOURNAL).where(JOURNAL.c.lane == site)
    return int(connection.execute(query).scalar_one())


def _list_noted(
    connection: sa.Connection, site: SiteName, kind: ResourceType, ids: Collection[str]
) -> set[str]:
    of_kind = sa.and_(JOURNAL.c.lane == site, JOURNAL.c.type == kind.value)
    column = JOURNAL.c.resource_id
    return {
        one
        for chunk in _chunks(ids)
        for one in connection.scalars(sa.select(column).where(of_kind, column.in_(chunk)))
    }


def _chunks(ids: Collection[str]) -> list[list[str]]:
    found = sorted(set(ids))
    return [found[start : start + _CHUNK] for start in range(0, len(found), _CHUNK)]
