"""Named ports: which ports each site has, as the sites report when central was restored.

In central's restored tables, a port that moved after the backup has its home at the old site. A
report by the site that has it now would be refused, and the old site would be told to create it
again. So before central recovers, homes follow the ports: a port moves from its home to another
site if that one has it, nobody else does, and the home itself, asked, does not have it any more. No
site gets a port by its own word alone, and none on a network that is not there; but a port that is
at no site, as one that came home for the first time after the backup, is where one site alone says.

Changes of a port since the backup are lost at central as well, and not at its home. So each port is
*stale* from the restore until its home has reported it: where the two differ, central's database is
outdated. A port that its home, asked, does not have is not stale any more. A home that was restored
itself cannot say: it is told of its ports, and reports them.

A port that central does not know was made since the backup. That its site named it
is kept until the site reports it, or says that it is gone, so that no other site that knows of it
reports it as its own.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName, SiteState
from isthmus.store.delivery import journal
from isthmus.store.ports import home, location
from isthmus.store.sql import clock
from isthmus.store.sql.neutron_tables import PORTS
from isthmus.store.sql.tables import NAMED_PORTS, REGISTRATIONS, SITE_MAPPINGS, SITES
from isthmus.store.tiers import mapping
from isthmus.store.tiers.latest import Latest
from isthmus.store.tiers.locked import LockedObjects

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Move:
    """A port that is at another site than central's database says."""

    port_id: str
    old: SiteName | None  #: None: no site
    new: SiteName


def record(connection: sa.Connection, site: SiteName, port_ids: Collection[str]) -> None:
    """Record which ports a site names."""
    connection.execute(sa.delete(NAMED_PORTS).where(NAMED_PORTS.c.site == site))
    rows = [{"port_id": one, "site": site} for one in sorted(set(port_ids))]
    for start in range(0, len(rows), _CHUNK):
        connection.execute(sa.insert(NAMED_PORTS), rows[start : start + _CHUNK])


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a port is, as far as central knows and sites say."""

    home: SiteName | None
    home_heard: bool  #: its home has reported which ports it has
    named_by: frozenset[SiteName]  #: the sites that say that they have it

    @property
    def spokesman(self) -> SiteName | None:
        """Return the site whose word counts for the port: its home, or the one it moves to.

        No site speaks for a port by its own word alone, unless the port is at no site.
        """
        if self.home is not None and (self.home in self.named_by or not self.home_heard):
            return self.home
        return next(iter(self.named_by)) if len(self.named_by) == 1 else self.home


def find_place(connection: sa.Connection, port_id: str) -> Place:
    """Return where a port is, and lock its home."""
    query = sa.select(NAMED_PORTS.c.site).where(NAMED_PORTS.c.port_id == port_id)
    at = mapping.find_home(connection, port_id)
    return Place(
        home=at,
        home_heard=at is not None and _has_named(connection, at),
        named_by=frozenset(SiteName(site) for site in connection.scalars(query)),
    )


def find_other(connection: sa.Connection, port_id: str, site: SiteName) -> SiteName | None:
    """Return another site that has named a port and is not disabled, or None.

    Where two sites name one port, neither can report it until a person has disabled, or removed,
    the one that lies.
    """
    query = (
        sa.select(NAMED_PORTS.c.site)
        .join(SITES, SITES.c.name == NAMED_PORTS.c.site)
        .where(
            NAMED_PORTS.c.port_id == port_id,
            NAMED_PORTS.c.site != site,
            SITES.c.state != SiteState.DISABLED.value,
        )
        .order_by(NAMED_PORTS.c.site)
    )
    found = connection.scalar(query.limit(1))
    return None if found is None else SiteName(found)


def end(connection: sa.Connection, port_id: str, site: SiteName) -> None:
    """Delete what a site named of a port: it has reported the port, or that it is gone."""
    of_site = sa.and_(NAMED_PORTS.c.port_id == port_id, NAMED_PORTS.c.site == site)
    # Nearly always there is none, and to delete nothing locks the gap where it would be.
    if connection.execute(sa.select(NAMED_PORTS.c.site).where(of_site)).first() is not None:
        connection.execute(sa.delete(NAMED_PORTS).where(of_site))


def end_of_site(connection: sa.Connection, site: SiteName) -> None:
    """Delete what a site that is removed has named."""
    connection.execute(sa.delete(NAMED_PORTS).where(NAMED_PORTS.c.site == site))


def _has_named(connection: sa.Connection, site: SiteName) -> bool:
    """Return whether a site has reported which ports it has."""
    query = sa.select(REGISTRATIONS.c.named_ports).where(REGISTRATIONS.c.site == site)
    return bool(connection.execute(query).scalar())


#: Ensures that a site has what else a port needs whose home it became.
Welcome = Callable[[sa.Connection, Move], object]


def follow(connection: sa.Connection, welcome: Welcome) -> list[Move]:
    """Set homes from what is named; in the transaction that has central recover.

    What is named of ports that central knows is deleted. Whoever changes a port locks the port
    before its home: so the ports in question are found by a plain read, locked, and decided by a
    second one. Nothing is named meanwhile, since the caller has locked the tier's epoch first.

    Args:
        connection: of the transaction.
        welcome: called for each port that moved.

    Returns:
        What moved.
    """
    named, homes = sa.alias(NAMED_PORTS), sa.alias(SITE_MAPPINGS)
    query = (
        sa.select(homes.c.resource_id, homes.c.site, named.c.site.label("named_by"))
        .join_from(homes, named, named.c.port_id == homes.c.resource_id)
        .join(REGISTRATIONS, REGISTRATIONS.c.site == homes.c.site)
        .where(
            homes.c.type == ResourceType.PORT.value,
            REGISTRATIONS.c.named_ports.is_(sa.true()),
            ~_is_named_by_home(homes),
        )
    )
    ids = sorted({row.resource_id for row in connection.execute(query)})
    ports = LockedObjects(connection, ResourceType.PORT, ids, alone=True)
    found: list[Move] = []
    for start in range(0, len(ids), _CHUNK):
        found += Latest.read(
            connection,
            query.where(homes.c.resource_id.in_(ids[start : start + _CHUNK])),
            lambda row: Move(row.resource_id, SiteName(row.site), SiteName(row.named_by)),
            write=True,
        )
    moves = plan_moves(
        (one for one in found if one.port_id in ports.owners), _list_present(connection, found)
    )
    for one in moves:
        _move(connection, one)
    moves += _settle(connection)
    for one in moves:
        welcome(connection, one)
    connection.execute(
        sa.update(SITE_MAPPINGS)
        .where(
            SITE_MAPPINGS.c.type == ResourceType.PORT.value,
            SITE_MAPPINGS.c.stale.is_(sa.true()),
            ~_is_named_by_home(SITE_MAPPINGS),
            SITE_MAPPINGS.c.site.in_(_named()),
        )
        .values(stale=False, base=None)
    )
    connection.execute(
        sa.delete(NAMED_PORTS).where(NAMED_PORTS.c.port_id.in_(sa.select(PORTS.c.id)))
    )
    return moves


def _settle(connection: sa.Connection) -> list[Move]:
    """Set the homes of ports that are at no site and are named by one; they are stale."""
    named, homes = sa.alias(NAMED_PORTS), sa.alias(SITE_MAPPINGS)
    has_home = (
        sa.select(homes.c.resource_id)
        .where(homes.c.type == ResourceType.PORT.value, homes.c.resource_id == PORTS.c.id)
        .exists()
    )
    query = (
        sa.select(PORTS.c.id, PORTS.c.project_id, named.c.site)
        .join_from(PORTS, named, named.c.port_id == PORTS.c.id)
        .where(~has_home)
    )
    ids = sorted({row.id for row in connection.execute(query)})
    ports = LockedObjects(connection, ResourceType.PORT, ids, alone=True)
    found: list[Move] = []
    owners: dict[str, str | None] = {}
    for start in range(0, len(ids), _CHUNK):
        rows = Latest.read(
            connection,
            query.where(PORTS.c.id.in_(ids[start : start + _CHUNK])),
            lambda row: (Move(row.id, None, SiteName(row.site)), row.project_id),
            write=True,
        )
        owners |= {move.port_id: project for move, project in rows}
        found += [move for move, _ in rows]
    moves = plan_moves(
        # A locking read does not reach into the subquery on MariaDB: one may have a home by now.
        (one for one in found if one.port_id in ports.owners and not ports.sites(one.port_id)),
        _list_present(connection, found),
    )
    for one in moves:
        project = owners[one.port_id]
        now = clock.read(connection)
        home.assign(connection, one.port_id, one.new, project_id=project, now=now, stale=True)
    return moves


def _named() -> "sa.Select[tuple[str]]":
    """Select the sites that have said which ports they have.

    One that was restored itself has not: what it does not name may be there, and newer than here.
    """
    return sa.select(REGISTRATIONS.c.site).where(REGISTRATIONS.c.named_ports.is_(sa.true()))


def _is_named_by_home(homes: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return a condition, on a row of site mappings: whether its own site names the port."""
    return (
        sa.select(NAMED_PORTS.c.port_id)
        .where(NAMED_PORTS.c.port_id == homes.c.resource_id, NAMED_PORTS.c.site == homes.c.site)
        .exists()
    )


def plan_moves(found: Iterable[Move], present: Mapping[str, Collection[SiteName]]) -> list[Move]:
    """Choose which ports move.

    Not a port that more than one site has: only an operator can tell whose it is. A site where the
    network is not present, possibly after everything that the site has registered, cannot have it.

    Args:
        found: ports that are named by other sites than their homes, or that have none.
        present: the sites that have the network of each port.
    """
    by_port: dict[str, list[Move]] = {}
    for one in found:
        if one.new in present.get(one.port_id, ()):
            by_port.setdefault(one.port_id, []).append(one)
    chosen = (moves[0] for moves in by_port.values() if len(moves) == 1)
    return sorted(chosen, key=lambda one: one.port_id)


def _list_present(
    connection: sa.Connection, found: Iterable[Move]
) -> dict[str, Collection[SiteName]]:
    """List the sites that have the network of each port, and lock the networks."""
    ids = sorted({one.port_id for one in found})
    networks: dict[str, str] = {}
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(PORTS.c.id, PORTS.c.network_id).where(
            PORTS.c.id.in_(ids[start : start + _CHUNK])
        )
        networks |= {row.id: row.network_id for row in connection.execute(query)}  # never changes
    locked = LockedObjects(connection, ResourceType.NETWORK, networks.values())
    return {
        port_id: {site for site, withdrawn in locked.sites(network_id).items() if not withdrawn}
        for port_id, network_id in networks.items()
    }


def _move(connection: sa.Connection, move: Move) -> None:
    """Set the home that a site names for a port, which the caller has locked with its home."""
    home.change(connection, move.port_id, move.new)
    told = [IntentKey(one, ResourceType.PORT, move.port_id) for one in (move.old, move.new) if one]
    located = location.list_locations(connection, [move.port_id]).get(move.port_id)
    if located is not None:  # its location at the old site
        location.delete(connection, [move.port_id])
        network = LockedObjects(connection, ResourceType.NETWORK, [located.network_id])
        told += [
            IntentKey(site, ResourceType.SHADOW, move.port_id)
            for site in network.sites(located.network_id)
        ]
    journal.record(connection, told)
