"""Which objects of this site central owns: `isthmus_site_mappings` at a site.

Networks, subnets and groups get their row in the very transaction that creates them
(`owned.marking`), so there is no moment at which one of them seems to be the site's own. A port's
row holds what both tiers last agreed on; it is written when they first do.
"""

import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import journal
from isthmus.store.leases import resting
from isthmus.store.local import lease
from isthmus.store.ports import datapath, port_key, shadow
from isthmus.store.sql import clock
from isthmus.store.sql.tables import SITE_MAPPINGS
from isthmus.store.sql.upsert import insert_or_keep


def add(
    connection: sa.Connection,
    kind: ResourceType,
    resource_id: str,
    site: SiteName,
    *,
    project_id: str | None,
    base: Mapping[str, Any] | None = None,
) -> None:
    """Record that an object is central's; does nothing where it is recorded already.

    Args:
        connection: of the transaction.
        kind: its type.
        resource_id: its id.
        site: this site.
        project_id: its project.
        base: what both tiers agree on, of a port.
    """
    row = {
        "type": kind.value,
        "resource_id": resource_id,
        "site": site,
        "id": str(uuid.uuid4()),
        "project_id": project_id,
        "base": _text(base),
        "created_at": clock.utc_now(),
    }
    connection.execute(insert_or_keep(connection, SITE_MAPPINGS).values(row))


def find_known(
    connection: sa.Connection, kind: ResourceType, ids: Collection[str], *, latest: bool = False
) -> set[str]:
    """Return which of these objects are central's.

    Args:
        connection: of the transaction.
        kind: their type.
        ids: the objects.
        latest: read what is currently committed, for a decision that a write depends on.
    """
    if not ids:
        return set()
    query = sa.select(SITE_MAPPINGS.c.resource_id).where(
        SITE_MAPPINGS.c.type == kind.value, SITE_MAPPINGS.c.resource_id.in_(ids)
    )
    return set(connection.scalars(query.with_for_update(read=True) if latest else query))


def find_bases(
    connection: sa.Connection, port_ids: Collection[str]
) -> dict[str, dict[str, Any] | None]:
    """Read what was last agreed on of ports; one without a row is missing."""
    if not port_ids:
        return {}
    query = sa.select(SITE_MAPPINGS.c.resource_id, SITE_MAPPINGS.c.base).where(
        SITE_MAPPINGS.c.type == ResourceType.PORT.value, SITE_MAPPINGS.c.resource_id.in_(port_ids)
    )
    return {row.resource_id: _value(row.base) for row in connection.execute(query)}


def set_complete(
    connection: sa.Connection,
    resource_id: str,
    *,
    complete: bool,
    kind: ResourceType = ResourceType.NETWORK,
) -> None:
    """Record whether an object of central's is complete.

    A network is if everything in its bundle is here, a group if all that is its own is.

    Args:
        connection: of the transaction.
        resource_id: the object.
        complete: whether it is.
        kind: its type.
    """
    connection.execute(
        sa.update(SITE_MAPPINGS).where(*_of(kind, resource_id)).values(complete=complete)
    )


def is_complete(
    connection: sa.Connection, resource_id: str, *, kind: ResourceType = ResourceType.NETWORK
) -> bool:
    """Return whether an object is complete."""
    query = sa.select(SITE_MAPPINGS.c.complete).where(*_of(kind, resource_id))
    return bool(connection.scalar(query))


def find_complete(connection: sa.Connection, kind: ResourceType, ids: Collection[str]) -> set[str]:
    """Return which of these objects are complete."""
    query = sa.select(SITE_MAPPINGS.c.resource_id).where(
        SITE_MAPPINGS.c.type == kind.value,
        SITE_MAPPINGS.c.resource_id.in_(ids),
        SITE_MAPPINGS.c.complete == sa.true(),
    )
    return set(connection.scalars(query))


def _of(
    kind: ResourceType, resource_id: str
) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return SITE_MAPPINGS.c.type == kind.value, SITE_MAPPINGS.c.resource_id == resource_id


def set_base(connection: sa.Connection, port_id: str, base: Mapping[str, Any]) -> None:
    """Record what both tiers agree on of a port now."""
    connection.execute(
        sa.update(SITE_MAPPINGS)
        .where(
            SITE_MAPPINGS.c.type == ResourceType.PORT.value,
            SITE_MAPPINGS.c.resource_id == port_id,
        )
        .values(base=_text(base))
    )


def agree(
    connection: sa.Connection,
    resource_id: str,
    site: SiteName,
    *,
    project_id: str | None,
    before: Mapping[str, Any] | None,
    base: Mapping[str, Any],
) -> None:
    """Record what central acknowledged of a port, unless something newer was agreed on meanwhile.

    Args:
        connection: of the transaction.
        resource_id: the port.
        site: this site.
        project_id: the port's owner.
        before: the base that the report was made with.
        base: what the report said.
    """
    if before is None:
        add(connection, ResourceType.PORT, resource_id, site, project_id=project_id, base=base)
    old = _text(before)
    connection.execute(
        sa.update(SITE_MAPPINGS)
        .where(
            SITE_MAPPINGS.c.type == ResourceType.PORT.value,
            SITE_MAPPINGS.c.resource_id == resource_id,
            SITE_MAPPINGS.c.base.is_(None) if old is None else SITE_MAPPINGS.c.base == old,
        )
        .values(base=_text(base))
    )


def remove(connection: sa.Connection, kind: ResourceType, ids: Iterable[str]) -> None:
    """Delete the mark that objects are central's."""
    connection.execute(
        sa.delete(SITE_MAPPINGS).where(
            SITE_MAPPINGS.c.type == kind.value, SITE_MAPPINGS.c.resource_id.in_(list(ids))
        )
    )


def forget(connection: sa.Connection, kind: ResourceType, resource_id: str) -> None:
    """Delete every row of ours about an object that is being deleted."""
    remove(connection, kind, [resource_id])
    if kind is ResourceType.PORT:  # central deleted it: nothing is left to report
        journal.delete(connection, IntentKey(CENTRAL, kind, resource_id))
    if kind in (ResourceType.NETWORK, ResourceType.SUBNET):
        lease.delete_pool(connection, resource_id)
        resting.delete_pool(connection, resource_id)
    if kind is ResourceType.NETWORK:
        port_key.delete_network(connection, resource_id)
        shadow.delete_network(connection, resource_id)
        datapath.delete(connection, resource_id)


def _text(base: Mapping[str, Any] | None) -> str | None:
    return None if base is None else json.dumps(base, sort_keys=True, separators=(",", ":"))


def _value(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    value: dict[str, Any] = json.loads(text)
    return value
