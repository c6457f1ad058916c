"""Turns items into objects: in order, each in transactions of its own, each with a result.

The registry of resources says who creates, changes and removes objects of a type; leases are rows
of our own, and shadows are applied together.

The same code serves bundles (fetched because a user named something) and applies (sent by Xjob).
Objects to create come first, in order of rank, then those to remove, in the opposite order. An item
that waits for another one of the batch is tried again after it.
"""

import contextlib
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.extensions import securitygroup as ext_group
from neutron_lib import context as n_context
from neutron_lib.db import api as db_api
from oslo_db import exception as db_exc
from oslo_log import log as logging

from isthmus import errors
from isthmus.journal import crash
from isthmus.journal.turn import Turn
from isthmus.model import attribute
from isthmus.model.form import is_id
from isthmus.model.intent import removal_rank
from isthmus.model.item import Item, ItemResult, find_fault, refused, refused_in_part, taken
from isthmus.model.lease import Lease, LeaseId, PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.api.faults import from_any
from isthmus.neutron.db import guard
from isthmus.neutron.local.apply import tags
from isthmus.neutron.local.apply.work import Batch, Bundle, Work
from isthmus.neutron.local.ovn import exit_apply, shadow
from isthmus.neutron.local.resource import port
from isthmus.neutron.local.resource.registry import ROWS
from isthmus.store.leases import recall
from isthmus.store.local import exit_plan as exit_store
from isthmus.store.local import lease as site_lease
from isthmus.store.local import mapping

LOG = logging.getLogger(__name__)

Key = tuple[ResourceType, str]

#: Types whose objects are created in several transactions, and marked once all have committed.
#: Networks are too; they are marked when all of their bundle is here (`fetch.on_demand`).
_IN_PARTS = frozenset(
    {
        ResourceType.SECURITY_GROUP,
        ResourceType.ADDRESS_GROUP,
        ResourceType.QOS_POLICY,
        ResourceType.TRUNK,
    }
)

#: What happens, besides `guard.is_collision`, where another request creates or removes the same at
#: the same moment.
_COLLISIONS = (
    errors.Overtaken,
    ext_group.SecurityGroupRuleExists,
    ext_group.SecurityGroupRuleNotFound,
)
#: How often an item is tried that collides. Each time some of it is there that was not before.
_TRIES = 3

#: Size limit of one item as JSON: half of what one call may hold. A security group with eight
#: thousand rules (some 450 bytes each) reaches it; nothing else comes near.
MOST_BYTES = 4 << 20


class Materialiser:
    """Carries out items in this process."""

    def __init__(self, core: Any, site: SiteName) -> None:
        """Initialise.

        Args:
            core: the core plugin.
            site: this site.
        """
        self._core = core
        self._site = site

    def bring(
        self, items: Sequence[Item], *, seen: int, unfinished: Collection[Key] = ()
    ) -> list[ItemResult]:
        """Create what a bundle holds; existing objects are left unchanged.

        Args:
            items: the objects.
            seen: the newest batch when the bundle was requested; an item is refused as `Stale` once
                another one has dealt with it, because that may have changed or removed it.
            unfinished: objects that an earlier bundle may have created in part.

        Returns:
            One result for each item, in the same order.
        """
        there = {(one.type, one.id) for one in items} - set(unfinished)
        return self._carry_out(items, Bundle(seen), leave=there, turn=Turn(bounded=False))

    def apply(self, items: Sequence[Item], *, sequence: int) -> list[ItemResult]:
        """Create, change or remove objects as central wants them.

        Args:
            items: the objects.
            sequence: the number of the batch; an item is refused once a newer batch was seen.

        Returns:
            One result for each item that was reached in time, in the same order.
        """
        turn = Turn()
        with guard.Guarded(_always, subject=turn):  # a long item looks at it by itself
            return self._carry_out(items, Batch(sequence), leave=frozenset(), turn=turn)

    def _carry_out(
        self, items: Sequence[Item], work: Work, *, leave: Collection[Key], turn: Turn
    ) -> list[ItemResult]:
        faults = [(one, find_fault(one, MOST_BYTES)) for one in items]
        results: dict[Key, ItemResult] = {
            (one.type, one.id): refused(one, why) for one, why in faults if why is not None
        }
        everything, items = items, [one for one, why in faults if why is None]
        gone = [one for one in items if one.state is None and one.type is ResourceType.SHADOW]
        results.update(self._shadows(gone, work))
        left = sorted((one for one in items if one.type is not ResourceType.SHADOW), key=_place)
        while left:
            waiting = []
            for item in turn.take(left):
                # What this batch has created in part is completed, though it exists by now.
                key = (item.type, item.id)
                result = self._one(item, work, keep_existing=key in leave and key not in results)
                results[key] = result
                if result.code == errors.Stale.code:
                    waiting.append(item)
            if turn.over or len(waiting) == len(left):
                break
            left = waiting
        if turn.over:  # a shadow may need what was not reached
            return [results[key] for key in _list_keys(everything) if key in results]
        come = [one for one in items if one.state is not None and one.type is ResourceType.SHADOW]
        results.update(self._shadows(come, work))
        return [results[key] for key in _list_keys(everything)]

    def _one(self, item: Item, work: Work, *, keep_existing: bool) -> ItemResult:
        """Carry out one item; the boundary of the extension, so every error becomes a result."""
        context = n_context.get_admin_context()
        for left_over in reversed(range(_TRIES)):
            try:
                return self._try(context, item, work, keep_existing=keep_existing)
            except Exception as error:
                collides = guard.is_collision(error) or isinstance(error, _COLLISIONS)
                ours = from_any(error)
                if item.state is None and isinstance(ours, errors.NotFound):
                    # A part of it that somebody else has just removed; who sends this is to send
                    # it again, and not to take it for gone.
                    collides = self._is_here(context, item)
                    ours = errors.Busy(f"a part of {item.id} is gone: {ours}") if collides else ours
                if left_over and collides:
                    continue  # whoever was faster has made it; then it is there
                if isinstance(ours, errors.Broken):
                    LOG.exception("%s %s could not be carried out", item.type, item.id)
                if isinstance(ours, errors.Refused):
                    ours = self._find_overtaken(context, item, work) or ours
                self._doubt(context, item)
                return refused(item, ours)
        raise AssertionError

    def _is_here(self, context: Any, item: Item) -> bool:
        row = ROWS.get(item.type)
        plugin = row.plugin() if row is not None else None
        if row is None or plugin is None:
            return False
        return row.find(plugin, context, item.id) is not None

    def _try(self, context: Any, item: Item, work: Work, *, keep_existing: bool) -> ItemResult:
        item = self._complete(context, item)
        self._begin(context, work, [item])
        with _guarded(work, [item], subject=item):
            if item.state is None:
                self._remove(context, item)
            else:
                left = self._ensure(context, item, item.state, keep_existing=keep_existing)
                if left:
                    return refused_in_part(item, left, {})
        crash.point("apply.done")
        return taken(item)

    def _find_overtaken(self, context: Any, item: Item, work: Work) -> errors.IsthmusError | None:
        """Return why a refused item must not continue, if it must not.

        What stood in its way may be the work of whatever overtook it.
        """
        try:
            with _guarded(work, [item]), db_api.CONTEXT_WRITER.using(context):
                pass
        except errors.Stale as stale:
            return stale
        except (errors.IsthmusError, db_exc.DBError):
            return None
        return None

    def _doubt(self, context: Any, item: Item) -> None:
        """Have a network's next port ask central again, if a subnet of it failed."""
        network_id = (item.state or {}).get("network_id")
        if item.type is not ResourceType.SUBNET or not network_id:
            return
        with contextlib.suppress(db_exc.DBError), db_api.CONTEXT_WRITER.using(context) as session:
            self._core.ownership.doubt(session.connection(), network_id)

    def _shadows(self, items: Sequence[Item], work: Work) -> dict[Key, ItemResult]:
        """Apply or remove shadows, all in one transaction: a network may have thousands."""
        if not items:
            return {}
        context = n_context.get_admin_context()
        try:
            self._begin(context, work, items)
            with _guarded(work, items):
                results = shadow.apply(context, items)
            crash.point("apply.shadows")
        except Exception as error:
            ours = from_any(error)
            if isinstance(ours, errors.Broken):
                LOG.exception("%d shadow ports could not be applied", len(items))
            results = [refused(item, ours) for item in items]
        return {(one.type, one.id): one for one in results}

    def _begin(self, context: Any, work: Work, items: Sequence[Item]) -> None:
        """Check that the work is not late before anything is done for it."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            work.begin(session.connection(), _list_concerned(items))
        crash.point("apply.admitted")

    def _complete(self, context: Any, item: Item) -> Item:
        """Add to a port which addresses are derived from its MAC, before anything is agreed on."""
        if item.type is not ResourceType.PORT or item.state is None:
            return item
        state = {**item.state}
        port.mark_auto_subnets(self._core, context, [state])
        return dataclasses.replace(item, state=state)

    def _ensure(
        self, context: Any, item: Item, state: Mapping[str, Any], *, keep_existing: bool
    ) -> Mapping[str, errors.IsthmusError]:
        """Create an object or update it to what central wants; return what of it was refused."""
        if item.type is ResourceType.LEASE:
            with db_api.CONTEXT_WRITER.using(context):
                connection = context.session.connection()
                site_lease.add(connection, self._site, [state])
                self._note_recall(connection, item.id, state)
            if state.get(attribute.RECALL):
                self._core.keeper.answer_recall(str(state["pool_id"]))
            return {}
        leases = state.get(attribute.LEASES)
        if leases:  # before the object: the metadata port takes a key and an address of them
            with db_api.CONTEXT_WRITER.using(context):
                site_lease.add(context.session.connection(), self._site, leases)
        row = ROWS[item.type]
        keep_existing = keep_existing and self._is_whole(context, item)
        left = row.ensure(row.plugin(), context, state, keep_existing=keep_existing)
        tags.ensure(context, row.model, state, keep_existing=keep_existing)
        if item.type in _IN_PARTS and not keep_existing:
            with db_api.CONTEXT_WRITER.using(context):
                connection = context.session.connection()
                mapping.set_complete(connection, item.id, complete=True, kind=item.type)
        return left or {}

    def _is_whole(self, context: Any, item: Item) -> bool:
        """Return whether nothing of an existing object can be missing.

        A process may have died, or been overtaken, between the transactions that create it.
        """
        if item.type is not ResourceType.NETWORK and item.type not in _IN_PARTS:
            return True
        with db_api.CONTEXT_READER.using(context):
            return mapping.is_complete(context.session.connection(), item.id, kind=item.type)

    def _note_recall(
        self, connection: sa.Connection, lease_id: str, state: Mapping[str, Any]
    ) -> None:
        """Record what central recalls of a lease, for the keeper to return it."""
        asked = state.get(attribute.RECALL)
        if not asked:  # any more
            recall.forget(connection, [lease_id])
            return
        block, whole = site_lease.blocks_of([asked, state])
        if not is_id(asked.get("id")):
            raise errors.ProtocolError(f"the recall of lease {lease_id} has no id")
        lease = Lease(
            id=LeaseId(lease_id),
            kind=PoolKind.SUBNET,
            pool_id=str(state["pool_id"]),
            site=self._site,
            block=whole,
        )
        wanted = int(asked.get("count", block.size))
        recall.take(connection, lease, recall.Recall(id=asked["id"], block=block, wanted=wanted))

    def _remove(self, context: Any, item: Item) -> None:
        if item.type is ResourceType.LEASE:
            with db_api.CONTEXT_WRITER.using(context):
                site_lease.remove(context.session.connection(), [item.id])
            return
        row = ROWS[item.type]
        # What is kept of an object goes in the transaction that deletes it (`owned.marking`), and
        # here if it was never created. Afterwards a bundle may have created it again.
        with db_api.CONTEXT_WRITER.using(context):
            connection = context.session.connection()
            column = row.model.__table__.c.id
            there = sa.select(column).where(column == item.id).with_for_update(read=True)
            found = connection.execute(there).first() is not None
            if not found:
                mapping.forget(connection, item.type, item.id)
                if item.type is ResourceType.ROUTER:
                    exit_store.forget(connection, item.id)  # else nobody gets its tunnel key
        if found:
            row.remove(row.plugin(), context, item.id)
        elif item.type is ResourceType.ROUTER:
            exit_apply.carry_out([item.id], chassis=True)


def _always(_connection: sa.Connection) -> None:
    """Let every transaction commit."""


def _guarded(work: Work, items: Sequence[Item], *, subject: Item | None = None) -> guard.Guarded:
    """Have each transaction of a block ask whether the work on items may continue.

    Args:
        work: the work.
        items: the items.
        subject: the one that is carried out as central's (`owned.applying`).
    """
    ids = _list_concerned(items)
    return guard.Guarded(
        lambda connection: work.check(connection, ids), subject=subject, writes=True
    )


def _list_concerned(items: Sequence[Item]) -> list[str]:
    """List what items change: their objects, and the leases that come with those."""
    leases = [one["id"] for item in items for one in (item.state or {}).get(attribute.LEASES) or ()]
    return [*(one.id for one in items), *leases]


def _list_keys(items: Sequence[Item]) -> list[Key]:
    return [(one.type, one.id) for one in items]


def _place(item: Item) -> int:
    if item.type is ResourceType.LEASE and item.state is not None:
        return -1  # the metadata port that OVN makes with a network takes a key and an address
    return item.type.rank if item.state is not None else removal_rank(item.type)
