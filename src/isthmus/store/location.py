"""Where each port lives, as its home site reported it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from isthmus import errors
from isthmus.model.site import SiteName
from isthmus.store.tables import LOCATIONS, ROUTINGS

#: Ids in one IN (...).
_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One bound port's place."""

    port_id: str
    network_id: str
    site: SiteName
    chassis: str
    hostname: str
    encap_ip: str
    port_key: int

    @classmethod
    def from_wire(cls, body: Any, *, port_id: str, network_id: str, site: SiteName) -> Self:
        """Read `isthmus:location` of a report.

        Raises:
            ProtocolError: a key is missing or of the wrong form.
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
    """List the locations of ports as they are now, by port; one that is bound nowhere has none.

    A locking read: who must not miss one that is being noted holds the port (`store.held`).
    """
    return _list(connection, port_ids, latest=True)


def peek_locations(connection: sa.Connection, port_ids: Collection[str]) -> dict[str, Location]:
    """List the locations of ports when the transaction began, for an answer that is only shown."""
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


def record(connection: sa.Connection, location: Location) -> bool:
    """Keep a port's location and tell whether it changed."""
    if list_locations(connection, [location.port_id]).get(location.port_id) == location:
        return False
    values = {name: getattr(location, name) for name in location.__slots__}
    rest = {name: value for name, value in values.items() if name != "port_id"}
    statement: sa.Executable
    if connection.dialect.name == "sqlite":
        statement = (
            sqlite.insert(LOCATIONS)
            .values(values)
            .on_conflict_do_update(index_elements=[LOCATIONS.c.port_id], set_=rest)
        )
    else:
        statement = mysql.insert(LOCATIONS).values(values).on_duplicate_key_update(rest)
    connection.execute(statement)
    return True


def delete(connection: sa.Connection, port_ids: Collection[str]) -> None:
    """Forget where ports live."""
    if port_ids:
        connection.execute(
            sa.delete(LOCATIONS).where(LOCATIONS.c.port_id.in_(sorted(set(port_ids))))
        )


def shadow_keys(*, network_id: str, site: SiteName) -> sa.Select[Any]:
    """Select (lane, port) of the shadows that a site is to hold of a network, in one statement."""
    return sa.select(sa.literal(site), LOCATIONS.c.port_id).where(
        LOCATIONS.c.network_id == network_id, LOCATIONS.c.site != site
    )


def shadow_keys_of_network(network_id: str) -> sa.Select[Any]:
    """Select (lane, port) of every shadow of a network at every site where it is present."""
    return (
        sa.select(ROUTINGS.c.site, LOCATIONS.c.port_id)
        .join_from(LOCATIONS, ROUTINGS, ROUTINGS.c.resource_id == LOCATIONS.c.network_id)
        .where(
            LOCATIONS.c.network_id == network_id,
            ROUTINGS.c.type == "network",
            ROUTINGS.c.withdrawn.is_(sa.false()),
            ROUTINGS.c.site != LOCATIONS.c.site,
        )
    )


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
