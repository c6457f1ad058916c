"""Port forwardings at central: Neutron's own service plugin, without agents.

Where they are answered is decided with the exits of their routers; the listener of changes sees
them in the transaction that writes them (`central.resource.router`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import sqlalchemy as sa
from neutron.db.models import l3
from neutron.objects import port_forwarding as objects
from neutron.services.portforwarding import constants as pf_constants
from neutron.services.portforwarding import pf_plugin
from neutron_lib import constants
from neutron_lib.callbacks import events, registry
from neutron_lib.db import api as db_api

from isthmus import errors
from isthmus.model.exits.request import Protocol
from isthmus.neutron.api.faults import translated

#: Whether this call locks the floating IP before it reads what that forwards.
_LOCKS: ContextVar[bool] = ContextVar("locks", default=False)


@contextmanager
def _locking() -> Iterator[None]:
    token = _LOCKS.set(True)
    try:
        yield
    finally:
        _LOCKS.reset(token)


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
        with translated(), _locking():
            _check_protocol(port_forwarding)
            _check_sides(port_forwarding, all_of_it=True)
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
        with translated(), _locking():
            _check_protocol(port_forwarding)
            _check_sides(port_forwarding, all_of_it=False)
            return super().update_floatingip_port_forwarding(
                context, id, floatingip_id, port_forwarding
            )

    def delete_floatingip_port_forwarding(self, context: Any, id: str, floatingip_id: str) -> None:
        """Forward ports no longer."""
        with translated(), _locking():
            super().delete_floatingip_port_forwarding(context, id, floatingip_id)

    def _get_fip_obj(self, context: Any, fip_id: str) -> Any:
        """Return a floating IP, behind its row where what it forwards is about to change.

        Neutron decides by plain reads which forwarding is the last one, and takes the router away
        with that. This is the first statement of those transactions, so that what they read is of
        after the lock.
        """
        if _LOCKS.get():
            table = l3.FloatingIP.__table__
            query = sa.select(table.c.id).where(table.c.id == fip_id)
            context.session.execute(query.with_for_update())
        return super()._get_fip_obj(context, fip_id)

    def _process_port_request(self, event: str, context: Any, port: Any) -> Any:
        """Delete what is forwarded to addresses that a port loses.

        Neutron does nothing where the port has no IPv4 address any more, not even when it goes. One
        that nothing is forwarded to stands for that.
        """
        fixed_ips = [*port["fixed_ips"], {"ip_address": "0.0.0.0"}]  # noqa: S104
        return super()._process_port_request(event, context, {**port, "fixed_ips": fixed_ips})

    def _check_port_has_binding_floating_ip(self, context: Any, port_forwarding: Any) -> None:
        """Refuse a port that has a floating IP, also where no address is named."""
        known = {"internal_ip_address": None, **port_forwarding}
        super()._check_port_has_binding_floating_ip(context, known)

    def _check_router_match(
        self, context: Any, fip_obj: Any, router_id: str, pf_dict: dict[str, Any]
    ) -> None:
        """Refuse a port behind another router, also where a range is named.

        Args:
            context: of the request.
            fip_obj: the floating IP.
            router_id: the router by which its network is reached from the port.
            pf_dict: the body of the request.

        Raises:
            Invalid: the floating IP is answered by another router.
        """
        if fip_obj.router_id not in (None, router_id) and "internal_port" not in pf_dict:
            raise errors.Invalid(
                f"floating IP {fip_obj.id} is answered by router {fip_obj.router_id}, which port "
                f"{pf_dict['internal_port_id']} is not behind"
            )
        super()._check_router_match(context, fip_obj, router_id, pf_dict)

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


def _check_sides(body: Any, *, all_of_it: bool) -> None:
    """Refuse what Neutron would take for something else, or stumble over.

    Args:
        body: of the request.
        all_of_it: whether it makes a forwarding, and so has to name both sides.

    Raises:
        Invalid: a side has both a port and a range, or none; or an address comes without its port.
    """
    asked = body["port_forwarding"]
    for side in ("internal", "external"):
        ports = [key for key in (f"{side}_port", f"{side}_port_range") if asked.get(key)]
        if len(ports) > 1:
            raise errors.Invalid(f"name {ports[0]} or {ports[1]}, not both")
        if all_of_it and not ports:
            raise errors.Invalid(f"name {side}_port or {side}_port_range")
        if side == "internal" and asked.get("internal_ip_address") and not ports:
            raise errors.Invalid(
                "an internal_ip_address is changed together with internal_port or "
                "internal_port_range"
            )
