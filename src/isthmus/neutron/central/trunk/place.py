"""Where trunks are: at the home of their parent port, and with them their subports.

A trunk is mapped to a site as something that its parent takes along (`outgoing.along`). Here is
what a port that moves does besides: its trunk is withdrawn from the home that it leaves, and a
subport goes nowhere without its parent.
"""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from neutron.services.trunk import models

from isthmus import errors
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal
from isthmus.store.ports import home as home_store
from isthmus.store.tiers import mapping
from isthmus.store.tiers.locked import LockedObjects

_PORT, _TRUNK = ResourceType.PORT, ResourceType.TRUNK
_TRUNKS = models.Trunk.__table__
_SUBPORTS = models.SubPort.__table__


@dataclass(frozen=True, slots=True)
class PlacedTrunk:
    """A trunk's ports."""

    id: str
    parent_id: str
    subport_ids: tuple[str, ...]


def peek_of_parents(connection: sa.Connection, port_ids: Collection[str]) -> list[PlacedTrunk]:
    """List the trunks of parent ports, by plain reads."""
    return _list(connection, _TRUNKS.c.port_id.in_(sorted(port_ids)), locking=False)


def list_of_parent(connection: sa.Connection, port_id: str) -> list[PlacedTrunk]:
    """List the trunks of a parent port, as currently committed (locking reads)."""
    return _list(connection, _TRUNKS.c.port_id == port_id, locking=True)


def list_trunks(connection: sa.Connection, trunk_ids: Collection[str]) -> list[PlacedTrunk]:
    """List trunks, as currently committed (locking reads)."""
    return _list(connection, _TRUNKS.c.id.in_(sorted(trunk_ids)), locking=True)


def _list(
    connection: sa.Connection, which: sa.ColumnElement[bool], *, locking: bool
) -> list[PlacedTrunk]:
    trunks = sa.select(_TRUNKS.c.id, _TRUNKS.c.port_id).where(which).order_by(_TRUNKS.c.id)
    found = connection.execute(trunks.with_for_update(read=True) if locking else trunks).all()
    if not found:
        return []
    subports = sa.select(_SUBPORTS.c.trunk_id, _SUBPORTS.c.port_id)
    subports = subports.where(_SUBPORTS.c.trunk_id.in_([row.id for row in found]))
    if locking:
        subports = subports.with_for_update(read=True)
    of: dict[str, list[str]] = {}
    for row in connection.execute(subports):
        of.setdefault(row.trunk_id, []).append(row.port_id)
    return [PlacedTrunk(row.id, row.port_id, tuple(sorted(of.get(row.id, ())))) for row in found]


def check_may_come(connection: sa.Connection, site: SiteName, port_id: str) -> None:
    """Check that a port is not to come to a site without the trunk that it is a subport of.

    Raises:
        Conflict: it is a subport, and the parent port is at home at another site.
    """
    query = (
        sa.select(_SUBPORTS.c.trunk_id, _TRUNKS.c.port_id)
        .join_from(_SUBPORTS, _TRUNKS, _SUBPORTS.c.trunk_id == _TRUNKS.c.id)
        .where(_SUBPORTS.c.port_id == port_id)
        .with_for_update(read=True)  # one that was added a moment ago, too
    )
    row = connection.execute(query).one_or_none()
    lives_at = mapping.find_home(connection, row.port_id) if row is not None else None
    if row is not None and lives_at not in (None, site):
        raise errors.Conflict(
            f"port {port_id} is a subport of trunk {row.trunk_id}, whose parent port {row.port_id} "
            f"has its home at site {lives_at}: remove it from the trunk first",
            site=lives_at,
        )


def check_whole(connection: sa.Connection, site: SiteName, port_id: str) -> None:
    """Check that a parent comes to a site behind all of its subports.

    Raises:
        Stale: its trunk has got one since they were brought.
    """
    for trunk in list_of_parent(connection, port_id):
        homes = mapping.list_sites(connection, _PORT, trunk.subport_ids)
        missing = [one for one in trunk.subport_ids if homes.get(one, {}).get(site) is not False]
        if missing:
            raise errors.Stale(
                f"port {port_id} is the parent of trunk {trunk.id}, whose subport {missing[0]} has "
                f"not come to site {site} yet: try again in a moment",
                site=site,
            )


def keep(connection: sa.Connection, site: SiteName, trunk: PlacedTrunk) -> set[IntentKey]:
    """Have the subports stay that were asked to leave a site with their parent, which stays.

    Args:
        connection: of the transaction, which has locked the parent.
        site: the home of the parent.
        trunk: the trunk.

    Returns:
        Whom to tell.
    """
    subports = LockedObjects(connection, _PORT, trunk.subport_ids, alone=True)
    stay = [one for one in trunk.subport_ids if subports.sites(one).get(site)]
    for one in stay:
        home_store.set_leaving(connection, one, leaving=False)
    return {IntentKey(site, _PORT, one) for one in stay}


def leave(connection: sa.Connection, port_id: str) -> None:
    """Withdraw the trunk of a port from every site that is not the port's home, or is to be left.

    Its subports are asked to leave that site too: they go where the parent goes.

    Args:
        connection: of the transaction, which has locked the port and changed its home.
        port_id: the port, a parent or not.
    """
    trunks = list_of_parent(connection, port_id)
    home = home_store.lock(connection, port_id) if trunks else None
    stays = home.site if home is not None and not home.leaving else None
    for trunk in trunks:
        locked = LockedObjects(connection, _TRUNK, [trunk.id], alone=True)
        left = [site for site in locked.sites(trunk.id) if site != stays]
        for site in left:
            locked.withdraw(site)
            journal.record(connection, [IntentKey(site, _TRUNK, trunk.id)])
        subports = LockedObjects(connection, _PORT, trunk.subport_ids, alone=True)
        for one in trunk.subport_ids:
            for site, leaving in subports.sites(one).items():
                if site in left and not leaving:
                    home_store.set_leaving(connection, one, leaving=True)
                    journal.record(connection, [IntentKey(site, _PORT, one)])
