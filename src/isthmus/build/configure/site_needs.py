"""What `isthmus build site` needs at each site, and what of it a fleet file lacks. Pure."""

from collections.abc import Iterator, Sequence

from isthmus import errors
from isthmus.build.configure.site_variables import API_SERVICE
from isthmus.model.rack.fleet import Fleet
from isthmus.model.rack.machine import Machine

#: What the machine of a tier's API carries beside it: they meet there, over sockets and addresses.
_BESIDE_CENTRAL = ("mariadb", "memcached", "keystone", "isthmus-xjob")
_BESIDE_SITE = ("mariadb", "memcached", "ovn-central")
_HYPERVISOR = "ovn-controller"
#: What a site may have besides, on the machine of its API, and what of it Nova needs.
COMPUTE_SERVICES = (
    "rabbitmq",
    "placement",
    "glance",
    "nova-api",
    "nova-scheduler",
    "nova-conductor",
)
_NOVA = frozenset({"nova-api", "nova-scheduler", "nova-conductor"})
_COMPUTE = "nova-compute"


def require_services(fleet: Fleet, machines: Sequence[Machine]) -> None:
    """Refuse a fleet that cannot become sites, with every reason at once.

    Args:
        fleet: the file.
        machines: all of the file, whether they run or not.

    Raises:
        Invalid: the file does not say which site is central, or a site lacks a service.
    """
    if fleet.central is None:
        raise errors.Invalid("the fleet file does not say which site is central: give central")
    found = [one for site in fleet.sites for one in _list_faults(fleet, site.name, machines)]
    if found:
        raise errors.Invalid("services are not placed as sites need them: " + "; ".join(found))


def _list_faults(fleet: Fleet, site: str, machines: Sequence[Machine]) -> Iterator[str]:
    own = [one for one in machines if one.site == site]
    carriers = [one for one in own if _carries(fleet, one, API_SERVICE)]
    if len(carriers) != 1:
        names = f" ({', '.join(one.name for one in carriers)})" if carriers else ""
        yield f"one machine of {site} has to carry {API_SERVICE}, and {len(carriers)} do{names}"
        return
    (carrier,) = carriers
    for service in _BESIDE_CENTRAL if site == fleet.central else _BESIDE_SITE:
        if not _carries(fleet, carrier, service):
            yield f"{carrier.name} carries {API_SERVICE} of {site} and has to carry {service}, too"
    allowed = carrier.name if site == fleet.central else ""
    for service in ("keystone", "isthmus-xjob"):
        for one in own:
            if one.name != allowed and _carries(fleet, one, service):
                yield f"{one.name} carries {service}, which only {fleet.central} can, once"
    for one in own:
        if one is not carrier and _carries(fleet, one, "ovn-central"):
            yield f"{one.name} carries ovn-central, which {carrier.name} of {site} can alone"
    if site != fleet.central:
        yield from _list_site_faults(fleet, site, own, carrier)


def _list_site_faults(
    fleet: Fleet, site: str, own: Sequence[Machine], carrier: Machine
) -> Iterator[str]:
    if not any(_carries(fleet, one, _HYPERVISOR) for one in own):
        yield f"no machine of {site} carries {_HYPERVISOR}"
    for service in COMPUTE_SERVICES:
        for one in own:
            if one is not carrier and _carries(fleet, one, service):
                yield f"{one.name} carries {service}, which {carrier.name} of {site} can alone"
    computes = [one for one in own if _carries(fleet, one, _COMPUTE)]
    for one in computes:
        if not _carries(fleet, one, _HYPERVISOR):
            yield f"{one.name} carries {_COMPUTE} and has to carry {_HYPERVISOR}, too"
    missing = [one for one in COMPUTE_SERVICES if not _carries(fleet, carrier, one)]
    has_nova = bool(_NOVA - set(missing))
    if has_nova and not computes:
        yield f"{site} has a Nova, and no machine of it carries {_COMPUTE}"
    for service in missing if has_nova or computes else ():
        yield f"{site} has a Nova, and {carrier.name} has to carry {service}, too"


def _carries(fleet: Fleet, machine: Machine, service: str) -> bool:
    return bool(set(fleet.services.get(service, ())) & set(machine.roles))
