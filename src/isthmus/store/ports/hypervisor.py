"""The owners of hypervisors, at central: a name and a tunnel address belong to one site.

A hypervisor is a site's while one of its ports is there. A row without ports counts for nobody, so
a machine that moved to another site needs no operator.
"""

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.exits.request import Hypervisor
from isthmus.model.site import SiteName
from isthmus.store.sql.tables import HYPERVISORS, LOCATIONS


def find_owner(
    connection: sa.Connection, site: SiteName, chassis: str, encap_ip: str
) -> SiteName | None:
    """Return another site that has a hypervisor of this name or tunnel address.

    Args:
        connection: of the transaction.
        site: the site that is not looked for.
        chassis: name of the chassis.
        encap_ip: its tunnel address.
    """
    for row in connection.execute(_clashing(site, chassis, encap_ip)):
        if _is_used(connection, row):
            return SiteName(row.site)
    return None


def record(connection: sa.Connection, site: SiteName, chassis: str, encap_ip: str) -> None:
    """Record that a hypervisor is a site's; idempotent.

    Args:
        connection: of the transaction.
        site: the site.
        chassis: name of the chassis.
        encap_ip: its tunnel address.

    Raises:
        Conflict: its name or its tunnel address is another site's.
    """
    own = sa.select(HYPERVISORS.c.chassis).where(
        HYPERVISORS.c.chassis == chassis,
        HYPERVISORS.c.site == site,
        HYPERVISORS.c.encap_ip == encap_ip,
    )
    # FOR UPDATE: a transaction that reassigns a hypervisor must wait until its port is recorded.
    if connection.execute(own.with_for_update()).first() is not None:
        return
    for row in connection.execute(_clashing(site, chassis, encap_ip).with_for_update()).all():
        if _is_used(connection, row, latest=True):
            raise errors.Conflict(
                f"hypervisor {chassis} ({encap_ip}) has the name or the tunnel address of "
                f"{row.chassis} ({row.encap_ip}) of site {row.site}",
                site=row.site,
            )
    connection.execute(
        sa.delete(HYPERVISORS).where(
            sa.or_(HYPERVISORS.c.chassis == chassis, HYPERVISORS.c.encap_ip == encap_ip)
        )
    )
    used = sa.select(LOCATIONS.c.chassis).where(LOCATIONS.c.site == site)
    connection.execute(
        sa.delete(HYPERVISORS).where(HYPERVISORS.c.site == site, HYPERVISORS.c.chassis.not_in(used))
    )
    connection.execute(sa.insert(HYPERVISORS).values(chassis=chassis, site=site, encap_ip=encap_ip))


def list_any(connection: sa.Connection) -> dict[SiteName, Hypervisor]:
    """List one hypervisor of each site that has ports on stretched networks: its first by name.

    Any will do for packets to a router, which is on all of them.
    """
    first = (
        sa.select(LOCATIONS.c.site, sa.func.min(LOCATIONS.c.chassis).label("chassis"))
        .where(LOCATIONS.c.chassis != "", LOCATIONS.c.encap_ip != "")
        .group_by(LOCATIONS.c.site)
        .subquery()
    )
    names = (LOCATIONS.c.site, LOCATIONS.c.chassis)
    hostname, encap_ip = sa.func.min(LOCATIONS.c.hostname), sa.func.min(LOCATIONS.c.encap_ip)
    query = (
        sa.select(*names, hostname.label("hostname"), encap_ip.label("encap_ip"))
        .join_from(
            LOCATIONS,
            first,
            sa.and_(LOCATIONS.c.site == first.c.site, LOCATIONS.c.chassis == first.c.chassis),
        )
        .group_by(*names)
    )
    return {
        SiteName(row.site): Hypervisor(
            chassis=row.chassis, hostname=row.hostname, encap_ip=row.encap_ip
        )
        for row in connection.execute(query)
    }


def delete_site(connection: sa.Connection, site: SiteName) -> None:
    """Delete the hypervisors of a site."""
    connection.execute(sa.delete(HYPERVISORS).where(HYPERVISORS.c.site == site))


def _clashing(site: SiteName, chassis: str, encap_ip: str) -> sa.Select[tuple[str, str, str]]:
    return sa.select(HYPERVISORS.c.chassis, HYPERVISORS.c.site, HYPERVISORS.c.encap_ip).where(
        HYPERVISORS.c.site != site,
        sa.or_(HYPERVISORS.c.chassis == chassis, HYPERVISORS.c.encap_ip == encap_ip),
    )


def _is_used(
    connection: sa.Connection, row: sa.Row[tuple[str, str, str]], *, latest: bool = False
) -> bool:
    query = sa.select(LOCATIONS.c.port_id).where(
        LOCATIONS.c.site == row.site, LOCATIONS.c.chassis == row.chassis
    )
    query = query.limit(1)
    return connection.execute(query.with_for_update() if latest else query).first() is not None
