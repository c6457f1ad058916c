"""Registrations at central: as which site, and in which of its epochs, a site has last registered.

Leases of a site that was removed without having let go of them, and the homes of its ports, are set
aside under a name of their own, until that very site comes back, or an operator has said that it
never will.
"""

import datetime
import logging
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus.model.intent import ResourceType
from isthmus.model.lease import LeaseId
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal, sweep
from isthmus.store.leases import lease, named
from isthmus.store.ports import home
from isthmus.store.sql import clock
from isthmus.store.sql.tables import JOURNAL, REGISTRATIONS
from isthmus.store.tiers import claim, mapping
from isthmus.store.tiers import epoch as tier
from isthmus.store.tiers.epoch import show_incarnation
from isthmus.store.tiers.latest import Latest

LOG = logging.getLogger(__name__)

_ASIDE = "gone/"


@dataclass(frozen=True, slots=True)
class Registration:
    """What a site said last."""

    registration: str  #: id of the row of `isthmus_sites`
    epoch: int
    waits: bool  #: central does, since its own database came back from a backup
    owes: bool  #: central went on without it, and has not heard since what it holds
    registered_at: datetime.datetime | None  #: by the database's clock; None: never
    again: bool = False  #: it has to once more: what it named became void, or smaller

    @property
    def incarnation(self) -> str | None:
        """Tell as which incarnation the site has last registered; None where it never has."""
        return show_incarnation(self.registration, self.epoch) if self.epoch > 0 else None


def find(connection: sa.Connection, site: SiteName) -> Registration | None:
    """Find a site's registration; nothing is locked."""
    row = connection.execute(
        sa.select(REGISTRATIONS).where(REGISTRATIONS.c.site == site)
    ).one_or_none()
    if row is None:
        return None
    return Registration(
        row.registration,
        int(row.epoch),
        bool(row.waits),
        bool(row.owes),
        row.registered_at,
        bool(row.again),
    )


def put(
    connection: sa.Connection,
    site: SiteName,
    registration: str,
    epoch: int,
    *,
    ports: Collection[str] | None = None,
    welcome: claim.Welcome,
) -> None:
    """Note that a site has registered; central settles with the last one.

    Give it a transaction of its own, as short as can be: it locks the tier's epoch.

    Args:
        connection: where.
        site: which.
        registration: as whom it is known.
        epoch: that in which it has registered.
        ports: those that it has; None where it does not know.
        welcome: see `claim.follow`.
    """
    settled = tier.read(connection).settled
    if not settled:
        claim.record(connection, site, ports or ())
    connection.execute(sa.delete(REGISTRATIONS).where(REGISTRATIONS.c.site == site))
    connection.execute(
        sa.insert(REGISTRATIONS).values(
            site=site,
            registration=registration,
            epoch=epoch,
            waits=False,
            named_ports=not settled and ports is not None,
        )
    )
    _mark(connection, [site])
    settle_with_last(connection, welcome)


def count_ports_due(connection: sa.Connection, site: SiteName) -> int:
    """Count the ports that were noted when a site registered and that it has yet to be told of.

    Not those that came since: under load there always are some. Nor those that are parked, which
    nobody can say when a person will look at.
    """
    query = (
        sa.select(sa.func.count())
        .select_from(JOURNAL)
        .join(REGISTRATIONS, REGISTRATIONS.c.site == JOURNAL.c.lane)
        .where(
            JOURNAL.c.lane == site,
            JOURNAL.c.type == ResourceType.PORT.value,
            JOURNAL.c.parked == sa.false(),
            JOURNAL.c.created_at <= REGISTRATIONS.c.registered_at,
        )
    )
    return int(connection.execute(query).scalar_one())


def expect(connection: sa.Connection, site: SiteName, registration: str) -> None:
    """Have central wait for a site that is added while it waits for others.

    It may be one that was added after the backup, and knows of blocks that central has forgotten.
    """
    if tier.read(connection).settled:
        return
    connection.execute(sa.delete(REGISTRATIONS).where(REGISTRATIONS.c.site == site))
    connection.execute(
        sa.insert(REGISTRATIONS).values(site=site, registration=registration, epoch=0, waits=True)
    )


def go_on_without(connection: sa.Connection, site: SiteName, *, welcome: claim.Welcome) -> bool:
    """Note that nobody is to wait for a site; tell whether somebody did.

    Should it come back after all, it has to register before anything else of it is heard: it may
    use blocks that central has forgotten, and given out again since.
    """
    tier.read(connection)
    waited = connection.execute(
        sa.update(REGISTRATIONS)
        .where(REGISTRATIONS.c.site == site, REGISTRATIONS.c.waits.is_(sa.true()))
        .values(waits=False, owes=True)
    ).rowcount
    settle_with_last(connection, welcome)
    return bool(waited)


def ask_again(connection: sa.Connection, site: SiteName) -> None:
    """Have a site register once more, since what it has is not what it was told."""
    connection.execute(
        sa.update(REGISTRATIONS).where(REGISTRATIONS.c.site == site).values(again=True)
    )


def forget(connection: sa.Connection, site: SiteName, *, welcome: claim.Welcome) -> None:
    """Forget a site; its leases are set aside."""
    tier.read(connection)
    connection.execute(sa.delete(REGISTRATIONS).where(REGISTRATIONS.c.site == site))
    settle_with_last(connection, welcome)


def aside(registration: str) -> SiteName:
    """Return the holder under which the leases of a removed site are set aside."""
    return SiteName(f"{_ASIDE}{registration}")


def is_aside(site: str) -> bool:
    """Tell whether a holder is a site that was removed."""
    return site.startswith(_ASIDE)


def set_aside(connection: sa.Connection, site: SiteName, registration: str) -> None:
    """Set a site's leases aside, and the homes of its ports: its servers may go on using both."""
    holder = aside(registration)
    lease.hand_over_all(connection, site, holder)
    home.change_all(connection, site, holder)
    named.move(connection, site, holder)
    named.drop_leases(connection, site)


def take_up(connection: sa.Connection, lease_ids: Collection[LeaseId], site: SiteName) -> None:
    """Return leases that were set aside to the site that they were of."""
    lease.hand_over(connection, lease_ids, site)


def take_up_homes(connection: sa.Connection, registration: str, site: SiteName) -> None:
    """Return the ports that were at home at a removed site to the site that it was."""
    home.change_all(connection, aside(registration), site)
    named.move(connection, aside(registration), site)


def free_for_good(connection: sa.Connection, holder: str) -> None:
    """Forget all that was set aside of a removed site: nothing of it runs any more."""
    assert is_aside(holder), holder
    lease.delete_of_holder(connection, holder)
    mapping.delete_site(connection, holder)
    named.end_of_site(connection, SiteName(holder))


def settle_with_last(connection: sa.Connection, welcome: claim.Welcome) -> None:
    """Settle central where it waits for nobody; each port then is at home where it is.

    Only then are sites told of their ports: before, one could be made at a site that it has left.
    Whoever takes one out of those that are waited for locks the tier's epoch first, so that of two
    last ones the second sees the first; and who is left is read as it is committed now.
    """
    own = tier.read(connection)
    waiting = sa.select(REGISTRATIONS.c.site).where(REGISTRATIONS.c.waits.is_(sa.true()))
    if own.settled or Latest.read(connection, waiting, lambda row: row.site, write=False):
        return
    if named.is_open(connection):
        return  # what was named is decided first, number by number, in transactions of its own
    for one in claim.follow(connection, welcome):
        LOG.warning("Port %s was at site %s and is at site %s", one.port_id, one.old, one.new)
    registered = connection.execute(sa.select(REGISTRATIONS.c.site, REGISTRATIONS.c.registered_at))
    rows = registered.all()
    for row in rows:
        sweep.renew(connection, SiteName(row.site), kinds=[ResourceType.PORT])
    _mark(connection, [SiteName(row.site) for row in rows if row.registered_at is not None])
    tier.settle(connection)


def _mark(connection: sa.Connection, sites: Collection[SiteName]) -> None:
    """Draw the line behind what a site is to be told of before it settles.

    The database's clock may have gone back since something was noted: that counts as noted now, or
    the site would not wait for it.
    """
    now = clock.read(connection)
    for site in sites:
        journal.bring_forward(connection, site, ResourceType.PORT, now)
    connection.execute(
        sa.update(REGISTRATIONS).where(REGISTRATIONS.c.site.in_(sites)).values(registered_at=now)
    )
