"""What the roles are told of each site: its name, number, address, and who is central. Pure."""

import dataclasses
from collections.abc import Mapping, Sequence

from isthmus import errors
from isthmus.build.configure.tier_files import Tier
from isthmus.model.rack.fleet import Fleet, Network, Site
from isthmus.model.rack.machine import Machine

#: What a machine that carries a tier's API carries.
API_SERVICE = "neutron-server"
#: Networks of a fleet file that services and tunnels use where a machine is on them.
MANAGEMENT_NETWORK, TUNNEL_NETWORK = "management", "tunnel"
#: MAC addresses have one byte for it, and 0 is Neutron's own default.
_MOST_TIERS = 0xFE


def service_address(machine: Machine) -> str:
    """Return where a machine's services answer."""
    return dict(machine.addresses).get(MANAGEMENT_NETWORK, machine.address)


def tunnel_address(machine: Machine) -> str:
    """Return from where a machine's tunnels come."""
    return dict(machine.addresses).get(TUNNEL_NETWORK, machine.address)


def number_sites(fleet: Fleet, known: Mapping[str, int]) -> dict[str, int]:
    """Give each site a number that it keeps, whatever is put before it in the file.

    Args:
        fleet: the file.
        known: numbers of earlier runs.

    Raises:
        Exhausted: there are more sites than numbers.
    """
    numbers = {site.name: known[site.name] for site in fleet.sites if site.name in known}
    # A number of a site that is gone is not given again: addresses of its may still be in use.
    free = (one for one in range(1, _MOST_TIERS + 1) if one not in set(known.values()))
    for site in fleet.sites:
        if site.name not in numbers:
            number = next(free, None)
            if number is None:
                raise errors.Exhausted(f"a build has {_MOST_TIERS} sites at most")
            numbers[site.name] = number
    return numbers


def make_tiers(
    fleet: Fleet, machines: Sequence[Machine], numbers: Mapping[str, int]
) -> dict[str, Tier]:
    """Describe central and the sites that have a machine for their API.

    Args:
        fleet: the file.
        machines: those that run.
        numbers: of `number_sites`.

    Raises:
        Invalid: the file names no central site, or central has no machine that runs.
    """
    if fleet.central is None:
        raise errors.Invalid("the fleet file does not say which site is central: give central")
    addresses = {
        site.name: service_address(carriers[0])
        for site in fleet.sites
        if (carriers := _list_carriers(fleet, site, machines))
    }
    if fleet.central not in addresses:
        raise errors.Invalid(
            f"no machine of {fleet.central}, which is central, runs and carries {API_SERVICE}"
        )
    sites = tuple(name for name in addresses if name != fleet.central)

    def list_with(service: str) -> tuple[str, ...]:
        roles = set(fleet.services.get(service, ()))
        carriers = (one for one in machines if roles & set(one.roles))
        having = {one.site for one in carriers}
        return tuple(name for name in sites if name in having)

    mtu = min(_find_tunnel_mtu(site) for site in fleet.sites)
    return {
        name: Tier(
            name=name,
            number=numbers[name],
            address=address,
            central=fleet.central,
            central_address=addresses[fleet.central],
            sites=sites,
            mtu=mtu,
            with_placement=list_with("placement"),
            with_glance=list_with("glance"),
            with_nova=list_with("nova-api"),
        )
        for name, address in addresses.items()
    }


def make_variables(fleet: Fleet, tiers: Mapping[str, Tier]) -> dict[str, dict[str, object]]:
    """Make the variables of each site's group, by its name."""
    sites = {site.name: site for site in fleet.sites if site.name in tiers}
    same = {
        "isthmus_addresses_of_tiers": {name: one.address for name, one in tiers.items()},
        "isthmus_tunnel_prefixes": {
            name: _find_network(site, TUNNEL_NETWORK).cidr for name, site in sites.items()
        },
    }
    return {name: {"isthmus_tier": _to_variable(one), **same} for name, one in tiers.items()}


def _to_variable(tier: Tier) -> dict[str, object]:
    """Return the form that YAML has: lists for tuples."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(tier).items()
    }


def _list_carriers(fleet: Fleet, site: Site, machines: Sequence[Machine]) -> list[Machine]:
    roles = set(fleet.services.get(API_SERVICE, ()))
    return [one for one in machines if one.site == site.name and roles & set(one.roles)]


def _find_network(site: Site, name: str) -> Network:
    return next(
        (one for one in site.networks if one.name == name),
        next(one for one in site.networks if one.name == site.provisioning),
    )


def _find_tunnel_mtu(site: Site) -> int:
    return _find_network(site, TUNNEL_NETWORK).mtu
