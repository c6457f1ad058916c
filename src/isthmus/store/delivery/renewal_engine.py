"""Requested renewals of central's database, as a worker takes them on; safe for threads."""

from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa

from isthmus.model.intent import RenewalRequest, RenewalState
from isthmus.model.site import SiteName
from isthmus.store.delivery import renewal
from isthmus.store.sql.engine import again_when_busy, reading, writing

#: How long a worker that is gone keeps others from what it had taken on, in seconds.
_CLAIM_S = 60.0


class SqlRenewals:
    """What was asked for, as one worker sees it."""

    def __init__(self, engine: sa.Engine, owner: str) -> None:
        """Bind it to a database and a worker."""
        self._engine = engine
        self._owner = owner

    @again_when_busy
    def take(
        self, sites: Collection[SiteName], running: Collection[str] = ()
    ) -> Sequence[RenewalRequest]:
        """Claim what is requested of some sites, one of each; what runs stays this worker's.

        Args:
            sites: those that the worker serves.
            running: ids of those that it has taken on and not done.

        Raises:
            Transient: the database is busy or away.
        """
        with reading(self._engine) as connection:
            if not renewal.is_due(connection):
                return ()
        with writing(self._engine) as connection:
            return renewal.claim(
                connection, sites, running=running, owner=self._owner, claim_s=_CLAIM_S
            )

    @again_when_busy
    def record(
        self, request_id: str, state: RenewalState, *, pages: int, noted: int, error: str
    ) -> None:
        """Record how far one is that this worker has taken on.

        Args:
            request_id: id of the request.
            state: how far it is.
            pages: how many have been compared.
            noted: how many intents were recorded for what differs.
            error: why it does not go on; empty where it does.

        Raises:
            Transient: the database is busy or away.
        """
        with writing(self._engine) as connection:
            renewal.record(
                connection,
                request_id,
                owner=self._owner,
                state=state,
                pages=pages,
                noted=noted,
                error=error,
            )

    @again_when_busy
    def release(self, sites: Collection[SiteName]) -> None:
        """Leave to others what is requested of some sites and is not done.

        Raises:
            Transient: the database is busy or away.
        """
        with writing(self._engine) as connection:
            renewal.release(connection, self._owner, sites)

    @again_when_busy
    def release_dead(self, is_dead: Callable[[str], bool]) -> None:
        """Leave to others what dead workers have taken on.

        Raises:
            Transient: the database is busy or away.
        """
        with reading(self._engine) as connection:
            if not renewal.is_due(connection):
                return
        with writing(self._engine) as connection:
            renewal.release_dead(connection, is_dead)

    @again_when_busy
    def drop_ended(self) -> None:
        """Delete those that ended long ago.

        Raises:
            Transient: the database is busy or away.
        """
        with writing(self._engine) as connection:
            renewal.drop_ended(connection)
