"""Records, in the transaction of each change, that central has to be told of it.

One listener sees every change of a port and of the rows that belong to it (bindings, addresses,
groups, address pairs ...), as Neutron's own revision plugin does. It costs two statements for each
transaction that touches a port of a stretched network, and none otherwise. The same listener marks
what this thread creates on central's behalf as central's.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import constants
from neutron_lib.db import api as db_api
from neutron_lib.db import standard_attr
from sqlalchemy import orm

from isthmus.model import attribute
from isthmus.model.intent import IntentKey
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.neutron.local.owned import applying
from isthmus.neutron.local.owned.ownership_cache import OwnershipCache
from isthmus.neutron.local.resource.registry import ROWS
from isthmus.store.delivery import journal
from isthmus.store.local import exits, mapping
from isthmus.store.ports import datapath

#: Keys in a session's info: ports recorded in this transaction, and whether to wake the relay.
_NOTED = "isthmus_noted"
_WAKE = "isthmus_wake"


@dataclass(slots=True)
class _Call:
    """A call to Neutron in progress in one thread."""

    port_ids: set[str] = field(default_factory=set)  #: recorded by it
    committed: bool = False  #: whether an intent of it was committed


class ReportListener:
    """The listener; one per process."""

    def __init__(
        self,
        site: SiteName,
        ownership: OwnershipCache,
        base_of: Callable[[Item], dict[str, Any] | None],
        let_go: Callable[[sa.Connection, str], None],
    ) -> None:
        """Initialise the listener; it hears nothing before `listen`.

        Args:
            site: this site.
            ownership: which networks are central's.
            base_of: returns what is agreed on once an item is carried out.
            let_go: raises where a port that is to move to another site is needed here.
        """
        self._site = site
        self._ownership = ownership
        self._base_of = base_of
        self._let_go = let_go
        self.woken = threading.Event()  #: set when an intent was recorded and committed
        self._call = threading.local()
        self._open: Counter[str] = Counter()  # ports by the calls in progress that changed them
        self._lock = threading.Lock()

    def listen(self) -> None:
        """Start to listen to every session of this process."""
        db_api.sqla_listen(orm.Session, "before_flush", self._before_flush)
        db_api.sqla_listen(orm.Session, "after_commit", self._after_commit)
        db_api.sqla_listen(orm.Session, "after_soft_rollback", self._after_rollback)

    def note(self, session: orm.Session, port_ids: Iterable[str]) -> None:
        """Record ports in a session's transaction, once for each transaction."""
        noted = session.info.setdefault(_NOTED, set())
        fresh = set(port_ids) - noted
        if not fresh:
            return
        noted |= fresh
        session.info[_WAKE] = True
        call: _Call | None = getattr(self._call, "current", None)
        if call is not None:
            with self._lock:
                self._open.update(fresh - call.port_ids)
                call.port_ids |= fresh
        journal.record(
            session.connection(),
            [IntentKey(CENTRAL, ResourceType.PORT, port_id) for port_id in fresh],
        )

    @contextlib.contextmanager
    def one_report(self) -> Iterator[None]:
        """Let the ports that a call of this thread changes be reported when it ends, not before.

        Neutron binds a port in a transaction of its own, after the one that creates it or names its
        host. A report between the two would be of a port that is nowhere, and a second one would
        follow at once: central would do its work twice before another site hears of the port.
        """
        if getattr(self._call, "current", None) is not None:
            yield  # the outermost call counts
            return
        self._call.current = call = _Call()
        try:
            yield
        finally:
            self._call.current = None
            with self._lock:
                self._open -= Counter(call.port_ids)
            if call.committed:
                self.woken.set()

    def list_open(self) -> list[str]:
        """List the ports that calls in progress in this process have changed."""
        with self._lock:
            return list(self._open)

    def _wake(self) -> None:
        call: _Call | None = getattr(self._call, "current", None)
        if call is None:
            self.woken.set()
        else:
            call.committed = True

    def _before_flush(self, session: orm.Session, _context: Any, _instances: Any) -> None:
        item = applying.current()
        if item is not None and item.withdrawn:
            self._check_let_go(session, item)
        self._forget(session, even_ports=item is not None)
        if item is not None:
            self._mark(session, item)
            return
        noted = session.info.get(_NOTED, frozenset())
        stretched = [
            port.id
            for port in _find_ports(session, noted)
            if port.device_owner != constants.DEVICE_OWNER_DISTRIBUTED
            and self._ownership.is_stretched(session.connection(), port.network_id)
            and not _is_of_central(session.connection(), port)
        ]
        if stretched:
            self.note(session, stretched)

    def _check_let_go(self, session: orm.Session, item: Item) -> None:
        for gone in session.deleted:
            if isinstance(gone, models_v2.Port) and gone.id == item.id:
                self._let_go(session.connection(), item.id)

    def _mark(self, session: orm.Session, item: Item) -> None:
        """Mark the object that is being created for an item as central's."""
        if item.state is None:
            return
        for made in session.new:
            kind = _find_kind(made)
            if kind is not item.type or made.id != item.id:
                continue
            mapping.add(
                session.connection(),
                kind,
                item.id,
                self._site,
                project_id=item.state.get("project_id"),
                base=self._base_of(item),
            )
            if kind is ResourceType.NETWORK:
                key = item.state.get(attribute.DATAPATH_KEY)
                if key is not None:
                    datapath.record(session.connection(), item.id, int(key))
                    exits.require_free(session.connection(), item.id, int(key))

    def _forget(self, session: orm.Session, *, even_ports: bool) -> None:
        """Delete what is kept of central's objects together with them.

        What was agreed on of a port stays until central has acknowledged the deletion, unless
        central itself has requested it.
        """
        for gone in session.deleted:
            kind = _find_kind(gone)
            if kind is None or (kind is ResourceType.PORT and not even_ports):
                continue
            mapping.forget(session.connection(), kind, gone.id)
            if kind is ResourceType.ROUTER:
                exits.forget(session.connection(), gone.id)
            self._ownership.forget(kind, gone.id)

    def _after_commit(self, session: orm.Session) -> None:
        session.info.pop(_NOTED, None)
        if session.info.pop(_WAKE, False):
            self._wake()

    def _after_rollback(self, session: orm.Session, _previous: Any) -> None:
        session.info.pop(_NOTED, None)
        session.info.pop(_WAKE, None)


def _find_kind(entity: Any) -> ResourceType | None:
    """Return the type of an object whose own row this is, if central may have such at a site."""
    return next((kind for kind, row in ROWS.items() if isinstance(entity, row.model)), None)


def _is_of_central(connection: sa.Connection, port: models_v2.Port) -> bool:
    """Return whether a port is an interface of a router of central's.

    Of a gateway central hears which hypervisor has it, and takes nothing else.
    """
    if port.device_owner not in constants.ROUTER_INTERFACE_OWNERS:
        return False
    return bool(mapping.find_known(connection, ResourceType.ROUTER, [port.device_id]))


def _find_ports(session: orm.Session, noted: Collection[str]) -> list[models_v2.Port]:
    """Return the ports that a flush is about to change, without those recorded already."""
    new, deleted = list(session.new), list(session.deleted)
    changed = [one for one in session.dirty if session.is_modified(one)]
    ports = {one.id: one for one in (*new, *changed, *deleted) if isinstance(one, models_v2.Port)}
    for one in (*new, *changed, *deleted):
        if {"port", "ports"}.isdisjoint(getattr(one, "revises_on_change", ())):
            continue
        if one.port_id and one.port_id not in noted and one.port_id not in ports:
            port = session.get(models_v2.Port, one.port_id)
            if port is not None:
                ports[port.id] = port
    # A port's description is in a row of its own, which does not refer to the port.
    described = {one.id for one in changed if isinstance(one, standard_attr.StandardAttribute)}
    if described:
        for one in session:
            if isinstance(one, models_v2.Port) and one.standard_attr_id in described:
                ports[one.id] = one
    return [port for port_id, port in ports.items() if port_id not in noted]
