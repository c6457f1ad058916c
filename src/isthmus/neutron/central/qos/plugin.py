"""Central's QoS plugin: Neutron's own, with a driver that accepts what ML2/OVN accepts at sites.

Neutron refuses a rule that no driver supports for the port or network that is to have it. Central
has no data plane, so its driver only answers; ML2/OVN of the port's home carries the rules out.
"""

from typing import Any

from neutron.services.qos import qos_plugin
from neutron.services.qos.drivers.ovn import driver as ovn
from neutron_lib.api.definitions import portbindings
from neutron_lib.services.qos import base

#: VIF types of ports of which ML2/OVN limits the traffic, and of those whose home has yet to report
#: which it chose (`isthmus.neutron.central.mechanism`).
_VIF_TYPES = (*ovn.VIF_TYPES, portbindings.VIF_TYPE_OTHER)


class _Driver(base.DriverBase):
    """Answers which rules sites can carry out."""

    def __init__(self) -> None:
        """Register with the plugin that is about to start."""
        super().__init__(
            name="isthmus_central",
            vif_types=_VIF_TYPES,
            vnic_types=ovn.VNIC_TYPES,
            supported_rules=ovn.SUPPORTED_RULES,
        )


class CentralQos(qos_plugin.QoSPlugin):
    """QoS policies that span sites."""

    # Neutron looks these up under the mangled name of the very class.
    __native_pagination_support = True
    __native_sorting_support = True

    def __init__(self) -> None:
        """Start with a driver, which registers by an event of the plugin's start."""
        self._driver = _Driver()
        super().__init__()

    def get_plugin_description(self) -> Any:
        """Return the plugin's description."""
        return "Isthmus: QoS policies that span sites"
