"""Availability zones: of sites instead of agents.

A zone exists as long as a site serves it. A network is in the zones of the sites where it is
present; its hints say to which sites it may be extended.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from isthmus.model.site import Reachability, Site, SiteState

#: The resource of a site's zones.
RESOURCES = ("network", "router")
#: Filters of zones.
_KEYS = frozenset({"name", "resource", "state"})


def list_zones(
    sites: Iterable[Site], project_id: str | None, filters: Mapping[str, Sequence[str]] | None
) -> list[dict[str, Any]]:
    """List zones in the form of Neutron's API.

    Args:
        sites: every site.
        project_id: of the caller; only Neutron's policy check reads it.
        filters: accepted names, resources and states.
    """
    available: dict[str, bool] = {}
    for site in sites:
        for zone in site.availability_zones:
            available[zone] = available.get(zone, False) or _takes_networks(site)
    zones = [
        {
            "name": name,
            "resource": resource,
            "state": "available" if usable else "unavailable",
            "project_id": project_id,
        }
        for name, usable in sorted(available.items())
        for resource in RESOURCES
    ]
    wanted = [(key, values) for key, values in (filters or {}).items() if key in _KEYS and values]
    return [zone for zone in zones if all(zone[key] in values for key, values in wanted)]


def find_unknown(sites: Iterable[Site], zones: Iterable[str]) -> str | None:
    """Return a zone that no site serves, or None."""
    known = {zone for site in sites for zone in site.availability_zones}
    return next((zone for zone in sorted(zones) if zone not in known), None)


def serves(site: Site, hints: Sequence[str]) -> bool:
    """Return whether a network with these hints may be at a site."""
    return not hints or bool(set(hints) & set(site.availability_zones))


def zones_of(sites: Iterable[Site], present: Iterable[str]) -> list[str]:
    """Return the zones of the sites where something is present."""
    names = set(present)
    return sorted(
        {zone for site in sites if site.name in names for zone in site.availability_zones}
    )


def _takes_networks(site: Site) -> bool:
    return site.state is SiteState.ENABLED and site.reachability is not Reachability.UNREACHABLE
