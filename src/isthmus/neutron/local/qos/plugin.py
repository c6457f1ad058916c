"""A site's QoS plugin: Neutron's own; central's policies are fetched, and changed there alone."""

from typing import Any

from neutron.services.qos import qos_plugin
from neutron_lib.plugins import directory
from typing_extensions import override

from isthmus.config.site import SiteConfig
from isthmus.neutron.local.fetch.fetching import Asking, fetching
from isthmus.neutron.local.fetch.on_demand import OnDemand
from isthmus.neutron.local.owned.ownership import guarded


@guarded
@fetching
class _Guarded(Asking, qos_plugin.QoSPlugin):
    """Neutron's QoS policies, of which those of central are changed at central alone."""

    @property
    @override
    def site(self) -> SiteConfig:  # type: ignore[override]
        """Return what the core plugin knows of this site."""
        found: SiteConfig = directory.get_plugin().site
        return found

    @property
    @override
    def on_demand(self) -> OnDemand:  # type: ignore[override]
        """Return what the core plugin fetches with."""
        found: OnDemand = directory.get_plugin().on_demand
        return found


class LocalQos(_Guarded):
    """QoS policies of a site."""

    # Neutron looks these up under the mangled name of the very class.
    __native_pagination_support = True
    __native_sorting_support = True

    def get_plugin_description(self) -> Any:
        """Return the plugin's description."""
        return "Isthmus: QoS policies of a site, and those that span sites"
