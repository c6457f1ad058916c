"""Central's service plugin: loads the API extension."""

from typing import Any

from neutron.api import extensions as neutron_extensions
from neutron_lib import context as n_context
from neutron_lib.services import base

from isthmus.neutron.api import definition, extensions, rules
from isthmus.neutron.api.log import lines
from isthmus.neutron.central.admin.event import EventApi
from isthmus.neutron.central.admin.holdings import HoldingsApi
from isthmus.neutron.central.admin.job import JobApi
from isthmus.neutron.central.admin.lease import LeaseApi
from isthmus.neutron.central.admin.mapping import MappingApi
from isthmus.neutron.central.admin.presence import PresenceApi
from isthmus.neutron.central.admin.refusal import RefusalApi
from isthmus.neutron.central.admin.renewal import RenewalApi
from isthmus.neutron.central.admin.router_exit import RouterExitApi
from isthmus.neutron.central.admin.site import SiteApi
from isthmus.neutron.central.site_api import registration
from isthmus.neutron.central.site_api.service import SiteFacingApi

neutron_extensions.append_api_extensions_path(extensions.__path__)


class CentralService(
    SiteApi,
    MappingApi,
    JobApi,
    RefusalApi,
    RenewalApi,
    PresenceApi,
    LeaseApi,
    EventApi,
    HoldingsApi,
    RouterExitApi,
    SiteFacingApi,
    base.ServicePluginBase,
):
    """What Isthmus adds to central's API."""

    supported_extension_aliases = (definition.CENTRAL_ALIAS,)

    # Neutron looks these up under the mangled name of the very class.
    __native_bulk_support = False
    __native_pagination_support = True
    __native_sorting_support = True

    def __init__(self) -> None:
        """Initialise; nothing is started."""
        super().__init__()
        rules.load_before_requests()
        lines.install()
        registration.compare_witness(n_context.get_admin_context())  # before the first request

    def get_plugin_type(self) -> Any:
        """Return the type by which Neutron finds this plugin."""
        return definition.PLUGIN_TYPE

    def get_plugin_description(self) -> str:
        """Return the plugin's description."""
        return "Isthmus: many sites behind one Neutron API"
