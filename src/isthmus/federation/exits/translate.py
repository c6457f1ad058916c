"""Which site translates which addresses, and how the replies find their way back to it."""

import ipaddress
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

from isthmus.federation.exits.choose import first_ipv4
from isthmus.federation.exits.scene import Scene
from isthmus.model.exits.plan import FloatingLimit, FloatingNat, Lack, ReturnPolicy, Snat
from isthmus.model.exits.request import FloatingIp, Forwarding, Gateway, Prefix
from isthmus.model.site import SiteName

#: Each floating IP that works, by id, with the site that translates it.
Sites = Mapping[str, SiteName]


def place_floating_ips(scene: Scene) -> tuple[dict[str, SiteName], dict[str, Lack]]:
    """Return where floating IPs are translated, and why others are idle.

    Two floating IPs of one fixed address may be of networks of two sites. Its replies can leave by
    one of them alone, since only their source tells them apart: by the exit of the port's own site
    if it is one of the two, else by the first one by site and id.
    """
    found: dict[str, SiteName] = {}
    idle: dict[str, Lack] = {}
    for floating in scene.floating_ips:
        site = scene.find_nat_site(floating)
        if isinstance(site, Lack):
            idle[floating.id] = site
        else:
            found[floating.id] = site
    for floating in scene.floating_ips:
        if floating.id in found and found[floating.id] != _way_of(scene, floating, found):
            idle[floating.id] = Lack.OTHER_WAY
        elif floating.id in found and is_cut(scene, floating, found[floating.id]):
            idle[floating.id] = Lack.NO_TRANSIT
    return {one: site for one, site in found.items() if one not in idle}, idle


def needs_policy(scene: Scene, floating: FloatingIp | Forwarding, site: SiteName) -> bool:
    """Tell whether replies of a floating IP's port would leave elsewhere."""
    home = floating.home
    if home is None or home == site or home not in scene.places:
        return False
    outlet = scene.find_outlet(home, 4)
    return outlet is None or outlet.site != site


def list_policies(scene: Scene, site: SiteName, nat_sites: Sites) -> Iterator[ReturnPolicy]:
    """List the policies of a site where floating IPs' ports live."""
    inside = list_inside(scene)
    for floating in scene.floating_ips:
        policy = find_policy(
            scene, site, floating, nat_sites, floating_ip_id=floating.id, inside=inside
        )
        if policy is not None:
            yield policy


def find_policy(
    scene: Scene,
    site: SiteName,
    floating: FloatingIp | Forwarding,
    nat_sites: Sites,
    *,
    floating_ip_id: str,
    inside: tuple[IPv4Network, ...],
) -> ReturnPolicy | None:
    """Find the policy of a site where the port of a floating IP lives, or of a forwarding.

    Args:
        scene: the router among its sites.
        site: the site.
        floating: the floating IP, or the forwarding.
        nat_sites: where each that works is answered.
        floating_ip_id: of the floating IP.
        inside: what the port reaches by the router's own routes.

    Returns:
        None where the replies need no policy of this site.
    """
    at = nat_sites.get(floating.id)
    if floating.home != site or at is None or not needs_policy(scene, floating, at):
        return None
    next_hop = scene.find_transit(at, 4)
    if not isinstance(next_hop, ipaddress.IPv4Address):
        return None
    return ReturnPolicy(
        floating_ip_id=floating_ip_id,
        source=floating.fixed_address,
        inside=inside,
        only=_find_reach(scene, floating, at),
        next_hop=next_hop,
        site=at,
    )


def list_floating(scene: Scene, site: SiteName, nat_sites: Sites) -> Iterator[FloatingNat]:
    """List the floating IPs that a site translates."""
    for floating in scene.floating_ips:
        if nat_sites.get(floating.id) == site:
            yield FloatingNat(
                floating_ip_id=floating.id,
                external=floating.address,
                internal=floating.fixed_address,
                port_id=floating.port_id,
                at_home=floating.home == site,
                mac=floating.mac,
            )


def list_limits(
    scene: Scene, gateway: Gateway | None, site: SiteName, nat_sites: Sites
) -> Iterator[FloatingLimit]:
    """List what limits the floating IPs for which a site answers.

    Args:
        scene: the router among its sites.
        gateway: the site's.
        site: the site.
        nat_sites: where each floating IP, and each forwarding, that works is answered.
    """
    limits = dict(scene.router.limits)
    if gateway is None or not limits:
        return
    told = set()
    answered: list[FloatingIp | Forwarding] = [*scene.floating_ips, *scene.forwardings]
    for one in answered:
        floating_ip_id = one.id if isinstance(one, FloatingIp) else one.floating_ip_id
        if nat_sites.get(one.id) != site or floating_ip_id not in limits or floating_ip_id in told:
            continue
        told.add(floating_ip_id)
        at_port = isinstance(one, FloatingIp) and one.home == site and one.mac is not None
        yield FloatingLimit(
            floating_ip_id=floating_ip_id,
            external=one.address,
            network_id=one.network_id,
            gateway_port_id=gateway.port_id,
            port_id=one.port_id if at_port else "",
            limits=limits[floating_ip_id],
        )


def list_snats(scene: Scene, gateway: Gateway | None) -> Iterator[Snat]:
    """List the source translations of a site's gateway: of every IPv4 subnet of the router.

    Traffic of subnets that are not present there comes over the transit network.
    """
    external = first_ipv4(gateway) if gateway is not None else None
    if gateway is None or external is None or not gateway.enable_snat:
        return
    for subnet in scene.subnets:
        if isinstance(subnet.cidr, IPv4Network):
            yield Snat(network_id=gateway.network_id, external=external, internal=subnet.cidr)


def _way_of(scene: Scene, floating: FloatingIp, found: Sites) -> SiteName:
    """Choose by which of its floating IPs' sites the replies of a fixed address leave."""
    same = sorted(
        found[one.id]
        for one in scene.floating_ips
        if one.id in found and one.fixed_address == floating.fixed_address
    )
    home = floating.home
    outlet = scene.find_outlet(home, 4) if home in scene.places and home is not None else None
    return outlet.site if outlet is not None and outlet.site in same else same[0]


def is_cut(scene: Scene, floating: FloatingIp | Forwarding, site: SiteName) -> bool:
    """Tell whether replies of a port elsewhere need transit addresses that are not there."""
    home = floating.home
    if home is None or home not in scene.places or home == site:
        return False
    return None in (scene.find_transit(home, 4), scene.find_transit(site, 4))


def _find_reach(
    scene: Scene, floating: FloatingIp | Forwarding, site: SiteName
) -> tuple[IPv4Network, ...]:
    """Return what a floating IP can be reached from, where that is its own network alone.

    A network without a next hop leads no further. A reply to anything else would leave its site by
    another one, in the end the port's own, whose policy would send it there again.
    """
    outlet = scene.find_outlet(site, 4)
    if outlet is not None and outlet.site == site:
        return ()
    return scene.outside.get(floating.network_id, ())


def list_inside(scene: Scene) -> tuple[IPv4Network, ...]:
    """List what a floating IP's port reaches by the router's own routes."""
    prefixes: list[Prefix] = [subnet.cidr for subnet in scene.subnets]
    prefixes += [one.destination for one in scene.router.extra_routes]
    prefixes += scene.transit.ranges if scene.transit is not None else ()
    found = {one for one in prefixes if isinstance(one, IPv4Network) and one.prefixlen}
    return tuple(sorted(found))
