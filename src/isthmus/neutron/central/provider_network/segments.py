"""A network of central's has one segment, which is made with it and goes with it.

Sites have a network as one segment, of their own choice where it is tunnelled. They would hear of
no other, so central refuses what ML2 would take: several segments for a new network, and one that
is added to a network or taken away from it later.
"""

from typing import Any

from neutron.services.segments import plugin as segments_plugin
from neutron_lib import constants
from neutron_lib.api import validators
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.exceptions import multiprovidernet as multiprovider_exc

from isthmus import errors
from isthmus.neutron.api.faults import translated

_SEGMENTS = "segments"
_PROVIDER = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")


def take_one(body: dict[str, Any]) -> None:
    """Have the only segment that a new network names as its provider attributes.

    Args:
        body: of the network; it is changed.

    Raises:
        Fault: it names several segments (400).
        SegmentsSetInConjunctionWithProviders: it names provider attributes as well.
    """
    named = body.get(_SEGMENTS)
    if not validators.is_attr_set(named) or not named:
        return
    if len(named) > 1:
        with translated():
            raise errors.Invalid(
                f"a network of {len(named)} segments is not carried to sites: each has a network "
                "as one segment. Make a network for each segment, and join them with a router"
            )
    if any(validators.is_attr_set(body.get(one)) for one in _PROVIDER):
        raise multiprovider_exc.SegmentsSetInConjunctionWithProviders
    body.update({one: named[0].get(one, constants.ATTR_NOT_SPECIFIED) for one in _PROVIDER})
    body[_SEGMENTS] = constants.ATTR_NOT_SPECIFIED


def listen() -> None:
    """Refuse calls of Neutron's segments plugin that add a segment or take one away."""
    registry.subscribe(_refuse_another, resources.SEGMENT, events.PRECOMMIT_CREATE)
    registry.subscribe(_refuse_removal, resources.SEGMENT, events.BEFORE_DELETE)


def _refuse_another(_resource: Any, _event: Any, trigger: Any, payload: Any) -> None:
    """Refuse a segment that no new network has brought.

    Raises:
        Fault: 400.
    """
    if not isinstance(trigger, segments_plugin.Plugin):
        return
    network_id = payload.latest_state["network_id"]
    with translated():
        raise errors.Invalid(
            f"network {network_id} keeps the segment that it was made with: another one is not "
            "carried to sites, each of which has a network as one segment. Make another network, "
            "and join them with a router"
        )


def _refuse_removal(_resource: Any, _event: Any, _trigger: Any, payload: Any) -> None:
    """Refuse to delete a segment, unless its network is being deleted.

    Raises:
        Fault: 400.
    """
    if payload.metadata.get(segments_plugin.db.FOR_NET_DELETE):
        return
    segment = payload.latest_state
    with translated():
        raise errors.Invalid(
            f"segment {segment['id']} is the one of network {segment['network_id']}, and its sites "
            "keep it: delete the network"
        )
