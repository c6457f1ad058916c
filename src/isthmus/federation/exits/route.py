"""The exits and static routes of a router's instance at one site."""

from collections.abc import Iterator

from isthmus.federation.exits.scene import Scene
from isthmus.federation.exits.transit import EVERYTHING
from isthmus.model.exits.plan import Exit, Lack, Purpose, Route, Way
from isthmus.model.exits.request import ExtraRoute, InternalSubnet, Prefix
from isthmus.model.site import SiteName


def find_exit(scene: Scene, site: SiteName, version: int) -> Exit | Lack:
    """Find by which site packets of an IP version leave a site."""
    outlet = scene.find_outlet(site, version)
    if outlet is None:
        return _why_none(scene, version)
    way = Way.LOCAL if outlet.site == site else Way.TRANSIT
    next_hop = outlet.next_hop if way is Way.LOCAL else scene.find_transit(outlet.site, version)
    if next_hop is None or (way is Way.TRANSIT and scene.find_transit(site, version) is None):
        return Lack.NO_TRANSIT
    return Exit(way=way, site=outlet.site, network_id=outlet.gateway.network_id, next_hop=next_hop)


def list_routes(scene: Scene, site: SiteName) -> Iterator[Route]:
    """List the static routes of a site: its defaults, and what lies on the transit network."""
    for version in scene.list_versions():
        found = find_exit(scene, site, version)
        if isinstance(found, Exit):
            yield Route(
                purpose=Purpose.DEFAULT,
                destination=EVERYTHING[version],
                next_hop=found.next_hop,
                way=found.way,
                site=found.site,
            )
    for subnet in scene.subnets:
        if site not in subnet.sites:
            yield from _over_transit(scene, site, subnet, subnet.cidr, Purpose.SUBNET)
    for extra in _sorted(scene):
        via = find_via(scene, extra)
        if via is not None and site not in via.sites:
            yield from _over_transit(scene, site, via, extra.destination, Purpose.EXTRA)


def find_via(scene: Scene, extra: ExtraRoute) -> InternalSubnet | None:
    """Find the subnet on which an extra route's next hop is; None where it is elsewhere."""
    return next((one for one in scene.subnets if extra.next_hop in one.cidr), None)


def _why_none(scene: Scene, version: int) -> Lack:
    lost = [
        one
        for one, seat in scene.seats.items()
        if seat is None
        and scene.planned[one] is not None
        and any(address.version == version for address in one.addresses)
    ]
    return Lack.NO_SITE if lost else Lack.NO_GATEWAY


def _sorted(scene: Scene) -> list[ExtraRoute]:
    return sorted(
        scene.router.extra_routes, key=lambda one: (str(one.destination), str(one.next_hop))
    )


def _over_transit(
    scene: Scene, site: SiteName, subnet: InternalSubnet, destination: Prefix, purpose: Purpose
) -> Iterator[Route]:
    host = scene.find_host(subnet)
    if host is None or scene.find_transit(site, destination.version) is None:
        return
    next_hop = scene.find_transit(host, destination.version)
    if next_hop is not None:
        yield Route(
            purpose=purpose,
            destination=destination,
            next_hop=next_hop,
            way=Way.TRANSIT,
            site=host,
        )
