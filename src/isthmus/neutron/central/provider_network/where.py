"""At which sites a network may be: by its type, its fabric, its hints and the state of the site."""

from typing import Any

import sqlalchemy as sa
from neutron_lib import constants

from isthmus import errors
from isthmus.model.site import Site, SiteState
from isthmus.neutron.central import zone
from isthmus.neutron.central.provider_network import fabric

#: Network types that can be stretched: those whose packets OVN tunnels itself.
_STRETCHED_TYPES = frozenset({constants.TYPE_GENEVE, constants.TYPE_VXLAN})


def check_new_at(connection: sa.Connection, site: Site, network: dict[str, Any]) -> None:
    """Check that a network may come to a site.

    Raises:
        Unsupported: its type cannot be stretched.
        Conflict: its hints or its fabric exclude the site, or the site accepts no new networks.
    """
    check_may_be_at(connection, site, network)
    if site.state is not SiteState.ENABLED:
        raise errors.Conflict(f"site {site.name} is {site.state}: it takes no new networks")


def check_may_be_at(connection: sa.Connection, site: Site, network: dict[str, Any]) -> None:
    """Check that a network can be at a site, or ever have been there.

    Raises:
        Unsupported: its type cannot be stretched.
        Conflict: its hints or its fabric exclude the site.
    """
    check_type(network)
    if fabric.is_provider(network):
        fabric.check_site(connection, site, network)
    hints = network.get("availability_zone_hints") or []
    if not zone.serves(site, hints):
        raise errors.Conflict(
            f"network {network['id']} is for zones {', '.join(hints)}; site {site.name} serves "
            f"{', '.join(site.availability_zones)}"
        )


def check_type(network: dict[str, Any]) -> None:
    """Check that a network can be stretched.

    Raises:
        Unsupported: its type cannot be stretched.
    """
    kind = network.get("provider:network_type") or "of several segments"
    if fabric.is_provider(network):
        return
    external = network.get("router:external")
    if kind not in _STRETCHED_TYPES or external:
        raise errors.Unsupported(
            f"network {network['id']} is {'external and ' if external else ''}{kind}: geneve and "
            "vxlan networks can be stretched, and flat and VLAN ones, external or not, be at a site"
        )
