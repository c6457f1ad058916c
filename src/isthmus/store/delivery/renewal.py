"""Renewals that somebody asked for: recorded at central, carried out by whichever worker is free.

A request outlives its worker: it is claimed like an intent, and begun again where a worker died.
Being compared twice is harmless, so nothing is locked meanwhile. A site is compared for one request
at a time; so what is asked for again and again waits as one row.

Rows are found by plain reads and changed by their ids: on Neutron's isolation level a statement
that searches for what it changes locks the gaps into which others insert.
"""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.form import counted
from isthmus.model.intent import RenewalRequest, RenewalState
from isthmus.model.site import SiteName
from isthmus.store.delivery import told
from isthmus.store.sql.clock import is_older, utc_after, utc_now
from isthmus.store.sql.page import Page, select_page
from isthmus.store.sql.tables import JOURNAL, RENEWALS

#: How long one that has ended is kept to be looked at, in seconds.
_KEPT_S = 86_400.0
#: Limit of those that wait for one site: each of another network.
MOST_WAITING = 1000
#: Limit of an error, in characters.
_MOST_ERROR = 2000

_WAITING, _COMPARING = RenewalState.WAITING.value, RenewalState.COMPARING.value
_OPEN = (_WAITING, _COMPARING)


def request(connection: sa.Connection, site: SiteName, network_id: str | None = None) -> str:
    """Request a renewal; one of the same that nobody has begun serves for this as well.

    Args:
        connection: of the transaction, which has locked the site's row exclusively first of all:
            so two at once are one after the other.
        site: the site.
        network_id: the only network that is compared; None for all that the site has.

    Returns:
        The id of the request.

    Raises:
        Conflict: too many wait.
    """
    waiting = sa.select(RENEWALS.c.id).where(RENEWALS.c.site == site, RENEWALS.c.state == _WAITING)
    same = RENEWALS.c.network_id.is_not_distinct_from(network_id)
    found = connection.scalar(waiting.where(same).limit(1))
    if found is not None:
        return str(found)
    some = waiting.limit(MOST_WAITING).subquery()
    count = sa.select(sa.func.count()).select_from(some)
    if network_id is not None and connection.scalar(count) == MOST_WAITING:
        raise errors.Conflict(
            f"{MOST_WAITING} comparisons of site {site} wait already: have all of it compared"
        )
    request_id = str(uuid.uuid4())
    connection.execute(
        sa.insert(RENEWALS).values(
            id=request_id,
            site=site,
            network_id=network_id,
            state=_WAITING,
            pages=0,
            noted=0,
            created_at=utc_now(),
        )
    )
    return request_id


def is_due(connection: sa.Connection) -> bool:
    """Return whether any is requested and not done; an idle worker writes nothing."""
    query = sa.select(RENEWALS.c.id).where(RENEWALS.c.state.in_(_OPEN))
    return connection.scalar(query.limit(1)) is not None


def claim(
    connection: sa.Connection,
    sites: Collection[SiteName],
    *,
    running: Collection[str],
    owner: str,
    claim_s: float,
) -> list[RenewalRequest]:
    """Claim what is requested of some sites and nobody works on; extend the owner's claims.

    One of each site that has no other, the oldest.

    Args:
        connection: of the transaction.
        sites: those that the worker serves.
        running: ids of those that the worker is at. Others that are its own by the table are not:
            it has lost the answer of the transaction that claimed them, and nobody is at them.
        owner: id of the worker.
        claim_s: how long its claims last from now on, in seconds.

    Returns:
        What is claimed now and was not before, the oldest first.
    """
    own = (RENEWALS.c.state == _COMPARING, RENEWALS.c.owner == owner, RENEWALS.c.id.in_(running))
    connection.execute(sa.update(RENEWALS).where(*own).values(expires_at=utc_after(claim_s)))
    # Claims of a clock that was set back meanwhile last a moment longer: no harm.
    expired = sa.and_(RENEWALS.c.state == _COMPARING, RENEWALS.c.expires_at <= utc_now())
    free = sa.or_(RENEWALS.c.state == _WAITING, expired)
    busy = sa.select(RENEWALS.c.site).where(
        RENEWALS.c.state == _COMPARING, RENEWALS.c.expires_at > utc_now()
    )
    served = set(sites) - set(connection.scalars(busy))
    query = sa.select(RENEWALS).where(free, RENEWALS.c.site.in_(sorted(served)))
    claimed = []
    for row in connection.execute(query.order_by(RENEWALS.c.created_at, RENEWALS.c.id)).all():
        if row.site not in served:
            continue  # an older one of that site was claimed just now
        # By the latest state: another worker may have been quicker.
        taken = connection.execute(
            sa.update(RENEWALS)
            .where(RENEWALS.c.id == row.id, free)
            .values(state=_COMPARING, owner=owner, expires_at=utc_after(claim_s), pages=0, noted=0)
        )
        if taken.rowcount:
            served.discard(SiteName(row.site))
            claimed.append(
                RenewalRequest(id=row.id, site=SiteName(row.site), network_id=row.network_id or "")
            )
    return claimed


def record(
    connection: sa.Connection,
    request_id: str,
    *,
    owner: str,
    state: RenewalState,
    pages: int,
    noted: int,
    error: str = "",
) -> bool:
    """Record how far a renewal is.

    Args:
        connection: of the transaction.
        request_id: the request.
        owner: the worker, which must have claimed it.
        state: how far it is.
        pages: how many were compared.
        noted: how many objects differed.
        error: why it does not go on.

    Returns:
        Whether the request is still that worker's.
    """
    values: dict[str, Any] = {
        "state": state.value,
        "pages": pages,
        "noted": noted,
        "last_error": error[:_MOST_ERROR] or None,
    }
    if state in (RenewalState.DONE, RenewalState.FAILED):
        values |= {"owner": None, "expires_at": None, "ended_at": utc_now()}
    changed = connection.execute(
        sa.update(RENEWALS)
        .where(RENEWALS.c.id == request_id, RENEWALS.c.owner == owner)
        .values(values)
    )
    if changed.rowcount and state in (RenewalState.DONE, RenewalState.FAILED):
        query = sa.select(RENEWALS.c.site, RENEWALS.c.network_id)
        site, network_id = connection.execute(query.where(RENEWALS.c.id == request_id)).one()
        details = error or f"{counted(noted, 'object')} differed"
        told.record_renewal(connection, site, network_id, state, details)
    return changed.rowcount > 0


def release(connection: sa.Connection, owner: str, sites: Collection[SiteName]) -> None:
    """Have others carry out what a worker has claimed of some sites: it serves them no more."""
    _release(connection, RENEWALS.c.owner == owner, RENEWALS.c.site.in_(sorted(sites)))


def release_dead(connection: sa.Connection, is_dead: Callable[[str], bool]) -> None:
    """Have others carry out what dead workers have claimed.

    Args:
        connection: of the transaction.
        is_dead: returns whether an owner is dead.
    """
    query = sa.select(RENEWALS.c.owner).where(RENEWALS.c.state == _COMPARING).distinct()
    for owner in connection.scalars(query).all():
        if owner is not None and is_dead(owner):
            _release(connection, RENEWALS.c.owner == owner)


def _release(connection: sa.Connection, *which: sa.ColumnElement[bool]) -> None:
    connection.execute(
        sa.update(RENEWALS)
        .where(RENEWALS.c.state == _COMPARING, *which)
        .values(state=_WAITING, owner=None, expires_at=None)
    )


def end_of_disabled(connection: sa.Connection, site: SiteName) -> None:
    """End the renewals of a site that is disabled; the caller has locked its row exclusively."""
    ended: dict[str, Any] = {"state": RenewalState.FAILED.value, "owner": None, "expires_at": None}
    ended |= {"ended_at": utc_now(), "last_error": "the site was disabled"}
    query = sa.select(RENEWALS.c.id).where(RENEWALS.c.site == site, RENEWALS.c.state.in_(_OPEN))
    for one in sorted(connection.scalars(query)):
        of_id = sa.and_(RENEWALS.c.id == one, RENEWALS.c.state.in_(_OPEN))
        connection.execute(sa.update(RENEWALS).where(of_id).values(ended))


def drop_ended(connection: sa.Connection) -> None:
    """Delete renewals that ended long ago."""
    ended = sa.and_(RENEWALS.c.ended_at.is_not(None), is_older(RENEWALS.c.ended_at, _KEPT_S))
    query = sa.select(RENEWALS.c.id).where(ended).order_by(RENEWALS.c.id).limit(MOST_WAITING)
    ids = list(connection.scalars(query))
    if ids:
        connection.execute(sa.delete(RENEWALS).where(RENEWALS.c.id.in_(ids)))


def delete_site(connection: sa.Connection, site: SiteName) -> None:
    """Delete the renewals of a site."""
    connection.execute(sa.delete(RENEWALS).where(RENEWALS.c.site == site))


def list_page(
    connection: sa.Connection, *, filters: Mapping[str, Sequence[Any]], page: Page
) -> list[dict[str, Any]]:
    """List renewals as an API pages them, each with the jobs of what it found that are left.

    Those are the intents that were recorded while it ran and that are not carried out; of objects
    that changed in the meantime as well. Where the clock was set back since, a time that lies ahead
    tells nothing, and each intent of the site counts: rather a wait too long than done too early.

    Raises:
        Invalid: a sort key, a marker or a filter's value is invalid.
    """
    left = [
        sa.select(sa.func.count(JOURNAL.c.id))
        .where(JOURNAL.c.lane == RENEWALS.c.site, JOURNAL.c.parked == parked)
        .where(
            sa.or_(
                JOURNAL.c.changed_at >= RENEWALS.c.created_at, RENEWALS.c.created_at > utc_now()
            ),
            sa.or_(
                JOURNAL.c.created_at <= sa.func.coalesce(RENEWALS.c.ended_at, utc_now()),
                JOURNAL.c.created_at > utc_now(),
            ),
        )
        .correlate(RENEWALS)
        .scalar_subquery()
        for parked in (sa.false(), sa.true())
    ]
    hidden = ("owner", "expires_at")
    columns = {name: column for name, column in RENEWALS.c.items() if name not in hidden}
    rows = select_page(
        connection,
        {**columns, "jobs": left[0], "parked": left[1]},
        filters=filters,
        page=page,
    )
    for row in rows:
        row["last_error"] = row["last_error"] or ""
    return rows
