"""Whom to tell, at central, where the exits of routers may have changed.

By which sites a router's traffic leaves depends on where the ports of its floating IPs and port
forwardings live, and on the sites themselves; neither is a row of the router. The decision is made
when a state is read, so each of its sites is told to have it read again.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal
from isthmus.store.sql.neutron_tables import FLOATING_IPS, PORT_FORWARDINGS, ROUTER_PORTS
from isthmus.store.sql.tables import SITE_MAPPINGS

#: Source: DEVICE_OWNER_ROUTER_GW in neutron_lib/constants.py.
_GATEWAY = "network:router_gateway"
_ROUTER = SITE_MAPPINGS.c.type == ResourceType.ROUTER.value
#: Fewest gateways, or else sites, of a router that has anything to choose.
_GATEWAYS_TO_CHOOSE, _SITES_TO_CHOOSE = 2, 3


def tell_of_ports(connection: sa.Connection, port_ids: Collection[str]) -> None:
    """Tell the sites of routers that have floating IPs on ports whose home changed."""
    if port_ids:
        _tell_of_floating(connection, sorted(port_ids))


def tell_of_homes(connection: sa.Connection, site: SiteName) -> None:
    """Tell the sites of routers that have floating IPs on ports at home at a site."""
    ports = sa.select(SITE_MAPPINGS.c.resource_id).where(
        SITE_MAPPINGS.c.type == ResourceType.PORT.value, SITE_MAPPINGS.c.site == site
    )
    _tell_of_floating(connection, ports)


def tell_of_site(connection: sa.Connection, site: SiteName, *, of_several: bool = False) -> None:
    """Tell the sites of routers that are at a site which changed.

    Args:
        connection: of the transaction.
        site: the site.
        of_several: only of routers that choose among sites: an exit among several gateways, or, at
            three sites or more, that by which the third reaches a subnet of two.
    """
    there = sa.select(SITE_MAPPINGS.c.resource_id).where(_ROUTER, SITE_MAPPINGS.c.site == site)
    gateways = (
        sa.select(ROUTER_PORTS.c.router_id)
        .where(ROUTER_PORTS.c.port_type == _GATEWAY, ROUTER_PORTS.c.router_id.in_(there))
        .group_by(ROUTER_PORTS.c.router_id)
    )
    which: sa.ColumnElement[bool] = SITE_MAPPINGS.c.resource_id.in_(gateways)
    if of_several:
        other = SITE_MAPPINGS.alias()
        wide = (
            sa.select(other.c.resource_id)
            .where(other.c.type == ResourceType.ROUTER.value)
            .group_by(other.c.resource_id)
            .having(sa.func.count() >= _SITES_TO_CHOOSE)
        )
        several = gateways.having(sa.func.count() >= _GATEWAYS_TO_CHOOSE)
        which = sa.or_(
            SITE_MAPPINGS.c.resource_id.in_(several),
            sa.and_(which, SITE_MAPPINGS.c.resource_id.in_(wide)),
        )
    _tell(connection, which)


def _tell_of_floating(connection: sa.Connection, ports: "list[str] | sa.Select[Any]") -> None:
    """Tell the sites of routers with floating IPs that lead to ports, or forward some to them."""
    associated = sa.select(FLOATING_IPS.c.router_id).where(
        FLOATING_IPS.c.fixed_port_id.in_(ports), FLOATING_IPS.c.router_id.is_not(None)
    )
    forwarding = (
        sa.select(FLOATING_IPS.c.router_id)
        .join_from(
            PORT_FORWARDINGS, FLOATING_IPS, PORT_FORWARDINGS.c.floatingip_id == FLOATING_IPS.c.id
        )
        .where(
            PORT_FORWARDINGS.c.internal_neutron_port_id.in_(ports),
            FLOATING_IPS.c.router_id.is_not(None),
        )
    )
    # Each by itself: a union within IN is looked up anew for each router, with MariaDB.
    for routers in (associated, forwarding):
        _tell(connection, SITE_MAPPINGS.c.resource_id.in_(routers))


def _tell(connection: sa.Connection, which: "sa.ColumnElement[bool]") -> None:
    selection = sa.select(SITE_MAPPINGS.c.site, SITE_MAPPINGS.c.resource_id).where(_ROUTER, which)
    journal.record_selected(connection, ResourceType.ROUTER, selection)
