"""The listener: records an intent for every site that a transaction's changes concern.

It watches the unit of work flush by flush. Just before the commit, and in the same transaction, it
looks up the sites and writes the intents, each once. A transaction that fails leaves none; one that
commits has its intents, whatever happens to the process next. A savepoint that is rolled back may
leave a superfluous intent, which costs one read of an unchanged object.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db.models import tag
from neutron_lib.db import api as db_api
from neutron_lib.db import standard_attr
from sqlalchemy.orm import Session

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.neutron.central.outgoing.change import Changes, Part, Touch, Written
from isthmus.neutron.central.resource.registry import ROWS
from isthmus.neutron.central.resource.row import CentralResource
from isthmus.store.delivery import journal

_KEY = "isthmus_changes"


def listen() -> None:
    """Start to listen to every session of this process."""
    db_api.sqla_listen(Session, "before_flush", _before_flush)
    db_api.sqla_listen(Session, "before_commit", _before_commit)
    db_api.sqla_listen(Session, "after_rollback", _after_rollback)


def touch(session: Session, kind: ResourceType, resource_id: str) -> None:
    """Note an object that a transaction changes by a statement of its own, which no flush shows."""
    session.info.setdefault(_KEY, Changes()).touch(kind, resource_id)


def _before_flush(session: Session, _context: Any, _instances: Any) -> None:
    """Add what a flush is about to write.

    A part that was created together with its object may not have the id yet: then the object is new
    too, and is added by its own row.
    """
    changes = session.info.setdefault(_KEY, Changes())
    for row in _list_written(session):
        model = type(row.entity)
        if model in _PARTS:
            kind, part = _PARTS[model]
            resource_id = getattr(row.entity, part.column)
            if resource_id:
                changes.touch(kind, resource_id)
                if part.names:
                    changes.needy.add(resource_id)
                if row.new and part.column == "id":
                    changes.new.setdefault(kind, set()).add(resource_id)
        if model in _TOUCHES:
            _TOUCHES[model](changes, row)


def _before_commit(session: Session) -> None:
    """Record the intents of a transaction, asking the resources that it concerns."""
    transaction = session.get_transaction()
    if transaction is not None and transaction.nested:
        return  # a savepoint; the real commit follows
    if session.new or session.dirty or session.deleted:
        session.flush()
    changes = session.info.pop(_KEY, None)
    if not changes:
        return
    connection = session.connection()
    if changes.described or changes.tagged:
        _resolve_descriptions(connection, changes)
    keys: set[IntentKey] = set()
    for resource in ROWS.values():
        if resource.tells_of is None or changes.concern(resource.tells_of):
            keys |= resource.tell(connection, changes)
    if keys:
        journal.record(connection, keys)


def _after_rollback(session: Session) -> None:
    session.info.pop(_KEY, None)


def _list_written(session: Session) -> Iterator[Written]:
    for entity in session.new:
        yield Written(entity, new=True)
    for entity in session.dirty:
        if session.is_modified(entity):
            yield Written(entity)
    for entity in session.deleted:
        yield Written(entity, deleted=True)


def _resolve_descriptions(connection: sa.Connection, changes: Changes) -> None:
    """Find the objects whose description or tags changed; those are in tables of their own."""
    attribute = standard_attr.StandardAttribute
    tagged = (
        connection.execute(
            sa.select(attribute.resource_type, attribute.id).where(attribute.id.in_(changes.tagged))
        ).all()
        if changes.tagged
        else ()
    )
    for table, attribute_id in {*changes.described, *map(tuple, tagged)}:
        resource = _DESCRIBED.get(table)
        if resource is None:
            continue
        model = resource.model
        found = connection.scalar(sa.select(model.id).where(model.standard_attr_id == attribute_id))
        if found is not None:
            changes.touch(resource.kind, found)


def _touch_tagged(changes: Changes, row: Written) -> None:
    if row.entity.standard_attr_id is not None:
        changes.tagged.add(row.entity.standard_attr_id)


def _touch_described(changes: Changes, row: Written) -> None:
    if not row.deleted and row.entity.id is not None and "description" in row.changed():
        changes.described.add((row.entity.resource_type, row.entity.id))


#: Of which resource the rows of a model are parts, and how.
_PARTS: Mapping[type, tuple[ResourceType, Part]] = {
    model: (one.kind, part) for one in ROWS.values() for model, part in one.parts.items()
}
#: What else a written row means, by its model.
_TOUCHES: Mapping[type, Touch] = {
    **{model: touch for one in ROWS.values() for model, touch in one.touched_by.items()},
    standard_attr.StandardAttribute: _touch_described,
    tag.Tag: _touch_tagged,
}
#: Resources whose objects have descriptions and tags, by table.
_DESCRIBED: Mapping[str, CentralResource] = {
    one.model.__tablename__: one for one in ROWS.values() if hasattr(one.model, "standard_attr_id")
}
