"""The inventory: what central holds, for the audit that compares it with every site."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from isthmus.model.site import CENTRAL
from isthmus.neutron import inventory
from isthmus.neutron.central.admin import listing
from isthmus.store.tables import LOCATIONS


class InventoryCalls:
    """One inventory, read at the moment it is asked for."""

    def get_site_inventories(
        self, context: Any, filters: Any = None, fields: Any = None, **_paging: Any
    ) -> list[listing.Row]:
        """List the one inventory; `network_id` narrows it, `fields` says which parts are read."""
        return inventory.collect("central", str(CENTRAL), _PARTS, filters, fields)

    def get_site_inventory(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show the one inventory."""
        return self.get_site_inventories(context, fields=fields)[0]


def _locations(networks: list[str]) -> Any:
    query = sa.select(LOCATIONS)
    return inventory.collect_rows(
        query.where(LOCATIONS.c.network_id.in_(networks)) if networks else query
    )


_PARTS: Mapping[str, inventory.Part] = {
    **inventory.NEUTRON_PARTS,
    "leases": inventory.collect_leases,
    "routings": inventory.collect_routings,
    "locations": _locations,
    "datapaths": inventory.collect_datapaths,
    "journal": inventory.count_jobs,
}
