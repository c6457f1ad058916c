"""Reports of gateways: which hypervisor has the gateway of a router of central's at a site.

Nothing else of a gateway is a site's to say: its port is a part of the router, and has no home.
"""

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import context as n_context

from isthmus.model.exits.request import Hypervisor
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site
from isthmus.neutron.central import reporting
from isthmus.neutron.central.router import exit_decision
from isthmus.neutron.central.site_api.belief import validator
from isthmus.neutron.db import gateways
from isthmus.neutron.db.session import reading, writing
from isthmus.store.delivery import journal
from isthmus.store.ports import gateway
from isthmus.store.tiers.locked import LockedObjects

_PORTS = models_v2.Port.__table__
_ROUTER = ResourceType.ROUTER


def take(site: Site, sequence: int, item: Item) -> bool:
    """Record where a gateway is bound, and tell the router's sites if that is new.

    Returns:
        False where the item is of no gateway; then nothing was done.

    Raises:
        Refused: the hypervisor or its tunnel address is not the site's.
    """
    if item.type is not ResourceType.PORT or item.state is None:
        return False
    query = sa.select(_PORTS.c.device_id, _PORTS.c.network_id).where(
        _PORTS.c.id == item.id, _PORTS.c.device_owner == gateways.OWNER
    )
    with reading(n_context.get_admin_context()) as connection:
        port = connection.execute(query).one_or_none()
    if port is None:
        return False
    located = validator.check_gateway(site.name, item, port.network_id)
    with (
        reporting.reported_by(site.name, item.id, sequence),
        writing(n_context.get_admin_context()) as connection,
    ):
        locked = LockedObjects(connection, _ROUTER, [port.device_id])
        if site.name not in locked.sites(port.device_id):
            return True  # it has left meanwhile
        where = None
        if located is not None:
            where = Hypervisor(
                chassis=located.chassis, hostname=located.hostname, encap_ip=located.encap_ip
            )
        if gateway.record(connection, port.device_id, site.name, where):
            journal.record(connection, exit_decision.follow(connection, [port.device_id]))
    return True
