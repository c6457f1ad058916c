"""A site's router plugin: ML2/OVN's, which makes ports of central's routers as they are there.

Neutron gives the port of an interface or a gateway an id and a MAC of its own. Those of central's
router have central's (interfaces the same ones in every site: anycast gateway), so the methods that
make these ports make them, for an item of central's, as the item says.
"""

from collections.abc import Mapping
from typing import Any

from neutron.objects import router as router_object
from neutron.services.ovn_l3 import plugin as ovn_l3
from neutron_lib import constants
from neutron_lib import exceptions as n_exc
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory

from isthmus.model import attribute
from isthmus.model.resource import ResourceType
from isthmus.neutron.local.apply.body import make_body
from isthmus.neutron.local.owned import applying
from isthmus.neutron.local.owned.ownership import guarded

_PORT = (
    "name",
    "network_id",
    "mac_address",
    "fixed_ips",
    "admin_state_up",
    "device_id",
    "device_owner",
)


@guarded
class _Guarded(ovn_l3.OVNL3RouterPlugin):
    """ML2/OVN's routers, of which those of central are changed at central alone."""


class LocalRouters(_Guarded):
    """Routers of a site."""

    #: That central's routers can be made by it, which ML2/OVN's own plugin cannot.
    takes_centrals = True

    # Neutron looks these up under the mangled name of the very class.
    __native_bulk_support = True
    __native_pagination_support = True
    __native_sorting_support = True

    def get_plugin_description(self) -> str:
        """Return the plugin's description."""
        return "Isthmus: routers of a site, and those that span sites"

    def update_interface(self, context: Any, port_id: str, changed: Mapping[str, Any]) -> None:
        """Change an interface; of a port's change alone ML2/OVN tells its router's row nothing.

        Args:
            context: an administrator's, with no transaction open.
            port_id: its port.
            changed: attributes of the port.
        """
        port = directory.get_plugin().update_port(context, port_id, {"port": dict(changed)})
        self._ovn_client.update_router_port(context, port)

    def _add_interface_by_subnet(
        self, context: Any, router: Any, subnet_id: str, owner: str
    ) -> tuple[Any, list[Any], bool]:
        """Make the port of an interface; one of central's as central has it.

        A port that an earlier attempt has left is taken.
        """
        state = _find_state()
        if state is None:
            made: tuple[Any, list[Any], bool] = super()._add_interface_by_subnet(
                context, router, subnet_id, owner
            )
            return made
        core = directory.get_plugin()
        said = next(
            one
            for one in state[attribute.INTERFACES]
            if subnet_id in {address["subnet_id"] for address in one["fixed_ips"]}
        )
        try:
            port = core.get_port(context, said["id"])
        except n_exc.PortNotFound:
            port = _create_port(context, router.id, owner, said)
        wanted = [one["subnet_id"] for one in said["fixed_ips"]]
        subnets = [core.get_subnet(context, one) for one in dict.fromkeys(wanted)]
        return port, subnets, True

    def _create_router_gw_port(
        self,
        context: Any,
        router: Any,
        network_id: str,
        ext_ips: Any,
        update_gw_port: bool = True,
    ) -> None:
        """Make the port of a gateway; one of central's as central has it.

        A port that an earlier attempt has left is taken.
        """
        state = _find_state()
        if state is None:
            super()._create_router_gw_port(context, router, network_id, ext_ips, update_gw_port)
            return
        said = state[attribute.GATEWAY]
        admin = context.elevated()
        core = directory.get_plugin()
        try:
            core.get_port(admin, said["id"])
        except n_exc.PortNotFound:
            said = {**said, "name": "", "project_id": "", "admin_state_up": True}
            _create_port(admin, router["id"], constants.DEVICE_OWNER_ROUTER_GW, said)
        with db_api.CONTEXT_WRITER.using(context):
            router = self._get_router(context, router["id"])
            router.gw_port = core._get_port(admin, said["id"])
            router_object.RouterPort(
                context,
                router_id=router.id,
                port_id=said["id"],
                port_type=constants.DEVICE_OWNER_ROUTER_GW,
            ).create()


def _find_state() -> Mapping[str, Any] | None:
    """Return the router of central's that this thread carries out, if any."""
    item = applying.current()
    return item.state if item is not None and item.type is ResourceType.ROUTER else None


def _create_port(context: Any, router_id: str, owner: str, said: Mapping[str, Any]) -> Any:
    state = {**said, "device_id": router_id, "device_owner": owner}
    return directory.get_plugin().create_port(context, {"port": make_body("ports", state, _PORT)})
