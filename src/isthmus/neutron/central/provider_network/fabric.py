"""On whose fabric a provider network is.

A tunnelled network can be anywhere; the physical network of a provider network is a site's own. So
such a network names its site when it is made, is extended to it at once, and to no other.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db.models import segment
from neutron_lib import constants
from neutron_lib.api import validators

from isthmus import errors
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteState
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import zone
from isthmus.store.tiers import mapping
from isthmus.store.tiers import site as site_store

#: Types of networks on the fabric of a site.
TYPES = frozenset({constants.TYPE_FLAT, constants.TYPE_VLAN})
_TYPE = "provider:network_type"
_PHYSICAL = "provider:physical_network"
_ID = "provider:segmentation_id"


def is_provider(network: Mapping[str, Any]) -> bool:
    """Return whether a network, or a body that creates one, is on the fabric of a site."""
    return network.get(_TYPE) in TYPES


def with_default(body: Mapping[str, Any], kind: str | None) -> Mapping[str, Any]:
    """Return a body that creates a network, with the type that ML2 gives external ones by default.

    Args:
        body: of the network that is to be made.
        kind: ML2's `external_network_type`.
    """
    external = validators.is_attr_set(body.get("router:external")) and body["router:external"]
    if not kind or not external or any(_find(body, one) for one in (_TYPE, _PHYSICAL, _ID)):
        return body
    return {**body, _TYPE: kind}


def choose_site(sites: Iterable[Site], body: Mapping[str, Any]) -> Site:
    """Choose the site whose fabric a provider network is on.

    Args:
        sites: every site.
        body: of the network that is to be made.

    Raises:
        Invalid: its hints leave several sites, or none.
        Conflict: the site takes no new networks.
    """
    hints = body.get("availability_zone_hints")
    wanted = list(hints) if hints and validators.is_attr_set(hints) else []
    found = [site for site in sites if zone.serves(site, wanted)]
    if len(found) != 1:
        names = ", ".join(site.name for site in found) or "none"
        physical = _find(body, _PHYSICAL)
        raise errors.Invalid(
            f"a {body[_TYPE]} network is on the fabric of one site, and "
            f"{f'physical network {physical}' if physical else 'that'} may be that of: {names}; "
            "name one site's zone with --availability-zone-hint"
        )
    (site,) = found
    if site.state is not SiteState.ENABLED:
        raise errors.Conflict(f"site {site.name} is {site.state}: it takes no new networks")
    return site


def check_site(connection: sa.Connection, site: Site, network: Mapping[str, Any]) -> None:
    """Check that a provider network is on the fabric of a site.

    Raises:
        Conflict: it is on another site's.
        Invalid: nothing says on whose it is.
    """
    there = mapping.peek_sites(connection, ResourceType.NETWORK, [network["id"]])
    names = sorted(there.get(network["id"], ()))
    if not names:
        names = [choose_site(site_store.list_sites(connection), network).name]
    if site.name not in names:
        raise errors.Conflict(
            f"network {network['id']} is a {network[_TYPE]} network on the fabric of site "
            f"{', '.join(names)}, which no other site has: it cannot be extended to {site.name}",
            site=site.name,
        )


def check_change(body: Mapping[str, Any], find: Callable[[], Mapping[str, Any]]) -> None:
    """Refuse another segment for a provider network: its site has made it already.

    Args:
        body: what the update sets.
        find: gives the network as it is.

    Raises:
        Fault: it is refused (501).
    """
    if _ID not in body:
        return
    network = find()
    if is_provider(network) and body[_ID] != network.get(_ID):
        with translated():
            raise errors.Unsupported(
                f"network {network['id']} has {_ID} {network.get(_ID)} at its site, and keeps it: "
                "make another network"
            )


def require_free(connection: sa.Connection, site: Site, body: Mapping[str, Any]) -> None:
    """Refuse a provider network whose segment another network of central's has at the site.

    Of two that are made at once, and of a network of the site's own, the site hears: it refuses
    what is in use there, and the job says so.

    Raises:
        Exists: there is one.
    """
    rows = segment.NetworkSegment
    kind, physical, number = body[_TYPE], _find(body, _PHYSICAL), _find(body, _ID)
    if physical is None or (kind == constants.TYPE_VLAN and number is None):
        return  # which ML2 refuses, and says so; or it chooses a VLAN that no other network has
    query = sa.select(rows.network_id).where(
        rows.network_type == kind, rows.physical_network == physical
    )
    if kind == constants.TYPE_VLAN:
        query = query.where(rows.segmentation_id == number)
    others = sorted(connection.scalars(query))
    for other in mapping.peek_ids(connection, ResourceType.NETWORK, site.name, others):
        raise errors.Exists(
            f"network {other} is {kind}{f' {number}' if number else ''} on physical network "
            f"{physical} of site {site.name} already"
        )


def _find(body: Mapping[str, Any], name: str) -> Any:
    """Return an attribute of a body; None where it is not set."""
    value = body.get(name)
    return value if validators.is_attr_set(value) else None
