"""Only central may change central's objects: checked where rows are written.

The methods of the core plugin refuse by name (`ownership`); every other way (a bulk call, a
segment, a tag, a method that a later Neutron adds) ends in a flush, or in a statement of the
session, and is refused here. What Neutron itself writes is allowed: revision numbers and times
(columns of the standard attribute that no request sets), bindings, status, provisioning and OVN's
bookkeeping, none of which is a part of a resource (`resource.registry`); and ports and their parts,
which both tiers change and merge.
"""

import itertools
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
#: The same models by table, to find the object of a statement.
_MODELS: Mapping[str, type] = {str(sa.inspect(model).local_table.name): model for model in _PARTS}
#: Columns of an object's own row that the site's Neutron writes by itself.
_SITES_OWN: Mapping[type, frozenset[str]] = {ROWS[ResourceType.TRUNK].model: frozenset({"status"})}
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
                own = _SITES_OWN.get(type(entity), frozenset())
                if owner and (whole or _changed(entity) - own):
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
    """Refuse a statement that writes parts of central's objects, of a class or of its table."""
    if applying.current() is not None:
        return
    if not (state.is_insert or state.is_update or state.is_delete):
        return
    model = _MODELS.get(str(getattr(getattr(state.statement, "table", None), "name", None)))
    if model is None or _PARTS[model][0] is _MERGED:
        return
    kind, column = _PARTS[model]
    if not state.is_insert:
        owners = set(_find_written(state, getattr(model, column)))
    elif column != "id":  # otherwise a new object: the site's own
        owners = set(_find_inserted(state, column))
    else:
        return
    _refuse(state.session, {(kind, one) for one in owners if one})


def _find_written(state: orm.ORMExecuteState, column: Any) -> Iterator[str]:
    """Return the objects of the rows that an UPDATE or DELETE finds, as currently committed."""
    query = sa.select(column).distinct()
    where = getattr(state.statement, "whereclause", None)
    if where is not None:
        query = query.where(where)
    said = state.parameters or {}
    for one in [said] if isinstance(said, Mapping) else said:
        yield from state.session.connection().scalars(query, one)


def _find_inserted(state: orm.ORMExecuteState, column: str) -> Iterator[str]:
    """Return the objects of the rows of an INSERT; Neutron inserts none from a SELECT."""
    said = state.parameters or {}
    for one in [said] if isinstance(said, Mapping) else said:
        yield str(one.get(column) or "")
    # An INSERT of a class cannot be compiled yet, so its values are taken as they were given.
    statement: Any = state.statement
    several = itertools.chain.from_iterable(statement._multi_values)
    for values in (statement._values or {}, *several):
        for name, value in values.items():
            if getattr(name, "key", name) == column:
                yield str(getattr(value, "value", value) or "")


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
