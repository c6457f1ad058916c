"""Chassis and tunnels between them, as the southbound databases have them, and the path's MTU."""

from collections import Counter
from collections.abc import Iterator

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    across_sites,
    broken,
    by_a_tunnel,
    degraded,
    first,
    on_a_host,
)
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.world import Source
from isthmus.model.dataplane.ovn import REMOTE_FLAG
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Subject, Verdict

#: What Geneve with OVN's option adds over IPv4: 14 Ethernet, 20 IP, 8 UDP, 8 Geneve, 8 option
#: (RFC 8926; neutron's ovn plugin has max_header_size 38 and 20 of IP for the same).
OVERHEAD_BYTES = 58
#: The same without OVN's option, and IP's part of it.
_BARE_BYTES, _IP_BYTES = 50, 20


def check_own_chassis(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor that its site does not know, or knows twice."""
    end = look.sender
    rows = [
        one for one in look.world.rows(Source.SB, end.site, "Chassis")
        if one.get("hostname") == end.host
    ]  # fmt: skip
    if not rows:
        yield broken(
            "chassis.missing",
            Subject(end.host, "chassis", end.site),
            f"hypervisor {end.host} is not registered in OVN at site {end.site}",
            look.evidence(Source.SB, end.site, f"no Chassis with hostname={end.host}"),
            f"on {end.host}: systemctl restart ovn-controller",
        )
    if len(rows) > 1:
        names = ", ".join(sorted(str(one.get("name")) for one in rows))
        yield degraded(
            "chassis.twice",
            Subject(end.host, "chassis", end.site),
            f"hypervisor {end.host} is registered {len(rows)} times in OVN at site {end.site}: "
            f"{names}",
            look.evidence(Source.SB, end.site, f"Chassis rows {names}"),
            "ovn-sbctl chassis-del NAME   # the one whose nb_cfg stands still",
        )


def check_heartbeat(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor that has not taken over what the southbound database has."""
    end = look.sender
    chassis = look.chassis_of(end)
    world = next(iter(look.world.rows(Source.SB, end.site, "SB_Global")), {})
    if chassis is None:
        return
    private = look.world.find(Source.SB, end.site, "Chassis_Private", name=chassis.get("name"))
    wanted, done = int(world.get("nb_cfg") or 0), int((private or {}).get("nb_cfg") or 0)
    # One is what Neutron has asked for just now: so far it takes a hypervisor for alive.
    if private is not None and wanted - done > 1:
        yield degraded(
            "chassis.behind",
            Subject(str(chassis.get("name")), "chassis", end.site),
            f"hypervisor {end.host} is {wanted - done} changes behind: ovn-controller does not run "
            "there, hangs, or is not connected",
            look.evidence(
                Source.SB, end.site, f"Chassis_Private nb_cfg={done}, SB_Global nb_cfg={wanted}"
            ),
            f"on {end.host}: systemctl restart ovn-controller",
        )
    if private is not None and not first(private.get("chassis")):
        yield degraded(
            "chassis.private_orphan",
            Subject(str(chassis.get("name")), "chassis", end.site),
            f"the heartbeat of hypervisor {end.host} belongs to no chassis",
            look.evidence(Source.SB, end.site, "Chassis_Private has chassis=[]"),
            f"ovn-sbctl destroy Chassis_Private {chassis.get('name')}   # at site {end.site}",
        )


def check_remote_chassis(look: Look) -> Iterator[Verdict]:
    """Yield the receiver's hypervisor where the sender's site does not know it as it is."""
    site, end = look.sender.site, look.receiver
    home = look.chassis_of(end)
    if home is None or home.get("hostname") != end.host:  # the check of its binding tells
        return
    name = str(home.get("name"))
    subject = Subject(name, "chassis", site)
    row = look.world.find(Source.SB, site, "Chassis", name=name)
    if row is None:
        yield broken(
            "remote_chassis.missing",
            subject,
            f"hypervisor {end.host} of site {end.site} is missing in OVN at site {site}",
            look.evidence(Source.SB, site, f"no Chassis {name}"),
            f"isthmus audit --network {end.network_id}; then: openstack --os-cloud {end.site} port "
            f"set --description sent-again {end.id}",
        )
        return
    if str((row.get("other_config") or {}).get(REMOTE_FLAG)).lower() != "true":
        yield broken(
            "remote_chassis.not_remote",
            subject,
            f"hypervisor {end.host} of site {end.site} is not marked as remote in OVN at site "
            f"{site}",
            look.evidence(Source.SB, site, f"Chassis {name} lacks other_config:{REMOTE_FLAG}"),
            f"ovn-sbctl set Chassis {name} other_config:{REMOTE_FLAG}=true   # at site {site}",
        )
    known, own = look.encaps(site, name), look.encaps(end.site, name)
    ips, own_ips = ({str(one.get("ip")) for one in rows} for rows in (known, own))
    if own_ips and not ips & own_ips:
        wanted = sorted(own_ips)[0]
        yield broken(
            "remote_chassis.encap_ip",
            subject,
            f"site {site} sends to hypervisor {end.host} at {', '.join(sorted(ips)) or 'nowhere'}, "
            f"and its tunnel address is {wanted}",
            look.evidence(Source.SB, site, f"Encap of {name}: {', '.join(sorted(ips)) or 'none'}"),
            f"ovn-sbctl set Encap {known[0]['_uuid'] if known else 'UUID'} ip={wanted}   # at site "
            f"{site}",
        )


def check_encap_types(look: Look) -> Iterator[Verdict]:
    """Yield two hypervisors that have no encapsulation in common, or one tunnel address."""
    one, other = look.chassis_of(look.sender), look.chassis_of(look.receiver)
    if one is None or other is None:
        return
    names = [str(one.get("name")), str(other.get("name"))]
    here = look.encaps(look.sender.site, names[0])
    there = look.encaps(look.receiver.site, names[1])
    types, others = ({str(row.get("type")) for row in rows} for rows in (here, there))
    if types and others and not types & others:
        yield broken(
            "chassis.encap_type",
            Subject(names[1], "chassis", look.receiver.site),
            f"hypervisors {look.sender.host} ({', '.join(sorted(types))}) and {look.receiver.host} "
            f"({', '.join(sorted(others))}) have no tunnel type in common",
            look.evidence(Source.SB, look.receiver.site, f"Encap of {names[1]}: {sorted(others)}"),
            f"on {look.receiver.host}: ovs-vsctl set Open_vSwitch . "
            "external_ids:ovn-encap-type=geneve",
        )
    shared = {row.get("ip") for row in here} & {row.get("ip") for row in there}
    if shared and names[0] != names[1]:
        address = sorted(map(str, shared))[0]
        yield broken(
            "chassis.encap_twice",
            Subject(names[1], "chassis", look.receiver.site),
            f"hypervisors {look.sender.host} and {look.receiver.host} have one tunnel address, "
            f"{address}",
            look.evidence(Source.SB, look.receiver.site, f"Encap of {names[1]} ip={address}"),
            f"on {look.receiver.host}: ovs-vsctl set Open_vSwitch . "
            "external_ids:ovn-encap-ip=ADDRESS",
        )


def check_tunnel_addresses(look: Look) -> Iterator[Verdict]:
    """Yield a tunnel address that several chassis of the sender's site claim."""
    site = look.sender.site
    counts = Counter(str(row.get("ip")) for row in look.world.rows(Source.SB, site, "Encap"))
    receiver = look.chassis_of(look.receiver)
    mine = {
        str(row.get("ip"))
        for row in look.encaps(site, str((receiver or {}).get("name")))
    }  # fmt: skip
    for address in sorted(one for one in mine if counts[one] > 1):
        yield degraded(
            "chassis.address_claimed",
            Subject(str((receiver or {}).get("name")), "chassis", site),
            f"{counts[address]} chassis in OVN at site {site} claim the tunnel address {address}",
            look.evidence(Source.SB, site, f"{counts[address]} Encap rows with ip={address}"),
            f"ovn-sbctl find Encap ip={address}   # at site {site}; delete the stale chassis",
        )


def check_mtu(look: Look) -> Iterator[Verdict]:
    """Yield a network whose packets are too large for the path between the hypervisors."""
    end, network = look.sender, look.sender.network or {}
    mtu = network.get("mtu")
    home = look.world.find(Source.NEUTRON, end.site, "network", id=end.network_id)
    if home and mtu and home.get("mtu") not in (None, mtu):
        yield degraded(
            "mtu.sites_differ",
            Subject(end.network_id, "network", end.site),
            f"network {end.network_id} has an MTU of {home['mtu']} at site {end.site} and of {mtu} "
            "at central",
            look.evidence(Source.NEUTRON, end.site, f"mtu={home['mtu']}"),
            f"{OPENSTACK} network set --mtu {min(int(home['mtu']), int(mtu))} {end.network_id}",
        )
    for route in look.world.rows(Source.HOST, end.host, "route"):
        path = route.get("mtu")
        if mtu and path and int(mtu) + OVERHEAD_BYTES > int(path):
            fits = int(path) - OVERHEAD_BYTES
            if int(mtu) + _BARE_BYTES <= int(path):
                yield _of_header(look, int(mtu), int(path), str(route.get("dev")))
                continue
            yield degraded(
                "mtu.too_large",
                Subject(end.network_id, "network", CENTRAL),
                f"packets of network {end.network_id} may have {mtu} bytes, and {fits} fit through "
                f"the tunnel from {end.host}: small ones pass, large ones are lost",
                look.evidence(
                    Source.HOST, end.host, f"{route.get('dev')} to {route.get('to')} mtu={path}"
                ),
                f"{OPENSTACK} network set --mtu {fits} {end.network_id}",
            )


def _of_header(look: Look, mtu: int, path: int, device: str) -> Verdict:
    """Tell of a network that would fit if OVN's own option in Geneve took no room."""
    end, fits = look.sender, path - OVERHEAD_BYTES
    return degraded(
        "mtu.geneve_header",
        Subject(end.network_id, "network", CENTRAL),
        f"for network {end.network_id} {path - mtu - _IP_BYTES} bytes are reserved for Geneve, and "
        f"OVN takes {OVERHEAD_BYTES - _IP_BYTES}: packets of more than {fits} bytes are lost from "
        f"{end.host}",
        look.evidence(Source.HOST, end.host, f"{device} mtu={path}, network mtu={mtu}"),
        f"{OPENSTACK} network set --mtu {fits} {end.network_id}; and [ml2_type_geneve] "
        "max_header_size = 38 in ml2_conf.ini of central and of each site",
    )


CHECKS = (
    Check(name="chassis", hop=Hop.TUNNEL, run=check_own_chassis, skips=on_a_host,
          needs=(Need.SENDER_SB,)),
    Check(name="heartbeat", hop=Hop.TUNNEL, run=check_heartbeat, skips=on_a_host,
          needs=(Need.SENDER_SB,)),
    Check(name="chassis of the other site", hop=Hop.TUNNEL, run=check_remote_chassis,
          skips=lambda look: across_sites(look) or by_a_tunnel(look),
          needs=(Need.SENDER_SB, Need.RECEIVER_SB)),
    Check(name="tunnel types", hop=Hop.TUNNEL, run=check_encap_types, skips=by_a_tunnel,
          needs=(Need.SENDER_SB, Need.RECEIVER_SB)),
    Check(name="tunnel addresses", hop=Hop.TUNNEL, run=check_tunnel_addresses, skips=by_a_tunnel,
          needs=(Need.SENDER_SB, Need.RECEIVER_SB)),
    Check(name="MTU", hop=Hop.TUNNEL, run=check_mtu, skips=by_a_tunnel,
          needs=(Need.CENTRAL, Need.SENDER_HOST), vital=False),
)  # fmt: skip
