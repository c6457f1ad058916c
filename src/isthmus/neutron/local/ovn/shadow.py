"""Applies shadow ports from central: decides, stores them, wakes the thread that writes OVN.

A shadow is applied when it is in the site's table; its OVN rows follow within moments, also after a
crash or while OVN is away, so central need not wait for them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.dataplane import shadow as rules
from isthmus.dataplane.capability import parse_capability
from isthmus.dataplane.shadow import Surroundings
from isthmus.model import attribute
from isthmus.model.dataplane.ovn import Capability, LocalChassis
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.item import Item, ItemResult, refused, taken
from isthmus.neutron.db.session import writing
from isthmus.neutron.local.ovn import desired_rows
from isthmus.neutron.local.ovn.dataplane import get_reconciler
from isthmus.store.ports import datapath, port_key
from isthmus.store.ports import shadow as shadow_store


def apply(context: Any, items: Sequence[Item]) -> list[ItemResult]:
    """Apply, change and delete shadows in one transaction, as many as possible.

    Args:
        context: Neutron's, of an administrator, with no transaction open.
        items: of type shadow, no two of the same port.

    Returns:
        One result for each item, in the same order.

    Raises:
        Unreachable: this process has no connection to OVN.
    """
    reconciler = get_reconciler()
    # Before the transaction: while it is open nothing may wait for OVN's connection.
    rows = reconciler.rows()
    capability = parse_capability(rows.northd_version())
    local_chassis = rows.local_chassis()
    with writing(context) as connection:
        batch = _Batch(connection, items, capability, local_chassis)
        results = [batch.take(item) for item in batch.removals_first()]
        batch.write()
    batch.touched -= batch.outdated
    reconciler.wake(ports=batch.touched, groups=batch.groups_left, chassis=batch.chassis_left)
    if batch.outdated:
        reconciler.wake(ports=batch.outdated, heard=False)
    by_id = {result.id: result for result in results}
    return [by_id[item.id] for item in items]


class _Batch:
    """The state of one batch, and what it changes."""

    def __init__(
        self,
        connection: sa.Connection,
        items: Sequence[Item],
        capability: Capability,
        local_chassis: Mapping[str, LocalChassis],
    ) -> None:
        self._connection = connection
        self._items = items
        self._capability = capability
        self._local_chassis = local_chassis
        self._parsed = {item.id: _parse(item) for item in items}
        shadows = [one for one in self._parsed.values() if isinstance(one, Shadow)]
        networks = sorted({one.network_id for one in shadows})
        for network_id in networks:
            port_key.lock_network(connection, network_id)
        self._stretched = datapath.list_keys(connection, networks)
        self._counts = shadow_store.count_by_network(connection, networks)
        self._old = shadow_store.get_shadows(connection, [item.id for item in items])
        self._holders = shadow_store.find_holders(
            connection, [(one.network_id, one.port_key) for one in shadows]
        )
        self._hypervisors = {
            one.chassis: one for one in shadow_store.list_one_per_chassis(connection)
        }
        self._put: dict[str, Shadow] = {}
        self._drop: set[str] = set()
        self.touched: set[str] = set()
        self.outdated: set[str] = set()  # central was restored: what OVN has of them may be newer
        self.groups_left: set[str] = set()
        self.chassis_left: set[str] = set()

    def removals_first(self) -> list[Item]:
        """Sort the items so that removals make room for the others."""
        return sorted(self._items, key=lambda item: item.state is not None)

    def take(self, item: Item) -> ItemResult:
        """Decide on one item."""
        parsed = self._parsed[item.id]
        if isinstance(parsed, errors.IsthmusError):
            return refused(item, parsed)
        if parsed is None:
            self._forget(self._old.get(item.id))
            self._drop.add(item.id)
            self.touched.add(item.id)
            return taken(item)
        if (item.state or {}).get(attribute.STALE):  # central was restored: what is here is newer
            if item.id in self._old:
                return taken(item)
            for name in rules.find_outdated(parsed, self._hypervisors.values()):
                parsed = rules.follow(self._hypervisors[name], parsed)
        try:
            rules.check_shadow(parsed, self._surroundings(parsed))
            rules.check_hypervisor(parsed, self._hypervisors.values())
        except errors.IsthmusError as error:
            return refused(item, error)
        self._keep(parsed)
        if (item.state or {}).get(attribute.STALE):
            self.touched.discard(item.id)
            self.outdated.add(item.id)
        return taken(item)

    def write(self) -> None:
        """Write what was decided."""
        shadow_store.delete(self._connection, self._drop)
        shadow_store.put(self._connection, list(self._put.values()))

    def _surroundings(self, one: Shadow) -> Surroundings:
        holder = self._holders.get((one.network_id, one.port_key))
        return Surroundings(
            stretched=one.network_id in self._stretched,
            own_port=port_key.find_key(self._connection, one.port_id) is not None,
            own_key_holder=port_key.find_holder(self._connection, one.network_id, one.port_key),
            shadow_key_holder=None if holder == one.port_id else holder,
            others_on_network=self._counts.get(one.network_id, 0) - self._counted(one),
            capability=self._capability,
            local_chassis=self._local_chassis,
        )

    def _counted(self, one: Shadow) -> int:
        old = self._put.get(one.port_id) or self._old.get(one.port_id)
        return int(old is not None and old.network_id == one.network_id)

    def _keep(self, one: Shadow) -> None:
        outdated = rules.find_outdated(one, self._hypervisors.values())
        found = shadow_store.list_on_chassis(self._connection, outdated) if outdated else ()
        standing = {other.port_id: other for other in found}
        standing |= {key: other for key, other in self._put.items() if other.chassis in outdated}
        for port_id, other in standing.items():
            if port_id != one.port_id and port_id not in self._drop:
                self._put[port_id] = rules.follow(one, self._put.get(port_id, other))
                self.touched.add(port_id)
        for name in outdated:
            self._hypervisors.pop(name)
            self.chassis_left.add(name)
        self._forget(self._put.get(one.port_id) or self._old.get(one.port_id))
        self._put[one.port_id] = one
        self._hypervisors[one.chassis] = one
        self._holders[one.network_id, one.port_key] = one.port_id
        self._counts[one.network_id] = self._counts.get(one.network_id, 0) + 1
        self.touched.add(one.port_id)

    def _forget(self, old: Shadow | None) -> None:
        """Remove a shadow that is deleted or replaced from the batch's state."""
        if old is None:
            return
        self._holders.pop((old.network_id, old.port_key), None)
        self._counts[old.network_id] = self._counts.get(old.network_id, 0) - 1
        self.groups_left.update(map(desired_rows.group_name, old.security_groups))
        self.chassis_left.add(old.chassis)


def _parse(item: Item) -> Shadow | errors.IsthmusError | None:
    if item.state is None:
        return None
    try:
        shadow = Shadow.from_dict(item.state)
    except errors.ProtocolError as error:
        return error
    if shadow.port_id != item.id:
        return errors.ProtocolError(f"shadow port {item.id} says that it is {shadow.port_id}")
    return shadow
