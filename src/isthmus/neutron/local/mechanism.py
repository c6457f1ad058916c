"""ML2 drivers of a site: port keys, and the thread that keeps OVN's rows.

`isthmus_local` is loaded after `ovn`. Keys are given in the transaction that makes a port, so that
Neutron's OVN driver finds them when it writes the row afterwards (`ovn_client`).

`isthmus_keys` is an ML2 extension driver with no extension. It is there because Neutron's sync tool
loads extension drivers, and no mechanism driver but its own: with it the rows that the tool writes
carry their keys too.
"""

from collections.abc import Callable
from typing import Any

from neutron.common.ovn import utils as ovn_utils
from neutron_lib import constants
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg
from typing_extensions import override

from isthmus.config.site import read_site
from isthmus.dataplane.alive.answer import Answerer
from isthmus.dataplane.alive.pulse import Pulse
from isthmus.dataplane.reconcile import Reconciler
from isthmus.neutron.local.api_worker import maintains_ovn, serves_api
from isthmus.neutron.local.lease import port_keys, sight
from isthmus.neutron.local.ovn import dataplane, ovn_client, up
from isthmus.store.ports import datapath, port_key, shadow


class KeyExtensionDriver(api.ExtensionDriver):
    """Makes processes that load none of our mechanism drivers write keys as well."""

    @override
    def initialize(self) -> None:
        ovn_client.install()

    @property
    @override
    def extension_alias(self) -> None:
        return None

    @property
    @override
    def extension_aliases(self) -> list[str]:
        return []


class LocalMechanismDriver(api.MechanismDriver):
    """Keeps what stretched networks need of a site's OVN."""

    def __init__(self) -> None:
        super().__init__()
        self.reconciler: Reconciler | None = None
        self.pulse: Pulse | None = None
        self.answerer: Answerer | None = None  #: of Neutron's maintenance worker
        self._low_keys: Callable[[str], None] = lambda _network_id: None
        self._move_of_subport: Callable[[str], None] = lambda _port_id: None

    @override
    def initialize(self) -> None:
        ovn_client.install()
        registry.subscribe(self._start, resources.PROCESS, events.AFTER_INIT)

    def when_keys_run_low(self, callback: Callable[[str], None]) -> None:
        """Register a function that is called with the id of a network whose keys run low.

        It is called after the transaction, in the thread of the request: it must be quick and must
        not raise.
        """
        self._low_keys = callback

    def _keys_run_low(self, network_id: str) -> None:
        self._low_keys(network_id)

    def when_subports_move(self, callback: Callable[[str], None]) -> None:
        """Register a function that is called with a trunk's subport that OVN has moved."""
        self._move_of_subport = callback

    def _subport_moves(self, port_id: str) -> None:
        self._move_of_subport(port_id)

    @override
    def create_port_precommit(self, context: Any) -> None:
        self._ensure_key(context)

    @override
    def update_port_precommit(self, context: Any) -> None:
        if not port_key.find_key(_connection(context), context.current["id"]):
            self._ensure_key(context)

    def _ensure_key(self, context: Any) -> None:
        port = context.current
        if ovn_utils.is_lsp_ignored(port):
            return
        allocation = port_keys.allocate(_connection(context), port["network_id"], port["id"])
        if allocation is not None:
            sight.require_sight()
        context.isthmus_keys_low = allocation is not None and allocation.low

    @override
    def create_port_postcommit(self, context: Any) -> None:
        if getattr(context, "isthmus_keys_low", False):
            self._keys_run_low(context.current["network_id"])
        self._router_may_have_moved(context.current)

    @override
    def update_port_postcommit(self, context: Any) -> None:
        self.create_port_postcommit(context)
        if context.original["device_owner"] != context.current["device_owner"]:
            self._router_may_have_moved(context.original)
        if up.is_up_where_bound(context.current):
            up.tell_neutron(context.current["id"])

    @override
    def delete_port_precommit(self, context: Any) -> None:
        port_key.free(_connection(context), [context.current["id"]])

    @override
    def delete_port_postcommit(self, context: Any) -> None:
        self._router_may_have_moved(context.current)

    def _router_may_have_moved(self, port: Any) -> None:
        """Reconcile a network again when a router is attached to it or detached from it."""
        if port["device_owner"] in constants.ROUTER_INTERFACE_OWNERS:
            self._wake_network(port["network_id"])

    @override
    def create_subnet_postcommit(self, context: Any) -> None:
        if context.current["ip_version"] == constants.IP_VERSION_6:
            self._wake_network(context.current["network_id"])

    @override
    def update_subnet_postcommit(self, context: Any) -> None:
        self.create_subnet_postcommit(context)

    @override
    def delete_subnet_postcommit(self, context: Any) -> None:
        self.create_subnet_postcommit(context)

    @override
    def update_network_postcommit(self, context: Any) -> None:
        if context.original["mtu"] != context.current["mtu"]:
            self._wake_network(context.current["id"])

    def _wake_network(self, network_id: str) -> None:
        if self.reconciler is not None:
            self.reconciler.wake(networks=[network_id])

    @override
    def delete_network_precommit(self, context: Any) -> None:
        # The core plugin of a site has its listener forget more than this; the driver stands alone.
        connection = _connection(context)
        network_id = context.current["id"]
        port_key.delete_network(connection, network_id)
        shadow.delete_network(connection, network_id)
        datapath.delete(connection, network_id)

    @override
    def delete_network_postcommit(self, context: Any) -> None:
        if self.reconciler is not None:
            self.reconciler.wake(networks=[context.current["id"]], chassis=True)

    def _start(self, resource: Any, event: Any, trigger: Any, payload: Any = None) -> None:
        if maintains_ovn(trigger):
            self.answerer = dataplane.make_answerer()
            self.answerer.start()
        if not serves_api(trigger):
            return
        site = read_site(cfg.CONF)
        self.reconciler = dataplane.make_reconciler(
            site.ovn_sweep_s,
            keys_low=self._keys_run_low,
            moved=self._subport_moves,
        )
        self.reconciler.start()
        self.pulse = dataplane.make_pulse(site.ovn_pulse_s)
        self.pulse.start()


def _connection(context: Any) -> Any:
    return context._plugin_context.session.connection()
