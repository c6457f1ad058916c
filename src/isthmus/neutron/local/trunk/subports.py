"""Subports of central's trunks: a few at a time, tied to the parent by ML2/OVN.

ML2/OVN ties subports to the parent after the transaction that changes a trunk, and Neutron lets a
failure of that pass; so it is looked afterwards whether it is done. That takes some tenths of a
second for each. Where all of them take longer than a call may, the answer says that the trunk is
unfinished: central sends it again, and the rest follows.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.objects import trunk as trunk_object
from neutron.plugins.ml2 import models as ml2_models
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from oslo_serialization import jsonutils

from isthmus import errors
from isthmus.journal import crash
from isthmus.neutron.local.owned import applying

#: How many subports come or go before it is seen whether there is time for more.
AT_ONCE = 5
_BINDINGS = ml2_models.PortBinding.__table__


def key(subport: Mapping[str, Any]) -> tuple[str, str, int]:
    """Return what tells one subport of a trunk from another: port, type and number."""
    return subport["port_id"], subport["segmentation_type"], int(subport["segmentation_id"])


def in_time(
    trunk_id: str, subports: Sequence[Mapping[str, Any]], what: str
) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Yield subports a few at a time, as long as there is time.

    Args:
        trunk_id: their trunk.
        subports: which come or go.
        what: what they have yet to do, where there is none.

    Raises:
        Unfinished: there is no more.
    """
    turn = applying.find_turn()
    for start in range(0, len(subports), AT_ONCE):
        if start and turn is not None and turn.spent:
            left = len(subports) - start
            raise errors.Unfinished(f"{left} subports of trunk {trunk_id} have yet to {what}")
        yield subports[start : start + AT_ONCE]


def build(context: Any, said: Mapping[str, Any]) -> Any:
    """Return a subport as Neutron's object, as central's API shows it."""
    port_id, kind, number = key(said)
    return trunk_object.SubPort(
        context=context, port_id=port_id, segmentation_type=kind, segmentation_id=number
    )


def remove(
    plugin: Any, context: Any, have: Mapping[str, Any], gone: Sequence[Mapping[str, Any]]
) -> None:
    """Untie subports from the parent, then remove them: of those that are gone nobody knows.

    Args:
        plugin: the trunk plugin.
        context: an administrator's, with no transaction open.
        have: the trunk as the site has it.
        gone: those that are to go.

    Raises:
        Stale: somebody else is at the same.
        Unfinished: some have yet to go.
    """
    for some in in_time(have["id"], gone, "go"):
        told = tie(plugin, context, have, some, events.AFTER_DELETE)
        crash.point("apply.trunk.untied")
        _drop(plugin, context, have["id"], {one["port_id"] for one in some}, told)
        crash.point("apply.trunk.emptied")


def _drop(
    plugin: Any, context: Any, trunk_id: str, gone: Collection[str], told: Collection[str]
) -> None:
    """Remove subports as Neutron's API does, but tell of none that was told of before.

    Args:
        plugin: the trunk plugin.
        context: an administrator's, with no transaction open.
        trunk_id: the trunk.
        gone: ports that are to be subports no more.
        told: which of them ML2/OVN has untied already; it would do it once more.

    Raises:
        Stale: somebody else is at the same.
    """

    def say(trunk: Any, which: Collection[Any], event: str) -> None:
        payload = events.DBEventPayload(
            context,
            resource_id=trunk_id,
            states=(trunk, trunk),
            metadata={"subports": list(which)},
        )
        registry.publish(resources.SUBPORTS, event, plugin, payload=payload)

    with db_api.CONTEXT_WRITER.using(context):
        trunk = trunk_object.Trunk.get_object(context, id=trunk_id)
        removed = [one for one in trunk.sub_ports if one.port_id in gone] if trunk else []
        if len(removed) < len(gone):
            raise errors.Stale(f"subports of trunk {trunk_id} are being removed already")
        for one in removed:
            one.delete()
        say(trunk, removed, events.PRECOMMIT_DELETE)
        _note(context, gone)
    remaining = [one for one in removed if one.port_id not in told]
    if remaining:
        say(trunk, remaining, events.AFTER_DELETE)
        report(context, [one.port_id for one in remaining])


def tie(
    plugin: Any,
    context: Any,
    trunk: Mapping[str, Any],
    subports: Collection[Mapping[str, Any]],
    event: str,
) -> Collection[str]:
    """Have ML2/OVN tie subports to their parent, or untie them, where it has not.

    Args:
        plugin: the trunk plugin.
        context: an administrator's, with no transaction open.
        trunk: the trunk.
        subports: those that are to be tied or untied.
        event: `AFTER_CREATE` to tie them, `AFTER_DELETE` to untie them.

    Returns:
        The ports of those that it was told of.

    Raises:
        Busy: it cannot, because OVN does not answer.
        Unfinished: there is no time for some of them.
    """
    parent = trunk["port_id"]
    told = left = _find_left(context, parent, subports, event)
    known = trunk_object.Trunk.get_object(context, id=trunk["id"]) if left else None
    for some in in_time(trunk["id"], left, "be tied"):
        payload = events.DBEventPayload(
            context,
            resource_id=trunk["id"],
            states=(known, known),
            metadata={"subports": [build(context, one) for one in some]},
        )
        registry.publish(resources.SUBPORTS, event, plugin, payload=payload)
    left = _find_left(context, parent, left, event)
    if left and _is_ovns(context, parent):
        raise errors.Busy(
            f"OVN does not change ports {', '.join(sorted(one['port_id'] for one in left))} of "
            f"trunk {trunk['id']} now"
        )
    return {one["port_id"] for one in told}


def _find_left(
    context: Any, parent: str, subports: Collection[Mapping[str, Any]], event: str
) -> list[Mapping[str, Any]]:
    """List the subports that are not yet tied to a parent, or not yet untied.

    ML2/OVN writes the parent and the tag into the binding profile, after it has written them into
    the northbound database.
    """
    ids = [one["port_id"] for one in subports]
    query = sa.select(_BINDINGS.c.port_id, _BINDINGS.c.profile).where(_BINDINGS.c.port_id.in_(ids))
    with db_api.CONTEXT_READER.using(context):
        rows = context.session.connection().execute(query).all()
    profiles = {row.port_id: jsonutils.loads(row.profile or "{}") for row in rows}
    left = []
    for one in subports:
        profile = profiles.get(one["port_id"], {})
        tied = profile.get("parent_name") == parent
        whole = tied and profile.get("tag") == int(one["segmentation_id"])
        if tied if event == events.AFTER_DELETE else not whole:
            left.append(one)
    return left


def _is_ovns(context: Any, port_id: str) -> bool:
    """Return whether OVN has the VLANs of a port: not those of one that hardware switches."""
    query = sa.select(_BINDINGS.c.vnic_type).where(_BINDINGS.c.port_id == port_id)
    with db_api.CONTEXT_READER.using(context):
        found = set(context.session.connection().scalars(query))
    return found <= {portbindings.VNIC_NORMAL}


def report(context: Any, port_ids: Collection[str]) -> None:
    """Record that central is to be told of subports: their owner is what it did not say."""
    if port_ids:
        with db_api.CONTEXT_WRITER.using(context):
            _note(context, port_ids)


def _note(context: Any, port_ids: Collection[str]) -> None:
    directory.get_plugin().listener.note(context.session, sorted(set(port_ids)))
