"""A site's trunk plugin: Neutron's own; central's trunks are changed at central alone."""

from typing import Any

from neutron.services.trunk import plugin as trunk_plugin

from isthmus.neutron.local.owned.ownership import guarded


@guarded
class _Guarded(trunk_plugin.TrunkPlugin):
    """Neutron's trunks, of which those of central are changed at central alone."""


class LocalTrunks(_Guarded):
    """Trunks of a site."""

    # Neutron looks these up under the mangled name of the very class.
    __native_pagination_support = True
    __native_sorting_support = True

    def get_plugin_description(self) -> Any:
        """Return the plugin's description."""
        return "Isthmus: trunks of a site, and those that span sites"
