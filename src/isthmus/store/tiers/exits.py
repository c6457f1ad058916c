"""Whom to tell, at central, where the exits of routers may have changed.

By which sites a router's traffic leaves depends on where the ports of its floating IPs live, and on
the sites themselves; neither is a row of the router. The decision is made when a state is read, so
each of its sites is told to have it read again.
"""

from collections.abc import Collection

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal
from isthmus.store.sql.neutron_tables import FLOATING_IPS, ROUTER_PORTS
from isthmus.store.sql.tables import SITE_MAPPINGS

#: Source: DEVICE_OWNER_ROUTER_GW in neutron_lib/constants.py.
_GATEWAY = "network:router_gateway"
_ROUTER = SITE_MAPPINGS.c.type == ResourceType.ROUTER.value


def tell_of_ports(connection: sa.Connection, port_ids: Collection[str]) -> None:
    """Tell the sites of routers that have floating IPs on ports whose home changed."""
    if not port_ids:
        return
    routers = sa.select(FLOATING_IPS.c.router_id).where(
        FLOATING_IPS.c.fixed_port_id.in_(sorted(port_ids)), FLOATING_IPS.c.router_id.is_not(None)
    )
    _tell(connection, SITE_MAPPINGS.c.resource_id.in_(routers))


def tell_of_site(connection: sa.Connection, site: SiteName, *, of_several: bool = False) -> None:
    """Tell the sites of routers that are at a site which changed.

    Args:
        connection: of the transaction.
        site: the site.
        of_several: only of routers with several gateways, which alone choose among sites.
    """
    there = sa.select(SITE_MAPPINGS.c.resource_id).where(_ROUTER, SITE_MAPPINGS.c.site == site)
    routers = (
        sa.select(ROUTER_PORTS.c.router_id)
        .where(ROUTER_PORTS.c.port_type == _GATEWAY, ROUTER_PORTS.c.router_id.in_(there))
        .group_by(ROUTER_PORTS.c.router_id)
        .having(sa.func.count() >= (2 if of_several else 1))
    )
    _tell(connection, SITE_MAPPINGS.c.resource_id.in_(routers))


def _tell(connection: sa.Connection, which: "sa.ColumnElement[bool]") -> None:
    selection = sa.select(SITE_MAPPINGS.c.site, SITE_MAPPINGS.c.resource_id).where(_ROUTER, which)
    journal.record_selected(connection, ResourceType.ROUTER, selection)
