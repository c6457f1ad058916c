"""A site's router plugin: ML2/OVN's, which makes interfaces of central's routers as they are there.

Neutron gives the port of an interface an id and a MAC of its own. Those of central's router have
the same ones in every site (anycast gateway), so the one method that makes the port makes it, for
an item of central's, as the item says.
"""

from collections.abc import Mapping
from typing import Any

from neutron.services.ovn_l3 import plugin as ovn_l3
from neutron_lib import exceptions as n_exc
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
        item = applying.current()
        if item is None or item.type is not ResourceType.ROUTER or item.state is None:
            made: tuple[Any, list[Any], bool] = super()._add_interface_by_subnet(
                context, router, subnet_id, owner
            )
            return made
        core = directory.get_plugin()
        said = next(
            one
            for one in item.state[attribute.INTERFACES]
            if subnet_id in {address["subnet_id"] for address in one["fixed_ips"]}
        )
        try:
            port = core.get_port(context, said["id"])
        except n_exc.PortNotFound:
            state = {**said, "device_id": router.id, "device_owner": owner}
            port = core.create_port(context, {"port": make_body("ports", state, _PORT)})
        wanted = [one["subnet_id"] for one in said["fixed_ips"]]
        subnets = [core.get_subnet(context, one) for one in dict.fromkeys(wanted)]
        return port, subnets, True
