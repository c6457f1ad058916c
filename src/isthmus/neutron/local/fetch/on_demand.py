"""Fetching on demand: objects that a user names and only central knows are created here.

Reads have no events in Neutron, so the core plugin asks here when it does not find something. Only
API requests count: Neutron's own threads look up objects that were just deleted, and must neither
wait for a WAN nor recreate them. Central decides what the user may see; for anything else the
answer is empty, and nothing is created or leased here.

That central does not know an object either is cached for seconds. An unreachable central is not an
answer: the user gets a 503 at once, and may retry.
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
from isthmus.model.item import Item, ItemResult
from isthmus.model.resource import ResourceType
from isthmus.neutron.local.fetch.read_request import Search
from isthmus.neutron.local.lease.giving import read_seen
from isthmus.neutron.local.resource.registry import ROWS
from isthmus.store.local import mapping
from isthmus.store.sql.engine import reading

LOG = logging.getLogger(__name__)

#: Limit of cached misses.
_MOST_ENTRIES = 10_000
#: How often a bundle is requested again because a batch of central's overtook it.
_OVERTAKEN = 6
#: How long an object that was seen here is assumed to exist, in seconds. Lists that name objects
#: are frequent, Neutron makes some for each port, and each would cost a query.
_SEEN_S = 30.0
#: Limit of ids in one request, as in central's API.
_MOST_IDS = 64


class Materialise(Protocol):
    """Creates what a bundle holds; `isthmus.neutron.local.materialise`."""

    def __call__(
        self,
        items: Sequence[Item],
        *,
        seen: int,
        unfinished: Collection[tuple[ResourceType, str]],
    ) -> Sequence[ItemResult]:
        """Create items, and refuse those that a newer batch than `seen` has overtaken."""


def find_asker(context: Any, fields: Sequence[str] | None = None) -> Any | None:
    """Return the context of the user on whose behalf an object is looked up.

    Neutron's policy checks look up a parent (the network of a new port) with an admin context
    without user or project, and ask for a single field; in that case the user is the one whose
    request this thread serves. Any other lookup without a user is Neutron's own.

    Args:
        context: of the lookup.
        fields: the requested fields.

    Returns:
        The user's context; None where central must not be asked, because the lookup is Neutron's
        own or a transaction is open: what is fetched is created in transactions of its own.
    """
    if db_api.is_session_active(context.session):
        return None
    if context.user_id or context.project_id:
        return context
    served = oslo_context.get_current() if fields and len(fields) == 1 else None
    return served if served is not None and (served.user_id or served.project_id) else None


class Recent:
    """Keys that were added a moment ago; thread-safe."""

    def __init__(self, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Initialise empty.

        Args:
            ttl_s: how long a key is kept, in seconds.
            clock: returns monotonic seconds.
        """
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[tuple[object, ...], float] = {}

    def knows(self, key: tuple[object, ...]) -> bool:
        """Return whether a key was added a moment ago."""
        return self._until.get(key, 0.0) > self._clock()

    def add(self, key: tuple[object, ...]) -> None:
        """Add a key."""
        with self._lock:
            self._until.pop(key, None)
            self._until[key] = self._clock() + self._ttl_s
            while len(self._until) > _MOST_ENTRIES:
                del self._until[next(iter(self._until))]


def _explain(refused: Sequence[ItemResult]) -> errors.IsthmusError:
    """Return the error that explains refusals: a bundle is needed as a whole, so each one counts.

    A permanent refusal is returned as it is; only what may work later asks for a retry.
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
    """A lock for each id that is being fetched."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()

    @contextlib.contextmanager
    def locked(self, ids: Collection[str]) -> Iterator[None]:
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
    """Fetches missing objects; one per process."""

    def __init__(
        self,
        client: Callable[[], CentralClient],
        engine: Callable[[], sa.Engine],
        materialise: Materialise,
        *,
        miss_ttl_s: float,
    ) -> None:
        """Initialise.

        Args:
            client: returns the client for central, once this process needs it.
            engine: returns the site's database.
            materialise: creates what a bundle holds.
            miss_ttl_s: how long a miss is cached, in seconds.
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
            ids: the objects; ids that are not UUIDs are ignored.
            context: of the user who asks.
            missed: whether the caller has just looked them up in vain.

        Returns:
            Whether anything was fetched.

        Raises:
            Stale: what central sent cannot be created yet.
            Transient: central did not answer.
            Refused: something that the objects depend on cannot be created at this site.
            IsthmusError: central's answer is invalid.
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
        with self._locks.locked(missing):
            still = missing - self._find_here(kind, missing)
            if not still:
                return True
            came = self._fetch(kind, sorted(still))
            for one in still - came:
                self._misses.add((kind, one, *asker))
        return bool(came)

    def fetch(self, kind: ResourceType, ids: Collection[str], project_id: str | None) -> set[str]:
        """Fetch objects whether they are here or not, on behalf of a user who may see them.

        Returns:
            The ids that were fetched.

        Raises:
            Stale: what central sent cannot be created yet.
            Transient: central did not answer.
            Refused: something that the objects depend on cannot be created at this site.
            IsthmusError: central's answer is invalid.
        """
        asker = (project_id, True)
        wanted = {one for one in ids if not self._misses.knows((kind, one, *asker))}
        if not wanted:
            return set()
        with self._locks.locked(wanted):
            came = self._fetch(kind, sorted(wanted))
            for one in wanted - came:
                self._misses.add((kind, one, *asker))
        return came

    def show(self, ids: Collection[str], context: Any) -> list[Mapping[str, Any]]:
        """Ask central for ports that are not here, without fetching them.

        Args:
            ids: the ports; ids that are not UUIDs are ignored.
            context: of the user who asks.

        Returns:
            Their states; those that the user may not see are missing.

        Raises:
            Transient: central did not answer.
            IsthmusError: central's answer is invalid.
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
                show_only=True,
            )
            found |= {one.id: one.state for one in bundle.items if one.state is not None}
        for one in set(missing) - found.keys():
            self._misses.add((kind, one, *asker))
        return [found[one] for one in missing if one in found]

    def search(self, search: Search, context: Any) -> list[Mapping[str, Any]]:
        """Ask central for objects by name, as its API shows them to a user.

        Args:
            search: what is searched for.
            context: of the user who asks.

        Raises:
            Transient: central did not answer.
            IsthmusError: central's answer is invalid.
        """
        key = (search, context.project_id, context.is_admin)
        if self._misses.knows(key):
            return []
        found = self._client().list_shown(search.path, search.query)
        if not found:
            self._misses.add(key)
        return found or []

    def knows_mac(self, network_id: str, mac: str, port_id: str | None) -> bool:
        """Ask central whether another port of a network has a MAC.

        Raises:
            Transient: central did not answer.
            IsthmusError: its answer is invalid.
        """
        return self._client().ask_mac(network_id, mac, port_id)

    def _fetch(self, kind: ResourceType, ids: Sequence[str]) -> set[str]:
        unfinished: set[tuple[ResourceType, str]] = set()
        for _ in range(_OVERTAKEN):
            seen = read_seen(self._engine())
            items, not_here = self._ask(kind, ids)
            if not_here and not items:
                raise next(iter(not_here.values()))
            if not items:
                return set()
            results = self._materialise(items, seen=seen, unfinished=unfinished)
            late = {(one.type, one.id) for one in results if one.code == errors.Stale.code}
            if not late or read_seen(self._engine()) == seen:
                break
            # A batch of central's has arrived meanwhile, perhaps with these very objects: creating
            # them from the older bundle would undo it. Objects that exist already are here.
            unfinished |= late
        came = {result.id for result in results if result.type is kind and result.taken}
        refused = [result for result in results if not result.taken]
        for result in refused:
            LOG.warning("%s %s of a bundle was refused: %s", result.type, result.id, result.message)
        self._note_complete(items, refused)
        if refused:
            raise _explain(refused)
        return came & set(ids)

    def _ask(
        self, kind: ResourceType, ids: Sequence[str]
    ) -> tuple[list[Item], dict[str, errors.IsthmusError]]:
        items: list[Item] = []
        not_here: dict[str, errors.IsthmusError] = {}
        for start in range(0, len(ids), _MOST_IDS):
            some = ids[start : start + _MOST_IDS]
            bundle = self._client().ask_bundle(kind.value, some)
            items += bundle.items
            not_here |= bundle.refused
        return items, not_here

    def _note_complete(self, items: Sequence[Item], refused: Sequence[ItemResult]) -> None:
        """Record which networks are complete, because everything of their bundles has arrived."""
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
