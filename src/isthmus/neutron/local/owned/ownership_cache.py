"""Cache of which networks, subnets and groups central owns, so that repeated checks are free.

Ownership of an object is fixed for its lifetime: one that central owns is marked in the transaction
that creates it. So the answer about an existing object, positive or negative, may be cached as long
as there is room. What may *not* be cached is the absence of a mark on an object that could become
central's later; that holds only for security groups (a default group may be created at the site
first). Whether a network is complete is not cached: another process may find out that it is not.
"""

import threading
from collections.abc import Collection

import sqlalchemy as sa
from neutron.db import models_v2

from isthmus.model.resource import ResourceType
from isthmus.store.local import mapping

#: Tables of objects that exist; only of such is "not central's" cached.
_EXISTS = {
    ResourceType.NETWORK: models_v2.Network.__table__.c.id,
    ResourceType.SUBNET: models_v2.Subnet.__table__.c.id,
}
#: Limit of cached answers of each type; one takes about 200 bytes.
_MOST_ENTRIES = 20_000


class _BoundedCache:
    """A bounded dictionary that evicts the oldest entry; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, bool] = {}

    def get(self, key: str) -> bool | None:
        return self._answers.get(key)

    def put(self, key: str, answer: bool) -> None:
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > _MOST_ENTRIES:
                del self._answers[next(iter(self._answers))]

    def drop(self, key: str) -> None:
        with self._lock:
            self._answers.pop(key, None)


class OwnershipCache:
    """Which networks, subnets and groups central owns; one per process."""

    def __init__(self) -> None:
        self._owned = {kind: _BoundedCache() for kind in _EXISTS}
        self._groups = _BoundedCache()

    def is_stretched(self, connection: sa.Connection, network_id: str) -> bool:
        """Return whether central owns a network."""
        return self._is_owned(connection, ResourceType.NETWORK, network_id)

    def is_stretched_subnet(self, connection: sa.Connection, subnet_id: str) -> bool:
        """Return whether central owns a subnet."""
        return self._is_owned(connection, ResourceType.SUBNET, subnet_id)

    def _is_owned(self, connection: sa.Connection, kind: ResourceType, resource_id: str) -> bool:
        cache = self._owned[kind]
        answer = cache.get(resource_id)
        if answer is None:
            # In this order: what exists has its mark, but what is created after the mark was not
            # found could be central's.
            column = _EXISTS[kind]
            exists = connection.scalar(sa.select(column).where(column == resource_id)) is not None
            answer = bool(mapping.find_known(connection, kind, [resource_id]))
            if answer or exists:
                cache.put(resource_id, answer)
        return answer

    def is_own(self, network_id: str) -> bool:
        """Return, without a query, whether a network is known to be the site's own."""
        return self._owned[ResourceType.NETWORK].get(network_id) is False

    def is_complete(self, connection: sa.Connection, network_id: str) -> bool:
        """Return whether everything that a stretched network takes along has arrived."""
        return mapping.is_complete(connection, network_id)

    def doubt(self, connection: sa.Connection, network_id: str) -> None:
        """Record that a subnet of a network failed: its next port asks central again."""
        if mapping.find_known(connection, ResourceType.NETWORK, [network_id]):
            mapping.set_complete(connection, network_id, complete=False)

    def find_unknown_groups(self, connection: sa.Connection, ids: Collection[str]) -> set[str]:
        """Return the security groups that are not known to be central's, or not complete here."""
        unsure = {one for one in ids if not self._groups.get(one)}
        if not unsure:
            return unsure
        known = mapping.find_complete(connection, ResourceType.SECURITY_GROUP, unsure)
        for one in known:
            self._groups.put(one, True)
        return unsure - known

    def forget(self, kind: ResourceType, resource_id: str) -> None:
        """Evict an object that was deleted at this site."""
        if kind in self._owned:
            self._owned[kind].drop(resource_id)
        if kind is ResourceType.SECURITY_GROUP:
            self._groups.drop(resource_id)
