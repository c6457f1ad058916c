"""What a guest needs before it sends anything: that its rules let it ask for its address."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import Check, Hop, Look, Need, at_a_port, degraded
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.check.rules import address_groups, find_groups
from isthmus.diagnose.evaluate import policy
from isthmus.diagnose.question import Packet
from isthmus.diagnose.world import Source
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Subject, Verdict

#: RFC 2131, 4.1: from 68 to 67, to everybody.
_DISCOVER = Packet(
    family=4, source="", target="255.255.255.255", protocol="udp", source_port=68, target_port=67
)  # fmt: skip


def check_dhcp_rules(look: Look) -> Iterator[Verdict]:
    """Yield groups that let no DHCP request out: OVN holds it against rules, as any packet."""
    end = look.sender
    subnets = {one.get("subnet_id") for one in end.port.get("fixed_ips") or ()}
    asks = [
        one for one in look.world.rows(Source.CENTRAL, CENTRAL, "subnet")
        if one["id"] in subnets and one.get("ip_version") == 4 and one.get("enable_dhcp")
    ]  # fmt: skip
    groups, source, place = find_groups(look, end)
    if end.is_trusted or not asks or not groups:
        return
    found = policy.decide(
        groups, "egress", _DISCOVER, policy.Peer(_DISCOVER.target), address_groups(look)
    )
    if found.allowed:
        return
    group = groups[0]
    names = ", ".join(f"{one.get('name') or ''} ({one['id']})" for one in groups)
    yield degraded(
        "policy.no_dhcp",
        Subject(str(group["id"]), "security_group"),
        f"no egress rule of port {end.label} lets DHCP out: its guest gets no address, or keeps "
        "none",
        look.evidence(source, place, f"no rule of {names} lets udp/67 to {_DISCOVER.target} out"),
        f"{OPENSTACK} security group rule create --egress --ethertype IPv4 --protocol udp "
        f"--dst-port 67 --remote-ip 0.0.0.0/0 {group['id']}",
    )


CHECKS = (
    Check(name="DHCP against rules", hop=Hop.EGRESS, run=check_dhcp_rules, needs=(Need.CENTRAL,),
          skips=at_a_port, vital=False),
)  # fmt: skip
