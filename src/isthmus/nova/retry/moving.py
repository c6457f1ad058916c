"""Take a server that was never built from its cell to another one: rows and the mapping.

Nova's own copying for moves between cells (`clone_creatable_object`), hidden until the mapping
leads there. Each step can be done again: what is there already is taken for done.
"""

import contextlib
from typing import Any

from nova import context as nova_context
from nova import exception, objects
from nova.compute import task_states, vm_states
from nova.conductor.tasks.cross_cell_migrate import clone_creatable_object

from isthmus.nova.retry import mark

#: What is copied by itself, or belongs to the host that failed.
_LEFT = ("fault", "pci_devices", "services", "tags")
_READ = (
    "flavor",
    "info_cache",
    "keypairs",
    "metadata",
    "numa_topology",
    "pci_requests",
    "system_metadata",
    "trusted_certs",
)


def take(context: Any, uuid: str, source: Any, target: Any) -> None:
    """Move a server; it stays marked as moving, until somebody builds it there.

    Args:
        context: of the request.
        uuid: of the server.
        source: mapping of its cell.
        target: mapping of the other cell; the same one where it has arrived there before.

    Raises:
        InstanceNotFound: it was deleted meanwhile.
        UnexpectedDeletingTaskStateError: it is being deleted.
    """
    with nova_context.target_cell(context, source) as there:
        old = objects.Instance.get_by_uuid(there, uuid, expected_attrs=list(_READ))
        # Whoever deletes it is heard: Nova refuses to save what is being deleted.
        old.vm_state, old.task_state = vm_states.BUILDING, task_states.SCHEDULING
        old.save(expected_task_state=[None, task_states.SCHEDULING])
        if source.uuid != target.uuid:
            with nova_context.target_cell(context, target) as here:
                _copy(there, here, old, source.uuid)
    mapping = objects.InstanceMapping.get_by_instance_uuid(context, uuid)
    if mapping.cell_mapping.uuid != target.uuid:
        mapping.cell_mapping = target
        mapping.save()
    with nova_context.target_cell(context, target) as here:
        new = objects.Instance.get_by_uuid(here, uuid)
        new.hidden = False
        new.save()
    _remove(context, uuid, new.system_metadata.get(mark.MOVING, source.uuid), target.uuid)


def _remove(context: Any, uuid: str, source: str, target: str) -> None:
    """Remove a server from a cell that it was moved from."""
    if source == target:
        return
    cell = objects.CellMapping.get_by_uuid(context, source)
    with (
        nova_context.target_cell(context, cell) as there,
        contextlib.suppress(exception.InstanceNotFound),
    ):
        objects.Instance.get_by_uuid(there, uuid).destroy(hard_delete=True)


def _copy(there: Any, here: Any, old: Any, source: str) -> None:
    """Copy a server from one cell to another, hidden; what was copied before is made anew."""
    with contextlib.suppress(exception.InstanceNotFound):
        objects.Instance.get_by_uuid(here, old.uuid).destroy(hard_delete=True)
    new = clone_creatable_object(here, old, delete_fields=list(_LEFT))
    new.hidden = True
    new.system_metadata = {**old.system_metadata, mark.MOVING: source}
    new.system_metadata.pop(mark.EXHAUSTED, None)
    new.create()
    for volume in old.get_bdms():
        clone_creatable_object(here, volume).create()
    if old.tags:
        objects.TagList.create(here, old.uuid, [one.tag for one in old.tags])
    for action in objects.InstanceActionList.get_by_instance_uuid(there, old.uuid):
        clone_creatable_object(here, action).create()
        for event in objects.InstanceActionEventList.get_by_action(there, action.id):
            clone_creatable_object(here, event).create(action.instance_uuid, action.request_id)
