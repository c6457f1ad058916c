"""A full journal: many lanes, many intents in each; and what a journal holds."""

import itertools
import uuid
from typing import Any

import sqlalchemy as sa

from isthmus.model.intent import IntentKey, Job, JobState
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import lane as lane_store
from isthmus.store.sql import clock
from isthmus.store.sql.tables import JOURNAL
from isthmus.store.tiers import site

LANES = tuple(SiteName(f"site{number}") for number in range(60))
#: A lane in which everything waits for its next attempt.
BACKED_OFF = LANES[3]
#: Lanes in which a worker holds some of what is due.
HELD = LANES[20:30]

_KINDS = (ResourceType.PORT, ResourceType.SHADOW, ResourceType.SECURITY_GROUP)


def fill(connection: sa.Connection, rows_a_lane: int) -> None:
    """Make the sites, and intents for each."""
    now = clock.read(connection)
    later = connection.execute(sa.select(clock.utc_after(3600))).scalar_one()
    rows: list[dict[str, Any]] = []
    for lane in LANES:
        one = Site(name=lane, region=lane, availability_zones=(lane,), service_user=f"user-{lane}")
        site.insert(connection, one, now=now)
        lane_store.next_sequence(connection, lane)
        for number, kind in zip(range(rows_a_lane), itertools.cycle(_KINDS), strict=False):
            held = lane in HELD and number < 5
            rows.append(
                {
                    "id": str(uuid.uuid4()),
                    "lane": lane,
                    "type": kind.value,
                    "resource_id": f"{number:05}",
                    "rank": kind.rank,
                    "generation": 1,
                    "attempts": 0,
                    "not_before": later if lane == BACKED_OFF else None,
                    "owner": "other" if held else None,
                    "expires_at": later if held else None,
                    "parked": False,
                    "created_at": now,
                    "changed_at": now,
                }
            )
    connection.execute(sa.insert(JOURNAL), rows)


def list_jobs(connection: sa.Connection) -> list[Job]:
    """List what the journal holds, oldest first."""
    query = sa.select(JOURNAL, job_store.running().label("running"))
    return [
        Job(
            id=row.id,
            key=IntentKey(SiteName(row.lane), ResourceType(row.type), row.resource_id),
            state=JobState.PARKED
            if row.parked
            else (JobState.RUNNING if row.running else JobState.WAITING),
            generation=row.generation,
            attempts=row.attempts,
            created_at=row.created_at,
            changed_at=row.changed_at,
            not_before=row.not_before,
            last_error=row.last_error or "",
        )
        for row in connection.execute(query.order_by(JOURNAL.c.created_at, JOURNAL.c.id))
    ]
