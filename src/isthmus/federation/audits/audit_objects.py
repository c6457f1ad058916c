"""Which objects a site is to have by central's holdings, and which it has. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping

from isthmus.federation.audits.holdings import Holdings, Row
from isthmus.federation.audits.narrowed import list_named
from isthmus.model import attribute
from isthmus.model.resource import Place, Resource, ResourceType
from isthmus.model.site import SiteName

#: Owner of ports that never leave their site.
_LOCAL_OWNER = "network:distributed"
#: Owners of the interfaces and gateways of routers.
_OF_ROUTERS = frozenset({"network:router_interface", "network:router_gateway"})
#: Rows that are wanted, and rows that are there, by id.
Compared = tuple[Mapping[str, Row], Mapping[str, Row]]


def _of(rows: Mapping[str, Row], key: str, ids: Iterable[str]) -> dict[str, Row]:
    wanted = set(ids)
    return {row_id: row for row_id, row in rows.items() if row[key] in wanted}


def _with_network(
    resource: Resource, central: Holdings, site: Holdings, here: Collection[str]
) -> Compared:
    """Objects of networks that are present, and those of networks that have a tunnel key.

    A network of several segments is at a site as one of them, and has the subnets there that are
    on it: those that are mapped to the site.
    """
    wanted = _of(central.objects[resource.kind], resource.network, here)
    held = _of(site.objects[resource.kind], resource.network, site.datapaths.keys())
    if resource.kind is ResourceType.NETWORK:
        wanted = {one: _as_segment(row, held.get(one, {})) for one, row in wanted.items()}
    if resource.kind is ResourceType.SUBNET:
        mapped = list_mapped(resource.kind, central, site.name)
        wanted = {
            one: row for one, row in wanted.items() if one in mapped or not row.get("segment_id")
        }
    return wanted, held


def _as_segment(network: Row, held: Row) -> Row:
    """Return a network as that one of its segments which a site has, or its first one."""
    segments = network.get("segments")
    if not segments:
        return network
    physical = held.get("provider:physical_network")
    own = [one for one in segments if one["provider:physical_network"] == physical]
    return {**network, **(own or segments)[0]}


def _by_mapping(
    resource: Resource, central: Holdings, site: Holdings, _here: Collection[str]
) -> Compared:
    """Objects that central has mapped to the site, and those that the site has as central's.

    A site may hold objects of its own, and the default group of a project that uses nothing of
    central's there is one, whether central knows the group or not. A router that is at the site for
    its gateway has no interface there on a network that is not.
    """
    mapped = list_mapped(resource.kind, central, site.name)
    both = mapped | list_mapped(resource.kind, site, site.name)
    if resource.kind is ResourceType.ROUTER:
        # Its interfaces on other networks count as well where one network is looked at.
        present = list_mapped(ResourceType.NETWORK, central, site.name)
        wanted = _of(central.objects[resource.kind], "id", mapped)
        routers = {one: _at(site.name, row, present) for one, row in wanted.items()}
        return routers, _of(site.objects[resource.kind], "id", both)
    if central.network:
        named = list_named(central)
        mapped, both = mapped & named, both & named
    return (
        _of(central.objects[resource.kind], "id", mapped),
        _of(site.objects[resource.kind], "id", both),
    )


def _at(site: SiteName, router: Row, here: Collection[str]) -> Row:
    """Return a router as a site is to have it: with interfaces on networks that are present.

    Its exits and its gateway stand by site; an older central does not say them.
    """
    listed = router.get(attribute.INTERFACES) or ()
    by_site = [name for name in (attribute.GATEWAY, attribute.EXITS) if name in router]
    return {
        **router,
        **{name: (router[name] or {}).get(site) for name in by_site},
        attribute.INTERFACES: [one for one in listed if one["network_id"] in here],
    }


def _at_home(
    resource: Resource, central: Holdings, site: Holdings, here: Collection[str]
) -> Compared:
    """Ports whose home the site is, and those of stretched networks that it has."""
    mapped = list_mapped(resource.kind, central, site.name)
    ports = _of(central.ports, "id", mapped)
    return (
        {one: port for one, port in ports.items() if port["network_id"] in here},
        {
            one: port
            for one, port in site.ports.items()
            if port["network_id"] in site.datapaths and not is_local(port, site)
        },
    )


#: What is to be at a site, and what counts as being there.
_PLACES: Mapping[Place, Callable[[Resource, Holdings, Holdings, Collection[str]], Compared]] = {
    Place.MAPPED: _by_mapping,
    Place.NETWORK: _with_network,
    Place.HOME: _at_home,
}


def find_compared(
    resource: Resource, central: Holdings, site: Holdings, here: Collection[str]
) -> Compared:
    """Find what of a resource is to be at a site, and what counts as being there.

    Args:
        resource: of which type.
        central: its holdings.
        site: the site's.
        here: ids of the networks that are present at the site.

    Returns:
        The rows that are wanted, and those that the site has, each by id.
    """
    return _PLACES[resource.place](resource, central, site, here)


def list_mapped(kind: str, tier: Holdings, site: SiteName) -> set[str]:
    """List the ids of a type of objects that a tier has mapped to a site."""
    return {
        resource_id for word, resource_id, name in tier.mappings if (word, name) == (kind, site)
    }


def is_local(port: Row, site: Holdings) -> bool:
    """Tell whether a port is no object that has a home, such as one that is part of a router."""
    if port["device_owner"] in _OF_ROUTERS:
        return port["device_id"] in list_mapped(ResourceType.ROUTER, site, site.name)
    return bool(port["device_owner"] == _LOCAL_OWNER)
