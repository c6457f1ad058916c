"""Central's router plugin: Neutron's own database classes, with no agent and no data plane.

What ML2/OVN's plugin answers is answered here; where routers go is decided in the listener of
changes (`central.resource.router`), in the transaction that joins a network to one.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.api.rpc.agentnotifiers import utils as notifier_utils
from neutron.db import (
    dns_db,
    extraroute_db,
    l3_db,
    l3_extra_gws_db,
    l3_fip_pools_db,
    l3_fip_port_details,
    l3_fip_qos,
    l3_gateway_ip_qos,
    models_v2,
)
from neutron.db.availability_zone import router as router_az_db
from neutron.db.models import l3 as l3_models
from neutron.db.models import port_forwarding
from neutron.objects import router as router_object
from neutron.quota import resource_registry
from neutron_lib import constants
from neutron_lib import context as n_context
from neutron_lib import exceptions as n_exc
from neutron_lib.api.definitions import (
    extraroute,
    extraroute_atomic,
    fip_port_details,
    floatingip_pools,
    l3,
    l3_ext_gw_mode,
    l3_ext_gw_multihoming,
    l3_ext_ha_mode,
    qos_fip,
    qos_gateway_ip,
    router_availability_zone,
)
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.plugins import constants as plugin_constants
from neutron_lib.plugins import directory
from neutron_lib.services import base
from oslo_db import exception as db_exc

from isthmus import errors
from isthmus.model.resource import ResourceType
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import listener, zone
from isthmus.neutron.central.refusals import refusing
from isthmus.neutron.db.session import reading, writing
from isthmus.store.tiers import mapping
from isthmus.store.tiers import site as site_store

_FLOATING = l3_models.FloatingIP.__table__
_FORWARDINGS = port_forwarding.PortForwarding.__table__
_PORTS = models_v2.Port.__table__


@refusing
class _Refusing(
    base.ServicePluginBase,
    dns_db.DNSDbMixin,  # Neutron's own class calls it, once ML2 has the driver `dns`
    extraroute_db.ExtraRoute_dbonly_mixin,
    l3_db.L3NotifierMixin,
    l3_fip_port_details.Fip_port_details_db_mixin,
    l3_fip_pools_db.FloatingIPPoolsMixin,
    l3_fip_qos.FloatingQoSDbMixin,
    l3_gateway_ip_qos.L3_gw_ip_qos_dbonly_mixin,
    router_az_db.RouterAvailabilityZoneMixin,
    l3_extra_gws_db.ExtraGatewaysDbOnlyMixin,
):
    """Neutron's classes, which take nothing that no site would realise."""


@registry.has_registry_receivers
class CentralRouters(_Refusing):
    """Routers that span sites."""

    supported_extension_aliases = (
        l3.ALIAS,
        extraroute.ALIAS,
        extraroute_atomic.ALIAS,
        l3_ext_gw_mode.ALIAS,
        l3_ext_gw_multihoming.ALIAS,
        fip_port_details.ALIAS,
        floatingip_pools.ALIAS,
        l3_ext_ha_mode.ALIAS,
        qos_fip.ALIAS,
        qos_gateway_ip.ALIAS,
        router_availability_zone.ALIAS,
    )

    # Neutron looks these up under the mangled name of the very class.
    __native_bulk_support = True
    __native_pagination_support = True
    __native_sorting_support = True

    @resource_registry.tracked_resources(router=l3_models.Router, floatingip=l3_models.FloatingIP)
    def __init__(self) -> None:
        """Prepare to serve; nobody is notified by RPC."""
        super().__init__()
        self._notifier = notifier_utils.RPCNotifierHandler()

    @property
    def l3_rpc_notifier(self) -> Any:
        """Return a notifier that tells nobody."""
        return self._notifier

    @classmethod
    def get_plugin_type(cls) -> Any:
        """Return the type by which Neutron finds this plugin."""
        return plugin_constants.L3

    def get_plugin_description(self) -> str:
        """Return the plugin's description."""
        return "Isthmus: routers that span sites"

    # Routers ---------------------------------------------------------------------------------

    def create_router(self, context: Any, router: Any) -> Any:
        """Make a router; one that ML2/OVN cannot have is refused as it does."""
        _check_ha(router["router"])
        with translated():
            return super().create_router(context, router)

    def update_router(self, context: Any, id: str, router: Any) -> Any:
        """Change a router into one that ML2/OVN can have."""
        _check_ha(router["router"])
        with translated(), self._keeping_gateway(context, id):
            return super().update_router(context, id, router)

    @contextlib.contextmanager
    def _keeping_gateway(self, context: Any, router_id: str) -> Iterator[None]:
        """Have a router keep the gateway that a floating IP needs which passed its removal.

        Neutron takes the gateway from the router in one transaction, and deletes its port in
        another one.
        """
        try:
            yield
        except errors.InUse:
            self._restore_gateway(context.elevated(), router_id)
            raise

    @db_api.retry_db_errors
    def _restore_gateway(self, admin: Any, router_id: str) -> None:
        with db_api.CONTEXT_WRITER.using(admin):
            router = self._get_router(admin, router_id)
            left = router_object.RouterPort.get_gw_port_ids_by_router_id(admin, router_id)
            if left and not router["gw_port_id"]:
                self._replace_compat_gw_port(admin, router, left[0])

    @registry.receives(resources.ROUTER, [events.PRECOMMIT_CREATE])
    def _set_flags(self, resource: Any, event: Any, trigger: Any, payload: Any) -> None:
        """Record the flags that every router of ML2/OVN has."""
        row = payload.metadata["router_db"]
        self.set_extra_attr_value(row, "ha", True)
        self.set_extra_attr_value(row, "distributed", True)

    def get_router_availability_zones(self, router: Any) -> list[str]:
        """Return the zones of the sites where a router is."""
        with reading(n_context.get_admin_context()) as connection:
            found = mapping.peek_sites(connection, ResourceType.ROUTER, [router["id"]])
            sites = found.get(router["id"], {})
            return zone.zones_of(
                site_store.list_sites(connection),
                [site for site, withdrawn in sites.items() if not withdrawn],
            )

    def validate_availability_zones(
        self, context: Any, resource_type: str, availability_zones: Sequence[str]
    ) -> None:
        """Refuse a hint that no site serves."""
        core = directory.get_plugin()
        core.validate_availability_zones(context, resource_type, availability_zones)

    # Their transaction ends after `update_router` has: what is refused then is translated here.
    def add_extraroutes(self, context: Any, router_id: str, body: Any = None) -> Any:
        """Add routes to a router."""
        with translated():
            return super().add_extraroutes(context, router_id, body)

    def remove_extraroutes(self, context: Any, router_id: str, body: Any = None) -> Any:
        """Remove routes from a router."""
        with translated():
            return super().remove_extraroutes(context, router_id, body)

    def delete_router(self, context: Any, id: str) -> None:
        """Delete a router, at all sites."""
        with translated():
            super().delete_router(context, id)

    # Interfaces ------------------------------------------------------------------------------

    def add_router_interface(
        self, context: Any, router_id: str, interface_info: Any = None
    ) -> dict[str, Any]:
        """Join a network to a router, in all sites where it has to be then."""
        with translated():
            made: dict[str, Any] = super().add_router_interface(context, router_id, interface_info)
        _set_status(context, _PORTS, made["port_id"], constants.PORT_STATUS_ACTIVE)
        return made

    def remove_router_interface(
        self, context: Any, router_id: str, interface_info: Any
    ) -> dict[str, Any]:
        """Remove a network from a router; what floating IPs need stays."""
        with translated():
            left: dict[str, Any] = super().remove_router_interface(
                context, router_id, interface_info
            )
        return left

    def _validate_one_router_ipv6_port_per_network(self, router: Any, port: Any) -> None:
        """Allow what ML2/OVN allows: several IPv6 interfaces on one network."""

    @registry.receives(resources.PORT, [events.BEFORE_UPDATE])
    def _keep_an_address(self, resource: Any, event: Any, trigger: Any, payload: Any) -> None:
        """Refuse to take the last address from an interface, as ML2/OVN does."""
        original, wanted = payload.states[0], payload.latest_state
        if (
            original["device_owner"] in constants.ROUTER_INTERFACE_OWNERS
            and "fixed_ips" in wanted
            and not wanted["fixed_ips"]
        ):
            raise n_exc.ServicePortInUse(
                port_id=original["id"], reason="Router port must have at least one IP."
            )

    # Gateways --------------------------------------------------------------------------------

    def _create_router_gw_port(self, context: Any, router: Any, *rest: Any, **options: Any) -> None:
        """Make a gateway; its port is active, as its site shows it, which reports none."""
        super()._create_router_gw_port(context, router, *rest, **options)
        _activate_gateways(context, router["id"])

    def add_external_gateways(self, context: Any, router_id: str, body: Any) -> Any:
        """Add gateways, each at another site."""
        with translated():
            return super().add_external_gateways(context, router_id, body)

    def update_external_gateways(self, context: Any, router_id: str, body: Any) -> Any:
        """Replace the gateways of a router."""
        with translated(), self._keeping_gateway(context, router_id):
            return super().update_external_gateways(context, router_id, body)

    def remove_external_gateways(self, context: Any, router_id: str, body: Any) -> Any:
        """Remove some of the gateways of a router."""
        with translated(), self._keeping_gateway(context, router_id):
            return super().remove_external_gateways(context, router_id, body)

    # Floating IPs ----------------------------------------------------------------------------

    def create_floatingip(self, context: Any, floatingip: Any, *rest: Any, **options: Any) -> Any:
        """Make a floating IP, and associate it if a port is named."""
        # At once: a second step that failed would have the whole call tried again, with its work
        # done.
        options["initial_status"] = _status_of(floatingip["floatingip"])
        with translated():
            made: dict[str, Any] = super().create_floatingip(context, floatingip, *rest, **options)
        return made

    def update_floatingip(self, context: Any, id: str, floatingip: Any) -> Any:
        """Associate a floating IP, or change it."""
        with translated():
            changed = super().update_floatingip(context, id, floatingip)
        return self._set_status(context, changed)

    def delete_floatingip(self, context: Any, id: str) -> None:
        """Delete a floating IP."""
        with translated():
            super().delete_floatingip(context, id)

    def _set_status(self, context: Any, floating: dict[str, Any]) -> dict[str, Any]:
        """Record that a floating IP is active while it leads anywhere, as with ML2/OVN."""
        wanted = _status_of(floating)
        if floating["status"] != wanted:
            _set_status(context, _FLOATING, floating["id"], wanted)
            floating["status"] = wanted
        return floating

    def disassociate_floatingips(self, context: Any, port_id: str) -> Any:
        """Disassociate the floating IPs of a port that is deleted, those of just now included.

        What forwarded ports to it is deleted by now; if there is more, its plugin begins again.
        A port that seems to have none may have got its first: then it cannot be deleted, and its
        plugin begins again.
        """
        with db_api.CONTEXT_WRITER.using(context):
            connection = context.session.connection()
            _require_none_forwarded(connection, port_id)
            query = sa.select(_FLOATING.c.id).where(_FLOATING.c.fixed_port_id == port_id)
            seen = set(connection.scalars(query))
            if seen and set(connection.scalars(query.with_for_update())) - seen:
                raise db_exc.RetryRequest(errors.Overtaken(f"port {port_id} got a floating IP"))
            return super().disassociate_floatingips(context, port_id)

    @registry.receives(resources.FLOATING_IP, [events.PRECOMMIT_UPDATE])
    def _note_disassociation(self, resource: Any, event: Any, trigger: Any, payload: Any) -> None:
        """Note the routers of floating IPs whose port is deleted: no flush shows the statement."""
        routers = (payload.metadata or {}).get("router_ids")
        if routers is None:
            return
        session = payload.context.session
        session.connection().execute(
            sa.update(_FLOATING)
            .where(_FLOATING.c.id == payload.desired_state.id)
            .values(status=constants.FLOATINGIP_STATUS_DOWN)
        )
        for router_id in set(routers) - {None}:
            listener.touch(session, ResourceType.ROUTER, router_id)

    @registry.receives(resources.FLOATING_IP, [events.PRECOMMIT_DELETE])
    def _note_deletion(self, resource: Any, event: Any, trigger: Any, payload: Any) -> None:
        """Note the router of a floating IP that goes with its port: the database does it."""
        session = payload.context.session
        query = sa.select(_FLOATING.c.router_id).where(
            _FLOATING.c.floating_port_id == payload.latest_state["id"]
        )
        # As it is now: it may have been associated since this transaction began.
        router_id = session.connection().scalar(query.with_for_update())
        if router_id is not None:
            listener.touch(session, ResourceType.ROUTER, router_id)


@db_api.retry_db_errors
def _set_status(context: Any, table: sa.Table, row_id: str, status: str) -> None:
    """Record a status, of which no site is told.

    In one statement: Neutron's methods read the object and tell others of it, while Xjob asks the
    same process what it is to deliver.
    """
    with writing(context.elevated()) as connection:
        connection.execute(sa.update(table).where(table.c.id == row_id).values(status=status))


@db_api.retry_if_session_inactive()
def _activate_gateways(context: Any, router_id: str) -> None:
    """Record that the gateways of a router are active, of which no site is told."""
    of_router = sa.and_(
        _PORTS.c.device_id == router_id,
        _PORTS.c.device_owner == constants.DEVICE_OWNER_ROUTER_GW,
        _PORTS.c.status != constants.PORT_STATUS_ACTIVE,
    )
    values = {"status": constants.PORT_STATUS_ACTIVE}
    with writing(context.elevated()) as connection:
        connection.execute(sa.update(_PORTS).where(of_router).values(values))


def _require_none_forwarded(connection: sa.Connection, port_id: str) -> None:
    """Check that nothing is forwarded to a port that is about to go, behind its row.

    Neutron has deleted what it saw. What was made since then would go with the port's row, and
    nobody would hear of it: not the sites, nor the floating IPs, which would keep the router.

    Args:
        connection: of the transaction that deletes the port.
        port_id: the port.

    Raises:
        RetryRequest: something is; the deletion begins again, and sees it.
    """
    # Who forwards to it locks its row shared, because of the foreign key.
    connection.execute(sa.select(_PORTS.c.id).where(_PORTS.c.id == port_id).with_for_update())
    query = sa.select(_FORWARDINGS.c.id).where(_FORWARDINGS.c.internal_neutron_port_id == port_id)
    if connection.execute(query.with_for_update()).first() is not None:
        raise db_exc.RetryRequest(errors.Overtaken(f"ports are forwarded to port {port_id} now"))


def _status_of(floating: Mapping[str, Any]) -> str:
    # One that forwards ports has a router, but no port.
    if floating.get("port_id") or floating.get("router_id"):
        return str(constants.FLOATINGIP_STATUS_ACTIVE)
    return str(constants.FLOATINGIP_STATUS_DOWN)


def _check_ha(body: Any) -> None:
    """Refuse a router without high availability, in ML2/OVN's words."""
    for flag in ("ha", "distributed"):
        if body.get(flag) is False:
            raise n_exc.InvalidInput(error_message=f"Provider ovn does not support {flag}=False")
