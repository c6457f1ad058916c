"""Records that sites have to update or remove their shadow of a port."""

import sqlalchemy as sa

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal
from isthmus.store.ports import location
from isthmus.store.tiers.locked import LockedObjects


def tell_others(
    connection: sa.Connection, site: SiteName | None, port_id: str, network_id: str
) -> None:
    """Record an intent for each site that holds, or is to hold, a shadow of a port.

    Args:
        connection: of the transaction, which has locked the port's row.
        site: the port's home, which has no shadow of it; None where it has no home.
        port_id: the port.
        network_id: its network.
    """
    present = LockedObjects(connection, ResourceType.NETWORK, [network_id]).sites(network_id)
    journal.record(
        connection,
        [
            IntentKey(other, ResourceType.SHADOW, port_id)
            for other, withdrawn in present.items()
            if other != site and not withdrawn
        ],
    )


def delete_location(connection: sa.Connection, port_id: str) -> None:
    """Delete the location of a port and have every site remove its shadow.

    Until all have, the port's addresses rest.
    """
    located = location.list_locations(connection, [port_id]).get(port_id)
    if located is not None:
        location.delete(connection, [port_id])
        tell_others(connection, None, port_id, located.network_id)
