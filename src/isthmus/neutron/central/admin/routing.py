"""Routings: which object is at which site."""

from typing import Any

from isthmus.neutron.api.faults import translated
from isthmus.neutron.central.admin import listing
from isthmus.store.tables import ROUTINGS

_SHOWN = ("id", "type", "resource_id", "site", "project_id", "withdrawn", "created_at")


class RoutingCalls:
    """Routings are made by use, not by hand: they can only be read."""

    def get_site_routings(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List routings."""
        columns = {name: ROUTINGS.c[name] for name in _SHOWN}
        rows = listing.collect_rows(context, columns, filters=filters, **paging)
        return listing.to_rows(rows, fields)

    def get_site_routing(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show a routing."""
        with translated():
            return listing.get_one(self.get_site_routings, context, "routing", id, fields)
