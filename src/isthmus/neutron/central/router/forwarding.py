"""Port forwardings at central: Neutron's own service plugin, without agents.

Where they are answered is decided with the exits of their routers; the listener of changes sees
them in the transaction that writes them (`central.resource.router`).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from neutron.objects import port_forwarding as objects
from neutron.services.portforwarding import constants as pf_constants
from neutron.services.portforwarding import pf_plugin
from neutron_lib import constants
from neutron_lib.callbacks import events, registry
from neutron_lib.db import api as db_api

from isthmus import errors
from isthmus.model.exits.request import Protocol
from isthmus.neutron.api.faults import translated


class CentralForwardings(pf_plugin.PortForwardingPlugin):
    """Port forwardings of floating IPs that span sites."""

    #: Neutron loads these as well; it knows its own router plugins alone.
    required_service_plugins: ClassVar[Sequence[str]] = ()
    _rpc_notifications_required = False

    # Neutron looks these up under the mangled name of the very class.
    __native_pagination_support = True
    __native_sorting_support = True

    def get_plugin_description(self) -> str:
        """Return the plugin's description."""
        return "Isthmus: port forwardings of floating IPs that span sites"

    def create_floatingip_port_forwarding(
        self, context: Any, floatingip_id: str, port_forwarding: Any
    ) -> Any:
        """Forward ports of a floating IP."""
        with translated():
            _check_protocol(port_forwarding)
            return super().create_floatingip_port_forwarding(
                context, floatingip_id, port_forwarding
            )

    def update_floatingip_port_forwarding(
        self, context: Any, id: str, floatingip_id: str, port_forwarding: Any
    ) -> Any:
        """Change what is forwarded.

        Args:
            context: of the request.
            id: of the port forwarding.
            floatingip_id: of its floating IP.
            port_forwarding: the body of the request.
        """
        with translated():
            _check_protocol(port_forwarding)
            return super().update_floatingip_port_forwarding(
                context, id, floatingip_id, port_forwarding
            )

    def delete_floatingip_port_forwarding(self, context: Any, id: str, floatingip_id: str) -> None:
        """Forward ports no longer."""
        with translated():
            super().delete_floatingip_port_forwarding(context, id, floatingip_id)

    @registry.receives(pf_constants.PORT_FORWARDING, [events.AFTER_CREATE, events.AFTER_DELETE])
    def _set_status(self, resource: Any, event: Any, trigger: Any, payload: Any) -> None:
        """Record that a floating IP is active while it forwards ports, as with ML2/OVN."""
        self._follow_status(payload.context.elevated(), payload.latest_state.floatingip_id)

    @db_api.retry_if_session_inactive()
    def _follow_status(self, context: Any, floating_id: str) -> None:
        works = objects.PortForwarding.objects_exist(context, floatingip_id=floating_id)
        status = constants.FLOATINGIP_STATUS_ACTIVE if works else constants.FLOATINGIP_STATUS_DOWN
        self.l3_plugin.update_floatingip_status(context, floating_id, status)


def _check_protocol(body: Any) -> None:
    """Refuse a protocol that no site forwards.

    Raises:
        Invalid: it is another one than TCP or UDP.
    """
    protocol = body["port_forwarding"].get("protocol")
    known = [one.value for one in Protocol]
    if protocol is not None and protocol not in known:
        raise errors.Invalid(
            f"protocol {protocol} cannot be forwarded: ML2/OVN forwards {' and '.join(known)} alone"
        )
