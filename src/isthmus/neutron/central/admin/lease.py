"""Leases: who may give out which addresses and keys."""

from typing import Any

from isthmus.neutron.api.faults import translated
from isthmus.neutron.central.admin import listing
from isthmus.store.tables import LEASES, NUMBER_LENGTH


class LeaseCalls:
    """Leases follow use; they can only be read."""

    def get_site_leases(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List leases."""
        wanted = dict(filters or {})
        for name in {"first", "last"} & wanted.keys():
            wanted[name] = [one.zfill(NUMBER_LENGTH) for one in wanted[name]]
        rows = listing.collect_rows(context, dict(LEASES.c), filters=wanted, **paging)
        for row in rows:
            first, last = int(row["first"]), int(row["last"])
            row.update(first=str(first), last=str(last), size=last - first + 1)
        return listing.to_rows(rows, fields)

    def get_site_lease(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show a lease."""
        with translated():
            return listing.get_one(self.get_site_leases, context, "lease", id, fields)
