"""ACLs as OVN has them: which row decides on a packet.

Of the ACLs that match, the one with the highest priority decides; where none does, the packet
passes (ovn-nb(5), "ACL").
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from isthmus.diagnose.evaluate.match import Scope, evaluate
from isthmus.diagnose.question import Packet, Way
from isthmus.diagnose.world import Row

_PASSES = frozenset({"allow", "allow-related", "allow-stateless", "pass"})


@dataclass(frozen=True, slots=True)
class Decision:
    """What the ACLs of one logical port make of a packet."""

    allowed: bool | None  #: None: it cannot be told
    acl: Row | None = None  #: that decides; None where none matches
    stateful: bool = True


def decide(acls: Iterable[Row], direction: str, scope: Scope) -> Decision:
    """Decide on a packet.

    Args:
        acls: of the port's groups and of its switch.
        direction: "from-lport" or "to-lport".
        scope: the packet, and what names stand for.
    """
    ordered = sorted(
        (one for one in acls if one.get("direction") == direction),
        key=lambda one: (-int(one.get("priority") or 0), str(one.get("match"))),
    )
    for acl in ordered:
        matches = evaluate(str(acl.get("match") or ""), scope)
        if matches is False:
            continue
        if matches is None:
            return Decision(None, acl)
        action = str(acl.get("action"))
        return Decision(action in _PASSES, acl, action != "allow-stateless")
    return Decision(True)


def list_fields(packet: Packet, way: Way) -> dict[str, str | int | bool]:
    """Return the fields of OVN's expressions that are known of a packet."""
    four, number = packet.family == 4, packet.protocol_number
    found: dict[str, str | int | bool] = {
        "inport": way.sender.id,
        "outport": way.receiver.id,
        "eth.src": way.sender.mac_address,
        "eth.dst": way.receiver.mac_address,
        "eth.type": 0x0800 if four else 0x86DD,
        "ip": True,
        "ip4": four,
        "ip6": not four,
        "arp": False,
        "nd": False,
        "ip.proto": number,
        "tcp": number == 6,
        "udp": number == 17,
        "sctp": number == 132,
        "icmp": number in (1, 58),
        "icmp4": number == 1,
        "icmp6": number == 58,
    }
    name = "ip4" if four else "ip6"
    found |= {f"{name}.src": packet.source, f"{name}.dst": packet.target}
    if packet.target_port is not None:
        found[f"{packet.protocol}.dst"] = packet.target_port
    if packet.source_port is not None:
        found[f"{packet.protocol}.src"] = packet.source_port
    if packet.icmp_type is not None:
        kind = "icmp4" if four else "icmp6"
        found |= {f"{kind}.type": packet.icmp_type, f"{kind}.code": 0}
    return found


def members(groups: Sequence[Row], ports: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Return the logical ports in each port group.

    Args:
        groups: rows of Port_Group.
        ports: names of logical switch ports by their row's UUID; others are left out.
    """
    return {
        str(row["name"]): frozenset(ports[one] for one in row.get("ports") or () if one in ports)
        for row in groups
    }
