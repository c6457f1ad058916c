"""Registrations at central: the incarnation and the epoch with which each site last registered.

Leases of a site that was removed without returning them, and the homes of its ports, are set aside
under a name of their own, until that very site comes back, or an operator decides that it never
will.
"""

import dataclasses
import datetime
import logging
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.intent import Event, What
from isthmus.model.lease import LeaseId
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName, SiteState
from isthmus.store.delivery import event, job, journal, lane, refusal, sweep
from isthmus.store.leases import lease, named
from isthmus.store.ports import home
from isthmus.store.sql import clock
from isthmus.store.sql.tables import NAMED_PORTS, REGISTRATIONS, SITE_MAPPINGS, SITES
from isthmus.store.tiers import epoch as tier
from isthmus.store.tiers import mapping, named_port, restored
from isthmus.store.tiers.epoch import show_incarnation
from isthmus.store.tiers.latest import Latest

LOG = logging.getLogger(__name__)

_ASIDE = "gone/"


@dataclass(frozen=True, slots=True)
class Registration:
    """What a site reported last."""

    registration: str  #: id of the row of `isthmus_sites`
    epoch: int
    waits: bool  #: whether central waits for it, because central was restored
    owes: bool  #: central went on without it, and does not know what it holds
    registered_at: datetime.datetime | None  #: by the database's clock; None: never
    again: int = 0  #: how often it was asked to register again: what it has is not what it was told
    life: str | None = None  #: of the epoch; None where the site has not said

    @property
    def incarnation(self) -> str | None:
        """Return the incarnation with which the site last registered; None where it never has."""
        if self.epoch <= 0:
            return None
        return show_incarnation(self.registration, self.epoch, self.life)


#: What is known of a site that has never registered.
NEVER = Registration("", 0, waits=False, owes=False, registered_at=None)


def find(connection: sa.Connection, site: SiteName, *, latest: bool = False) -> Registration | None:
    """Return a site's registration, or None.

    Args:
        connection: of the transaction.
        site: the site.
        latest: read what is currently committed, and lock it.
    """
    query = sa.select(REGISTRATIONS).where(REGISTRATIONS.c.site == site)
    row = connection.execute(query.with_for_update(read=True) if latest else query).one_or_none()
    if row is None:
        return None
    return Registration(
        row.registration,
        int(row.epoch),
        bool(row.waits),
        bool(row.owes),
        row.registered_at,
        int(row.again),
        row.life,
    )


def check_unchanged(connection: sa.Connection, site: SiteName, known: Registration) -> None:
    """Check that a site's registration is as it was read; what its word counts for rests on it.

    The same one may be on its way twice, because the first answer took too long. What the site was
    leased after the second is not in the first, and must not count as returned. Or central has
    begun an epoch since: then it waits for the site, which has to name more than it has named.

    Args:
        connection: of the transaction.
        site: the site.
        known: what was read of it; `NEVER` where nothing was.

    Raises:
        Busy: it is not.
    """
    newest = find(connection, site, latest=True) or NEVER
    if dataclasses.replace(newest, again=known.again) != known:
        raise errors.Busy(f"site {site} has registered meanwhile, or has to: this one is late")


def record_answer(connection: sa.Connection, site: SiteName, sequence: int) -> None:
    """Record with which number a registration is answered; the site's lane is locked."""
    connection.execute(
        sa.update(REGISTRATIONS).where(REGISTRATIONS.c.site == site).values(answered=sequence)
    )


def is_answer_heard(
    connection: sa.Connection, site: SiteName, heard: int, *, alone: bool = False
) -> bool:
    """Return whether a site has applied the answer to its registration.

    The answer may be lost, or come too late, after central has recorded the registration. As
    currently committed, since another process of the site may be registering. The registration is
    locked before the site's lane, as by the calls of the site.

    Args:
        connection: of the transaction.
        site: the site.
        heard: the newest number of central's that the site can prove.
        alone: lock the registration exclusively, because its answer is recorded next.
    """
    query = sa.select(REGISTRATIONS.c.answered).where(REGISTRATIONS.c.site == site)
    row = connection.execute(query.with_for_update(read=not alone)).one_or_none()
    return row is None or (row.answered is not None and row.answered <= heard)


def put(  # noqa: PLR0913 - what a registration says
    connection: sa.Connection,
    site: SiteName,
    registration: str,
    epoch: int,
    *,
    life: str | None = None,
    ports: Collection[str] | None = None,
    before: Registration | None = None,
    welcome: named_port.Welcome,
) -> None:
    """Record that a site has registered; central recovers with the last one.

    Call it in a transaction of its own, as short as possible: it locks the tier's epoch.

    Args:
        connection: of the transaction.
        site: the site.
        registration: the id under which it is known.
        epoch: the epoch in which it registered.
        life: the life of that epoch, as the site says.
        ports: the ports that it has; None where it does not know.
        before: what has to be known of it still (`NEVER` for nothing); None: whatever it is.
        welcome: see `named_port.follow`.

    Raises:
        Busy: it has registered since.
    """
    recovered = tier.read(connection).recovered
    # It may have been asked again since: of what was decided then this one knows nothing.
    count = sa.select(REGISTRATIONS.c.again).where(REGISTRATIONS.c.site == site)
    asked = connection.scalar(count.with_for_update()) or 0
    if before is not None:
        check_unchanged(connection, site, before)
    if not recovered:
        named_port.record(connection, site, ports or ())
    connection.execute(sa.delete(REGISTRATIONS).where(REGISTRATIONS.c.site == site))
    connection.execute(
        sa.insert(REGISTRATIONS).values(
            site=site,
            registration=registration,
            epoch=epoch,
            life=life,
            again=max(0, asked - before.again) if before is not None else 0,
            waits=False,
            named_ports=not recovered and ports is not None,
        )
    )
    told = Event(what=What.SITE_REGISTERED, who=site, site=site, details=f"epoch {epoch}")
    event.record(connection, told)
    _mark(connection, [site])
    recover_with_last(connection, welcome)


def count_ports_due(connection: sa.Connection, site: SiteName) -> int:
    """Count the ports recorded when a site registered that it has yet to be told of.

    Up to `job.MOST_COUNTED`, which means that many or more: each hello asks, and each `status`. Not
    those recorded since: under load there always are some. Nor parked ones, because nobody knows
    when an operator will look at them.
    """
    return journal.count_awaited(connection, site, ResourceType.PORT, most=job.MOST_COUNTED)


def follow_shadows(connection: sa.Connection, site: SiteName, behind: tier.Behind) -> tier.Behind:
    """Return how far a restored site has heard of the ports of other sites, and of routers.

    What its OVN has of them is newer than its tables. Where central was restored as well, that is
    over only when their homes have reported them; then once what is recorded by now has been sent.
    For a site that is lost, or disabled, nobody waits. A router is sent before any shadow, but for
    one that the site has put off: all that passes by it to other sites would be taken away.

    Args:
        connection: of the transaction.
        site: the site.
        behind: what it says that it was told last.
    """
    if behind is tier.Behind.NOT:
        return behind
    if _expects_reports(connection, site):
        return tier.Behind.NOT_KNOWN
    if behind is tier.Behind.NOT_KNOWN:
        for kind in (ResourceType.ROUTER, ResourceType.SHADOW):
            journal.await_present(connection, site, kind)
        return tier.Behind.NOT_SENT
    # What may not be sent, because a lost site alone could say how it is, is not waited for either.
    only = restored.find_deliverable(connection).only
    left = any(
        journal.count_awaited(connection, site, kind, most=1, only=only)
        for kind in (ResourceType.ROUTER, ResourceType.SHADOW)
    )
    return tier.Behind.NOT_SENT if left else tier.Behind.NOT


def _expects_reports(connection: sa.Connection, site: SiteName) -> bool:
    """Return whether central, restored, has yet to hear of ports of other sites than one.

    What it has heard of and refused is for a person, and nothing that a site waits for. So is what
    the home refuses: a port that it does not take, and does not have, it will not report.
    """
    own = tier.peek(connection)
    if own is None or own.epoch <= lane.FIRST_EPOCH:
        return False
    if not own.recovered:
        return True
    heard = (
        sa.select(REGISTRATIONS.c.site)
        .join(SITES, SITES.c.name == REGISTRATIONS.c.site)
        .where(
            REGISTRATIONS.c.site != site,
            REGISTRATIONS.c.owes.is_(sa.false()),
            SITES.c.state != SiteState.DISABLED.value,
        )
    )
    queries = (
        sa.select(NAMED_PORTS.c.port_id).where(
            NAMED_PORTS.c.site.in_(heard),
            ~refusal.is_refused(NAMED_PORTS.c.site, NAMED_PORTS.c.port_id),
        ),
        sa.select(SITE_MAPPINGS.c.resource_id).where(
            SITE_MAPPINGS.c.type == ResourceType.PORT.value,
            SITE_MAPPINGS.c.stale.is_(sa.true()),
            SITE_MAPPINGS.c.site.in_(heard),
            ~refusal.is_refused(SITE_MAPPINGS.c.site, SITE_MAPPINGS.c.resource_id),
            ~journal.is_parked(
                SITE_MAPPINGS.c.site, ResourceType.PORT, SITE_MAPPINGS.c.resource_id
            ),
        ),
    )
    return any(connection.execute(query.limit(1)).first() is not None for query in queries)


def expect(connection: sa.Connection, site: SiteName, registration: str) -> None:
    """Have central wait for a site that is added while it waits for others.

    It may be one that was added after the backup, and have blocks that central has lost.
    """
    if tier.read(connection).recovered:
        return
    connection.execute(sa.delete(REGISTRATIONS).where(REGISTRATIONS.c.site == site))
    connection.execute(
        sa.insert(REGISTRATIONS).values(site=site, registration=registration, epoch=0, waits=True)
    )


def go_on_without(
    connection: sa.Connection, site: SiteName, *, welcome: named_port.Welcome
) -> bool:
    """Record that central does not wait for a site; return whether it did.

    If the site comes back after all, it has to register before any other call of it is accepted: it
    may use blocks that central has lost, and leased again since.
    """
    tier.read(connection)
    waited = connection.execute(
        sa.update(REGISTRATIONS)
        .where(REGISTRATIONS.c.site == site, REGISTRATIONS.c.waits.is_(sa.true()))
        .values(waits=False, owes=True)
    ).rowcount
    recover_with_last(connection, welcome)
    return bool(waited)


def list_owing(connection: sa.Connection) -> list[SiteName]:
    """List the sites that central went on without, and has not heard since."""
    query = sa.select(REGISTRATIONS.c.site).where(REGISTRATIONS.c.owes.is_(sa.true()))
    return [SiteName(site) for site in connection.scalars(query)]


def ask_again(connection: sa.Connection, site: SiteName) -> None:
    """Have a site register once more, because what it has is not what it was told."""
    connection.execute(
        sa.update(REGISTRATIONS)
        .where(REGISTRATIONS.c.site == site)
        .values(again=REGISTRATIONS.c.again + 1)
    )


def forget(connection: sa.Connection, site: SiteName, *, welcome: named_port.Welcome) -> None:
    """Delete the registration of a site; its leases are set aside."""
    tier.read(connection)
    connection.execute(sa.delete(REGISTRATIONS).where(REGISTRATIONS.c.site == site))
    named_port.end_of_site(connection, site)
    recover_with_last(connection, welcome)


def aside(registration: str) -> SiteName:
    """Return the holder under which the leases of a removed site are set aside."""
    return SiteName(f"{_ASIDE}{registration}")


def is_aside(site: str) -> bool:
    """Return whether a holder is a site that was removed."""
    return site.startswith(_ASIDE)


def set_aside(connection: sa.Connection, site: SiteName, registration: str) -> None:
    """Set aside a site's leases and the homes of its ports: its servers may still use both."""
    holder = aside(registration)
    lease.hand_over_all(connection, site, holder)
    home.change_all(connection, site, holder)
    named.move(connection, site, holder)
    named.drop_leases(connection, site)


def take_up(connection: sa.Connection, lease_ids: Collection[LeaseId], site: SiteName) -> None:
    """Return leases that were set aside to the site that they belonged to."""
    lease.hand_over(connection, lease_ids, site)


def take_up_homes(connection: sa.Connection, registration: str, site: SiteName) -> None:
    """Return the ports that had their home at a removed site to the same site.

    What they have come to need meanwhile was mapped to where they were, and is to be mapped anew.
    """
    home.change_all(connection, aside(registration), site)
    mapping.delete_site(connection, aside(registration))
    named.move(connection, aside(registration), site)


def free_for_good(connection: sa.Connection, holder: str) -> None:
    """Delete everything that was set aside of a removed site: nothing of it runs any more."""
    assert is_aside(holder), holder
    lease.delete_of_holder(connection, holder)
    mapping.delete_site(connection, holder)
    named.end_of_site(connection, SiteName(holder))


def recover_with_last(connection: sa.Connection, welcome: named_port.Welcome) -> None:
    """Have central recover if it waits for nobody; each port then has its home where it is.

    Only then are sites told of their ports: before, one could be created at a site that it has
    left. A transaction that removes a site from those awaited locks the tier's epoch first, so that
    of two last ones the second sees the first; and the others are read as currently committed.
    """
    own = tier.read(connection)
    waiting = sa.select(REGISTRATIONS.c.site).where(REGISTRATIONS.c.waits.is_(sa.true()))
    if own.recovered or Latest.read(connection, waiting, lambda row: row.site, write=False):
        return
    if named.is_open(connection):
        return  # named numbers are decided first, each in its own transaction
    for one in named_port.follow(connection, welcome):
        was = f"at site {one.old}" if one.old else "at no site"
        LOG.warning("Port %s was %s and is at site %s", one.port_id, was, one.new)
    registered = connection.execute(sa.select(REGISTRATIONS.c.site, REGISTRATIONS.c.registered_at))
    rows = registered.all()
    # Routers too: no key of a transit network was allocated before. One statement a type: there may
    # be a thousand sites, and hellos wait for the epoch meanwhile.
    kinds = [ResourceType.PORT, ResourceType.ROUTER, ResourceType.LEASE]
    sweep.renew(connection, sa.select(REGISTRATIONS.c.site), kinds=kinds)
    _mark(connection, [SiteName(row.site) for row in rows if row.registered_at is not None])
    tier.recover(connection)
    event.record(connection, Event(what=What.CENTRAL_RECOVERED, who="central"))


def _mark(connection: sa.Connection, sites: Collection[SiteName]) -> None:
    """Mark the intents that sites have to be told before they recover, and when they registered."""
    for site in sites:
        journal.await_present(connection, site, ResourceType.PORT)
    connection.execute(
        sa.update(REGISTRATIONS)
        .where(REGISTRATIONS.c.site.in_(sites))
        .values(registered_at=clock.read(connection))
    )
