"""What the trunk and QoS service plugins ask of a mechanism driver before they load."""

from typing import Any, Self

from neutron.services.qos.drivers.ovn import driver as ovn_qos
from neutron.services.trunk.drivers import base as trunk_base
from neutron_lib.api.definitions import portbindings
from neutron_lib.services.qos import base as qos_base
from neutron_lib.services.trunk import constants as trunk_constants

_NAME = "isthmus_central"
#: Every VIF type a port may have at central: unbound, or as its home site bound it.
_VIF_TYPES = (
    portbindings.VIF_TYPE_OTHER,
    portbindings.VIF_TYPE_OVS,
    portbindings.VIF_TYPE_VHOST_USER,
    portbindings.VIF_TYPE_UNBOUND,
)


class CentralTrunkDriver(trunk_base.DriverBase):
    """A trunk is a row at central; the home site realises it."""

    @property
    def is_loaded(self) -> bool:
        """Say that it is there."""
        return True

    @classmethod
    def create(cls) -> Self:
        """Make the one driver."""
        return cls(
            _NAME,
            _VIF_TYPES,
            (trunk_constants.SEGMENTATION_TYPE_VLAN,),
            None,
            can_trunk_bound_port=True,
        )


class CentralQosDriver(qos_base.DriverBase):
    """A policy is rows at central; the home site realises it, by OVN, so its rules count."""

    @property
    def is_loaded(self) -> bool:
        """Say that it is there."""
        return True

    @classmethod
    def create(cls) -> Self:
        """Make the one driver."""
        rules: Any = ovn_qos.SUPPORTED_RULES
        return cls(
            name=_NAME,
            vif_types=list(_VIF_TYPES),
            vnic_types=[portbindings.VNIC_NORMAL],
            supported_rules=rules,
            requires_rpc_notifications=False,
        )
