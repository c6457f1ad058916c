"""Jobs: intents as an operator sees them; list, show, retry, cancel."""

import datetime
import functools
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.intent import JobState, What
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteState
from isthmus.neutron.api import listing
from isthmus.neutron.api.caller import record_event
from isthmus.neutron.api.faults import translated
from isthmus.neutron.db.session import reading, writing
from isthmus.store.delivery import job as job_store
from isthmus.store.ports import home
from isthmus.store.sql import clock
from isthmus.store.tiers import mapping
from isthmus.store.tiers import site as site_store
from neutron import policy


class JobApi:
    """Intents that are in progress or failed."""

    def get_site_jobs(
        self,
        context: Any,
        filters: Any = None,
        fields: Any = None,
        sorts: Any = None,
        **paging: Any,
    ) -> list[listing.Row]:
        """List jobs.

        Args:
            context: of the request.
            filters: by column; `age` returns jobs that are at least that many seconds old.
            fields: the columns to return; None for all.
            sorts: (column, ascending), in order of precedence.
            **paging: as in `listing.to_page`.
        """
        with reading(context) as connection:
            moment = clock.read(connection)
        wanted = dict(filters or {})
        with translated():
            until = _find_time(wanted.pop("age", None), moment)
        # An age sorts like its creation time, in the opposite direction.
        order = [
            ("created_at", not ascending) if key == "age" else (key, ascending)
            for key, ascending in sorts or ()
        ]
        rows = listing.collect_rows(
            context,
            functools.partial(job_store.list_page, created_until=until),
            filters=wanted,
            sorts=order,
            **paging,
        )
        for row in rows:
            row["age"] = max(0, int((moment - row["created_at"]).total_seconds()))
            row["last_error"] = row["last_error"] or ""
        return listing.to_rows(rows, fields)

    def get_site_job(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show a job."""
        with translated():
            return listing.get_one(self.get_site_jobs, context, "job", id, fields)

    def retry(self, context: Any, id: str, body: Any = None) -> dict[str, Any]:
        """Retry a job now, even if it is parked."""
        with translated():
            row = self._get_for_change(context, id)
            with writing(context) as connection:
                job_store.retry_now(connection, [id])
                _tell(connection, What.JOB_RETRIED, row)
            row["state"] = JobState.WAITING.value
        return {"site_job": row}

    def cancel(self, context: Any, id: str, body: Any = None) -> dict[str, Any]:
        """Cancel a job: the site keeps what it has."""
        with translated():
            row = self._get_for_change(context, id)
            with writing(context) as connection:
                _require_not_owed(connection, row)
                job_store.cancel(connection, [id])
                _tell(connection, What.JOB_CANCELLED, row)
        return {"site_job": row}

    def _get_for_change(self, context: Any, job_id: str) -> listing.Row:
        """Return a job that the caller may change: Neutron checks no policy for actions.

        Raises:
            NotFound: there is none that the caller may see.
            PolicyNotAuthorized: the caller may see it but not change it.
        """
        row = listing.get_one(self.get_site_jobs, context, "job", job_id, None)
        if not policy.check(context, "get_site_job", row, pluralized="site_jobs"):
            raise errors.NotFound(f"there is no job {job_id}")
        policy.enforce(context, "update_site_job", row, pluralized="site_jobs")
        return row


def _tell(connection: sa.Connection, what: What, job: listing.Row) -> None:
    record_event(
        connection,
        what,
        job["site"],
        kind=job["type"],
        resource_id=job["resource_id"],
        details=job["last_error"],
    )


def _require_not_owed(connection: sa.Connection, job: listing.Row) -> None:
    """Refuse to cancel what makes a port's home report it, which a restored central needs.

    Other sites get no shadow of the port, and restored ones keep OVN's rows as they are, until it
    is reported; but for one that is parked nobody waits.

    Raises:
        Conflict: its home has yet to report the port.
    """
    port_id, site = job["resource_id"], job["site"]
    if job["type"] != ResourceType.PORT or mapping.find_home(connection, port_id) != site:
        return
    if not home.find_stale(connection, [port_id]) or _is_disabled(connection, site):
        return
    raise errors.Conflict(
        f"site {site} has yet to report port {port_id} since central was restored, and does when "
        "it takes this job: leave it, for one that is parked keeps nobody waiting; or delete the "
        "port, or disable the site if it is lost"
    )


def _is_disabled(connection: sa.Connection, site: str) -> bool:
    found = site_store.find_by_name(connection, site)
    return found is None or found.state is SiteState.DISABLED


def _find_time(values: Any, moment: datetime.datetime) -> datetime.datetime | None:
    """Return the latest creation time that the filter `age` lets pass; None for no filter."""
    if not values:
        return None
    try:
        seconds = max(float(one) for one in values)
        return moment - datetime.timedelta(seconds=seconds)
    except (ValueError, OverflowError) as error:  # of the time before all dates as well
        raise errors.Invalid(f"age must be a number of seconds, not {values[0]!r}") from error
