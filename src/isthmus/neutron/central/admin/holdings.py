"""The holdings: what central holds, for the audit that compares it with every site."""

from collections.abc import Mapping
from typing import Any

from neutron_lib import context as n_context

from isthmus.model.resource import RESOURCES, ResourceType
from isthmus.model.site import CENTRAL
from isthmus.neutron.api import holdings, listing
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central.resource.router import add_everywhere
from isthmus.neutron.central.site_api.caller import get_witness
from isthmus.neutron.db.session import reading
from isthmus.store.ports import location


class HoldingsApi:
    """The holdings, read on each request."""

    def get_site_holdings(
        self, context: Any, filters: Any = None, fields: Any = None, **_paging: Any
    ) -> list[listing.Row]:
        """List the holdings; `network_id` filters them, `fields` says which parts are read."""
        return holdings.collect("central", str(CENTRAL), _PARTS, filters, fields)

    def get_site_holding(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show the holdings."""
        with translated():
            holdings.require_own(id, str(CENTRAL))
        return self.get_site_holdings(context, fields=fields)[0]


def _locations(networks: list[str]) -> Any:
    with reading(n_context.get_admin_context()) as connection:
        return location.list_rows(connection, networks or None)


_PARTS: Mapping[str, holdings.Part] = {
    **holdings.NEUTRON_PARTS,
    "routers": holdings.read_objects(RESOURCES[ResourceType.ROUTER], add_everywhere),
    "leases": holdings.collect_leases,
    "mappings": holdings.collect_mappings,
    "locations": _locations,
    "datapaths": holdings.collect_datapaths,
    "journal": holdings.count_jobs,
    "epoch": holdings.epoch_of(get_witness),
}
