"""Records, in the transaction of each change, that central has to be told of it.

One listener sees every change of a port and of the rows that belong to it (bindings, addresses,
groups, address pairs ...), as Neutron's own revision plugin does. It costs two statements for each
transaction that touches a port of a stretched network, and none otherwise. What is carried out for
central need not be reported back to it.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import constants
from neutron_lib.db import api as db_api
from neutron_lib.db import standard_attr
from sqlalchemy import orm

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL
from isthmus.neutron.local.owned import applying
from isthmus.neutron.local.owned.ownership_cache import OwnershipCache
from isthmus.store.delivery import journal
from isthmus.store.local import mapping

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

    def __init__(self, ownership: OwnershipCache) -> None:
        """Initialise the listener; it hears nothing before `listen`.

        Args:
            ownership: which networks are central's.
        """
        self._ownership = ownership
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
        if applying.current() is not None:
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

    def _after_commit(self, session: orm.Session) -> None:
        session.info.pop(_NOTED, None)
        if session.info.pop(_WAKE, False):
            self._wake()

    def _after_rollback(self, session: orm.Session, _previous: Any) -> None:
        session.info.pop(_NOTED, None)
        session.info.pop(_WAKE, None)


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
