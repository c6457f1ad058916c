"""Port security in OVN: MAC addresses of allowed address pairs, and neighbour discovery."""

import ipaddress
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
    verdict,
)
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.question import End
from isthmus.diagnose.world import Source
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Severity, Verdict

#: MAC addresses that VRRP gives to a shared address, by IP version (RFC 5798, 7.3).
_VRRP = {4: "00:00:5e:00:01:", 6: "00:00:5e:00:02:"}


def _pairs(end: End) -> Iterator[tuple[str, str]]:
    """Yield the allowed address pairs of a port, each with its MAC address."""
    for one in end.port.get("allowed_address_pairs") or ():
        yield str(one["ip_address"]), str(one.get("mac_address") or end.mac_address).lower()


def _guarded(look: Look, end: End) -> list[list[str]] | None:
    """Return what OVN lets an end send as: a MAC address and its addresses; None: anything."""
    row = look.lsp(end.site, end.id)
    if row is None or end.is_trusted or end.port.get("port_security_enabled") is not True:
        return None
    told = row.get("port_security") or ()
    return [str(one).lower().split() for one in (told if isinstance(told, list) else [told])]


def _same(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_network(one, strict=False) == ipaddress.ip_network(other, strict=False)
    except ValueError:
        return False


def _holds(prefix: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(prefix, strict=False)
    except ValueError:
        return False


def check_pairs(look: Look) -> Iterator[Verdict]:
    """Yield an allowed address pair that OVN does not let the port send as."""
    end = look.sender
    guard = _guarded(look, end)
    for address, mac in _pairs(end) if guard else ():
        if any(one[0] == mac and any(_same(address, x) for x in one[1:]) for one in guard or ()):
            continue
        asked = bool(end.address) and end.address not in end.fixed and _holds(address, end.address)
        yield verdict(
            "lsp.pair_missing",
            Severity.BROKEN if asked else Severity.DEGRADED,
            port_of(end),
            f"port security of {end.label} lacks {mac} with {address} in OVN at site {end.site}, "
            "though an allowed address pair names them: who takes the shared address over is deaf",
            look.evidence(
                Source.NB, end.site,
                f"port_security {'; '.join(' '.join(one) for one in guard or ())}",
            ),
            f"openstack --os-cloud {end.site} port set --description sent-again {end.id}",
        )  # fmt: skip


def check_vrrp(look: Look) -> Iterator[Verdict]:
    """Yield an allowed address pair whose MAC address is VRRP's for the other IP version."""
    end = look.sender
    for address, mac in _pairs(end):
        family = 6 if ":" in address else 4
        if mac.startswith(_VRRP[10 - family]):
            right = _VRRP[family] + mac.rpartition(":")[2]
            yield degraded(
                "port.vrrp_mac",
                port_of(end),
                f"the allowed address pair {address} of port {end.label} has {mac}, which VRRP "
                f"uses for the other IP version: of {address} it sends as {right}, and port "
                "security drops that",
                look.evidence(Source.CENTRAL, CENTRAL, f"allowed address pair {address} {mac}"),
                f"{OPENSTACK} port set --allowed-address ip-address={address},mac-address={right} "
                f"{end.id}",
            )


def check_neighbours(look: Look) -> Iterator[Verdict]:
    """Yield a port whose neighbour discovery is dropped: its address goes with another MAC."""
    end = look.sender
    guard = _guarded(look, end)
    mine = [one for one in guard or () if end.address in one[1:]]
    own = [one for one in mine if one[0] == end.mac_address]
    if look.way.packet.family != 6 or end.address not in end.fixed or not mine or own:
        return
    row = look.lsp(end.site, end.id) or {}
    yield broken(
        "lsp.neighbour_security",
        port_of(end),
        f"port security of {end.label} has {end.address} with {mine[0][0]} in OVN at site "
        f"{end.site}, and the port has {end.mac_address}: neighbour discovery of it is dropped",
        look.evidence(
            Source.NB, end.site,
            f"Logical_Switch_Port {end.id} has port_security {first(row.get('port_security'))}",
        ),
        f"ovn-nbctl lsp-set-port-security {end.id} '{' '.join((end.mac_address, *end.fixed))}'   "
        f"# at site {end.site}",
    )  # fmt: skip


CHECKS = (
    Check(name="VRRP's MAC addresses", hop=Hop.SENDER_PORT, run=check_vrrp, skips=at_a_port,
          vital=False),
    Check(name="neighbour discovery", hop=Hop.SENDER_SWITCH, run=check_neighbours,
          needs=(Need.SENDER_NB,), skips=from_a_site),
    Check(name="allowed address pairs", hop=Hop.SENDER_SWITCH, run=check_pairs,
          needs=(Need.SENDER_NB,), skips=from_a_site),
)  # fmt: skip
