"""Presences: where networks are; extended ahead of use, or withdrawn."""

from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import context as n_context

from isthmus import errors
from isthmus.model.intent import IntentKey, ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.api import listing
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import presence, silence
from isthmus.neutron.central.resource.network import list_subnets
from isthmus.neutron.central.resource.registry import expand
from isthmus.neutron.central.site_api.caller import while_there
from isthmus.neutron.db.session import reading, writing
from isthmus.store.delivery import journal
from isthmus.store.sql.tables import DATAPATHS, SITE_MAPPINGS
from isthmus.store.tiers import site as site_store
from isthmus.store.tiers.held import Held

_NETWORK = ResourceType.NETWORK
_IS_NETWORK = SITE_MAPPINGS.c.type == _NETWORK.value


class PresenceApi:
    """Where networks are present."""

    def get_site_presences(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List presences."""
        key = (
            sa.select(DATAPATHS.c.datapath_key)
            .where(DATAPATHS.c.network_id == SITE_MAPPINGS.c.resource_id)
            .scalar_subquery()
        )
        columns = {
            "id": SITE_MAPPINGS.c.id,
            "network_id": SITE_MAPPINGS.c.resource_id,
            "site": SITE_MAPPINGS.c.site,
            "withdrawn": SITE_MAPPINGS.c.withdrawn,
            "datapath_key": key,
            "created_at": SITE_MAPPINGS.c.created_at,
        }
        rows = listing.collect_rows(
            context, columns, where=[_IS_NETWORK], filters=filters, **paging
        )
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
            with reading(context) as connection:
                site = site_store.get_by_name(connection, name)
            network = presence.find_network(network_id)
            if network is None:
                raise errors.NotFound(f"there is no network {network_id}")
            presence.check(site, network)
            groups = presence.default_groups([network["project_id"]])
            plan = presence.Presence(network_id=network_id, group_ids=frozenset(groups))
            admin = n_context.get_admin_context()
            with while_there(admin, site):
                presence.extend(admin, site, [plan])
                with writing(admin) as connection:
                    asked = {_NETWORK: [network_id], ResourceType.SECURITY_GROUP: groups}
                    everything = expand(connection, asked).items()
                    keys = [IntentKey(name, kind, one) for kind, ids in everything for one in ids]
                    journal.record(connection, keys)
            wanted = {"network_id": [network_id], "site": [name]}
            return self.get_site_presences(context, filters=wanted)[0]

    def delete_site_presence(self, context: Any, id: str) -> None:
        """Withdraw a network from a site where no port of it is at home."""
        with translated():
            row = listing.get_one(self.get_site_presences, context, "presence", id, None)
            network_id, site = row["network_id"], SiteName(row["site"])
            with writing(context) as connection:
                network = Held(connection, _NETWORK, [network_id], alone=True)
                if site in silence.list_silent(connection):
                    raise errors.InUse(
                        f"site {site} cannot be heard and may have ports on network {network_id} "
                        "that central does not know of: wait for it to come back, or disable it"
                    )
                in_use = _count_ports(connection, network_id, site)
                if in_use:
                    raise errors.InUse(
                        f"network {network_id} has {in_use} ports at site {site}: delete them first"
                    )
                subnets = list_subnets(connection, [network_id])[ResourceType.SUBNET]
                Held(connection, ResourceType.SUBNET, subnets, alone=True).withdraw(site)
                network.withdraw(site)
                keys = [IntentKey(site, ResourceType.SUBNET, one) for one in subnets]
                keys.append(IntentKey(site, _NETWORK, network_id))
                journal.record(connection, keys)


def _count_ports(connection: sa.Connection, network_id: str, site: SiteName) -> int:
    """Count the ports of a network at home at a site; the caller holds the network."""
    port = models_v2.Port
    query = (
        sa.select(port.id)
        .select_from(SITE_MAPPINGS)
        .join(port, port.id == SITE_MAPPINGS.c.resource_id)
        .where(
            SITE_MAPPINGS.c.type == ResourceType.PORT.value,
            SITE_MAPPINGS.c.site == site,
            port.network_id == network_id,
        )
        .with_for_update(read=True)
    )
    return len(connection.execute(query).all())
