"""At which sites a router may answer on a network that several have on one fabric."""

import sqlalchemy as sa

from isthmus import errors
from isthmus.federation.router_reach import Reach
from isthmus.neutron.central.provider_network import fabric
from isthmus.neutron.central.router import joined


def check_once(connection: sa.Connection, component: joined.Component, reach: Reach) -> None:
    """Check that no router would answer at several sites on a fabric that they share.

    An anycast gateway is answered at home. On a shared fabric every site's would be heard.

    Raises:
        Conflict: one would.
    """
    places = {one: {*there} for one, there in component.present.items()}
    for network_id, name in reach.missing:
        places.setdefault(network_id, set()).add(name)
    found = {
        network_id: (router.id, sites)
        for router in component.routers
        for network_id in router.network_ids
        if len(sites := places.get(network_id, set()) & reach.routers[router.id]) > 1
    }
    for network_id in sorted(fabric.find_on_fabrics(connection, found)):
        router_id, sites = found[network_id]
        raise errors.Conflict(
            f"router {router_id} would answer on network {network_id} at sites "
            f"{', '.join(sorted(sites))}, which share its fabric: give the router or the network "
            "one site's zone as its hint, or let a router of the fabric join it"
        )
