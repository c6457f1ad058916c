"""Central's trunk plugin: Neutron's own, with a driver that accepts what ML2/OVN accepts at sites.

Neutron does not start the plugin without a driver that knows VLANs. Central has no data plane, so
its driver writes what ML2/OVN's would write into Neutron's database, in the transaction of the
change; ML2/OVN of the parent port's home carries the trunk out.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from neutron.objects import ports as port_object
from neutron.objects import trunk as trunk_object
from neutron.services.trunk import exceptions as trunk_exc
from neutron.services.trunk import plugin as trunk_plugin
from neutron.services.trunk.drivers import base
from neutron.services.trunk.drivers.ovn import trunk_driver as ovn
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.services.trunk import constants as trunk_constants

from isthmus.neutron.api.faults import translated

#: VIF types of ports that ML2/OVN makes trunks of, and of those whose home has yet to report which
#: it chose (`isthmus.neutron.central.mechanism`).
_INTERFACES = (*ovn.SUPPORTED_INTERFACES, portbindings.VIF_TYPE_OTHER)


class _Driver(base.DriverBase):
    """Shows of trunks and subports what ML2/OVN shows."""

    def __init__(self) -> None:
        """Register with the plugin that is about to start."""
        super().__init__(
            name="isthmus_central",
            interfaces=_INTERFACES,
            segmentation_types=ovn.SUPPORTED_SEGMENTATION_TYPES,
            agent_type=None,
            can_trunk_bound_port=True,
        )

    @property
    def is_loaded(self) -> bool:
        """Return that it is in use: nothing loads it but central's plugin."""
        return True

    @registry.receives(resources.TRUNK_PLUGIN, [events.AFTER_INIT])
    def register(self, resource: Any, event: Any, trigger: Any, payload: Any = None) -> None:
        """Register with the plugin, and listen to its changes."""
        super().register(resource, event, trigger, payload=payload)
        for callback, what, when in (
            (self._created, resources.TRUNK, events.PRECOMMIT_CREATE),
            (self._deleted, resources.TRUNK, events.PRECOMMIT_DELETE),
            (self._subports_added, resources.SUBPORTS, events.PRECOMMIT_CREATE),
            (self._subports_removed, resources.SUBPORTS, events.PRECOMMIT_DELETE),
            (self._port_updated, resources.PORT, events.AFTER_UPDATE),
        ):
            registry.subscribe(callback, what, when)

    def _created(self, resource: Any, event: Any, trigger: Any, payload: Any) -> None:
        trunk = payload.desired_state
        _give_owner(payload.context, trunk.sub_ports, trunk_constants.TRUNK_SUBPORT_OWNER)
        trunk.update(status=trunk_constants.TRUNK_ACTIVE_STATUS)

    def _deleted(self, resource: Any, event: Any, trigger: Any, payload: Any) -> None:
        _give_owner(payload.context, payload.states[0].sub_ports, "")

    def _subports_added(self, resource: Any, event: Any, trigger: Any, payload: Any) -> None:
        self._subports_change(payload, trunk_constants.TRUNK_SUBPORT_OWNER)

    def _subports_removed(self, resource: Any, event: Any, trigger: Any, payload: Any) -> None:
        self._subports_change(payload, "")

    def _subports_change(self, payload: Any, owner: str) -> None:
        _give_owner(payload.context, payload.metadata["subports"], owner)
        payload.states[1].update(status=trunk_constants.TRUNK_ACTIVE_STATUS)

    def _port_updated(self, resource: Any, event: Any, trigger: Any, payload: Any) -> None:
        """Let a trunk be ACTIVE as its parent port becomes it; Neutron's plugin sets it DOWN."""
        old, new = payload.states[0], payload.latest_state
        details = new.get("trunk_details")
        active = constants.PORT_STATUS_ACTIVE
        if not details or new.get("status") != active or old.get("status") == active:
            return
        trunk = trunk_object.Trunk.get_object(payload.context.elevated(), id=details["trunk_id"])
        if trunk is not None:  # it may have been deleted meanwhile
            trunk.update(status=trunk_constants.TRUNK_ACTIVE_STATUS)


def _give_owner(context: Any, subports: Iterable[Any], owner: str) -> None:
    """Write the owner that ML2/OVN gives to subports, and takes from what is none any more."""
    for one in subports:
        port = port_object.Port.get_object(context.elevated(), id=one.port_id)
        if port is not None:
            port.device_owner = owner
            port.update()


class CentralTrunks(trunk_plugin.TrunkPlugin):
    """Trunks that span sites."""

    # Neutron looks these up under the mangled name of the very class.
    __native_pagination_support = True
    __native_sorting_support = True

    def __init__(self) -> None:
        """Start with a driver, which registers by an event of the plugin's start."""
        self._driver = _Driver()
        super().__init__()

    def get_plugin_description(self) -> Any:
        """Return the plugin's description."""
        return "Isthmus: trunks that span sites"

    def create_trunk(self, context: Any, trunk: Any) -> Any:
        """Make a trunk; refuse one whose ports cannot be at one site."""
        with translated():
            return super().create_trunk(context, trunk)

    def add_subports(self, context: Any, trunk_id: str, subports: Any) -> Any:
        """Add subports; refuse those that cannot be at the site of the parent port."""
        with translated():
            return super().add_subports(context, trunk_id, subports)

    def release_port(self, context: Any, port_id: str) -> None:
        """Take a port that its home has deleted out of its trunk, or delete the trunk that it has.

        The site had not heard of the trunk when it deleted the port.

        Args:
            context: an administrator's.
            port_id: the port, in a trunk or not.
        """
        subport = trunk_object.SubPort.get_object(context, port_id=port_id)
        trunk = trunk_object.Trunk.get_object(context, port_id=port_id)
        gone = (trunk_exc.TrunkNotFound, trunk_exc.SubPortNotFound)
        if subport is not None:
            body = {"sub_ports": [{"port_id": port_id}]}
            with contextlib.suppress(*gone), self._enabled(context, subport.trunk_id):
                self.remove_subports(context, subport.trunk_id, body)
        if trunk is not None:
            with contextlib.suppress(*gone), self._enabled(context, trunk.id):
                self.delete_trunk(context, trunk.id)

    @contextlib.contextmanager
    def _enabled(self, context: Any, trunk_id: str) -> Iterator[None]:
        """Enable a trunk meanwhile: Neutron changes no other."""
        disabled = not self.get_trunk(context, trunk_id)["admin_state_up"]
        if disabled:
            self.update_trunk(context, trunk_id, {"trunk": {"admin_state_up": True}})
        yield
        if disabled:
            self.update_trunk(context, trunk_id, {"trunk": {"admin_state_up": False}})
