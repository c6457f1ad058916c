"""Events: what happened to sites and to what central knows of objects there; read-only."""

import contextlib
import datetime
import functools
from typing import Any

from isthmus import errors
from isthmus.neutron.api import listing
from isthmus.neutron.api.faults import translated
from isthmus.store.delivery import event

#: Of times that lie further back databases know nothing.
_LONGEST_S = 1e10


class EventApi:
    """Events, kept for a time and up to a number; they are read-only."""

    def get_site_events(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List events.

        Args:
            context: of the request.
            filters: by column; `what` takes the part before the dot too. `since` and `until` are
                times, or numbers of seconds ago.
            fields: the columns to return; None for all.
            **paging: as in `listing.to_page`.
        """
        wanted = dict(filters or {})
        with translated():
            since = _find_time("since", wanted.pop("since", None))
            until = _find_time("until", wanted.pop("until", None))
        rows = listing.collect_rows(
            context,
            functools.partial(event.list_page, since=since, until=until),
            filters=wanted,
            **paging,
        )
        return listing.to_rows(rows, fields)

    def get_site_event(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show an event."""
        with translated():
            return listing.get_one(self.get_site_events, context, "event", id, fields)


def _find_time(name: str, values: Any) -> datetime.datetime | float | None:
    """Return the time of a filter, UTC and naive, or how many seconds ago; None if not given.

    Raises:
        Invalid: it is neither.
    """
    if not values:
        return None
    text = str(values[0])
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if not 0 <= seconds <= _LONGEST_S:
            raise errors.Invalid(f"{name} must be 0 to {_LONGEST_S:g} seconds ago, not {text}")
        return seconds
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise errors.Invalid(
            f"{name} must be a time such as 2026-11-28T03:00 (UTC), or a number of seconds, not "
            f"{text!r}"
        ) from error
    return moment
