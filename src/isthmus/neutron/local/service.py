"""A site's service plugin: loads the API extension and starts the threads of an API process.

The threads start once a worker is forked and its OVN connections are open. They belong to the API
processes, because only those can create networks and ports.
"""

from pathlib import Path
from typing import Any

from neutron.api import extensions as neutron_extensions
from neutron_lib import exceptions as n_exc
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import directory
from neutron_lib.services import base
from oslo_config import cfg

from isthmus import errors
from isthmus.federation.digest import Page
from isthmus.model.item import parse_items
from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL
from isthmus.neutron.api import definition, extensions, rules
from isthmus.neutron.api.caller import get_caller, log_refusal
from isthmus.neutron.api.faults import translated
from isthmus.neutron.api.log import lines
from isthmus.neutron.local.admin.digest import Comparison, list_carried
from isthmus.neutron.local.admin.holdings import HoldingsApi
from isthmus.neutron.local.admin.shadow_api import ShadowApi
from isthmus.neutron.local.api_worker import serves_api
from isthmus.neutron.local.ovn import dataplane, stray
from isthmus.neutron.local.registrar import Registrar
from isthmus.neutron.local.report.carrier import CentralCarrier
from isthmus.neutron.local.report.location import Locator
from isthmus.neutron.local.report.peer_pulse import DATABASE, PeerPulse
from isthmus.neutron.local.report.relay import Relay
from isthmus.neutron.local.report.source import PortSource

neutron_extensions.append_api_extensions_path(extensions.__path__)

#: Port keys to request when they run low; central leases what it finds right, at least one.
_KEYS = 64
#: Limit of items of one batch: the most that Xjob can be configured to send at once.
_MOST_ITEMS = 1000


class LocalService(HoldingsApi, ShadowApi, base.ServicePluginBase):
    """What Isthmus adds to a site's API."""

    supported_extension_aliases = (definition.LOCAL_ALIAS,)

    # Neutron looks these up under the mangled name of the very class.
    __native_bulk_support = False
    __native_pagination_support = True
    __native_sorting_support = True

    def __init__(self) -> None:
        """Initialise; the threads start with the process."""
        super().__init__()
        self.relay: Relay | None = None
        self.registrar: Registrar | None = None
        self._comparison: Comparison | None = None
        rules.load_before_requests()
        lines.install()
        registry.subscribe(self._start, resources.PROCESS, events.AFTER_INIT)

    def get_plugin_type(self) -> Any:
        """Return the type by which Neutron finds this plugin."""
        return definition.PLUGIN_TYPE

    def get_plugin_description(self) -> str:
        """Return the plugin's description."""
        return "Isthmus: this site as one of many"

    def _start(self, resource: Any, event: Any, trigger: Any, payload: Any = None) -> None:
        if self.relay is not None or not serves_api(trigger):
            return
        core = directory.get_plugin()
        dataplane.get_driver().when_keys_run_low(
            lambda network_id: core.keeper.notify_low(PoolKind.PORT_KEY, network_id, count=_KEYS)
        )
        dataplane.get_driver().when_subports_move(core.note_move)
        locator = Locator(lambda: dataplane.get_reconciler().rows())
        source = PortSource(core, locator)
        self._comparison = Comparison(core.site.site, source, core.listener.woken.set)
        self.registrar = registrar = Registrar(
            core.site.site,
            core.central,
            core.database,
            folder=Path(cfg.CONF.state_path),
            every_s=core.site.lease_sweep_s,
            when_greeted=core.listener.woken.set,
            list_strays=lambda: stray.list_numbers(core.database()),
            list_stray_ports=lambda: stray.list_ports(core.database()),
            list_switch_keys=stray.list_switch_keys,
        )
        self.relay = Relay(
            engine=core.database,
            source=source,
            carrier=CentralCarrier(
                core.site.site,
                core.central,
                core.database,
                look=self.registrar.compare_witness,
                when_overtaken=self.registrar.hurry,
            ),
            is_heard=lambda: registrar.greeted,
            client=core.central,
            woken=core.listener.woken,
            list_open=core.listener.list_open,
            poll_s=core.site.relay_poll_s,
            call_s=core.site.connect_timeout_s + core.site.read_timeout_s,
        )
        core.central().when_unregistered = lambda wait: registrar.renew(wait=wait)
        self.pulses = {
            str(CENTRAL): PeerPulse(CENTRAL, core.central().check),
            DATABASE: PeerPulse(DATABASE, core.advance_witness),
        }
        for pulse in self.pulses.values():
            pulse.start()
        self.registrar.start()
        core.keeper.start()
        self.relay.start()

    def stop(self) -> None:
        """Stop the threads and wait for them."""
        if self.relay is not None:
            if self.registrar is not None:
                self.registrar.stop()
                self.registrar = None
            for pulse in self.pulses.values():
                pulse.stop()
            directory.get_plugin().keeper.stop()
            self.relay.stop()
            self.relay = None

    def create_site_apply(self, context: Any, site_apply: dict[str, Any]) -> dict[str, Any]:
        """Carry out a batch of items from central."""
        body = site_apply["site_apply"]
        with translated():
            _check_carrier(context)
            items = parse_items(body["items"], _MOST_ITEMS)
            plugin = directory.get_plugin()
            # Before the work too: else a database that goes back to a moment since the last look,
            # between the work and the second look, would look no older than it should.
            plugin.advance_witness()
            results = plugin.materialiser.apply(items, sequence=int(body["sequence"]))
            plugin.advance_witness()
        return {
            "sequence": body["sequence"],
            "results": [result.to_dict() for result in results],
        }

    def create_site_comparison(
        self, context: Any, site_comparison: dict[str, Any]
    ) -> dict[str, Any]:
        """Compare a page of digests with this site; without a page, list what is comparable."""
        body = site_comparison["site_comparison"]
        with translated():
            _check_carrier(context)
            if not body["type"]:
                if self._comparison is not None:  # central begins to compare: OVN's rows as well
                    dataplane.get_reconciler().wake(everything=True)
                return {**body, "carried": list_carried()}
            if self._comparison is None:
                raise errors.Busy("this process of the site is not connected to OVN yet")
            kind = ResourceType(body["type"])
            page = Page(
                kind=kind,
                after=body["after"],
                until=body["until"],
                network=body["network_id"] or "",
            )
            differing = self._comparison.compare(page, body["digest"], body["digests"])
        return {**body, "same": differing == [], "differing": differing or []}

    def get_site_applies(
        self, context: Any, filters: Any = None, fields: Any = None, **_paging: Any
    ) -> list[Any]:
        """List nothing: batches are not stored."""
        return []

    def get_site_apply(self, context: Any, id: str, fields: Any = None) -> Any:
        """Show nothing: batches are not stored."""
        raise n_exc.NotFound

    get_site_comparisons, get_site_comparison = get_site_applies, get_site_apply


def _check_carrier(context: Any) -> None:
    """Accept batches only from the user that the configuration names.

    Raises:
        Refused: it is another user, whatever its roles.
    """
    caller = get_caller(context)
    if not caller.is_written(directory.get_plugin().site.carrier_user):
        log_refusal(context, caller, "may not send batches to this site")
        raise errors.Refused(f"user {caller.user_name!r} may not send batches to this site")
