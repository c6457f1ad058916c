"""At which sites a router may answer on a network that several have on fabrics of theirs."""

from collections.abc import Mapping

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3

from isthmus import errors
from isthmus.federation.router_reach import Reach
from isthmus.model.site import SiteName
from isthmus.neutron.central.provider_network import fabric, segmented
from isthmus.neutron.central.router import joined
from isthmus.neutron.db import interfaces

_JOINS = l3.RouterPort.__table__
_ADDRESSES = models_v2.IPAllocation.__table__


def check_once(connection: sa.Connection, component: joined.Component, reach: Reach) -> None:
    """Check that no router would answer at several sites on a fabric that they share, or at none.

    An anycast gateway is answered at home. On a shared fabric every site's would be heard. Where
    each site has another segment of the network, it has to have that of the router's interface.

    Raises:
        Conflict: one would.
    """
    places = {one: {*there} for one, there in component.present.items()}
    for network_id, name in reach.missing:
        places.setdefault(network_id, set()).add(name)
    answering = {
        (router.id, network_id): places.get(network_id, set()) & reach.routers[router.id]
        for router in component.routers
        for network_id in router.network_ids
    }
    found = {
        network_id: (router_id, sites)
        for (router_id, network_id), sites in answering.items()
        if len(sites) > 1
    }
    for network_id in sorted(fabric.find_on_fabrics(connection, found)):
        router_id, sites = found[network_id]
        raise errors.Conflict(
            f"router {router_id} would answer on network {network_id} at sites "
            f"{', '.join(sorted(sites))}, which share its fabric: give the router or the network "
            "one site's zone as its hint, or let a router of the fabric join it"
        )
    _check_segments(connection, answering)


def _check_segments(
    connection: sa.Connection, answering: Mapping[tuple[str, str], set[SiteName]]
) -> None:
    """Check that sites have the segments of the interfaces that routers have there.

    Raises:
        Conflict: one does not.
    """
    several = fabric.find_segmented(connection, {network_id for _, network_id in answering})
    for (router_id, network_id), sites in sorted(answering.items()):
        if network_id not in several:
            continue
        query = (
            sa.select(_ADDRESSES.c.subnet_id)
            .join_from(_ADDRESSES, _JOINS, _ADDRESSES.c.port_id == _JOINS.c.port_id)
            .where(
                _JOINS.c.router_id == router_id,
                _JOINS.c.port_type == interfaces.OWNER,
                _ADDRESSES.c.network_id == network_id,
            )
        )
        subnets = list(connection.scalars(query))
        for site in sorted(sites):
            for subnet_id in sorted(segmented.find_elsewhere(connection, site, subnets)):
                raise errors.Conflict(
                    f"router {router_id} would be at site {site} with an interface on subnet "
                    f"{subnet_id}, which is on a segment that the site does not have: give the "
                    "router the zone of a site that has it as its hint"
                )
