"""What a server's own row says about tries in other cells: its system metadata.

A server is *watched* while a super conductor can still take it to another cell, *exhausted* when
no host of its cell could build it, and *moving* while it is taken to another. Nova neither reads
nor shows these keys.
"""

from typing import Any

from nova.compute import task_states, vm_states

WATCHED = "isthmus_retry_watched"
EXHAUSTED = "isthmus_retry_exhausted"
#: On its way: from which cell, by uuid, until a host is asked to build it.
MOVING = "isthmus_retry_from"
#: What a fault says where there is no host left (`nova.conductor.manager.build_instances`).
_SAID = ("Exhausted all hosts available", "Exceeded max scheduling attempts")


def is_watched(instance: Any) -> bool:
    """Tell whether somebody would take it to another cell."""
    return WATCHED in instance.system_metadata


def is_exhausted(instance: Any) -> bool:
    """Tell whether no host of its cell could build it, and nothing else is done with it."""
    if instance.launched_at is not None or not is_watched(instance):
        return False
    if instance.vm_state == vm_states.ERROR:  # its conductor is Nova's own
        return instance.task_state is None and _has_no_host(instance)
    return (
        instance.vm_state == vm_states.BUILDING
        and instance.task_state != task_states.DELETING
        and EXHAUSTED in instance.system_metadata
    )


def _has_no_host(instance: Any) -> bool:
    fault = instance.fault
    return fault is not None and any(one in fault.message for one in _SAID)


def is_over(instance: Any) -> bool:
    """Tell whether there is nothing left to wait for."""
    return (
        instance.launched_at is not None
        or instance.task_state == task_states.DELETING
        or (instance.vm_state == vm_states.ERROR and not is_exhausted(instance))
    )
