"""Nobody but central changes what is central's: asked where rows are written.

The methods of the core plugin refuse by name (`ownership`); whatever comes by another way (a bulk
call, a segment, a tag, a method that a later Neutron adds) ends in a flush, or in a statement of
the session, and is refused here. What Neutron writes of itself is let through: revision numbers and
times (columns of the standard attribute that nobody sets), bindings, status, provisioning and OVN's
bookkeeping, none of which is a row of `carried.PARTS`; ports and their parts, which both tiers
change and merge.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import tag as tag_model
from neutron_lib.db import api as db_api
from neutron_lib.db import standard_attr
from sqlalchemy import orm

from isthmus.model.intent import ResourceType
from isthmus.neutron.db import carried
from isthmus.neutron.local.owned import applying, guards
from isthmus.store.local import mapping

#: What the site may change by itself: both tiers change ports, and merge.
_MERGED = ResourceType.PORT
#: Models by table, to find what a description or tag is of.
_TABLES: dict[str, tuple[Any, carried.Part]] = {
    str(sa.inspect(model).local_table.name): (model, part)
    for model, part in carried.PARTS.items()
    if hasattr(model, "standard_attr_id")
}


def listen() -> None:
    """Start to watch every session of this process."""
    db_api.sqla_listen(orm.Session, "before_flush", _before_flush)
    db_api.sqla_listen(orm.Session, "do_orm_execute", _on_statement)


def _before_flush(session: orm.Session, _context: Any, _instances: Any) -> None:
    if applying.current() is not None:
        return
    touched = set(_find_touched(session))
    if touched:
        _refuse(session, touched)


def _find_touched(session: orm.Session) -> Iterator[tuple[ResourceType, str]]:
    """Find the objects of which a flush writes a part, ports left out."""
    rows = ((session.new, True), (session.dirty, False), (session.deleted, True))
    for entities, whole in rows:
        for entity in entities:
            part = carried.PARTS.get(type(entity))
            if part is not None:
                if part.kind is _MERGED or (part.owner == "id" and entity in session.new):
                    continue
                owner = getattr(entity, part.owner)
                if owner and (whole or _changed(entity)):
                    yield part.kind, owner
            elif isinstance(entity, tag_model.Tag):
                yield from _find_described(session, entity.standard_attr_id, tagged=True)
            elif (
                isinstance(entity, standard_attr.StandardAttribute)
                and entity in session.dirty
                and "description" in _changed(entity)
            ):
                yield from _find_described(session, entity.id, tagged=False)


def _changed(entity: Any) -> set[str]:
    """Name the columns that change; lists of other rows are those rows' business."""
    state = sa.inspect(entity)
    return {
        one.key for one in state.mapper.column_attrs if state.attrs[one.key].history.has_changes()
    }


def _find_described(
    session: orm.Session, attribute_id: int | None, *, tagged: bool
) -> Iterator[tuple[ResourceType, str]]:
    """Find what a description or a tag is of: tags of ports are central's as well."""
    if attribute_id is None:
        return
    connection = session.connection()
    attribute = standard_attr.StandardAttribute
    table = connection.scalar(
        sa.select(attribute.resource_type).where(attribute.id == attribute_id)
    )
    model, part = _TABLES.get(str(table), (None, None))
    if model is None or part is None:
        return
    kind, column = part.kind, getattr(model, part.owner)
    if kind is _MERGED:
        if not tagged:
            return
        kind, column = ResourceType.NETWORK, models_v2.Port.network_id
    owner = connection.scalar(sa.select(column).where(model.standard_attr_id == attribute_id))
    if owner:
        yield kind, owner


def _on_statement(state: orm.ORMExecuteState) -> None:
    """Refuse a statement that changes or removes rows of central's objects all at once."""
    if not (state.is_update or state.is_delete) or applying.current() is not None:
        return
    model = state.bind_mapper.class_ if state.bind_mapper is not None else None
    part = carried.PARTS.get(model) if model is not None else None
    if part is None or part.kind is _MERGED:
        return
    query = sa.select(getattr(model, part.owner)).distinct()
    where = getattr(state.statement, "whereclause", None)
    if where is not None:
        query = query.where(where)
    owners = state.session.connection().scalars(query, state.parameters or {})
    _refuse(state.session, {(part.kind, one) for one in owners if one})


def _refuse(session: orm.Session, touched: Iterable[tuple[ResourceType, str]]) -> None:
    by_kind: dict[ResourceType, set[str]] = {}
    for kind, owner in touched:
        by_kind.setdefault(kind, set()).add(owner)
    for kind, owners in by_kind.items():
        connection = session.connection()
        if kind is ResourceType.SECURITY_GROUP:
            # A default group may become central's this very moment (`apply.security_group`).
            group = carried.WHOLES[kind]
            held = sa.select(group.id).where(group.id.in_(owners)).with_for_update(read=True)
            connection.execute(held).all()
        known = mapping.find_known(connection, kind, owners, latest=True)
        if known:
            raise guards.BelongsToCentral(kind=guards.word(kind), id=min(known))
