"""Only central may change central's objects: checked where rows are written.

The methods of the core plugin refuse by name (`ownership`); every other way (a bulk call, a
segment, a tag, a method that a later Neutron adds) ends in a flush, or in a statement of the
session, and is refused here. What Neutron itself writes is allowed: revision numbers and times
(columns of the standard attribute that no request sets), bindings, status, provisioning and OVN's
bookkeeping, none of which is a part of a resource (`resource.registry`); and ports and their parts,
which both tiers change and merge.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import tag as tag_model
from neutron_lib.db import api as db_api
from neutron_lib.db import standard_attr
from sqlalchemy import orm

from isthmus.model.resource import ResourceType
from isthmus.neutron.local.owned import applying, guards
from isthmus.neutron.local.resource.registry import ROWS
from isthmus.store.local import mapping

#: What the site may change by itself: both tiers change ports, and merge.
_MERGED = ResourceType.PORT
#: Of every model whose rows are part of an object: the object's type, and the column with its id.
_PARTS: Mapping[type, tuple[ResourceType, str]] = {
    model: (kind, column) for kind, row in ROWS.items() for model, column in row.parts.items()
}
#: Models by table, to find the object of a description or tag.
_TABLES: Mapping[str, Any] = {
    str(sa.inspect(model).local_table.name): model
    for model in _PARTS
    if hasattr(model, "standard_attr_id")
}


def listen() -> None:
    """Start to listen to every session of this process."""
    db_api.sqla_listen(orm.Session, "before_flush", _before_flush)
    db_api.sqla_listen(orm.Session, "do_orm_execute", _on_statement)


def _before_flush(session: orm.Session, _context: Any, _instances: Any) -> None:
    if applying.current() is not None:
        return
    touched = set(_find_touched(session))
    if touched:
        _refuse(session, touched)


def _find_touched(session: orm.Session) -> Iterator[tuple[ResourceType, str]]:
    """Return the objects of which a flush writes a part, except ports."""
    rows = ((session.new, True), (session.dirty, False), (session.deleted, True))
    for entities, whole in rows:
        for entity in entities:
            part = _PARTS.get(type(entity))
            if part is not None:
                kind, column = part
                if kind is _MERGED or (column == "id" and entity in session.new):
                    continue
                owner = getattr(entity, column)
                if owner and (whole or _changed(entity)):
                    yield kind, owner
            elif isinstance(entity, tag_model.Tag):
                yield from _find_described(session, entity.standard_attr_id, tagged=True)
            elif (
                isinstance(entity, standard_attr.StandardAttribute)
                and entity in session.dirty
                and "description" in _changed(entity)
            ):
                yield from _find_described(session, entity.id, tagged=False)


def _changed(entity: Any) -> set[str]:
    """Return the columns that change; a list of other rows is checked with those rows."""
    state = sa.inspect(entity)
    return {
        one.key for one in state.mapper.column_attrs if state.attrs[one.key].history.has_changes()
    }


def _find_described(
    session: orm.Session, attribute_id: int | None, *, tagged: bool
) -> Iterator[tuple[ResourceType, str]]:
    """Return the object of a description or a tag; tags of ports are central's as well."""
    if attribute_id is None:
        return
    connection = session.connection()
    attribute = standard_attr.StandardAttribute
    table = connection.scalar(
        sa.select(attribute.resource_type).where(attribute.id == attribute_id)
    )
    model = _TABLES.get(str(table))
    if model is None:
        return
    kind, name = _PARTS[model]
    column = getattr(model, name)
    if kind is _MERGED:
        if not tagged:
            return
        kind, column = ResourceType.NETWORK, models_v2.Port.network_id
    owner = connection.scalar(sa.select(column).where(model.standard_attr_id == attribute_id))
    if owner:
        yield kind, owner


def _on_statement(state: orm.ORMExecuteState) -> None:
    """Refuse a statement that changes or deletes many rows of central's objects."""
    if not (state.is_update or state.is_delete) or applying.current() is not None:
        return
    model = state.bind_mapper.class_ if state.bind_mapper is not None else None
    part = _PARTS.get(model) if model is not None else None
    if part is None or part[0] is _MERGED:
        return
    kind, column = part
    query = sa.select(getattr(model, column)).distinct()
    where = getattr(state.statement, "whereclause", None)
    if where is not None:
        query = query.where(where)
    owners = state.session.connection().scalars(query, state.parameters or {})
    _refuse(state.session, {(kind, one) for one in owners if one})


def _refuse(session: orm.Session, touched: Iterable[tuple[ResourceType, str]]) -> None:
    by_kind: dict[ResourceType, set[str]] = {}
    for kind, owner in touched:
        by_kind.setdefault(kind, set()).add(owner)
    for kind, owners in by_kind.items():
        connection = session.connection()
        if kind is ResourceType.SECURITY_GROUP:
            # A default group may become central's this very moment (`resource.security_group`).
            group = ROWS[kind].model
            held = sa.select(group.id).where(group.id.in_(owners)).with_for_update(read=True)
            connection.execute(held).all()
        known = mapping.find_known(connection, kind, owners, latest=True)
        if known:
            raise guards.BelongsToCentral(kind=guards.word(kind), id=min(known))
