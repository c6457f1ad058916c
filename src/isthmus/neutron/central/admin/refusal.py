"""Refusals: what central rejected of the sites' reports."""

from typing import Any

from isthmus.neutron.api import listing
from isthmus.neutron.api.faults import translated
from isthmus.store.delivery import refusal


class RefusalApi:
    """Rejected reports, which their sites retry; they are read-only."""

    def get_site_refusals(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List refusals."""
        rows = listing.collect_rows(context, refusal.list_page, filters=filters, **paging)
        return listing.to_rows(rows, fields)

    def get_site_refusal(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show a refusal."""
        with translated():
            return listing.get_one(self.get_site_refusals, context, "refusal", id, fields)
