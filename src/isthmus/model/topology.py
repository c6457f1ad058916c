"""The shape of a lab: which sites there are, with which hypervisors, and how far away they are."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from isthmus.model.site import SiteName

#: Most of them in a lab: subnets are numbered by site in one byte, and
#: hypervisors within a site in another.
MAX_SITES = 200
MAX_HOSTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSite:
    """One site that a lab is to have."""

    name: SiteName
    hosts: tuple[str, ...]  #: short names; the hypervisor is called `<site>-<host>`
    wan_rtt_ms: float = 0.0  #: round trip that the site's WAN link adds
    is_stock: bool = False  #: plain ML2/OVN on its own: the peer of benches and of conformance
    gateways: int = 1  #: how many of its hypervisors, the first ones, are gateways; 0: no outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """What a person asks for."""

    sites: tuple[LabSite, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypervisor:
    """One hypervisor of a lab, with its place on the underlay."""

    name: str  #: `<site>-<host>`: chassis name, host name and Neutron's binding host alike
    site: SiteName
    netns: str
    address: IPv4Address  #: tunnel endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderNetwork:
    """A network of the world outside a site, on which external networks are made."""

    name: str  #: of its switch in the outside namespace
    vlan: int | None  #: None for untagged frames
    subnets: tuple[IPv4Network, IPv6Network]
    gateways: tuple[IPv4Address, IPv6Address]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The world outside a site: the namespace behind the provider bridges of its hypervisors."""

    netns: str
    networks: tuple[ProviderNetwork, ...]
    hosts: tuple[IPv4Address, IPv6Address]  #: behind the gateways of the networks
    gateways: tuple[str, ...]  #: hypervisors on which routers' gateways may be


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Central or a site: one place with services of its own."""

    name: SiteName
    number: int  #: 0 is central
    netns: str
    subnet: IPv4Network  #: the underlay of this place
    router: IPv4Address  #: the WAN router's address on it
    address: IPv4Address  #: where the tier's services answer other tiers
    management: IPv4Network  #: a link between the machine and the tier, for the person alone
    hypervisors: tuple[Hypervisor, ...] = ()
    wan_rtt_ms: float = 0.0
    is_stock: bool = False  #: a site of plain ML2/OVN, which central does not know
    outside: Outside | None = None

    @property
    def is_central(self) -> bool:
        """Tell whether this is the central tier."""
        return self.number == 0

    @property
    def bridge(self) -> str:
        """Return the name of the underlay's switch of this place, in the WAN's namespace."""
        return f"br{self.number}"

    @property
    def machine_address(self) -> IPv4Address:
        """Return the machine's end of the management link."""
        return self.management[1]

    @property
    def management_address(self) -> IPv4Address:
        """Return the tier's end of the management link: where a person reaches its APIs."""
        return self.management[2]
