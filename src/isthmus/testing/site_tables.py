"""A site's own tables in memory, for the data plane."""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Self

from isthmus import errors
from isthmus.dataplane.kind.responder import RaMode, ResponderKey, name_port
from isthmus.dataplane.protocols import Trust
from isthmus.model.dataplane.ovn import RaSubnet
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.exits.plan import SitePlan
from isthmus.model.exits.request import Hypervisor
from isthmus.model.site import SiteName


class MemoryTables:
    """Both what is read and what is written; change its attributes as a test needs."""

    def __init__(self) -> None:
        """Start empty."""
        self.trusted = Trust.ALL  #: what they count for
        self.lives = 1  #: one more each time they went back
        self.stretched: dict[str, int] = {}  #: network to datapath key
        self.on_fabrics: set[str] = set()  #: those of them that are on a fabric of the site
        self.known: dict[str, Shadow] = {}  #: shadows by port
        self.keys: dict[str, tuple[str, int]] = {}  #: port to (network, port key)
        self.subnets: list[RaSubnet] = []
        self.decided: dict[str, SitePlan] = {}  #: exits of routers
        self.at_ports = False  #: whether floating IPs are translated on their ports' hypervisors
        self.keyless: list[tuple[str, str]] = []  #: (network, port) of the site's own ports
        self.free = list(range(900, 1000))  #: port keys of every network
        self.low = 10  #: as few as that is few

    def put(self, *shadows: Shadow) -> Self:
        """Apply shadows."""
        self.known |= {one.port_id: one for one in shadows}
        return self

    @contextlib.contextmanager
    def reading(self) -> Iterator[Self]:
        """Open a transaction that only reads."""
        yield self

    def trust(self) -> Trust:
        """Return what they count for."""
        return self.trusted

    def life(self) -> str:
        """Return what changes as they go back."""
        return str(self.lives)

    def networks(self) -> Mapping[str, int]:
        """List the datapath keys of the networks stretched to this site."""
        return dict(self.stretched)

    def networks_on_fabrics(self) -> Collection[str]:
        """List the stretched networks that are on a fabric of the site, not in tunnels."""
        return set(self.on_fabrics)

    def shadows(self, port_ids: Collection[str] | None) -> list[Shadow]:
        """List the shadows of ports; with None, all on stretched networks."""
        if port_ids is None:
            return self.shadows_on(self.stretched.keys())
        return [self.known[one] for one in sorted(port_ids) if one in self.known]

    def shadows_on(self, network_ids: Collection[str]) -> list[Shadow]:
        """List the shadows on certain networks."""
        return [one for _, one in sorted(self.known.items()) if one.network_id in network_ids]

    def list_members(self, groups: Collection[str]) -> list[str]:
        """List the ports whose shadows belong into port groups."""
        return [
            one.port_id
            for _, one in sorted(self.known.items())
            if set(map(self.name_group, one.security_groups)) & set(groups)
        ]

    def one_shadow_per_chassis(self, names: Collection[str] | None) -> list[Shadow]:
        """List one shadow for each hypervisor; with None, of every hypervisor there is."""
        found = {one.chassis: one for _, one in sorted(self.known.items(), reverse=True)}
        return [one for name, one in found.items() if names is None or name in names]

    def exits(self, router_ids: Collection[str] | None) -> Mapping[str, SitePlan]:
        """List what is decided of routers' exits, by router; with None, of all."""
        return {
            one: plan
            for one, plan in self.decided.items()
            if router_ids is None or one in router_ids
        }

    def exit_hypervisors(
        self, names: Collection[str] | None
    ) -> Sequence[tuple[SiteName, Hypervisor]]:
        """List the hypervisors of other sites that have gateways, as far as is said; None: all."""
        return [
            (peer.site, peer.hypervisor)
            for plan in self.decided.values()
            for peer in (plan.transit.peers if plan.transit is not None else ())
            if peer.hypervisor is not None and (names is None or peer.hypervisor.chassis in names)
        ]

    def translates_at_ports(self) -> bool:
        """Tell whether a floating IP is translated on its port's own hypervisor."""
        return self.at_ports

    def port_keys(self) -> Mapping[str, tuple[str, int]]:
        """List network and port key of the site's own ports on stretched networks."""
        return dict(self.keys)

    def find_port_key(self, port_id: str) -> int | None:
        """Find the port key of a port of the site's own."""
        return self.keys[port_id][1] if port_id in self.keys else None

    def ra_subnets(self, network_ids: Collection[str]) -> list[RaSubnet]:
        """List the IPv6 subnets of networks whose addresses need router advertisements."""
        return [one for one in self.subnets if one.network_id in network_ids]

    def list_keyless_ports(self) -> list[tuple[str, str]]:
        """List (network, port) of the site's ports on stretched networks that have no key yet."""
        return [one for one in self.keyless if one[1] not in self.keys]

    def name_group(self, security_group_id: str) -> str:
        """Return the name of a security group's port group."""
        return f"pg_{security_group_id}"

    def allocate_key(self, network_id: str, port_id: str) -> bool:
        """Allocate the key of a port; return whether the keys of its network run low.

        Raises:
            Exhausted: there is none.
        """
        if not self.free:
            raise errors.Exhausted(f"no port key of network {network_id} is left")
        self.keys[port_id] = (network_id, self.free.pop(0))
        return len(self.free) < self.low

    def free_keys(self, port_ids: Collection[str]) -> None:
        """Note that ports that are no more have given up their keys."""
        for port_id in port_ids:
            self.keys.pop(port_id, None)


NET = "11111111-1111-1111-1111-111111111111"
DATAPATH_KEY = 0xFFF001
RESPONDER_PORT = name_port(ResponderKey(NET, RaMode.SLAAC))


def make_shadow(number: int, **changes: object) -> Shadow:
    """Return a shadow on the network `NET`, on one hypervisor of site2."""
    state = {
        "port_id": f"22222222-2222-2222-2222-{number:012d}",
        "network_id": NET,
        "site": SiteName("site2"),
        "chassis": "hv-b",
        "hostname": "host-b",
        "encap_ip": "192.0.2.2",
        "port_key": 100 + number,
        "mac_address": f"fa:16:02:00:00:{number:02x}",
        "addresses": (f"10.0.0.{number}",),
        **changes,
    }
    return Shadow(**state)  # type: ignore[arg-type]


def make_tables(*shadows: Shadow) -> MemoryTables:
    """Return the tables of a site to which the network `NET` is stretched."""
    tables = MemoryTables()
    tables.stretched[NET] = DATAPATH_KEY
    return tables.put(*shadows)
