"""On whose fabric a provider network is.

A tunnelled network can be anywhere; the physical network of a provider network is a site's own, or
that of the sites that say they share it. So such a network names its site when it is made, or a
shared fabric, and is extended to those sites at once, and to no other.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db.models import segment
from neutron_lib import constants
from neutron_lib.api import validators

from isthmus import errors
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName, SiteState
from isthmus.neutron.central import zone
from isthmus.neutron.central.provider_network import segmented
from isthmus.store.tiers import mapping
from isthmus.store.tiers import site as site_store

_TYPE, _PHYSICAL, _ID = segmented.TYPE, segmented.PHYSICAL, segmented.ID


def is_provider(network: Mapping[str, Any]) -> bool:
    """Return whether a network, or a body that creates one, is on the fabric of sites."""
    segments = segmented.list_segments(network) or [network]
    return all(one.get(_TYPE) in segmented.TYPES for one in segments)


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


def choose_sites(sites: Iterable[Site], body: Mapping[str, Any]) -> list[Site]:
    """Choose the sites whose fabric a provider network is on: one, or those that share it.

    Args:
        sites: every site.
        body: of the network that is to be made.

    Raises:
        Invalid: its hints leave several sites that do not share its fabric, or none.
        Conflict: no such site takes new networks.
    """
    hints = body.get("availability_zone_hints")
    wanted = list(hints) if hints and validators.is_attr_set(hints) else []
    found = [site for site in sites if zone.serves(site, wanted)]
    segments = segmented.list_segments(body)
    if segments:
        return _require_enabled(_choose_each(found, [one[_PHYSICAL] for one in segments], wanted))
    physical = _find(body, _PHYSICAL)
    sharing = [site for site in found if physical in site.fabrics]
    if not wanted and sharing:
        found = sharing
    if not found or (len(found) > 1 and len(sharing) < len(found)):
        names = ", ".join(site.name for site in found) or "none"
        raise errors.Invalid(
            f"a {body[_TYPE]} network is on the fabric of one site, or of sites that share it "
            f"(isthmus site update --fabric), and "
            f"{f'physical network {physical}' if physical else 'that'} may be that of: {names}; "
            "name one site's zone with --availability-zone-hint"
        )
    return _require_enabled(found)


def _choose_each(served: list[Site], physical: list[str], hints: list[str]) -> list[Site]:
    """Choose the sites of a network that has another segment at each.

    Args:
        served: the sites that serve its hints.
        physical: the physical networks of its segments.
        hints: its hints.

    Raises:
        Invalid: a segment is at none of them, two are at one, or one that is named has none.
    """
    for one in physical:
        if physical.count(one) > 1 or not any(one in site.fabrics for site in served):
            raise errors.Invalid(
                f"each segment of a network is on a fabric of other sites, and {one} is that of "
                f"{'two segments' if physical.count(one) > 1 else 'no site'}: isthmus site update "
                f"SITE --fabric {one} says whose it is"
            )
    for site in served:
        own = [one for one in physical if one in site.fabrics]
        if len(own) > 1:
            raise errors.Invalid(
                f"site {site.name} would have the segments on {' and '.join(own)} of one network: "
                "a site has a network as one segment"
            )
        if hints and not own:
            raise errors.Invalid(
                f"site {site.name} has no segment of the network: none is on one of its fabrics"
            )
    return [site for site in served if any(one in site.fabrics for one in physical)]


def _require_enabled(found: list[Site]) -> list[Site]:
    """Return those of some sites that take new networks.

    Raises:
        Conflict: none does.
    """
    enabled = [site for site in found if site.state is SiteState.ENABLED]
    if not enabled:
        site = found[0]
        raise errors.Conflict(f"site {site.name} is {site.state}: it takes no new networks")
    return enabled


def check_site(connection: sa.Connection, site: Site, network: Mapping[str, Any]) -> None:
    """Check that a provider network is on the fabric of a site.

    Raises:
        Conflict: it is on other sites', which this one does not share.
        Invalid: nothing says on whose it is.
    """
    there = mapping.peek_sites(connection, ResourceType.NETWORK, [network["id"]])
    names = sorted(there.get(network["id"], ()))
    sites = site_store.list_sites(connection)
    if not names:
        names = [one.name for one in choose_sites(sites, network)]
    segments = segmented.list_segments(network)
    if segments:  # it has one of them, and cannot have two
        may = len([one for one in segments if one[_PHYSICAL] in site.fabrics]) == 1
    else:
        sharing = _list_sharing(sites, network[_PHYSICAL])
        may = sharing.issuperset({site.name, *names})
    if site.name not in names and not may:
        raise errors.Conflict(
            f"network {network['id']} is a {(segments or [network])[0][_TYPE]} network on the "
            "fabric of site "
            f"{', '.join(names)}, which {site.name} does not share: it cannot be extended to "
            f"{site.name}",
            site=site.name,
        )


def check_fabrics(connection: sa.Connection, before: Site, after: Site) -> None:
    """Check that a site may share other fabrics than before.

    Args:
        connection: of the transaction that changes the site.
        before: the site.
        after: the site as it is to be.

    Raises:
        InUse: networks are over a fabric that it would not share any more.
        Conflict: it would have two segments of a network.
        Exists: a segment of a fabric that it would share is another network's there.
    """
    others = [one for one in site_store.list_sites(connection) if one.name != before.name]
    for physical in sorted({*before.fabrics} ^ {*after.fabrics}):
        segments = _list_segments(connection, physical)
        places = mapping.peek_sites(connection, ResourceType.NETWORK, {one[0] for one in segments})
        here = [one for one in segments if before.name in places.get(one[0], ())]
        sharing = _list_sharing(others, physical)
        several = find_segmented(connection, {one[0] for one in here})
        for network_id, *what in here:
            if physical in after.fabrics and network_id in several:
                raise errors.Conflict(
                    f"site {before.name} has network {network_id} as another segment of it, and "
                    f"that on fabric {physical} would be a second one"
                )
            if physical in before.fabrics and (
                network_id in several or sharing & places[network_id].keys()
            ):
                raise errors.InUse(
                    f"network {network_id} is on fabric {physical} at sites "
                    f"{', '.join(sorted(places[network_id]))}: withdraw it before site "
                    f"{before.name} shares that fabric no more"
                )
            for other_id, *other in segments:
                if (
                    other == what
                    and other_id != network_id
                    and (sharing & places.get(other_id, {}).keys())
                ):
                    raise errors.Exists(
                        f"network {network_id} at site {before.name} and network {other_id} at "
                        f"site {', '.join(sorted(places[other_id]))} have the same segment of "
                        f"physical network {physical}: on a fabric that they share it is one"
                    )


def check_change(
    connection: sa.Connection, body: Mapping[str, Any], find: Callable[[], Mapping[str, Any]]
) -> None:
    """Refuse to change of a provider network what its sites have made of it.

    Args:
        connection: of a transaction.
        body: what the update sets.
        find: gives the network as it is.

    Raises:
        Unsupported: it gets another segment.
        Conflict: it becomes external, and has subnets on segments.
    """
    if _ID in body:
        network = find()
        if is_provider(network) and body[_ID] != network.get(_ID):
            raise errors.Unsupported(
                f"network {network['id']} has {_ID} {network.get(_ID)} at its site, and keeps it: "
                "make another network"
            )
    if body.get("router:external"):
        network = find()
        if segmented.has_segmented_subnets(connection, network["id"]):
            raise errors.Conflict(
                f"network {network['id']} has subnets on segments: the gateway of a router has one "
                "seat, so it cannot be external"
            )


def require_free(
    connection: sa.Connection, sites: Iterable[Site], body: Mapping[str, Any], *, besides: str = ""
) -> None:
    """Refuse a provider network whose segment another network of central's has at its sites.

    Of two that are made at once, and of a network of the site's own, the site hears: it refuses
    what is in use there, and the job says so.

    Args:
        connection: of a transaction.
        sites: where the network is to be.
        body: of the network.
        besides: the network itself, if it is there already.

    Raises:
        Exists: there is one, there or at a site that shares the fabric.
    """
    segments = segmented.list_segments(body)
    for one in segments or [body]:
        there = [site for site in sites if not segments or one[_PHYSICAL] in site.fabrics]
        _require_free(connection, there, one, besides)


def _require_free(
    connection: sa.Connection, sites: list[Site], one: Mapping[str, Any], besides: str
) -> None:
    kind, physical, number = one[_TYPE], _find(one, _PHYSICAL), _find(one, _ID)
    if physical is None or (kind == constants.TYPE_VLAN and number is None):
        return  # which ML2 refuses, and says so; or it chooses a VLAN that no other network has
    same = [
        network_id
        for network_id, *segment in _list_segments(connection, physical)
        if segment == [kind, number if kind == constants.TYPE_VLAN else None]
        and network_id != besides
    ]
    if not same:
        return
    places = mapping.peek_sites(connection, ResourceType.NETWORK, same)
    wire = {site.name for site in sites}
    sharing = _list_sharing(site_store.list_sites(connection), physical)
    if wire & sharing:
        wire |= sharing
    for other, there in sorted(places.items()):
        taken = sorted(wire & {name for name, withdrawn in there.items() if not withdrawn})
        if taken:
            raise errors.Exists(
                f"network {other} is {kind}{f' {number}' if number else ''} on physical network "
                f"{physical} of site {', '.join(taken)} already"
            )


def find_on_fabrics(connection: sa.Connection, network_ids: Iterable[str]) -> set[str]:
    """Return which of some networks are on fabrics of sites, by a plain read."""
    rows = segment.NetworkSegment
    query = sa.select(rows.network_id).where(
        rows.network_id.in_(sorted(network_ids)), rows.network_type.in_(sorted(segmented.TYPES))
    )
    return set(connection.scalars(query))


def find_segmented(connection: sa.Connection, network_ids: Iterable[str]) -> set[str]:
    """Return which of some networks have several segments, by a plain read."""
    rows = segment.NetworkSegment
    query = sa.select(rows.network_id).where(rows.network_id.in_(sorted(network_ids)))
    query = query.group_by(rows.network_id).having(sa.func.count() > 1)
    return set(connection.scalars(query))


def _list_sharing(sites: Iterable[Site], physical: str | None) -> set[SiteName]:
    """Return the sites that share a fabric."""
    return {site.name for site in sites if physical in site.fabrics}


def _list_segments(connection: sa.Connection, physical: str) -> list[tuple[str, str, int | None]]:
    """List network, type and VLAN of the segments on a physical network, whosever it is."""
    rows = segment.NetworkSegment
    query = sa.select(rows.network_id, rows.network_type, rows.segmentation_id)
    query = query.where(rows.physical_network == physical).order_by(rows.network_id)
    return [
        (row.network_id, row.network_type, row.segmentation_id) for row in connection.execute(query)
    ]


def _find(body: Mapping[str, Any], name: str) -> Any:
    """Return an attribute of a body; None where it is not set."""
    value = body.get(name)
    return value if validators.is_attr_set(value) else None
