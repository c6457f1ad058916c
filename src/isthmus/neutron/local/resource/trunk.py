"""Trunks: made at the home of their parent port, with central's id.

Neutron always gives a new trunk an id of its own, so the trunk is created here as the object that
Neutron's API creates, with the same events. ML2/OVN ties the subports to the parent after the
transaction that changes a trunk; where a process died in between, or OVN did not answer, that is
done by the next delivery.

What is done for its subports stands in `isthmus.neutron.local.trunk.subports`.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.objects import trunk as trunk_object
from neutron.services.trunk import exceptions as trunk_exc
from neutron.services.trunk import models
from neutron_lib import exceptions as n_exc
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.services.trunk import constants as trunk_constants

from isthmus import errors
from isthmus.federation.merge import changes
from isthmus.journal import crash
from isthmus.model.resource import ResourceType
from isthmus.neutron.local.apply.owned import check_owned
from isthmus.neutron.local.resource.row import LocalResource, by_id
from isthmus.neutron.local.trunk import subports

_UPDATED = ("name", "description", "admin_state_up")
_PORTS = models_v2.Port.__table__
_TRUNKS = models.Trunk.__table__
_SUBPORTS = models.SubPort.__table__


def ensure(plugin: Any, context: Any, state: Mapping[str, Any], *, keep_existing: bool) -> None:
    """Create a trunk, or update it and its subports to what central has.

    Args:
        plugin: the trunk plugin.
        context: an administrator's, with no transaction open.
        state: the trunk as central's API shows it.
        keep_existing: whether to leave an existing trunk unchanged.

    Raises:
        Unsupported: this site loads no trunk plugin.
        Stale: its parent port or a subport is not here yet.
        Conflict: a trunk of that id, or another one with its ports, was made at this site.
        Busy: OVN does not answer.
        Unfinished: some of its subports have yet to come, or to go.
    """
    if plugin is None:
        raise errors.Unsupported(
            "this site loads no trunk plugin: put isthmus_local_trunk into service_plugins"
        )
    trunk_id = state["id"]
    have = TRUNK.find(plugin, context, trunk_id)
    if have is not None:
        check_owned(context, ResourceType.TRUNK, trunk_id)
        if keep_existing:
            return
    wanted = {subports.key(one): one for one in state["sub_ports"]}
    if have is not None:
        _release(plugin, context, have, wanted)
    _check_ports(context, state)
    there = _create(plugin, context, state) if have is None else have
    _update(plugin, context, there, state, wanted)
    subports.tie(plugin, context, state, wanted.values(), events.AFTER_CREATE)
    # What it changed of them is carried out for central, which is told of no such change.
    subports.report(context, [one["port_id"] for one in wanted.values()])


def _check_ports(context: Any, state: Mapping[str, Any]) -> None:
    """Check that the ports of a trunk are here, and are in no trunk that this site has made.

    Raises:
        Stale: one is not here yet, or is still in another trunk of central's.
        Conflict: one is in a trunk of this site's own.
    """
    ids = sorted({state["port_id"], *(one["port_id"] for one in state["sub_ports"])})
    parents = sa.select(_TRUNKS.c.port_id, _TRUNKS.c.id).where(_TRUNKS.c.port_id.in_(ids))
    children = sa.select(_SUBPORTS.c.port_id, _SUBPORTS.c.trunk_id).where(
        _SUBPORTS.c.port_id.in_(ids)
    )
    with db_api.CONTEXT_READER.using(context):
        connection = context.session.connection()
        here = set(connection.scalars(sa.select(_PORTS.c.id).where(_PORTS.c.id.in_(ids))))
        used = [*connection.execute(parents), *connection.execute(children)]
    missing = sorted(set(ids) - here)
    if missing:
        raise errors.Stale(f"ports {', '.join(missing)} of trunk {state['id']} are not here yet")
    for port_id, other in used:
        if other == state["id"]:
            continue
        try:
            check_owned(context, ResourceType.TRUNK, other)
        except errors.Conflict as error:
            raise errors.Conflict(
                f"port {port_id} is in trunk {other}, which was made at this site: delete that one "
                "here, or the trunk at central"
            ) from error
        raise errors.Stale(f"port {port_id} is still in trunk {other}")


def _create(plugin: Any, context: Any, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Create a trunk with the first of its subports; return it."""
    trunk = trunk_object.Trunk(
        context=context,
        id=state["id"],
        project_id=state["project_id"],
        name=state["name"],
        description=state.get("description") or "",
        admin_state_up=state["admin_state_up"],
        port_id=state["port_id"],
        status=trunk_constants.TRUNK_DOWN_STATUS,
        sub_ports=[subports.build(context, one) for one in state["sub_ports"][: subports.AT_ONCE]],
    )
    crash.point("apply.trunk.sought")
    with db_api.CONTEXT_WRITER.using(context):
        trunk.create()
        payload = events.DBEventPayload(context, resource_id=trunk.id, desired_state=trunk)
        registry.publish(resources.TRUNK, events.PRECOMMIT_CREATE, plugin, payload=payload)
    crash.point("apply.trunk.made")
    payload = events.DBEventPayload(context, resource_id=trunk.id, states=(trunk,))
    registry.publish(resources.TRUNK, events.AFTER_CREATE, plugin, payload=payload)
    made: Mapping[str, Any] = plugin.get_trunk(context, trunk.id)
    return made


def _release(
    plugin: Any, context: Any, have: Mapping[str, Any], wanted: Mapping[Any, Mapping[str, Any]]
) -> None:
    """Let go of the subports that go, whatever else is missing: another trunk may wait for them."""
    gone = [one for one in have["sub_ports"] if subports.key(one) not in wanted]
    subports.remove(plugin, context, have, gone)


def _update(
    plugin: Any,
    context: Any,
    have: Mapping[str, Any],
    state: Mapping[str, Any],
    wanted: Mapping[Any, Mapping[str, Any]],
) -> None:
    """Update a trunk, and add the subports that come.

    Raises:
        Conflict: Neutron refuses a subport.
        Unfinished: some have yet to come.
    """
    trunk_id = state["id"]
    there = {subports.key(one) for one in have["sub_ports"]}
    comes = [one for key, one in wanted.items() if key not in there]
    for some in subports.in_time(trunk_id, comes, "come"):
        try:
            with _enabled(plugin, context, have):
                plugin.add_subports(context, trunk_id, {"sub_ports": [dict(one) for one in some]})
        except (n_exc.Conflict, n_exc.BadRequest) as error:
            raise errors.Conflict(f"trunk {trunk_id} cannot have its subports: {error}") from error
    said = {name: state[name] for name in _UPDATED if name in state}
    _set(plugin, context, trunk_id, changes(have, said))


@contextlib.contextmanager
def _enabled(plugin: Any, context: Any, have: Mapping[str, Any]) -> Iterator[None]:
    """Enable a trunk meanwhile: Neutron changes the subports of no other."""
    disabled = not have["admin_state_up"]
    if disabled:
        _set(plugin, context, have["id"], {"admin_state_up": True})
    try:
        yield
    finally:
        if disabled:
            _set(plugin, context, have["id"], {"admin_state_up": False})


def _set(plugin: Any, context: Any, trunk_id: str, changed: Mapping[str, Any]) -> None:
    if changed:
        plugin.update_trunk(context, trunk_id, {"trunk": dict(changed)})


def remove(plugin: Any, context: Any, trunk_id: str) -> None:
    """Remove a trunk; its ports stay.

    Neutron does not delete a trunk whose parent port could not be bound. Central has deleted it
    already, so here it is removed as the object that Neutron's API removes, with the same events.

    Raises:
        Conflict: it is not central's.
        Unfinished: some of its subports have yet to go.
    """
    if plugin is None:
        return
    have = TRUNK.find(plugin, context, trunk_id)
    if have is None:
        return
    check_owned(context, ResourceType.TRUNK, trunk_id)
    subports.remove(plugin, context, have, have["sub_ports"])
    _delete(plugin, context, trunk_id)
    crash.point("apply.trunk.removed")


def _delete(plugin: Any, context: Any, trunk_id: str) -> None:
    with db_api.CONTEXT_WRITER.using(context):
        trunk = trunk_object.Trunk.get_object(context, id=trunk_id)
        if trunk is None:
            return
        trunk.delete()
        payload = events.DBEventPayload(context, resource_id=trunk_id, states=(trunk,))
        registry.publish(resources.TRUNK, events.PRECOMMIT_DELETE, plugin, payload=payload)
    payload = events.DBEventPayload(context, resource_id=trunk_id, states=(trunk,))
    registry.publish(resources.TRUNK, events.AFTER_DELETE, plugin, payload=payload)


def _of_change(_context: Any, said: Mapping[str, Any]) -> Collection[str]:
    """Return the trunk that a call changes; its status is Neutron's own to set."""
    return [] if said["trunk"]["trunk"].keys() == {"status"} else [said["trunk_id"]]


TRUNK = LocalResource(
    kind=ResourceType.TRUNK,
    model=models.Trunk,
    parts={models.Trunk: "id", models.SubPort: "trunk_id"},
    carried=(*_UPDATED, "sub_ports"),
    not_found=trunk_exc.TrunkNotFound,
    ensure=ensure,
    remove=remove,
    guarded={
        "update_trunk": _of_change,
        "delete_trunk": by_id("trunk_id"),
        "add_subports": by_id("trunk_id"),
        "remove_subports": by_id("trunk_id"),
    },
)
