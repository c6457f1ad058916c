"""On demand: what a person names that only central knows is fetched and made here.

Reads have no events in Neutron, so the core plugin asks here when it does not find something. Only
a request of a person counts: Neutron's own threads look up things that have just gone and must
neither wait for a WAN nor bring anything back. Central decides what that person may see; of the
rest it says nothing, and nothing is made or leased here.

That central does not know something either is remembered for seconds. That central cannot be
reached is not an answer: the person gets a 503, at once, and may ask again.
"""

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from neutron_lib import context as n_context
from neutron_lib.db import api as db_api
from oslo_context import context as oslo_context
from oslo_log import log as logging
from oslo_utils import uuidutils

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.model.intent import ResourceType
from isthmus.model.item import Item, ItemResult
from isthmus.model.site import CENTRAL
from isthmus.neutron.local.resource.registry import ROWS
from isthmus.store.delivery import lane as lane_store
from isthmus.store.local import mapping
from isthmus.store.sql.engine import reading

LOG = logging.getLogger(__name__)

#: Most misses remembered.
_MOST_ENTRIES = 10_000
#: How often a bundle is asked for because central's changes overtook it.
_OVERTAKEN = 6
#: How long it is believed that something seen here is still here, in seconds. Lists that name what
#: they want are frequent, Neutron makes some for each port, and each would cost a query.
_SEEN_S = 30.0
#: Most ids in one question, as central's API has it.
_MOST_IDS = 64


class Materialise(Protocol):
    """Makes what a bundle holds; `isthmus.neutron.local.materialise`."""

    def __call__(
        self,
        items: Sequence[Item],
        *,
        seen: int,
        unfinished: Collection[tuple[ResourceType, str]],
    ) -> Sequence[ItemResult]:
        """Make items, and refuse those that a newer batch than `seen` has overtaken."""


def find_asker(context: Any, fields: Sequence[str] | None = None) -> Any | None:
    """Find the person on whose behalf something is looked up.

    Neutron's policy checks look up a parent (the network of a port that is to be made) as an
    administrator who is nobody, and ask for one field of it; then the person is the one whose
    request this thread serves. Any other lookup by nobody is Neutron's own.

    Args:
        context: of the lookup.
        fields: which fields it wants.

    Returns:
        That person's context; None where nobody may be asked, since the lookup is Neutron's own or
        a transaction is open: what is fetched is made in transactions of its own.
    """
    if db_api.is_session_active(context.session):
        return None
    if context.user_id or context.project_id:
        return context
    served = oslo_context.get_current() if fields and len(fields) == 1 else None
    return served if served is not None and (served.user_id or served.project_id) else None


class Recent:
    """What was found out a moment ago; safe for threads."""

    def __init__(self, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty.

        Args:
            ttl_s: how long something is remembered, in seconds.
            clock: gives seconds that only grow.
        """
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[tuple[object, ...], float] = {}

    def knows(self, key: tuple[object, ...]) -> bool:
        """Tell whether something was found out a moment ago."""
        return self._until.get(key, 0.0) > self._clock()

    def add(self, key: tuple[object, ...]) -> None:
        """Remember something."""
        with self._lock:
            self._until.pop(key, None)
            self._until[key] = self._clock() + self._ttl_s
            while len(self._until) > _MOST_ENTRIES:
                del self._until[next(iter(self._until))]


def _explain(refused: Sequence[ItemResult]) -> errors.IsthmusError:
    """Say why what was asked for is not here: all of a bundle is needed, so each refusal counts.

    What can never be made is said as the refusal it is; only what may work later asks to wait.
    """
    found = [(one, errors.from_code(one.code, one.message)) for one in refused]
    for result, error in found:
        if not isinstance(error, errors.Transient):
            kind = type(error) if isinstance(error, errors.Refused) else errors.Conflict
            return kind(f"{result.type} {result.id} cannot be made at this site: {result.message}")
    result = refused[0]
    return errors.Stale(
        f"{result.type} {result.id} cannot be made at this site yet: {result.message}"
    )


class _Locks:
    """A lock for each id that somebody is fetching."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()

    @contextlib.contextmanager
    def hold(self, ids: Collection[str]) -> Iterator[None]:
        with self._guard:
            locks = [self._locks.setdefault(one, _Lock()) for one in sorted(ids)]
        with contextlib.ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock.inner)
            yield


class _Lock:
    """A lock that a weak dictionary can hold."""

    def __init__(self) -> None:
        self.inner = threading.Lock()


class OnDemand:
    """Fetches what is missing; one for a process."""

    def __init__(
        self,
        client: Callable[[], CentralClient],
        engine: Callable[[], sa.Engine],
        materialise: Materialise,
        *,
        miss_ttl_s: float,
    ) -> None:
        """Bind it.

        Args:
            client: gives the way to central, once this process needs it.
            engine: gives the site's database.
            materialise: makes what came.
            miss_ttl_s: how long a miss is remembered, in seconds.
        """
        self._client = client
        self._engine = engine
        self._materialise = materialise
        self._misses = Recent(miss_ttl_s)
        self._here = Recent(_SEEN_S)
        self._locks = _Locks()

    def fetch_missing(
        self, kind: ResourceType, ids: Collection[str], context: Any, *, missed: bool
    ) -> bool:
        """Fetch those objects that are not here.

        Args:
            kind: their type.
            ids: which; what is no UUID is nobody's.
            context: of the person who asks.
            missed: whether the caller has just looked for them in vain.

        Returns:
            Whether anything came.

        Raises:
            Stale: what central sent cannot be made yet.
            Transient: central did not answer.
            Refused: something that the ids take cannot be made at this site.
            IsthmusError: central's answer is of no use.
        """
        asker = (context.project_id, context.is_admin)
        wanted = {
            one
            for one in ids
            if uuidutils.is_uuid_like(one) and not self._misses.knows((kind, one, *asker))
        }
        if not missed:
            wanted = {one for one in wanted if not self._here.knows((kind, one))}
        missing = wanted - self._find_here(kind, wanted)
        if not missing:
            return False
        with self._locks.hold(missing):
            still = missing - self._find_here(kind, missing)
            if not still:
                return True
            came = self._fetch(kind, sorted(still), asker)
            for one in still - came:
                self._misses.add((kind, one, *asker))
        return bool(came)

    def fetch(self, kind: ResourceType, ids: Collection[str], project_id: str | None) -> set[str]:
        """Fetch objects whether they are here or not, on behalf of a person who may see them.

        Returns:
            The ids that came.

        Raises:
            Stale: what central sent cannot be made yet.
            Transient: central did not answer.
            Refused: something that the ids take cannot be made at this site.
            IsthmusError: central's answer is of no use.
        """
        asker = (project_id, True)
        wanted = {one for one in ids if not self._misses.knows((kind, one, *asker))}
        if not wanted:
            return set()
        with self._locks.hold(wanted):
            came = self._fetch(kind, sorted(wanted), asker)
            for one in wanted - came:
                self._misses.add((kind, one, *asker))
        return came

    def show(self, ids: Collection[str], context: Any) -> list[Mapping[str, Any]]:
        """Ask central for ports that are not here, only to show them.

        Args:
            ids: which; what is no UUID is nobody's.
            context: of the person who asks.

        Returns:
            Their states; those that he may not see are missing.

        Raises:
            Transient: central did not answer.
            IsthmusError: central's answer is of no use.
        """
        kind = ResourceType.PORT
        asker = (context.project_id, context.is_admin)
        wanted = {
            one
            for one in ids
            if uuidutils.is_uuid_like(one) and not self._misses.knows((kind, one, *asker))
        }
        missing = sorted(wanted - self._find_here(kind, wanted))
        found: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(missing), _MOST_IDS):
            bundle = self._client().ask_bundle(
                kind.value,
                missing[start : start + _MOST_IDS],
                project_id=context.project_id,
                is_admin=context.is_admin,
                show_only=True,
            )
            found |= {one.id: one.state for one in bundle.items if one.state is not None}
        for one in set(missing) - found.keys():
            self._misses.add((kind, one, *asker))
        return [found[one] for one in missing if one in found]

    def knows_mac(self, network_id: str, mac: str, port_id: str | None) -> bool:
        """Ask central whether another port of a network has a MAC.

        Raises:
            Transient: central did not answer.
            IsthmusError: its answer is of no use.
        """
        return self._client().ask_mac(network_id, mac, port_id)

    def _fetch(
        self, kind: ResourceType, ids: Sequence[str], asker: tuple[str | None, bool]
    ) -> set[str]:
        unfinished: set[tuple[ResourceType, str]] = set()
        for _ in range(_OVERTAKEN):
            seen = self._seen()
            items, not_here = self._ask(kind, ids, asker)
            if not_here and not items:
                raise next(iter(not_here.values()))
            if not items:
                return set()
            results = self._materialise(items, seen=seen, unfinished=unfinished)
            late = {(one.type, one.id) for one in results if one.code == errors.Stale.code}
            if not late or self._seen() == seen:
                break
            # Central has told this site something meanwhile, perhaps of these very objects: making
            # them as they were would undo that. What was made before is here.
            unfinished |= late
        came = {result.id for result in results if result.type is kind and result.taken}
        refused = [result for result in results if not result.taken]
        for result in refused:
            LOG.warning(
                "%s %s of a bundle was not taken: %s", result.type, result.id, result.message
            )
        self._note_complete(items, refused)
        if refused:
            raise _explain(refused)
        return came & set(ids)

    def _ask(
        self, kind: ResourceType, ids: Sequence[str], asker: tuple[str | None, bool]
    ) -> tuple[list[Item], dict[str, errors.IsthmusError]]:
        project_id, is_admin = asker
        items: list[Item] = []
        not_here: dict[str, errors.IsthmusError] = {}
        for start in range(0, len(ids), _MOST_IDS):
            some = ids[start : start + _MOST_IDS]
            bundle = self._client().ask_bundle(
                kind.value, some, project_id=project_id, is_admin=is_admin
            )
            items += bundle.items
            not_here |= bundle.refused
        return items, not_here

    def _seen(self) -> int:
        with reading(self._engine()) as connection:
            _, seen = lane_store.peek(connection, CENTRAL)
        return seen

    def _note_complete(self, items: Sequence[Item], refused: Sequence[ItemResult]) -> None:
        """Note the networks of which everything has arrived."""
        if refused:
            return
        context = n_context.get_admin_context()
        with db_api.CONTEXT_WRITER.using(context):
            for item in items:
                if item.type is ResourceType.NETWORK and item.state is not None:
                    mapping.set_complete(context.session.connection(), item.id, complete=True)

    def _find_here(self, kind: ResourceType, ids: Collection[str]) -> set[str]:
        if not ids:
            return set()
        column = ROWS[kind].model.__table__.c.id
        with reading(self._engine()) as connection:
            found = set(connection.scalars(sa.select(column).where(column.in_(ids))))
        for one in found:
            self._here.add((kind, one))
        return found
