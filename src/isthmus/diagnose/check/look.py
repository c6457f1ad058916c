"""What a check looks at: one way between two ends, and all that was seen."""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from isthmus.diagnose.course import Course, Kind
from isthmus.diagnose.question import End, Service, Way
from isthmus.diagnose.route.fabric import Fabric
from isthmus.diagnose.world import Row, Source, World
from isthmus.model.dataplane.ovn import SWITCH_PREFIX
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Severity, Subject, Verdict


class Hop(enum.StrEnum):
    """The stations of one way, in the order in which a packet comes by."""

    SENDER_TAP = "tap of the sender"
    SENDER_PORT = "port of the sender"
    SENDER_SWITCH = "switch port of the sender"
    EGRESS = "egress rules"
    GATEWAY = "gateway of the sender's subnet"
    ROUTE = "routes of the router"
    TRANSIT = "transit network of the router"
    EXIT = "exit of the router"
    OUTSIDE = "outside"
    ENTRY = "entry of the router"
    SHADOW = "the receiver as the sender's site knows it"
    TUNNEL = "tunnel"
    INGRESS = "ingress rules"
    RECEIVER_SWITCH = "switch port of the receiver"
    RECEIVER_PORT = "port of the receiver"
    RECEIVER_TAP = "tap of the receiver"


#: Hops that are called otherwise where a leg comes in from outside.
_FROM_OUTSIDE = dict.fromkeys(
    (Hop.EXIT, Hop.GATEWAY, Hop.ROUTE, Hop.SENDER_TAP, Hop.SENDER_PORT, Hop.SENDER_SWITCH),
    Hop.ENTRY,
)

#: What is wrong with an end is wrong both ways: its hop, as the other way has it.
MIRROR = {
    Hop.SENDER_TAP: Hop.RECEIVER_TAP,
    Hop.SENDER_PORT: Hop.RECEIVER_PORT,
    Hop.SENDER_SWITCH: Hop.RECEIVER_SWITCH,
}


class Need(enum.Enum):
    """What a check reads; the answer is "not seen" where that could not be read."""

    CENTRAL = (Source.CENTRAL, "central")
    SENDER_NEUTRON = (Source.NEUTRON, "sender")
    SENDER_NB = (Source.NB, "sender")
    SENDER_SB = (Source.SB, "sender")
    SENDER_HOST = (Source.HOST, "sender")
    RECEIVER_NEUTRON = (Source.NEUTRON, "receiver")
    RECEIVER_NB = (Source.NB, "receiver")
    RECEIVER_SB = (Source.SB, "receiver")
    #: Where the exit of a leg is, or the gateway by which it comes in.
    EXIT_NB = (Source.NB, "exit")
    EXIT_SB = (Source.SB, "exit")


@dataclass(frozen=True, slots=True)
class Look:
    """One way, with what was seen; what repeats in checks has a name here."""

    world: World
    way: Way
    there: Way  #: the way of the request: `way` itself, or the other one
    service: Service

    @property
    def sender(self) -> End:
        """Return the end that sends."""
        return self.way.sender

    @property
    def receiver(self) -> End:
        """Return the end that receives."""
        return self.way.receiver

    def locate(self, need: Need) -> tuple[Source, str]:
        """Return the source and the place that a need stands for."""
        source, role = need.value
        if source is Source.CENTRAL:
            return source, CENTRAL
        end = self.sender if role == "sender" else self.receiver
        if role == "exit":
            end = self.gate or self.receiver
        return source, end.host if source is Source.HOST else end.site

    @property
    def course(self) -> Course:
        """Return what the leg goes through."""
        return self.way.course

    @property
    def fabric(self) -> Fabric:
        """Return what central has of routers."""
        return Fabric(self.world)

    @property
    def gate(self) -> End | None:
        """Return the outer end of a leg that goes out or comes in."""
        if self.course.kind is Kind.OUT:
            return self.receiver
        return self.sender if self.course.kind is Kind.IN else None

    @property
    def inner(self) -> End:
        """Return the end of the leg that is inside."""
        return self.receiver if self.course.kind is Kind.IN else self.sender

    def place(self, hop: Hop) -> Hop:
        """Return where on the way a hop of the leg stands."""
        return _FROM_OUTSIDE.get(hop, hop) if self.course.kind is Kind.IN else hop

    def lsp(self, site: str, port_id: str) -> Row | None:
        """Find a logical switch port in the northbound database of a site."""
        return self.world.find(Source.NB, site, "Logical_Switch_Port", name=port_id)

    def binding(self, site: str, port_id: str) -> Row | None:
        """Find a port binding in the southbound database of a site."""
        return self.world.find(Source.SB, site, "Port_Binding", logical_port=port_id)

    def chassis(self, site: str, uuid: object) -> Row | None:
        """Find a chassis by its row's UUID."""
        return self.world.find(Source.SB, site, "Chassis", _uuid=uuid) if uuid else None

    def chassis_of(self, end: End) -> Row | None:
        """Find the chassis of an end at its own site: where it is bound, else its hypervisor."""
        bound = self.binding(end.site, end.id)
        found = self.chassis(end.site, first(bound.get("chassis")) if bound else None)
        return found or self.world.find(Source.SB, end.site, "Chassis", hostname=end.host)

    def encaps(self, site: str, chassis: str) -> list[Row]:
        """List the encapsulations of a chassis in the southbound database of a site."""
        return list(self.world.list(Source.SB, site, "Encap", chassis_name=chassis))

    def evidence(self, source: Source, place: str, text: str) -> str:
        """Return evidence with its source, place and time."""
        at = self.world.at(source, place)
        where = source.value if source is Source.CENTRAL else f"{source.value} {place}"
        return f"{where}{f' at {at}' if at else ''}: {text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check, and what it needs."""

    name: str
    hop: Hop
    run: Callable[[Look], Iterable[Verdict]]
    needs: tuple[Need, ...] = ()
    #: Why there is nothing to look at; empty where there is.
    skips: Callable[[Look], str] = lambda _look: ""
    #: Whether nothing can be said of the whole while this was not seen.
    vital: bool = True
    #: Checks that follow a packet together: what it meets first comes first, there before back.
    group: str = ""


def first(value: Any) -> Any:
    """Return the value of an optional column: OVSDB has a set of none or one for it."""
    if isinstance(value, list | tuple | set | frozenset):
        return next(iter(value), None)
    return value


def verdict(
    code: str,
    severity: Severity,
    subject: Subject,
    message: str,
    evidence: str,
    remedy: str,
) -> Verdict:
    """Make a verdict.

    Args:
        code: stable and dotted.
        severity: broken stops packets; degraded hinders them, or will.
        subject: what it is about.
        message: the cause in one sentence, with the object's name and id.
        evidence: what was read, where and when.
        remedy: the command that repairs it.
    """
    return Verdict(
        code=code,
        severity=severity,
        subject=subject,
        message=message,
        evidence=evidence,
        remedy=remedy,
    )


def broken(code: str, subject: Subject, message: str, evidence: str, remedy: str) -> Verdict:
    """Make a verdict on what stops packets.

    Args:
        code: stable and dotted.
        subject: what it is about.
        message: the cause in one sentence, with the object's name and id.
        evidence: what was read, where and when.
        remedy: the command that repairs it.
    """
    return verdict(code, Severity.BROKEN, subject, message, evidence, remedy)


def degraded(code: str, subject: Subject, message: str, evidence: str, remedy: str) -> Verdict:
    """Make a verdict on what hinders packets, or will.

    Args:
        code: stable and dotted.
        subject: what it is about.
        message: the cause in one sentence, with the object's name and id.
        evidence: what was read, where and when.
        remedy: the command that repairs it.
    """
    return verdict(code, Severity.DEGRADED, subject, message, evidence, remedy)


def port_of(end: End) -> Subject:
    """Return a port as the subject of a verdict."""
    return Subject(end.id, "port", end.site)


def at_a_port(look: Look) -> str:
    """Return why a check of a port does not apply."""
    return "" if look.sender.is_port else "it is no port"


def from_a_site(look: Look) -> str:
    """Return why a check of a port's rows at its site does not apply."""
    return at_a_port(look) or at_a_site(look)


def towards_a_port(look: Look) -> str:
    """Return why a check of what a site knows of another site's port does not apply."""
    if look.course.crosses:
        return "the receiver's network is not present there"
    return across_sites(look) if look.receiver.is_port else "the receiver is no port"


def across_sites(look: Look) -> str:
    """Return why a check between sites does not apply."""
    if not look.sender.site or not look.receiver.site:
        return "an end lives at no site"
    return "both ends are at one site" if look.sender.site == look.receiver.site else ""


def by_a_gate(look: Look) -> str:
    """Return why a check of an exit does not apply."""
    if look.gate is None:
        return "it does not leave by an exit"
    return "" if look.gate.site else "it leaves by no site"


def across_hosts(look: Look) -> str:
    """Return why a check between hypervisors does not apply."""
    if not look.sender.host or not look.receiver.host:
        return "an end is on no hypervisor"
    if (look.sender.site, look.sender.host) == (look.receiver.site, look.receiver.host):
        return "both ends are on one hypervisor"
    return ""


def by_a_tunnel(look: Look) -> str:
    """Return why a check of the tunnel between hypervisors does not apply."""
    return across_hosts(look) or ("it is on a physical network" if is_on_a_fabric(look) else "")


def is_on_a_fabric(look: Look) -> bool:
    """Return whether the receiver's network is on one physical network at the site of each end."""
    name = SWITCH_PREFIX + look.receiver.network_id
    rows = (
        look.world.find(Source.NB, end.site, "segment", switch=name)
        if look.world.has_table(Source.NB, end.site, "segment") else None
        for end in (look.sender, look.receiver)
    )  # fmt: skip
    one, other = (((row or {}).get("options") or {}).get("network_name") for row in rows)
    return one is not None and one == other


def at_a_site(look: Look) -> str:
    """Return why a check of a site's rows does not apply."""
    return "" if look.sender.site else "the port lives at no site"


def on_a_host(look: Look) -> str:
    """Return why a check of a hypervisor does not apply."""
    return "" if look.sender.host else "the port is on no hypervisor"
