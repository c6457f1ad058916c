"""A question: from where, to where, and which packet."""

import enum
import ipaddress
import re
from dataclasses import dataclass

from typing_extensions import override

from isthmus import errors
from isthmus.diagnose.course import SWITCHED, Course
from isthmus.diagnose.world import Row

_SERVICE = re.compile(r"([a-z0-9-]+)(?:[/:](\d+))?", re.IGNORECASE)
_WITH_PORT = frozenset({"tcp", "udp", "sctp"})
_NAMES = {"ping": "icmp", "icmpv6": "icmp", "ipv6-icmp": "icmp", "icmp6": "icmp"}
#: Echo request and echo reply (RFC 792; RFC 4443, 4).
_ECHO = {4: (8, 0), 6: (128, 129)}


@dataclass(frozen=True, slots=True)
class Service:
    """What is to be reached behind the address."""

    protocol: str = "icmp"  #: tcp, udp, sctp, icmp, or the number of another one
    port: int | None = None

    @override
    def __str__(self) -> str:
        """Write it as it is asked for."""
        return self.protocol if self.port is None else f"{self.protocol}/{self.port}"


#: What is asked for where nothing is said.
PING = Service()


def parse_service(text: str) -> Service:
    """Read icmp, tcp/443, udp/53, or the number of another protocol; empty is icmp.

    Raises:
        Invalid: it is none of these.
    """
    if not text.strip():
        return Service()
    match = _SERVICE.fullmatch(text.strip())
    protocol = _NAMES.get(match[1].lower(), match[1].lower()) if match else ""
    port = int(match[2]) if match and match[2] else None
    known = protocol in _WITH_PORT or protocol == "icmp"
    numbered = protocol.isdigit() and int(protocol) <= 255
    if not known and not numbered:
        raise errors.Invalid(f"{text!r} is no service: say for instance icmp, tcp/443 or udp/53")
    if port is not None and (protocol not in _WITH_PORT or not 1 <= port <= 65535):
        raise errors.Invalid(f"{text!r}: a port from 1 to 65535 goes with tcp, udp or sctp")
    if protocol in _WITH_PORT and port is None:
        raise errors.Invalid(f"{text!r} lacks its port: say for instance {protocol}/443")
    return Service(protocol, port)


class Direction(enum.StrEnum):
    """Of a way between the two ends."""

    THERE = "there"
    BACK = "back"


class EndKind(enum.StrEnum):
    """What an end is."""

    PORT = "port"
    ROUTER = "router"  #: an address of a router
    OUTSIDE = "outside"  #: beyond an external network


@dataclass(frozen=True, slots=True)
class End:
    """One end, as far as it was found."""

    asked: str  #: what the person wrote
    port: Row  #: as its home has it, else as central has it; empty for what is outside
    site: str = ""  #: its home; empty where it has none
    host: str = ""  #: its hypervisor, as Neutron at its site names it
    address: str = ""  #: that the packet has; empty where it has none of the family
    network: Row | None = None  #: as central has it
    kind: EndKind = EndKind.PORT
    floating: Row | None = None  #: the floating IP by which it is asked for
    router_id: str = ""  #: of which it is an address, or by whose gateway it is outside
    passes_on: Row | None = None  #: the port whose packets a router passes on as they are

    @property
    def id(self) -> str:
        """Return the port's id; empty for what is outside."""
        return str(self.port.get("id") or "")

    @property
    def network_id(self) -> str:
        """Return the network's id; empty for what is outside."""
        return str(self.port.get("network_id") or "")

    @property
    def mac_address(self) -> str:
        """Return the port's MAC address; empty for what is outside."""
        return str(self.port.get("mac_address") or "").lower()

    @property
    def is_port(self) -> bool:
        """Tell whether it is a port that a server may use."""
        return self.kind is EndKind.PORT

    @property
    def label(self) -> str:
        """Return what the port is called, and its id."""
        if self.kind is EndKind.OUTSIDE:
            return "outside"
        if self.kind is EndKind.ROUTER and self.floating is not None:
            return f"floating IP {self.floating.get('floating_ip_address')}"
        if self.kind is EndKind.ROUTER:
            return f"router {self.router_id}"
        name = str(self.port.get("name") or "")
        return f"{name} ({self.id})" if name and name != self.id else self.id

    @property
    def fixed(self) -> tuple[str, ...]:
        """Return the fixed addresses."""
        return tuple(str(one["ip_address"]) for one in self.port.get("fixed_ips") or ())

    @property
    def is_trusted(self) -> bool:
        """Tell whether Neutron filters nothing: a port of its own, or port security is off."""
        owner = str(self.port.get("device_owner") or "")
        return (
            not self.is_port
            or owner.startswith("network:")
            or self.port.get("port_security_enabled") is False
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """The packet of one way, as far as it is known."""

    family: int
    source: str
    target: str
    protocol: str
    source_port: int | None = None
    target_port: int | None = None
    icmp_type: int | None = None
    is_reply: bool = False

    @property
    def protocol_number(self) -> int:
        """Return the IP protocol (IANA's registry of protocol numbers)."""
        numbers = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1 if self.family == 4 else 58}
        return numbers[self.protocol] if self.protocol in numbers else int(self.protocol)

    @override
    def __str__(self) -> str:
        """Write it on one line."""
        what = self.protocol if self.target_port is None else f"{self.protocol}/{self.target_port}"
        return f"{what} {self.source} -> {self.target}"


@dataclass(frozen=True, slots=True)
class Way:
    """From one end to the other, or a leg of that."""

    direction: Direction
    sender: End
    receiver: End
    packet: Packet
    course: Course = SWITCHED
    answers: Packet | None = None  #: the request as this leg's sender got it; None there


def family_of(address: str) -> int:
    """Return 4 or 6; 0 where it is no address."""
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0


def plan_ways(source: End, target: End, service: Service, family: int) -> tuple[Way, Way]:
    """Return the way there and the way back.

    Args:
        source: the end that asks.
        target: the end that answers.
        service: protocol and port.
        family: version of IP: 4 or 6.
    """
    request, reply = _ECHO[family]
    is_icmp = service.protocol == "icmp"
    there = Packet(
        family=family,
        source=source.address,
        target=target.address,
        protocol=service.protocol,
        target_port=service.port,
        icmp_type=request if is_icmp else None,
    )
    back = Packet(
        family=family,
        source=target.address,
        target=source.address,
        protocol=service.protocol,
        source_port=service.port,
        icmp_type=reply if is_icmp else None,
        is_reply=True,
    )
    return (
        Way(Direction.THERE, source, target, there),
        Way(Direction.BACK, target, source, back),
    )
