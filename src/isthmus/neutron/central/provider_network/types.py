"""ML2's types of provider networks at central: what is in use is left to each site.

ML2 has one fabric in mind, and would refuse a flat network to the second site, or a tag that the
first one uses. What else is checked of a segment stays as it is, but that central chooses no VLAN.
"""

from typing import Any

from neutron.plugins.ml2.drivers import type_flat, type_vlan
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
    """VLAN networks, each on a physical network of its site, with any tag."""

    @override
    def validate_provider_segment(self, segment: Any) -> None:
        tag = segment.get(api.SEGMENTATION_ID)
        if segment.get(api.PHYSICAL_NETWORK) is None or tag is None:
            raise InvalidInput(
                error_message="central chooses no VLAN, since the fabric is a site's: give "
                "provider:physical_network and provider:segmentation_id"
            )
        if not plugin_utils.is_valid_vlan_tag(tag):
            raise InvalidInput(error_message=f"provider:segmentation_id {tag} is no VLAN tag")

    @override
    def reserve_provider_segment(self, context: Any, segment: Any, filters: Any = None) -> Any:
        return {**segment, api.MTU: self.get_mtu(segment[api.PHYSICAL_NETWORK])}

    @override
    def release_segment(self, context: Any, segment: Any) -> None:
        """Do nothing: nothing is reserved."""


def install(type_manager: Any) -> None:
    """Have ML2 at central leave it to sites what is in use on their fabrics."""
    for driver in (SiteFlat(), SiteVlan()):
        loaded = type_manager.drivers.get(driver.get_type())
        if loaded is not None:
            loaded.obj = driver
