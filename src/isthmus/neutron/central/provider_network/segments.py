"""A network of central's has a segment at each of its sites, and they go with it.

Sites have a network as one segment, of their own choice where it is tunnelled. They would hear of
no other, so central refuses what ML2 would take: segments that are not each at sites of their own
(`segmented`), with a new network or later, and the removal of one.
"""

from typing import Any

from neutron.services.segments import plugin as segments_plugin
from neutron_lib import constants
from neutron_lib.api import validators
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.exceptions import multiprovidernet as multiprovider_exc

from isthmus import errors
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import presence
from isthmus.neutron.central.provider_network import fabric, segmented
from isthmus.neutron.central.router import joined
from isthmus.neutron.db.session import writing
from isthmus.store.tiers import site as site_store

_PROVIDER = (segmented.TYPE, segmented.PHYSICAL, segmented.ID)


def take(body: dict[str, Any]) -> None:
    """Have the only segment that a new network names as its provider attributes.

    Several ones stay as they are: each site gets its own.

    Args:
        body: of the network; it is changed.

    Raises:
        Fault: it names several segments that are not all on physical networks (400).
        SegmentsSetInConjunctionWithProviders: it names provider attributes as well.
    """
    named = body.get(segmented.SEGMENTS)
    if not validators.is_attr_set(named) or not named:
        return
    if any(validators.is_attr_set(body.get(one)) for one in _PROVIDER):
        raise multiprovider_exc.SegmentsSetInConjunctionWithProviders
    if len(named) == 1:
        body.update({one: named[0].get(one, constants.ATTR_NOT_SPECIFIED) for one in _PROVIDER})
        body[segmented.SEGMENTS] = constants.ATTR_NOT_SPECIFIED
        return
    for one in named:
        known = [validators.is_attr_set(one.get(name)) and one[name] for name in _PROVIDER]
        tagged = known[0] == constants.TYPE_FLAT or known[2]
        if known[0] not in segmented.TYPES or not known[1] or not tagged:
            with translated():
                raise errors.Invalid(
                    f"a network of {len(named)} segments is not carried to sites unless each names "
                    "the physical network of other sites, and its VLAN if it has one: a site has a "
                    "network as one segment"
                )


def listen() -> None:
    """Have a say when Neutron's segments plugin adds a segment or takes one away."""
    registry.subscribe(_take_another, resources.SEGMENT, events.PRECOMMIT_CREATE)
    registry.subscribe(_refuse_removal, resources.SEGMENT, events.BEFORE_DELETE)


def _take_another(_resource: Any, _event: Any, trigger: Any, payload: Any) -> None:
    """Extend a network to the sites of a segment that it gets later; those it has stay as they are.

    Raises:
        Fault: nobody would have the segment, or a site two of them (400); it is taken (409).
    """
    if not isinstance(trigger, segments_plugin.Plugin):
        return
    new = payload.latest_state
    with translated(), writing(payload.context) as connection:
        component = joined.lock(connection, [new.network_id])
        network = joined.describe_network(connection, new.network_id)
        if not fabric.is_provider(network) or not new.physical_network:
            raise errors.Invalid(
                f"network {new.network_id} keeps the segment that it was made with: one that is "
                "not on a physical network of other sites is not carried, since a site has a "
                "network as one segment"
            )
        sites = fabric.choose_sites(site_store.list_sites(connection), network)
        present = component.locked_networks.sites(new.network_id)
        for name in sorted(present.keys() - {site.name for site in sites}):
            raise errors.Invalid(
                f"site {name} does not say which of the segments of network {new.network_id} is "
                "its: isthmus site update --fabric names its physical network"
            )
        added = [site for site in sites if site.name not in present]
        fabric.require_free(
            connection,
            added,
            {
                segmented.TYPE: new.network_type,
                segmented.PHYSICAL: new.physical_network,
                segmented.ID: new.segmentation_id,
            },
            besides=new.network_id,
        )
        for site in added:
            presence.extend_within(connection, site.name, [new.network_id])


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
            f"segment {segment['id']} is one of network {segment['network_id']}, and its sites "
            "keep it: delete the network"
        )
