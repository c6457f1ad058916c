"""Events: what happened to sites and to what central knows of objects there; read-only."""

import functools
from typing import Any

from isthmus import errors
from isthmus.neutron.api import listing
from isthmus.neutron.api.faults import translated
from isthmus.store.delivery import event


class EventApi:
    """Events, kept for a time and up to a number; they are read-only."""

    def get_site_events(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List events.

        Args:
            context: of the request.
            filters: by column; `what` takes the part before the dot too. `min_age` and `max_age`
                return those that are at least, or at most, that many seconds old.
            fields: the columns to return; None for all.
            **paging: as in `listing.to_page`.
        """
        wanted = dict(filters or {})
        with translated():
            ages = {
                name: _find_age(name, wanted.pop(name, None)) for name in ("min_age", "max_age")
            }
        rows = listing.collect_rows(
            context,
            functools.partial(
                event.list_page, youngest_s=ages["min_age"], oldest_s=ages["max_age"]
            ),
            filters=wanted,
            **paging,
        )
        return listing.to_rows(rows, fields)

    def get_site_event(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show an event."""
        with translated():
            return listing.get_one(self.get_site_events, context, "event", id, fields)


#: Older than anything: what is beyond is no date that databases have.
_LONGEST_S = 1e10


def _find_age(name: str, values: Any) -> float | None:
    """Return the age of a filter, in seconds; None where it is not given.

    Raises:
        Invalid: it is no number of seconds.
    """
    if not values:
        return None
    try:
        age = float(values[0])
    except ValueError as error:
        raise errors.Invalid(f"{name} must be a number of seconds, not {values[0]!r}") from error
    if not 0 <= age <= _LONGEST_S:
        raise errors.Invalid(f"{name} must be between 0 and {_LONGEST_S:g} seconds, not {age:g}")
    return age
