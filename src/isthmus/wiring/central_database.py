"""Joins the worker with central's database: its sites, its journal and what is left over there."""

from collections.abc import Callable

from isthmus.model.site import Reachability, Site, SiteName, SiteState
from isthmus.store.delivery import event, sweep, told
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.delivery.lane import FIRST_EPOCH
from isthmus.store.sql import clock
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.tiers import epoch, exit_notice, forget, restored, site


class CentralDatabase:
    """Central's database as a worker uses it; safe for threads."""

    def __init__(self, url: str) -> None:
        """Open it.

        Raises:
            Invalid: the URL makes no sense.
        """
        self._engine = open_engine(url)
        self._journal = SqlJournal(
            self._engine,
            lock=forget.lock_objects,
            forget=forget.forget_objects,
            tell=told.record_settled,
            find_deliverable=restored.find_deliverable,
        )

    def list_sites(self) -> list[Site]:
        """List the sites that take deliveries."""
        with reading(self._engine) as connection:
            sites = site.list_sites(connection)
        return [one for one in sites if one.state is not SiteState.DISABLED]

    def find_restored(self) -> int:
        """Return the epoch of a central that was restored and has recovered; 0 of any other."""
        with reading(self._engine) as connection:
            own = epoch.peek(connection)
        is_restored = own is not None and own.recovered and own.epoch > FIRST_EPOCH
        return own.epoch if own is not None and is_restored else 0

    def due_lanes(self) -> set[SiteName]:
        """List the sites that have work."""
        return self._journal.due_lanes()

    def record_reachability(
        self, name: SiteName, reachability: Reachability, error: str = ""
    ) -> None:
        """Record whether a site answered the last call, and its error if not."""
        with writing(self._engine) as connection:
            now = clock.read(connection)
            if site.record_reachability(connection, name, reachability, now=now, error=error):
                exit_notice.tell_of_site(connection, name, of_several=True)

    def drop_orphans(self) -> int:
        """Drop the intents of deleted sites; return how many."""
        with writing(self._engine) as connection:
            return sweep.drop_orphans(connection)

    def drop_old_events(self, *, keep_s: float, most: int) -> int:
        """Drop events that are too old, or too many; return how many."""
        with writing(self._engine) as connection:
            return event.drop_old(connection, keep_s=keep_s, most=most)

    def retry_in_use(self, lane: SiteName) -> None:
        """Retry what a site refused because something there was in use."""
        with writing(self._engine) as connection:
            job_store.retry_in_use(connection, lane)

    def release_dead(self, is_dead: Callable[[str], bool]) -> int:
        """Release the claims of dead workers; return how many intents."""
        with writing(self._engine) as connection:
            return sweep.release_dead(connection, is_dead)

    def correct_times(self, claim_s: float) -> int:
        """Make due what a clock that was set back has put too far ahead; return how many."""
        with writing(self._engine) as connection:
            return job_store.correct_times(connection, claim_s=claim_s)

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()
