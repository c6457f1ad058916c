"""By which sites a router's traffic leaves, so that its replies come back the same way. Pure.

* Each gateway has a seat, which is one site; a site has one gateway at most (`seat`).
* A site leaves by its own gateway, else over the transit network by that of another (`choose`).
* Sources are translated at the exit, so replies come back to it. From there they go straight to the
  port, since networks are stretched; a subnet that is not present at a site is reached over the
  transit network (`route`).
* A floating IP is translated where the gateway on its network is. Where the port's own site leaves
  by another exit, a policy sends this address's replies to the floating IP's (`translate`).
* A port forwarding is answered there as well; a policy sends the replies of its port (`forward`).
"""

from collections.abc import Iterable, Mapping

from isthmus.federation.exits import forward, route, translate
from isthmus.federation.exits import transit as addressing
from isthmus.federation.exits.scene import Scene, set_scene
from isthmus.model.exits.plan import ExitPlan, SitePlan
from isthmus.model.exits.request import ExternalNetwork, RouterFacts, SiteFacts, Transit
from isthmus.model.site import SiteName


def decide_exits(
    router: RouterFacts,
    networks: Iterable[ExternalNetwork],
    sites: Iterable[SiteFacts],
    transit: Transit | None = None,
) -> ExitPlan:
    """Decide a router's exits; the order of what is given means nothing.

    Args:
        router: the router.
        networks: at least the external networks that it has gateways on.
        sites: every site that central knows.
        transit: the router's transit network; None while it has none.

    Returns:
        What each site has. Where a transit address is missing, `transit_wanted` names the sites:
        allocate them a port key and decide again.
    """
    scene = set_scene(router, networks, sites, transit)
    nat_sites, idle = translate.place_floating_ips(scene)
    answered, silent = forward.place_forwardings(scene)
    joined = scene.places if needs_transit(scene) else ()
    has_key = frozenset(transit.port_keys if transit is not None else ())
    return ExitPlan(
        sites={
            name: _plan_site(
                scene, name, nat_sites, answered, joined=name in joined and name in has_key
            )
            for name in scene.places
        },
        seats={(one.network_id, one.addresses): seat for one, seat in scene.seats.items()},
        idle=idle | silent,
        transit_wanted=frozenset(joined) - has_key,
    )


def needs_transit(scene: Scene) -> bool:
    """Tell whether any packet of the router goes from one of its instances to another."""
    if len(scene.places) < 2:
        return False
    versions = scene.list_versions()
    for name in scene.places:
        outlets = (scene.find_outlet(name, version) for version in versions)
        if any(outlet is not None and outlet.site != name for outlet in outlets):
            return True
        if any(name not in one.sites and scene.find_host(one) for one in scene.subnets):
            return True
    for floating in scene.router.answered:
        site = scene.find_nat_site(floating)
        if site in scene.places and translate.needs_policy(scene, floating, SiteName(site)):
            return True
    return False


def _plan_site(
    scene: Scene,
    name: SiteName,
    nat_sites: Mapping[str, SiteName],
    answered: Mapping[str, SiteName],
    *,
    joined: bool,
) -> SitePlan:
    gateway = next((one for one, seat in scene.seats.items() if seat == name), None)
    return SitePlan(
        exits={version: route.find_exit(scene, name, version) for version in scene.list_versions()},
        gateway_network_id=gateway.network_id if gateway is not None else None,
        routes=tuple(route.list_routes(scene, name)),
        policies=tuple(translate.list_policies(scene, name, nat_sites)),
        snats=tuple(translate.list_snats(scene, gateway)),
        floating=tuple(translate.list_floating(scene, name, nat_sites)),
        forwarded=tuple(forward.list_forwarded(scene, name, answered)),
        limits=tuple(translate.list_limits(scene, gateway, name, {**nat_sites, **answered})),
        transit=addressing.make_port(scene.transit, name)
        if joined and scene.transit is not None
        else None,
    )
