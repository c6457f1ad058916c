"""Routers as the OVN of the sender's site has them: the router, its ports, and their plugs."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import Check, Hop, Look, Need, broken, degraded, first
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.check.routed.words import network_of, router_of, routers_on, subject
from isthmus.diagnose.course import Kind, Passage
from isthmus.diagnose.route.fabric import addresses
from isthmus.diagnose.world import Row, Source
from isthmus.model.dataplane.ovn import ROUTER_PREFIX
from isthmus.model.verdict import Verdict

_NB = (Need.SENDER_NB,)


def at_a_router(look: Look) -> str:
    """Return why a check of a site's rows of routers does not apply."""
    if look.course.kind is Kind.SWITCHED:
        return "the ends are on one network"
    if not routers_on(look):
        return "no router is on the way"
    return "" if look.sender.site else "it is at no site"


def logical_router(look: Look, site: str, router_id: str) -> Row | None:
    """Find a router in the northbound database of a site."""
    return look.world.find(Source.NB, site, "Logical_Router", name=ROUTER_PREFIX + router_id)


def held_addresses(port: Row) -> set[str]:
    """Return the addresses of a router port in OVN, without their prefixes."""
    return {str(one).partition("/")[0] for one in port.get("networks") or ()}


def resync(look: Look, site: str, router_id: str) -> str:
    """Return the command that compares what a site has of a router's networks, and repairs it."""
    ports = look.fabric.interfaces(router_id)
    network = f" --network {ports[0]['network_id']}" if ports else ""
    return f"isthmus site resync {site}{network} --wait 60"


def check_router(look: Look) -> Iterator[Verdict]:
    """Yield a router that the site's OVN does not have, or has disabled."""
    site = look.sender.site
    for router_id in routers_on(look):
        row = logical_router(look, site, router_id)
        name = router_of(look, router_id)
        wanted = (look.fabric.router(router_id) or {}).get("admin_state_up") is not False
        if row is None:
            yield broken(
                "lr.missing",
                subject("router", router_id, site),
                f"{name} is missing in OVN at site {site}",
                look.evidence(Source.NB, site, f"no Logical_Router {ROUTER_PREFIX}{router_id}"),
                f"{OPENSTACK} router set --description sent-again {router_id}; then: "
                f"{resync(look, site, router_id)}",
            )
        elif wanted and first(row.get("enabled")) is False:
            yield broken(
                "lr.disabled",
                subject("router", router_id, site),
                f"{name} is disabled in OVN at site {site}, though it is up",
                look.evidence(Source.NB, site, "Logical_Router has enabled=false"),
                f"ovn-nbctl set Logical_Router {ROUTER_PREFIX}{router_id} enabled=true   # at site "
                f"{site}",
            )


def check_ports(look: Look) -> Iterator[Verdict]:
    """Yield ports of routers that the site's OVN lacks, or has otherwise than Neutron."""
    for passage in look.course.passages:
        row = logical_router(look, look.sender.site, passage.router_id)
        for port in _interfaces(passage):
            yield from _check_port(look, passage.router_id, row, port)


def _interfaces(passage: Passage) -> Iterator[Row]:
    for port in (passage.enters, passage.leaves):
        if port is not None:
            yield port


def _check_port(look: Look, router_id: str, router: Row | None, port: Row) -> Iterator[Verdict]:
    site, port_id = look.sender.site, str(port["id"])
    name = f"lrp-{port_id}"
    row = look.world.find(Source.NB, site, "Logical_Router_Port", name=name)
    what = f"{router_of(look, router_id)} on {network_of(look, str(port['network_id']))}"
    there = row is not None and row.get("_uuid") in ((router or {}).get("ports") or ())
    plug = look.world.find(Source.NB, site, "router_lsp", name=port_id)
    if there or plug is not None:  # it may be plugged wrongly, whatever is missing behind it
        yield from _check_plug(look, port, name, what)
    if router is None:
        return
    if row is None or not there:
        yield broken(
            "lrp.missing",
            subject("port", port_id, site),
            f"the port of {what} is missing in OVN at site {site}",
            look.evidence(Source.NB, site, f"no Logical_Router_Port {name} of the router"),
            resync(look, site, router_id),
        )
        return
    networks = [str(one) for one in row.get("networks") or ()]
    held = held_addresses(row)
    lacks = [one for one in addresses(port) if one not in held]
    seen = look.evidence(Source.NB, site, f"Logical_Router_Port {name} networks={networks} "
                         f"mac={row.get('mac')} enabled={first(row.get('enabled'))}")  # fmt: skip
    if lacks:
        yield broken(
            "lrp.address",
            subject("port", port_id, site),
            f"the port of {what} lacks {', '.join(lacks)} in OVN at site {site}",
            seen,
            f"ovn-nbctl set Logical_Router_Port {name} "
            f"networks={_networks(look, port)}   # at site {site}",
        )
    if str(row.get("mac")).lower() != str(port.get("mac_address")).lower():
        yield broken(
            "lrp.mac",
            subject("port", port_id, site),
            f"the port of {what} has MAC {row.get('mac')} in OVN at site {site}, and "
            f"{port.get('mac_address')} at all sites",
            seen,
            f"ovn-nbctl set Logical_Router_Port {name} mac='\"{port.get('mac_address')}\"'   "
            f"# at site {site}",
        )
    if first(row.get("enabled")) is False and port.get("admin_state_up") is not False:
        yield broken(
            "lrp.disabled",
            subject("port", port_id, site),
            f"the port of {what} is disabled in OVN at site {site}, though it is up",
            seen,
            f"ovn-nbctl set Logical_Router_Port {name} enabled=true   # at site {site}",
        )


def _networks(look: Look, port: Row) -> str:
    found = []
    for fixed in port.get("fixed_ips") or ():
        cidr = str((look.fabric.subnet(fixed["subnet_id"]) or {}).get("cidr") or "/24")
        found.append(f'"{fixed["ip_address"]}/{cidr.partition("/")[2]}"')
    return f"'[{','.join(found)}]'"


def _check_plug(look: Look, port: Row, name: str, what: str) -> Iterator[Verdict]:
    """Yield a router's port that is not plugged into its network's switch."""
    site, port_id = look.sender.site, str(port["id"])
    row = look.world.find(Source.NB, site, "router_lsp", name=port_id)
    said = dict((row or {}).get("options") or {})
    if row is not None and row.get("type") == "router" and said.get("router-port") == name:
        return
    yield broken(
        "lrp.unplugged",
        subject("port", port_id, site),
        f"the port of {what} is not plugged into its switch in OVN at site {site}",
        look.evidence(
            Source.NB, site,
            f"Logical_Switch_Port {port_id} type={row.get('type')!r} options={said}"
            if row else f"no Logical_Switch_Port {port_id}",
        ),
        f"ovn-nbctl set Logical_Switch_Port {port_id} type=router addresses=router "
        f"options:router-port={name}   # at site {site}"
        if row else f"{OPENSTACK} router set --description sent-again {port.get('device_id')}",
    )  # fmt: skip


def check_advertised(look: Look) -> Iterator[Verdict]:
    """Yield a router that tells the sender's network nothing of IPv6, or something else."""
    site, passages = look.sender.site, look.course.passages
    enters = passages[0].enters if passages else None
    if enters is None or look.way.packet.family != 6 or not look.sender.is_port:
        return
    for fixed in enters.get("fixed_ips") or ():
        subnet = look.fabric.subnet(fixed["subnet_id"]) or {}
        wanted = str(subnet.get("ipv6_address_mode") or "").replace("-", "_")
        name = f"lrp-{enters['id']}"
        row = look.world.find(Source.NB, site, "Logical_Router_Port", name=name)
        told = str(((row or {}).get("ipv6_ra_configs") or {}).get("address_mode") or "")
        if row is None or not wanted or told == wanted:
            continue
        where = f"{router_of(look, str(enters['device_id']))} at site {site}"
        yield degraded(
            "lrp.other_advertisement" if told else "lrp.no_advertisement",
            subject("port", enters["id"], site),
            f"{where} tells guests of {network_of(look, str(enters['network_id']))} "
            + (f"to take addresses by {told}, and the subnet is {wanted}" if told
               else "nothing of IPv6: they have no default route, or lose it"),
            look.evidence(Source.NB, site, f"Logical_Router_Port {name} has ipv6_ra_configs: "
                          f"address_mode={told or 'none'}"),
            f"ovn-nbctl set Logical_Router_Port {name} ipv6_ra_configs:address_mode={wanted} "
            f"ipv6_ra_configs:send_periodic=true   # at site {site}",
        )  # fmt: skip


def check_learned(look: Look) -> Iterator[Verdict]:
    """Yield an address of the way that the site's router has learned with another MAC."""
    site = look.sender.site
    for row in look.world.rows(Source.SB, site, "MAC_Binding"):
        for passage in look.course.passages:
            leaves = passage.leaves or {}
            if row.get("logical_port") != f"lrp-{leaves.get('id')}":
                continue
            hop = look.fabric.owner(str(leaves.get("network_id")), passage.via)
            end = hop if passage.via else look.receiver.port
            own = [*look.receiver.fixed] if not passage.via else [passage.via]
            if row.get("ip") not in own or not end:
                continue  # a virtual address has whatever MAC its holder says
            wanted = str(end.get("mac_address")).lower()
            if str(row.get("mac")).lower() != wanted:
                yield broken(
                    "lrp.stale_mac",
                    subject("port", end.get("id"), site),
                    f"{router_of(look, passage.router_id)} at site {site} sends {row.get('ip')} to "
                    f"{row.get('mac')}, which it has learned, and the address is {wanted}'s",
                    look.evidence(Source.SB, site, f"MAC_Binding {row.get('_uuid')}"),
                    f"ovn-sbctl destroy MAC_Binding {row.get('_uuid')}   # at site {site}",
                )


CHECKS = (
    Check(name="routers in OVN", hop=Hop.GATEWAY, run=check_router, skips=at_a_router, needs=_NB),
    Check(name="ports of routers in OVN", hop=Hop.GATEWAY, run=check_ports, skips=at_a_router,
          needs=_NB),
    Check(name="router advertisements", hop=Hop.GATEWAY, run=check_advertised, skips=at_a_router,
          needs=(Need.CENTRAL, Need.SENDER_NB), vital=False),
    Check(name="learned addresses", hop=Hop.ROUTE, run=check_learned, skips=at_a_router,
          needs=(Need.SENDER_SB,), vital=False),
)  # fmt: skip
