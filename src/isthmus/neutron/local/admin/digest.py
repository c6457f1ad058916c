"""Comparison of what this site holds with a page of digests that central made.

Differences are returned, and central records intents for them. Ports are different, because only
the site knows what it has not reported yet: it records intents in its own journal, and central
merges its reports as usual.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import constants
from neutron_lib import context as n_context
from neutron_lib.api import attributes

from isthmus.federation.digest import GONE, Page, find_differing, make_digest
from isthmus.journal.protocols import Source
from isthmus.model import attribute
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.neutron.db.session import reading, writing
from isthmus.neutron.local.resource.registry import ROWS
from isthmus.neutron.local.resource.row import LocalResource, States
from isthmus.store.delivery import journal
from isthmus.store.leases import holding
from isthmus.store.ports import shadow
from isthmus.store.tiers import mapping

#: Limit of objects in one answer; the rest is found by the next comparison.
_MOST = 1000
#: Ids in one query.
_CHUNK = 200


def list_carried() -> dict[str, list[str]]:
    """List the attributes of each type that both tiers are to have alike and this Neutron knows."""
    found = {
        kind.value: [
            name
            for name in row.carried
            if name.startswith(attribute.PREFIX)
            or name in attributes.RESOURCES[row.resource.collection]
        ]
        for kind, row in ROWS.items()
        if row.resource.collection in attributes.RESOURCES
    }
    return {**found, ResourceType.SHADOW.value: list(Shadow.__slots__)}


class Comparison:
    """Compares pages with what this process's plugins show."""

    def __init__(self, site: SiteName, ports: Source, wake: Callable[[], None]) -> None:
        """Initialise the comparison.

        Args:
            site: this site.
            ports: reads ports as they are reported.
            wake: called after an intent for central was recorded.
        """
        self._site = site
        self._ports = ports
        self._wake = wake

    def compare(
        self, page: Page, digest: str, wanted: Mapping[str, str] | None
    ) -> list[str] | None:
        """Compare a page.

        Args:
            page: the objects.
            digest: digest of the whole page at central.
            wanted: digests of its objects; None where only that of the page is known.

        Returns:
            Nothing if the page is equal, or differs and `wanted` is not known; otherwise the
            objects for which central has to record intents.
        """
        held, known = self._make(page)
        if Page(kind=page.kind, after="", until="", digests=held).digest == digest:
            return []
        if wanted is None:
            return None
        differing = sorted(find_differing(wanted, held))[:_MOST]
        if page.kind is not ResourceType.PORT:
            return differing
        told = [one for one in differing if wanted.get(one) == GONE or one not in known]
        self._report([one for one in differing if one not in told])
        return told

    def _make(self, page: Page) -> tuple[dict[str, str], set[str]]:
        """Return the digests of a page's objects here, and the ids that this site knows of."""
        context = n_context.get_admin_context()
        with reading(context) as connection:
            ids = set(_list_held(connection, page))
            if page.kind is ResourceType.PORT:
                ids |= set(_list_ports(connection, page))
        carried = list_carried()[page.kind.value]
        held: dict[str, str] = {}
        for some in _chunks(sorted(ids)):
            for one, state in self._read(context, page.kind, some).items():
                held[one] = make_digest(state, carried)
        return held, ids

    def _read(self, context: Any, kind: ResourceType, ids: Sequence[str]) -> States:
        if kind is ResourceType.SHADOW:
            with reading(context) as connection:
                found = shadow.get_shadows(connection, ids)
            return {one: shown.to_dict() for one, shown in found.items()}
        if kind is ResourceType.PORT:
            items = self._ports.read(CENTRAL, [IntentKey(CENTRAL, kind, one) for one in ids])
            return {key.id: dict(item.state) for key, item in items.items() if item.state}
        row = ROWS[kind]
        lister = getattr(row.plugin(), f"get_{row.resource.collection}")
        found = lister(context, {"id": list(ids)}, **row.resource.list_options)
        states = {one["id"]: dict(one) for one in found}
        with reading(context) as connection:
            _complete(connection, row, states)
        return states

    def _report(self, ids: Collection[str]) -> None:
        if ids:
            with writing(n_context.get_admin_context()) as connection:
                keys = [IntentKey(CENTRAL, ResourceType.PORT, one) for one in ids]
                journal.record(connection, keys)
            self._wake()


def _list_held(connection: sa.Connection, page: Page) -> list[str]:
    return holding.list_held(connection, page.kind, page.after, page.until, network=page.network)


def _list_ports(connection: sa.Connection, page: Page) -> list[str]:
    """List the ports of stretched networks that are reported to central."""
    port_id = models_v2.Port.id
    query = sa.select(port_id).where(
        models_v2.Port.network_id.in_(mapping.select_ids(ResourceType.NETWORK)),
        models_v2.Port.device_owner != constants.DEVICE_OWNER_DISTRIBUTED,
        models_v2.Port.device_id.not_in(mapping.select_ids(ResourceType.ROUTER)),
        port_id > page.after,
    )
    if page.network:
        query = query.where(models_v2.Port.network_id == page.network)
    return list(connection.scalars(query.where(port_id <= page.until) if page.until else query))


def _complete(connection: sa.Connection, row: LocalResource, states: States) -> None:
    """Add what is sent in addition to Neutron's attributes."""
    if row.add_carried is not None:
        row.add_carried(connection, states)
    if row.rbac is None:
        return
    for state in states.values():
        state[attribute.RBAC] = []
    names = ("id", "project_id", "target_project", "action")
    query = sa.select(row.rbac.object_id, *(getattr(row.rbac, name) for name in names))
    for found in connection.execute(query.where(row.rbac.object_id.in_(list(states)))):
        entry = {name: getattr(found, name) for name in names}
        states[found.object_id][attribute.RBAC].append(entry)


def _chunks(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK)]
