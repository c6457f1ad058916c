"""Events of what workers saw: jobs that a site refused or took, comparisons, who answers."""

import sqlalchemy as sa

from isthmus.model.intent import Event, IntentKey, RenewalState, What
from isthmus.model.resource import ResourceType
from isthmus.model.site import Reachability, SiteName
from isthmus.store.delivery import event
from isthmus.store.delivery.claiming import Settled

XJOB = "xjob"
#: Whose coming to a site is an event as well.
_TOLD_WHEN_REMOVED = frozenset({ResourceType.NETWORK, ResourceType.ROUTER})


def record_settled(connection: sa.Connection, settled: Settled) -> None:
    """Record which jobs were parked, which were done after that, and what a site has lost."""
    for one in settled.parked:
        event.record_news(connection, _of(one.claim.key, What.JOB_PARKED, one.error))
    for key in settled.mended:
        of = (What.JOB_PARKED, What.JOB_RETRIED)
        event.record_end(connection, _of(key, What.JOB_DONE), of=of)
    for key in settled.removed:
        if key.type in _TOLD_WHEN_REMOVED:
            event.record(connection, _of(key, What.REMOVED))


def record_reachability(
    connection: sa.Connection, site: SiteName, reachability: Reachability, error: str
) -> None:
    """Record that a site answers now and did not, or the other way round.

    Args:
        connection: of the transaction.
        site: the site.
        reachability: what is true now.
        error: why it does not answer.
    """
    is_heard = reachability is Reachability.REACHABLE
    what = What.SITE_REACHABLE if is_heard else What.SITE_UNREACHABLE
    event.record(connection, Event(what=what, who=XJOB, site=site, details=error))


def record_renewal(
    connection: sa.Connection,
    site: str,
    network_id: str | None,
    state: RenewalState,
    details: str,
) -> None:
    """Record how a comparison ended.

    Args:
        connection: of the transaction.
        site: the site that was compared.
        network_id: the only network; None for all.
        state: how it ended.
        details: what was found, or why it did not go on.
    """
    what = What.RESYNC_DONE if state is RenewalState.DONE else What.RESYNC_FAILED
    about = {"type": ResourceType.NETWORK.value, "resource_id": network_id} if network_id else {}
    event.record(connection, Event(what=what, who=XJOB, site=site, details=details, **about))


def _of(key: IntentKey, what: What, details: str = "") -> Event:
    return Event(
        what=what,
        who=XJOB,
        site=key.lane,
        type=key.type.value,
        resource_id=key.id,
        details=details,
    )
