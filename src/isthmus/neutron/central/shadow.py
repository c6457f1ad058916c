"""Telling sites that their shadow of a port is no longer what it should be."""

import sqlalchemy as sa

from isthmus.model.intent import IntentKey, ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal
from isthmus.store.ports import location
from isthmus.store.tiers.held import Held


def tell_others(
    connection: sa.Connection, site: SiteName | None, port_id: str, network_id: str
) -> None:
    """Note an intent for each site of a network that holds, or is to hold, a shadow of a port.

    Args:
        connection: where; the port's row is held.
        site: where the port itself lives, which has no shadow of it; None where it has no home.
        port_id: which port.
        network_id: its network.
    """
    present = Held(connection, ResourceType.NETWORK, [network_id]).sites(network_id)
    journal.record(
        connection,
        [
            IntentKey(other, ResourceType.SHADOW, port_id)
            for other, withdrawn in present.items()
            if other != site and not withdrawn
        ],
    )


def delete_location(connection: sa.Connection, port_id: str) -> None:
    """Forget where a port is, and have every site remove its shadow.

    Until they have, the port's addresses rest.
    """
    located = location.list_locations(connection, [port_id]).get(port_id)
    if located is not None:
        location.delete(connection, [port_id])
        tell_others(connection, None, port_id, located.network_id)
