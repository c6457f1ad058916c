"""Where port forwardings are answered, and how the replies of their servers find their way back."""

from collections.abc import Iterator

from isthmus.federation.exits import translate
from isthmus.federation.exits.scene import Scene
from isthmus.model.exits.plan import MOST_FORWARDED, Forwarded, Lack
from isthmus.model.exits.request import Forwarding, Ports, Protocol
from isthmus.model.site import SiteName

#: A floating IP's id, or else a server's address, with a port.
_Socket = tuple[object, Protocol, int]


class Taken:
    """The ports of forwardings, outside and inside, and whose they are; so many at most."""

    def __init__(self) -> None:
        """Start with none."""
        self._holders: dict[_Socket, str] = {}
        self._size = 0

    def is_full_for(self, one: Forwarding) -> bool:
        """Tell whether a forwarding would be more than a router may have."""
        return self._size + one.outside.size > MOST_FORWARDED

    def find_holder(self, one: Forwarding) -> str | None:
        """Find a forwarding that has some of the same ports."""
        return next(
            (self._holders[socket] for socket in _list_sockets(one) if socket in self._holders),
            None,
        )

    def add(self, one: Forwarding) -> None:
        """Add the ports of a forwarding."""
        self._holders.update(dict.fromkeys(_list_sockets(one), one.id))
        self._size += one.outside.size


def place_forwardings(scene: Scene) -> tuple[dict[str, SiteName], dict[str, Lack]]:
    """Tell where port forwardings are answered, and why others are idle.

    Neutron refuses two that collide, and one for an address that has a floating IP, but it looks
    before its transaction: of two at once the later one by id is idle. Both would have one source
    of replies, so that nobody could tell by which site they leave.
    """
    found: dict[str, SiteName] = {}
    idle: dict[str, Lack] = {}
    taken = Taken()
    for one, why in judge_forwardings(scene, taken):
        site = scene.find_nat_site(one)
        if isinstance(site, Lack):
            idle[one.id] = site
        elif why is not None:
            idle[one.id] = why
        elif translate.is_cut(scene, one, site):
            idle[one.id] = Lack.NO_TRANSIT
        else:
            found[one.id] = site
    return found, idle


def judge_forwardings(scene: Scene, taken: Taken) -> Iterator[tuple[Forwarding, Lack | None]]:
    """Tell of each forwarding why it cannot be beside what else the router has, if so.

    Args:
        scene: the router among its sites.
        taken: is given the ports of those that can be; the one that has just come is not in it yet.
    """
    translated = {floating.fixed_address for floating in scene.floating_ips}
    associated = {floating.id for floating in scene.floating_ips}
    for one in scene.forwardings:
        if one.inside.size not in (1, one.outside.size):
            # Neutron compares what one request has, and not what is left of before.
            yield one, Lack.UNEVEN
        elif one.fixed_address in translated or one.floating_ip_id in associated:
            yield one, Lack.BESIDE_FLOATING_IP
        elif taken.is_full_for(one):
            yield one, Lack.TOO_MANY
        elif taken.find_holder(one) is not None:
            yield one, Lack.COLLIDES
        else:
            yield one, None
            taken.add(one)


def list_forwarded(scene: Scene, site: SiteName, nat_sites: translate.Sites) -> Iterator[Forwarded]:
    """List what a site has of the router's port forwardings: all that work."""
    inside = translate.list_inside(scene)
    for one in scene.forwardings:
        if one.id in nat_sites:
            yield Forwarded(
                forwarding_id=one.id,
                floating_ip_id=one.floating_ip_id,
                protocol=one.protocol,
                external=one.address,
                outside=one.outside,
                internal=one.fixed_address,
                inside=one.inside,
                answers=nat_sites[one.id] == site,
                replies=translate.find_policy(
                    scene, site, one, nat_sites, floating_ip_id=one.floating_ip_id, inside=inside
                ),
            )


def _list_sockets(one: Forwarding) -> Iterator[_Socket]:
    for place, ports in ((one.floating_ip_id, one.outside), (one.fixed_address, one.inside)):
        yield from ((place, one.protocol, port) for port in _each(ports))


def _each(ports: Ports) -> range:
    return range(ports.first, ports.last + 1)
