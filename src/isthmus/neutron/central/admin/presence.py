"""Presences: where networks are; extended ahead of use, or withdrawn."""

from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.federation.router_reach import find_joined_at
from isthmus.model.form import counted
from isthmus.model.intent import IntentKey, What
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.api import listing
from isthmus.neutron.api.caller import record_event
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import presence, silence
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.router import exit_decision, joined
from isthmus.neutron.central.site_api.caller import while_there
from isthmus.neutron.db.session import writing
from isthmus.store.delivery import journal
from isthmus.store.ports import home as home_store
from isthmus.store.tiers import mapping
from isthmus.store.tiers.locked import LockedObjects

_NETWORK = ResourceType.NETWORK


class PresenceApi:
    """Where networks are present."""

    def get_site_presences(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List presences."""
        rows = listing.collect_rows(context, mapping.list_presences, filters=filters, **paging)
        return listing.to_rows(rows, fields)

    def get_site_presence(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show a presence."""
        with translated():
            return listing.get_one(self.get_site_presences, context, "presence", id, fields)

    def create_site_presence(self, context: Any, site_presence: dict[str, Any]) -> listing.Row:
        """Extend a network to a site ahead of use."""
        body = site_presence["site_presence"]
        network_id, name = body["network_id"], SiteName(body["site"])
        with translated():
            with while_there(context, name) as site:
                presence.extend_ahead(site, presence.get_allowed(site, network_id))
            wanted = {"network_id": [network_id], "site": [name]}
            return self.get_site_presences(context, filters=wanted)[0]

    def delete_site_presence(self, context: Any, id: str) -> None:
        """Withdraw a network from a site where no port of it is at home."""
        with translated():
            row = listing.get_one(self.get_site_presences, context, "presence", id, None)
            network_id, site = row["network_id"], SiteName(row["site"])
            with writing(context) as connection:
                _withdraw(connection, network_id, site)


def _withdraw(connection: sa.Connection, network_id: str, site: SiteName) -> None:
    """Withdraw a network, and those that routers join with it at the site."""
    component = joined.lock(connection, [network_id])
    where = {one.id: component.sites_of(one.id) for one in component.routers}
    leaving = find_joined_at(network_id, site, component.routers, where)
    # Behind its lock: the port of a gateway that is being set waits for it, or has been seen.
    leaving_by = sorted(exit_decision.find_by_networks(connection, [network_id]))
    if leaving_by:
        raise errors.InUse(
            f"routers {', '.join(leaving_by)} leave by it: remove their gateways on network "
            f"{network_id} first"
        )
    if site in silence.list_silent(connection):
        raise errors.InUse(
            f"site {site} cannot be reached and may have ports on network {network_id} "
            "that central does not know of: wait for it to come back, or disable it"
        )
    for one in sorted(leaving):
        in_use = len(home_store.lock_at(connection, one, site))
        if in_use:
            joined_by = f", which a router joins with {network_id}," if one != network_id else ""
            raise errors.InUse(
                f"network {one}{joined_by} has {counted(in_use, 'port')} at site {site}: "
                "delete what is there first"
            )
    keys = []
    for one in sorted(leaving):
        subnets = along.list_subnets(connection, [one])
        LockedObjects(connection, ResourceType.SUBNET, subnets, alone=True).withdraw(site)
        keys += [IntentKey(site, ResourceType.SUBNET, subnet) for subnet in subnets]
        keys.append(IntentKey(site, _NETWORK, one))
    component.locked_networks.withdraw(site, leaving)
    for one in sorted(leaving):
        record_event(connection, What.WITHDRAWN, site, kind=_NETWORK, resource_id=one)
    journal.record(connection, keys)
    presence.spread(connection, leaving)  # routers that have nothing left there leave as well
