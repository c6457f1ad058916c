"""Routings: which object is at which site."""

from typing import Any

from isthmus.neutron.api.faults import translated
from isthmus.neutron.central.admin import listing
from isthmus.neutron.db.session import reading
from isthmus.store.page import select_page
from isthmus.store.tables import ROUTINGS

_SHOWN = ("id", "type", "resource_id", "site", "project_id", "withdrawn", "created_at")


class RoutingCalls:
    """Routings are made by use, not by hand: they can only be read."""

    def get_site_routings(
        self,
        context: Any,
        filters: Any = None,
        fields: Any = None,
        sorts: Any = None,
        limit: Any = None,
        marker: Any = None,
        page_reverse: bool = False,
    ) -> list[listing.Row]:
        """List routings."""
        with translated(), reading(context) as connection:
            rows = select_page(
                connection,
                {name: ROUTINGS.c[name] for name in _SHOWN},
                filters=filters,
                page=listing.to_page(sorts, limit, marker, page_reverse),
            )
        return listing.to_rows(rows, fields)

    def get_site_routing(
        self,
        context: Any,
        id: str,
        fields: Any = None,
    ) -> listing.Row:
        """Show a routing."""
        with translated():
            return listing.get_one(self.get_site_routings, context, "routing", id, fields)
