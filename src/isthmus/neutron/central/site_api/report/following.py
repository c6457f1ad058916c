"""Follows a port that its home has reported: its status, and where it is bound."""

import ipaddress
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import constants
from neutron_lib import context as n_context
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins import directory

from isthmus.journal import crash
from isthmus.model import attribute
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central import shadow
from isthmus.neutron.central.trunk import gather
from isthmus.neutron.db.session import reading, writing
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import journal, refusal
from isthmus.store.leases import named
from isthmus.store.ports import home, location
from isthmus.store.tiers import epoch, exit_notice, named_port
from isthmus.store.tiers.locked import LockedObjects

_PORT = ResourceType.PORT
_PORTS = models_v2.Port.__table__
_STATUSES = (constants.PORT_STATUS_ACTIVE, constants.PORT_STATUS_DOWN)


def read_status(state: Mapping[str, Any]) -> str | None:
    """Return the status that a port has at its home, where central takes it over."""
    status = state.get("status")
    return status if status in _STATUSES else None


def follow_status(port_id: str, state: dict[str, Any]) -> None:
    """Apply the status that a port has at its home.

    Most reports bring no new one, and Neutron would read the whole port to find that out.
    """
    status = read_status(state)
    if status is None:
        return
    context = n_context.get_admin_context()
    with reading(context) as connection:
        before = connection.scalar(sa.select(_PORTS.c.status).where(_PORTS.c.id == port_id))
    if before not in (None, status):
        directory.get_plugin().update_port_status(context, port_id, status)


def follow_location(site: SiteName, port_id: str, state: dict[str, Any], *, refused: bool) -> None:
    """Record where the port is bound, and tell the other sites if that changed.

    They are told as well when it is reported first since central was restored: what waited to be
    sent until then they have left alone. That a site has named a port that central had lost is kept
    until that, and not deleted before: in between the removal of its shadows would be sent. Nor
    before central has recovered: until then it keeps the port from others that name it.

    Args:
        site: the port's home.
        port_id: the port.
        state: what the site reports of it.
        refused: whether central has refused something of it.
    """
    body = state.get(attribute.LOCATION)
    network_id = state["network_id"]
    with writing(n_context.get_admin_context()) as connection:
        locked = LockedObjects(connection, _PORT, [port_id], alone=True)
        if epoch.is_recovered(connection):
            named_port.end(connection, port_id, site)
        if port_id not in locked.owners or site not in locked.sites(port_id):
            return  # deleted or moved meanwhile: record nothing
        if locked.sites(port_id)[site] and state.get(portbindings.HOST_ID):
            _stay(connection, site, port_id)
        named.end_unborne(connection, site, port_id, _addresses(state))
        before = location.list_locations(connection, [port_id]).get(port_id)
        if body is None:
            changed = before is not None
            if changed:
                location.delete(connection, [port_id])
        else:
            came = before is None or before.site != site
            is_first = came and not location.has_any(connection, site)
            changed = location.record(
                connection,
                location.Location.from_dict(
                    body, port_id=port_id, network_id=network_id, site=site
                ),
            )
            if is_first:
                # Until now central knew no hypervisor there that packets of routers could go to.
                exit_notice.tell_of_site(connection, site)
        was_stale = home.end_stale(connection, port_id)
        if changed or was_stale:
            shadow.tell_others(connection, site, port_id, network_id)
        if not refused and refusal.delete(connection, site, port_id):
            # What was refused of it has been released there, and may have blocked a removal.
            job_store.retry_in_use(connection, site)
        crash.point("central.report.before_commit")


def _addresses(state: dict[str, Any]) -> set[tuple[str, int]]:
    """Return the addresses that a site reports of a port, as (subnet, number)."""
    return {
        (one["subnet_id"], int(ipaddress.ip_address(one["ip_address"])))
        for one in state["fixed_ips"]
    }


def _stay(connection: sa.Connection, site: SiteName, port_id: str) -> None:
    """Keep a port, and its trunk, at a home that was asked to release it and has bound it since."""
    home.set_leaving(connection, port_id, leaving=False)
    keys = gather.stay(connection, site, port_id)
    journal.record(connection, [IntentKey(site, _PORT, port_id), *keys])
