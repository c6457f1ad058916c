"""What OVN has learned or decides by itself: where a MAC address is, whether a member answers."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    broken,
    degraded,
    first,
    from_a_site,
)
from isthmus.diagnose.world import Row, Source
from isthmus.model.dataplane.ovn import SWITCH_PREFIX
from isthmus.model.verdict import Subject, Verdict


def check_learned(look: Look) -> Iterator[Verdict]:
    """Yield a MAC address that OVN looks for where it is no more."""
    site, end = look.sender.site, look.receiver
    bound, row = look.binding(site, end.id), look.lsp(site, end.id)
    written = " ".join(map(str, (row or {}).get("addresses") or ())).lower()
    # What a switch port names it is found by; only of others OVN learns.
    if bound is None or row is None or end.mac_address in written or "unknown" not in written:
        return
    datapath = look.world.find(
        Source.SB, site, "Datapath_Binding", _uuid=first(bound.get("datapath"))
    )
    key = (datapath or {}).get("tunnel_key")
    for one in look.world.list(Source.SB, site, "FDB", mac=end.mac_address, dp_key=key):
        if one.get("port_key") != bound.get("tunnel_key"):
            yield broken(
                "fdb.stale",
                Subject(end.mac_address, "mac", site),
                f"OVN at site {site} has learned {end.mac_address} of port {end.label} at the port "
                f"of key {one.get('port_key')}, and it is at that of {bound.get('tunnel_key')}: "
                "packets go where it is no more",
                look.evidence(
                    Source.SB, site, f"FDB mac={end.mac_address} port_key={one.get('port_key')}"
                ),
                f"ovn-sbctl destroy FDB {one.get('_uuid')}   # at site {site}",
            )


def check_members(look: Look) -> Iterator[Verdict]:
    """Yield a member of a load balancer that OVN has found not to answer."""
    end = look.receiver
    if not end.is_port or not end.site:
        return
    for row in look.world.list(Source.SB, end.site, "Service_Monitor", logical_port=end.id):
        asked = look.service.port in (None, row.get("port"))
        if first(row.get("status")) in ("offline", "error") and asked:
            protocol = first(row.get("protocol")) or "tcp"
            yield degraded(
                "lb.member_offline",
                Subject(end.id, "member", end.site),
                f"OVN at site {end.site} takes port {end.label} for down as a member of a load "
                f"balancer, since {protocol}/{row.get('port')} at {row.get('ip')} does not answer: "
                "the virtual address sends nothing there",
                look.evidence(
                    Source.SB, end.site,
                    f"Service_Monitor {end.id} {row.get('ip')}:{row.get('port')} "
                    f"status={first(row.get('status'))}",
                ),
                f"in the guest: ss -ln 'sport = :{row.get('port')}'; and a rule has to let the "
                "monitor's address in",
            )  # fmt: skip


def _place(row: Row) -> tuple[object, object]:
    """Return the physical network and the VLAN of a segment."""
    return (row.get("options") or {}).get("network_name"), first(row.get("tag"))


def check_segment(look: Look) -> Iterator[Verdict]:
    """Yield a network whose VLAN of a physical network another network has as well."""
    site, end = look.sender.site, look.sender
    name = SWITCH_PREFIX + end.network_id
    rows = [*look.world.rows(Source.NB, site, "segment")]
    for mine in (one for one in rows if one.get("switch") == name):
        place = _place(mine)
        for other in rows:
            same = _place(other) == place
            if same and other.get("switch") != name:
                vlan = f"VLAN {place[1]}" if place[1] else "no VLAN"
                yield degraded(
                    "segment.twice",
                    Subject(end.network_id, "network", site),
                    f"network {end.network_id} and {other.get('switch')} are one segment at site "
                    f"{site}: both have {vlan} of physical network {place[0]}, and hear each other",
                    look.evidence(
                        Source.NB, site,
                        f"localnet ports {mine.get('name')} and {other.get('name')}: "
                        f"network_name={place[0]} tag={place[1]}",
                    ),
                    "give one of the two another segment: openstack network create "
                    "--provider-segment NUMBER, and move its ports there",
                )  # fmt: skip


def _at_a_site_of_both(look: Look) -> str:
    return from_a_site(look) or ("" if look.receiver.is_port else "the receiver is no port")


_SB = (Need.SENDER_SB,)
CHECKS = (
    Check(name="learned MAC address", hop=Hop.TUNNEL, run=check_learned, skips=_at_a_site_of_both,
          needs=(Need.SENDER_NB, *_SB), vital=False),
    Check(name="segment", hop=Hop.SENDER_SWITCH, run=check_segment, needs=(Need.SENDER_NB,),
          skips=from_a_site, vital=False),
    Check(name="members of load balancers", hop=Hop.RECEIVER_SWITCH, run=check_members,
          skips=_at_a_site_of_both, needs=(Need.RECEIVER_SB,), vital=False),
)  # fmt: skip
