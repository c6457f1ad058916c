"""Marks what is made here for central as central's, in the very transaction that makes it.

So there is no moment at which it seems to be the site's own. A mark goes in the transaction that
deletes its object, whoever deletes it. A revision number that an object of that id has left behind
(`apply.leftover` says how that comes) goes in the transaction that makes it again.
"""

from typing import Any

import sqlalchemy as sa
from neutron.db.models import ovn as ovn_models
from neutron_lib.db import api as db_api
from sqlalchemy import orm

from isthmus.model import attribute
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.local.owned import applying
from isthmus.neutron.local.owned.ownership_cache import OwnershipCache
from isthmus.neutron.local.resource import port
from isthmus.neutron.local.resource.registry import ROWS
from isthmus.store.local import exit_plan, mapping

_REVISIONS = ovn_models.OVNRevisionNumbers.__table__


class Marking:
    """The listener that marks; one per process."""

    def __init__(self, site: SiteName, ownership: OwnershipCache) -> None:
        """Initialise the listener; it hears nothing before `listen`.

        Args:
            site: this site.
            ownership: which networks are central's.
        """
        self._site = site
        self._ownership = ownership

    def listen(self) -> None:
        """Start to listen to every session of this process."""
        db_api.sqla_listen(orm.Session, "before_flush", self._before_flush)

    def _before_flush(self, session: orm.Session, _context: Any, _instances: Any) -> None:
        """Mark the object that this thread is creating for central, with a network's tunnel key."""
        item = applying.current()
        for gone in session.deleted:
            self._forget(session, gone, item)
        if item is None or item.state is None:
            return
        for made in session.new:
            kind = _find_kind(made)
            if kind is not item.type or made.id != item.id:
                continue
            connection = session.connection()
            left = _REVISIONS.c.resource_uuid == item.id
            if connection.scalar(sa.select(_REVISIONS.c.resource_uuid).where(left)) is not None:
                connection.execute(sa.delete(_REVISIONS).where(left))
            mapping.add(
                connection,
                kind,
                item.id,
                self._site,
                project_id=item.state.get("project_id"),
                base=port.agreed(item.state) if kind is ResourceType.PORT else None,
            )
            key = item.state.get(attribute.DATAPATH_KEY)
            if kind is ResourceType.NETWORK and key is not None:
                exit_plan.record_network_key(connection, item.id, int(key))

    def _forget(self, session: orm.Session, gone: Any, item: Item | None) -> None:
        """Delete what is kept of an object of central's together with it.

        What was agreed on of a port stays until central has acknowledged the deletion, unless
        central itself has requested it.
        """
        kind = _find_kind(gone)
        if kind is None:
            return
        connection = session.connection()
        if kind is ResourceType.PORT:
            if item is None:
                return
            if gone.id == item.id:
                check = port.check_let_go if item.withdrawn else port.check_not_under_way
                check(connection, item.id)
        mapping.forget(connection, kind, gone.id)
        if kind is ResourceType.ROUTER:
            exit_plan.forget(connection, gone.id)
        self._ownership.forget(kind, gone.id)


def _find_kind(entity: Any) -> ResourceType | None:
    """Return the type of an object whose own row this is, if central may have such at a site."""
    return next((kind for kind, row in ROWS.items() if isinstance(entity, row.model)), None)
