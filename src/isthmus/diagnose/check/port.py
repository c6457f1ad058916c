"""The port as Neutron has it: up, bound, with an address of its own."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    at_a_port,
    broken,
    degraded,
    first,
    from_a_site,
    port_of,
)
from isthmus.diagnose.evaluate.policy import decide_source
from isthmus.diagnose.question import End
from isthmus.diagnose.world import Source, TableNotSeenError
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Subject, Verdict

OPENSTACK = "openstack --os-cloud central"


def resync(end: End) -> str:
    """Return the command that compares what is on an end's network at its site, and repairs it."""
    return f"isthmus site resync {end.site} --network {end.network_id} --wait 60"


_ABSENT = (None, "", "unbound")


def _seen(look: Look, text: str) -> str:
    """Return evidence of the sender's port, from its home where that was read."""
    site = look.sender.site
    if look.world.has_table(Source.NEUTRON, site, "port"):
        return look.evidence(Source.NEUTRON, site, text)
    return look.evidence(Source.CENTRAL, CENTRAL, text)


def check_admin_state(look: Look) -> Iterator[Verdict]:
    """Yield a port that is administratively down."""
    end = look.sender
    if end.port.get("admin_state_up") is False:
        yield broken(
            "port.admin_down",
            port_of(end),
            f"port {end.label} is administratively down",
            _seen(look, f"port {end.id} has admin_state_up=false"),
            f"{OPENSTACK} port set --enable {end.id}",
        )


def check_network_state(look: Look) -> Iterator[Verdict]:
    """Yield a network that is administratively down."""
    network = look.sender.network or {}
    if network.get("admin_state_up") is False:
        yield broken(
            "network.admin_down",
            Subject(look.sender.network_id, "network", CENTRAL),
            f"network {network.get('name') or ''} ({look.sender.network_id}) is administratively "
            "down",
            look.evidence(Source.CENTRAL, CENTRAL, "the network has admin_state_up=false"),
            f"{OPENSTACK} network set --enable {look.sender.network_id}",
        )


def check_binding(look: Look) -> Iterator[Verdict]:
    """Yield a port that is on no hypervisor, or could not be bound to the one it should be on."""
    end = look.sender
    if end.site and not look.world.has_table(Source.NEUTRON, end.site, "port"):
        raise TableNotSeenError(f"site {end.site}, which has bound port {end.id}, was not asked")
    if "binding:host_id" not in end.port:
        raise TableNotSeenError(f"your role does not show where port {end.id} is bound")
    kind, host = end.port.get("binding:vif_type"), end.port.get("binding:host_id")
    if kind == "binding_failed":
        yield broken(
            "port.binding_failed",
            port_of(end),
            f"port {end.label} could not be bound to hypervisor {host}",
            _seen(look, f"port {end.id} has binding:vif_type=binding_failed, host {host}"),
            f"start ovn-controller on {host}, then: isthmus port rebind {end.id}",
        )
    elif not end.site or host in _ABSENT:
        yield broken(
            "port.unbound",
            port_of(end),
            f"port {end.label} is on no hypervisor: no server uses it",
            _seen(look, f"port {end.id} has binding:host_id={host or ''!r}, vif_type={kind}"),
            f"openstack server add port SERVER {end.id}",
        )


def check_status(look: Look) -> Iterator[Verdict]:
    """Yield a bound port that is not active: nobody has plugged it in."""
    end = look.sender
    bound = end.port.get("binding:host_id") not in _ABSENT
    up = end.port.get("admin_state_up") is not False
    failed = end.port.get("binding:vif_type") == "binding_failed"
    if not bound or not up or failed or end.port.get("status") in ("ACTIVE", None):
        return
    if _is_up_in_ovn(look, end):
        yield degraded(
            "port.not_active",
            port_of(end),
            f"Neutron at site {end.site} takes port {end.label} for down, and OVN has it up on "
            f"{end.host}: packets pass there, and other sites are not told of it",
            _seen(look, f"port {end.id} has status={end.port.get('status')}"),
            f"openstack server reboot --hard {end.port.get('device_id') or 'SERVER'}",
        )
    else:
        yield broken(
            "port.not_active",
            port_of(end),
            f"port {end.label} is bound to {end.host} and not plugged in there",
            _seen(look, f"port {end.id} has status={end.port.get('status')}"),
            f"see the log of ovn-controller on {end.host}; then: openstack server reboot --hard "
            f"{end.port.get('device_id') or 'SERVER'}",
        )


def _is_up_in_ovn(look: Look, end: End) -> bool:
    """Tell whether the port is claimed by its hypervisor, set up there, and plugged in."""
    bound = look.binding(end.site, end.id) if look.world.has(Source.SB, end.site) else None
    if bound is None or first(bound.get("up")) is not True:
        return False
    chassis = look.chassis(end.site, first(bound.get("chassis"))) or {}
    plugged = not look.world.has_table(Source.HOST, end.host, "Interface") or look.world.find(
        Source.HOST, end.host, "Interface", iface_id=end.id
    )
    return chassis.get("hostname") == end.host and bool(plugged)


def check_address(look: Look) -> Iterator[Verdict]:
    """Yield a port that has no address of the family."""
    end, family = look.sender, look.way.packet.family
    if not end.address:
        yield broken(
            "port.no_address",
            port_of(end),
            f"port {end.label} has no IPv{family} address",
            _seen(look, f"port {end.id} has fixed_ips {', '.join(end.fixed) or 'none'}"),
            f"{OPENSTACK} port set --fixed-ip subnet=SUBNET {end.id}",
        )


def check_source(look: Look) -> Iterator[Verdict]:
    """Yield an address that port security does not let the port use."""
    end = look.sender
    if end.address and not decide_source(end.port, end.address).allowed:
        pairs = ", ".join(
            str(one["ip_address"]) for one in end.port.get("allowed_address_pairs") or ()
        )
        yield broken(
            "port.spoofed_address",
            port_of(end),
            f"port security keeps port {end.label} from using {end.address}",
            _seen(look, f"fixed_ips {', '.join(end.fixed)}; allowed address pairs {pairs or '-'}"),
            f"{OPENSTACK} port set --allowed-address ip-address={end.address} {end.id}",
        )


def check_twins(look: Look) -> Iterator[Verdict]:
    """Yield other ports of the network with the same address or MAC address, in any tier."""
    end, met = look.sender, set()
    for (source, place), seen in look.world.seen.items():
        for row in seen.tables.get("twin", ()):
            if row["id"] == end.id or row.get("network_id") != end.network_id:
                continue
            fixed = {str(one["ip_address"]) for one in row.get("fixed_ips") or ()}
            same = {"address": end.address in fixed and end.address} | {
                "mac": str(row.get("mac_address")).lower() == end.mac_address and end.mac_address
            }
            for what, value in same.items():
                if value and (what, row["id"]) not in met:
                    met.add((what, row["id"]))
                    yield degraded(
                        f"port.{what}_twice",
                        port_of(end),
                        f"{value} of port {end.label} belongs to port {row['id']} too",
                        look.evidence(source, place, f"port {row['id']} has {value}"),
                        f"{OPENSTACK} port delete {row['id']}   # the one that no server uses",
                    )


CHECKS = (
    Check(name="port admin state", hop=Hop.SENDER_PORT, run=check_admin_state, skips=at_a_port),
    Check(name="network admin state", hop=Hop.SENDER_PORT, run=check_network_state,
          needs=(Need.CENTRAL,), skips=at_a_port),
    Check(name="port binding", hop=Hop.SENDER_PORT, run=check_binding, skips=at_a_port),
    Check(name="port address", hop=Hop.SENDER_PORT, run=check_address, skips=at_a_port),
    Check(name="port security", hop=Hop.SENDER_PORT, run=check_source, skips=at_a_port),
    Check(name="address used twice", hop=Hop.SENDER_PORT, run=check_twins, vital=False,
          skips=at_a_port),
)  # fmt: skip
#: Comes after what may be its cause.
PLUGGED = Check(
    name="port status", hop=Hop.SENDER_PORT, run=check_status, skips=from_a_site,
    needs=(Need.SENDER_NEUTRON,),
)  # fmt: skip
