"""The holdings: what this site holds, for the audit that compares it with central."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus.dataplane.holdings import Part
from isthmus.neutron.api import holdings, listing
from isthmus.neutron.api.faults import translated
from isthmus.neutron.local.lease import sight
from isthmus.neutron.local.ovn import dataplane
from isthmus.neutron.local.report.peer_pulse import PeerPulse
from isthmus.neutron.local.resource.router import ROUTER


class HoldingsApi:
    """The holdings, read on each request."""

    pulses: Mapping[str, PeerPulse] = MappingProxyType({})  #: of an API process

    def get_site_holdings(
        self, context: Any, filters: Any = None, fields: Any = None, **_paging: Any
    ) -> list[listing.Row]:
        """List the holdings; `network_id` filters them, `fields` says which parts are read."""
        site = str(directory.get_plugin().site.site)
        parts = {**_PARTS, "pulse": self._report_pulse}
        return holdings.collect("local", site, parts, filters, fields)

    def get_site_holding(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show the holdings."""
        with translated():
            holdings.require_own(id, str(directory.get_plugin().site.site))
        return self.get_site_holdings(context, fields=fields)[0]

    def _report_pulse(self, _networks: list[str]) -> Any:
        """Tell who has answered: OVN's processes, central, and the site's database."""
        peers = {name: pulse.report() for name, pulse in self.pulses.items()}
        return {**dataplane.report_pulse(), **peers}


def _shadows(networks: list[str]) -> Any:
    found = dataplane.collect_shadows(n_context.get_admin_context())
    return [one for one in found if not networks or one["network_id"] in networks]


def _ovn(networks: list[str]) -> Any:
    if not networks:
        return dataplane.collect()
    return dataplane.collect(Part(networks=networks, routers=holdings.list_routers(networks)))


_PARTS: Mapping[str, holdings.Part] = {
    **holdings.NEUTRON_PARTS,
    "routers": holdings.read_objects(ROUTER.resource, ROUTER.add_carried),
    "leases": holdings.collect_leases,
    "mappings": holdings.collect_mappings,
    "datapaths": holdings.collect_datapaths,
    "shadows": _shadows,
    "ovn": _ovn,
    "journal": holdings.count_jobs,
    "epoch": holdings.epoch_of(sight.get_witness),
}
