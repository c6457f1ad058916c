"""Where each port is bound, as its home site reported it.

The port key of a deleted location rests (`isthmus.store.leases.resting`): until every site is told,
a shadow somewhere still has it, and where two ports request one key northd silently gives one of
them another.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.leases import resting
from isthmus.store.ports import hypervisor
from isthmus.store.sql.page import read_rows
from isthmus.store.sql.tables import LOCATIONS, SITE_MAPPINGS

#: Ids in one IN (...).
_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The location of one bound port."""

    port_id: str
    network_id: str
    site: SiteName
    chassis: str
    hostname: str
    encap_ip: str
    port_key: int

    @classmethod
    def from_dict(cls, body: Any, *, port_id: str, network_id: str, site: SiteName) -> Self:
        """Parse `isthmus:location` of a report.

        Args:
            body: its value.
            port_id: the port.
            network_id: its network.
            site: the reporting site.

        Raises:
            ProtocolError: a key is missing or malformed.
        """
        try:
            return cls(
                port_id=port_id,
                network_id=network_id,
                site=site,
                chassis=str(body["chassis"]),
                hostname=str(body["hostname"]),
                encap_ip=str(body["encap_ip"]),
                port_key=int(body["port_key"]),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise errors.ProtocolError(f"not a location: {body!r}") from exc


def list_locations(connection: sa.Connection, port_ids: Collection[str]) -> dict[str, Location]:
    """List the locations of ports as currently committed, by port; unbound ports are missing.

    A locking read: a caller that must not miss one that is being recorded locks the port
    (`tiers.locked`).
    """
    return _list(connection, port_ids, latest=True)


def peek_locations(connection: sa.Connection, port_ids: Collection[str]) -> dict[str, Location]:
    """List the locations of ports by a plain read, for an answer that is only shown."""
    return _list(connection, port_ids, latest=False)


def _list(
    connection: sa.Connection, port_ids: Collection[str], *, latest: bool
) -> dict[str, Location]:
    found = {}
    ids = sorted(set(port_ids))
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(LOCATIONS).where(LOCATIONS.c.port_id.in_(ids[start : start + _CHUNK]))
        if latest:
            query = query.order_by(LOCATIONS.c.port_id).with_for_update(read=True)
        for row in connection.execute(query):
            found[row.port_id] = _location(row)
    return found


def list_rows(
    connection: sa.Connection, network_ids: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """List the rows of networks as the holdings show them; None means all."""
    query = sa.select(LOCATIONS)
    if network_ids is not None:
        query = query.where(LOCATIONS.c.network_id.in_(list(network_ids)))
    return read_rows(connection, query)


def list_keys_of_site(connection: sa.Connection, site: SiteName) -> list[dict[str, Any]]:
    """List `port_id`, `network_id` and `port_key` of the ports at a site."""
    columns = (LOCATIONS.c.port_id, LOCATIONS.c.network_id, LOCATIONS.c.port_key)
    query = sa.select(*columns).where(LOCATIONS.c.site == site, LOCATIONS.c.port_key.is_not(None))
    return read_rows(connection, query)


def count_of_site(connection: sa.Connection, network_id: str, site: SiteName) -> int:
    """Count the ports of a network at a site."""
    query = sa.select(sa.func.count()).where(
        LOCATIONS.c.network_id == network_id, LOCATIONS.c.site == site
    )
    return int(connection.execute(query).scalar_one())


def record(connection: sa.Connection, location: Location) -> bool:
    """Record a port's location and return whether it changed.

    Raises:
        Conflict: its hypervisor's name or tunnel address is another site's.
        Stale: its port key is still that of another port.
    """
    query = sa.select(LOCATIONS).where(LOCATIONS.c.port_id == location.port_id)
    old = connection.execute(query.with_for_update()).one_or_none()
    if old is not None and _location(old) == location:
        return False
    hypervisor.record(connection, location.site, location.chassis, location.encap_ip)
    holder = find_key_holder(connection, location, latest=True)
    if holder is not None:
        raise errors.Stale(
            f"port {location.port_id}: port key {location.port_key} is still that of port {holder}"
        )
    if old is not None and _key(old) != (location.network_id, location.port_key):
        _rest(connection, LOCATIONS.c.port_id == location.port_id)
    values = {name: getattr(location, name) for name in location.__slots__}
    # No upsert: MariaDB's would take another port's row where the key is the same.
    if old is None:
        connection.execute(sa.insert(LOCATIONS).values(values))
    else:
        connection.execute(
            sa.update(LOCATIONS).where(LOCATIONS.c.port_id == location.port_id).values(values)
        )
    return True


def has_any(connection: sa.Connection, site: SiteName) -> bool:
    """Tell, by a plain read, whether any port is bound at a site."""
    query = sa.select(LOCATIONS.c.port_id).where(LOCATIONS.c.site == site, LOCATIONS.c.chassis > "")
    return connection.execute(query.limit(1)).first() is not None


def find_key_holder(
    connection: sa.Connection, location: Location, *, latest: bool = False
) -> str | None:
    """Return another port of the network that has a location's port key."""
    query = sa.select(LOCATIONS.c.port_id).where(
        LOCATIONS.c.network_id == location.network_id,
        LOCATIONS.c.port_key == location.port_key,
        LOCATIONS.c.port_id != location.port_id,
    )
    return connection.execute(query.with_for_update() if latest else query).scalar()


def find_keys_in_use(connection: sa.Connection, network_id: str, keys: Collection[int]) -> set[int]:
    """Return which port keys of a network ports have where they are bound (a locking read)."""
    query = sa.select(LOCATIONS.c.port_key).where(
        LOCATIONS.c.network_id == network_id, LOCATIONS.c.port_key.in_(sorted(keys))
    )
    return {int(key) for key in connection.scalars(query.with_for_update(read=True))}


def delete(connection: sa.Connection, port_ids: Collection[str]) -> None:
    """Delete the locations of ports; their keys rest."""
    if port_ids:
        _delete(connection, LOCATIONS.c.port_id.in_(sorted(set(port_ids))))


def delete_of_site(connection: sa.Connection, site: SiteName) -> None:
    """Delete every location at a site; the keys rest."""
    _delete(connection, LOCATIONS.c.site == site)


def _delete(connection: sa.Connection, which: "sa.ColumnElement[bool]") -> None:
    _rest(connection, which)
    connection.execute(sa.delete(LOCATIONS).where(which))


def _rest(connection: sa.Connection, which: "sa.ColumnElement[bool]") -> None:
    query = sa.select(LOCATIONS).where(which).with_for_update()
    resting.record(
        connection, [(*_key(row), row.port_id) for row in connection.execute(query).all()]
    )


def _key(row: Any) -> tuple[str, int]:
    return row.network_id, int(row.port_key)


def select_shadows(
    *, at: SiteName | None = None, of: SiteName | None = None, network_id: str | None = None
) -> "sa.Select[tuple[str, str]]":
    """Select (lane, port) of shadows that sites should hold: of ports elsewhere, on their networks.

    Args:
        at: of this site alone.
        of: of ports at this site alone.
        network_id: of ports on this network alone.
    """
    query = (
        sa.select(SITE_MAPPINGS.c.site, LOCATIONS.c.port_id)
        .join_from(LOCATIONS, SITE_MAPPINGS, SITE_MAPPINGS.c.resource_id == LOCATIONS.c.network_id)
        .where(
            SITE_MAPPINGS.c.type == ResourceType.NETWORK.value,
            SITE_MAPPINGS.c.site != LOCATIONS.c.site,
        )
    )
    for column, value in (
        (SITE_MAPPINGS.c.site, at),
        (LOCATIONS.c.site, of),
        (LOCATIONS.c.network_id, network_id),
    ):
        if value is not None:
            query = query.where(column == value)
    return query


def _location(row: Any) -> Location:
    return Location(
        port_id=row.port_id,
        network_id=row.network_id,
        site=SiteName(row.site),
        chassis=row.chassis,
        hostname=row.hostname,
        encap_ip=row.encap_ip,
        port_key=row.port_key,
    )
