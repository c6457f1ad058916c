"""Where everything of a lab is: namespaces, addresses, ports and files. Pure, decided once.

Inside a lab all addresses are its own, since it lives in namespaces; two labs may use the same. The
management links end in the machine's own namespace, so those carry the lab's number.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import TypeVar

from isthmus import errors
from isthmus.model.site import CENTRAL, SiteName
from isthmus.model.topology import (
    MAX_HOSTS,
    MAX_SITES,
    Hypervisor,
    LabSite,
    Outside,
    ProviderNetwork,
    Tier,
    Topology,
)

#: One subnet a place: 172.30.<number>.0/24.
UNDERLAY = IPv4Network("172.30.0.0/16")
#: Management links, four addresses each. The range is set aside for tests of networks between
#: hosts (RFC 2544), so that no real network of the machine uses it.
MANAGEMENT = IPv4Network("198.18.0.0/15")
#: Addresses of management links per lab: room for every tier.
_MANAGEMENT_PREFIX = 22
MAX_LABS = 2 ** (_MANAGEMENT_PREFIX - MANAGEMENT.prefixlen)
_FIRST_HYPERVISOR = 11
#: What is outside a site, by its number: the untagged and the VLAN provider network, and the
#: hosts behind them. Private ranges beside the underlay's, and those of examples (RFC 5737, 3849).
_FLAT = (IPv4Network("172.31.0.0/16"), IPv6Network("2001:db8:f1a7::/48"))
_VLAN = (IPv4Network("172.29.0.0/16"), IPv6Network("2001:db8:41a2::/48"))
_HOSTS = (IPv4Network("198.51.100.0/24"), IPv6Network("2001:db8:057::/64"))
#: The tag of every site's VLAN provider network.
VLAN_ID = 101

KEYSTONE_PORT = 5000
NEUTRON_PORT = 9696
NORTHBOUND_PORT = 6641
SOUTHBOUND_PORT = 6642
MEMCACHED_PORT = 11211
COMPUTE_PORT = 8774
METADATA_PORT = 8775
PLACEMENT_PORT = 8778
IMAGE_PORT = 9292
RABBITMQ_PORT = 5672

_Named = TypeVar("_Named", Tier, Hypervisor)

NAME = re.compile(r"[a-z][a-z0-9]{0,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPlan:
    """One lab, laid out."""

    name: str
    number: int  #: among the labs of this machine; it chooses the management subnets
    folder: Path  #: everything that the lab keeps
    wan_netns: str
    tiers: tuple[Tier, ...]  #: central first

    @property
    def central(self) -> Tier:
        """Return the central tier."""
        return self.tiers[0]

    @property
    def sites(self) -> tuple[Tier, ...]:
        """Return the sites."""
        return self.tiers[1:]

    @property
    def joined_sites(self) -> tuple[Tier, ...]:
        """Return the sites that central knows."""
        return tuple(tier for tier in self.sites if not tier.is_stock)

    @property
    def hypervisors(self) -> tuple[Hypervisor, ...]:
        """Return every hypervisor."""
        return tuple(host for tier in self.tiers for host in tier.hypervisors)

    @property
    def clouds_file(self) -> Path:
        """Return the path of `clouds.yaml`."""
        return self.folder / "clouds.yaml"

    @property
    def log_dir(self) -> Path:
        """Return the folder of the processes' logs."""
        return self.folder / "log"

    def tier_dir(self, tier: Tier) -> Path:
        """Return the folder of a tier's services."""
        return self.folder / "tier" / tier.name

    def host_dir(self, host: Hypervisor) -> Path:
        """Return the folder of a hypervisor's daemons."""
        return self.folder / "host" / host.name

    def server_netns(self, server: str) -> str:
        """Return the name of the namespace of a lab server."""
        return f"{prefix(self.name)}vm-{server}"

    def get_site(self, name: str) -> Tier:
        """Find a site.

        Raises:
            NotFound: there is none of that name.
        """
        return _named(self.sites, name, "site", f"lab {self.name!r}")

    def get_tier(self, name: str) -> Tier:
        """Find a tier.

        Raises:
            NotFound: there is none of that name.
        """
        return _named(self.tiers, name, "tier", f"lab {self.name!r}")

    def get_hypervisor(self, name: str, site: Tier | None = None) -> Hypervisor:
        """Find a hypervisor by its full name, or by its short name within a site.

        Raises:
            NotFound: there is none of that name.
        """
        if site is not None:
            for host in site.hypervisors:
                if name in {host.name, host.name.removeprefix(f"{site.name}-")}:
                    return host
        hosts = self.hypervisors if site is None else site.hypervisors
        return _named(hosts, name, "host", f"lab {self.name!r}" if site is None else site.name)


def prefix(lab: str) -> str:
    """Return the prefix of a lab's namespaces."""
    return f"isthmus-{lab}-"


def check_lab_name(name: str) -> None:
    """Refuse a name that cannot be part of namespace and file names.

    Raises:
        Invalid: it cannot.
    """
    if not NAME.fullmatch(name):
        raise errors.Invalid(
            f"{name!r} cannot be the name of a lab: a lower-case letter and up to 9 letters or "
            "digits can"
        )


def management_range(number: int) -> IPv4Network:
    """Return the range of a lab's management links."""
    size = 2 ** (32 - _MANAGEMENT_PREFIX)
    first = int(MANAGEMENT.network_address) + number * size
    return IPv4Network((first, _MANAGEMENT_PREFIX))


def plan_lab(topology: Topology, *, name: str, number: int, folder: Path) -> LabPlan:
    """Lay a lab out.

    Args:
        topology: what the person asked for.
        name: the lab's name.
        number: below `MAX_LABS`, and no other lab's.
        folder: where the lab keeps its files.

    Raises:
        Invalid: the name cannot be used.
    """
    check_lab_name(name)
    assert len(topology.sites) <= MAX_SITES
    assert 0 <= number < MAX_LABS
    before = prefix(name)
    central = _plan_tier(LabSite(name=CENTRAL, hosts=(), gateways=0), 0, before, number)
    sites = (_plan_tier(site, n, before, number) for n, site in enumerate(topology.sites, start=1))
    return LabPlan(
        name=name,
        number=number,
        folder=folder,
        wan_netns=f"{before}wan",
        tiers=(central, *sites),
    )


def _plan_tier(site: LabSite, number: int, before: str, lab_number: int) -> Tier:
    assert len(site.hosts) <= MAX_HOSTS
    subnet = IPv4Network((int(UNDERLAY.network_address) + number * 256, 24))
    links = management_range(lab_number)
    hypervisors = tuple(
        _plan_hypervisor(site.name, host, before, subnet[_FIRST_HYPERVISOR + n])
        for n, host in enumerate(site.hosts)
    )
    return Tier(
        name=site.name,
        number=number,
        netns=f"{before}{site.name}",
        subnet=subnet,
        router=subnet[1],
        address=subnet[2],
        management=IPv4Network((int(links.network_address) + number * 4, 30)),
        wan_rtt_ms=site.wan_rtt_ms,
        is_stock=site.is_stock,
        hypervisors=hypervisors,
        outside=_plan_outside(site, number, before, hypervisors) if site.gateways else None,
    )


def _plan_outside(
    site: LabSite, number: int, before: str, hypervisors: tuple[Hypervisor, ...]
) -> Outside:
    return Outside(
        netns=f"{before}{site.name}-out",
        networks=(
            _plan_provider_network("flat", None, number, *_FLAT),
            _plan_provider_network("vlan", VLAN_ID, number, *_VLAN),
        ),
        hosts=(_HOSTS[0][number], _HOSTS[1][number]),
        gateways=tuple(host.name for host in hypervisors[: site.gateways]),
    )


def _plan_provider_network(
    name: str, vlan: int | None, number: int, four: IPv4Network, six: IPv6Network
) -> ProviderNetwork:
    subnet4 = IPv4Network((int(four.network_address) + number * 2**8, 24))
    subnet6 = IPv6Network((int(six.network_address) + number * 2**64, 64))
    return ProviderNetwork(
        name=name, vlan=vlan, subnets=(subnet4, subnet6), gateways=(subnet4[1], subnet6[1])
    )


def _plan_hypervisor(site: SiteName, host: str, before: str, address: IPv4Address) -> Hypervisor:
    name = f"{site}-{host}"
    return Hypervisor(name=name, site=site, netns=before + name, address=address)


def _named(rows: tuple[_Named, ...], name: str, kind: str, where: str) -> _Named:
    for row in rows:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in rows) or "none"
    raise errors.NotFound(f"{where} has no {kind} {name!r}; it has: {known}")
