"""ML2's types of provider networks at central: what is in use is left to each site.

ML2 has one fabric in mind, and would refuse a flat network to the second site, or a tag that the
first one uses. What else is checked of a segment stays as it is.
"""

from typing import Any

from neutron.objects.network import NetworkSegment
from neutron.objects.plugins.ml2.vlanallocation import VlanAllocation
from neutron.plugins.ml2.drivers import type_flat, type_vlan
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import InvalidInput
from neutron_lib.plugins import utils as plugin_utils
from neutron_lib.plugins.ml2 import api
from typing_extensions import override


class SiteFlat(type_flat.FlatTypeDriver):
    """Flat networks, each on a physical network of its site."""

    @override
    def reserve_provider_segment(self, context: Any, segment: Any, filters: Any = None) -> Any:
        segment[api.MTU] = self.get_mtu(segment[api.PHYSICAL_NETWORK])
        return segment

    @override
    def release_segment(self, context: Any, segment: Any) -> None:
        """Do nothing: nothing is reserved."""


class SiteVlan(type_vlan.VlanTypeDriver):
    """VLAN networks, each on a physical network of its site, with any tag, or one that is chosen.

    One is chosen from `network_vlan_ranges` as by ML2, and is then no other network's at any site.
    What ML2 has as allocated are tags that were chosen; which ones are in use the networks say.
    """

    @override
    def validate_provider_segment(self, segment: Any) -> None:
        physical, tag = segment.get(api.PHYSICAL_NETWORK), segment.get(api.SEGMENTATION_ID)
        if tag is None:
            ranges = self.get_network_segment_ranges()
            if not any(ranges.values() if physical is None else ranges.get(physical, [])):
                raise InvalidInput(
                    error_message="no VLAN can be chosen: central has no network_vlan_ranges of "
                    f"{'any physical network' if physical is None else physical!r}; give "
                    "provider:physical_network and provider:segmentation_id"
                )
        elif physical is None:
            raise InvalidInput(
                error_message="provider:segmentation_id requires provider:physical_network"
            )
        elif not plugin_utils.is_valid_vlan_tag(tag):
            raise InvalidInput(error_message=f"provider:segmentation_id {tag} is no VLAN tag")

    @override
    def reserve_provider_segment(self, context: Any, segment: Any, filters: Any = None) -> Any:
        if not self.is_partial_segment(segment):
            return {**segment, api.MTU: self.get_mtu(segment[api.PHYSICAL_NETWORK])}
        chosen = super().reserve_provider_segment(context, segment, filters)
        while _is_used(context, chosen):  # by a network that named it; it is not chosen again
            chosen = super().reserve_provider_segment(context, segment, filters)
        return chosen

    @override
    def release_segment(self, context: Any, segment: Any) -> None:
        """Let a tag be chosen again, if it may be."""
        physical, tag = segment[api.PHYSICAL_NETWORK], segment[api.SEGMENTATION_ID]
        ranges = self.get_network_segment_ranges().get(physical, [])
        which = {"physical_network": physical, "vlan_id": tag}
        with db_api.CONTEXT_WRITER.using(context):
            if any(first <= tag <= last for first, last in ranges):
                VlanAllocation.update_objects(context, {"allocated": False}, **which)
            else:
                VlanAllocation.delete_objects(context, **which)


def _is_used(context: Any, segment: Any) -> bool:
    """Return whether a network has a segment, at whichever site."""
    with db_api.CONTEXT_READER.using(context):
        return bool(
            NetworkSegment.objects_exist(
                context,
                network_type=segment[api.NETWORK_TYPE],
                physical_network=segment[api.PHYSICAL_NETWORK],
                segmentation_id=segment[api.SEGMENTATION_ID],
            )
        )


def install(type_manager: Any) -> None:
    """Have ML2 at central leave it to sites what is in use on their fabrics."""
    for driver in (SiteFlat(), SiteVlan()):
        loaded = type_manager.drivers.get(driver.get_type())
        if loaded is not None:
            loaded.obj = driver
