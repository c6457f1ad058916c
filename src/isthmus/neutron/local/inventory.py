"""The inventory: what this site holds, for the audit that compares it with central."""

from collections.abc import Mapping
from typing import Any

from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus.neutron import inventory
from isthmus.neutron.central.admin import listing
from isthmus.neutron.local import dataplane


class InventoryCalls:
    """One inventory, read at the moment it is asked for."""

    def get_site_inventories(
        self, context: Any, filters: Any = None, fields: Any = None, **_paging: Any
    ) -> list[listing.Row]:
        """List the one inventory; `network_id` narrows it, `fields` says which parts are read."""
        site = str(directory.get_plugin().site.site)
        return inventory.collect("local", site, _PARTS, filters, fields)

    def get_site_inventory(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show the one inventory."""
        return self.get_site_inventories(context, fields=fields)[0]


def _shadows(networks: list[str]) -> Any:
    found = dataplane.collect_shadows(n_context.get_admin_context())
    return [one for one in found if not networks or one["network_id"] in networks]


def _ovn(_networks: list[str]) -> Any:
    return dataplane.collect(n_context.get_admin_context())


_PARTS: Mapping[str, inventory.Part] = {
    **inventory.NEUTRON_PARTS,
    "leases": inventory.collect_leases,
    "routings": inventory.collect_routings,
    "datapaths": inventory.collect_datapaths,
    "shadows": _shadows,
    "ovn": _ovn,
    "journal": inventory.count_jobs,
}
