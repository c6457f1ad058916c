"""The answer that a guest gets to DHCP: options that OVN can read, metadata, a name server."""

from collections.abc import Iterator, Mapping

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    degraded,
    first,
    from_a_site,
    port_of,
    verdict,
)
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.evaluate.dhcp import find_fault, routes_of
from isthmus.diagnose.route.fabric import addresses, holds
from isthmus.diagnose.world import Row, Source
from isthmus.model.verdict import Severity, Verdict

#: Where guests ask for keys and names (AWS' link-local address, which Nova took over).
_METADATA = "169.254.169.254/32"


def _find(look: Look) -> tuple[Row, Mapping[str, str]] | None:
    """Find the row of the sender's DHCP options; none of a port that OVN does not answer."""
    end = look.sender
    row = look.lsp(end.site, end.id)
    if row is None or end.is_trusted or look.way.packet.family != 4:
        return None
    uuid = first(row.get("dhcpv4_options"))
    found = look.world.find(Source.NB, end.site, "DHCP_Options", _uuid=uuid) if uuid else None
    return (found, found.get("options") or {}) if found is not None else None


def _seen(look: Look, text: str) -> str:
    return look.evidence(Source.NB, look.sender.site, text)


def _again(look: Look) -> str:
    """Return the command after which Neutron writes the options of the subnet anew."""
    subnet = next((x.get("subnet_id") for x in look.sender.port.get("fixed_ips") or ()), "SUBNET")
    return f"{OPENSTACK} subnet set --no-dhcp {subnet} && {OPENSTACK} subnet set --dhcp {subnet}"


def check_options(look: Look) -> Iterator[Verdict]:
    """Yield an option that OVN cannot read: it answers the port nothing at all then."""
    end, found = look.sender, _find(look)
    for name, value in sorted((found[1] if found else {}).items()):
        fault = find_fault(str(name), str(value))
        if fault:
            yield degraded(
                "dhcp.bad_option",
                port_of(end),
                f"OVN cannot read DHCP option {name} of port {end.label}, and answers it nothing: "
                f"{fault}",
                _seen(look, f"DHCP_Options {name}={value!r}"),
                f"{OPENSTACK} port set --extra-dhcp-option name={name} {end.id}   # without a "
                "value it is removed",
            )


def check_metadata_route(look: Look) -> Iterator[Verdict]:
    """Yield a guest that is not told its way to metadata, or an old one."""
    end, found = look.sender, _find(look)
    if found is None:
        return
    row, options = found
    answers = [
        one
        for port in look.world.list(
            Source.NEUTRON, end.site, "metadata_port", network_id=end.network_id
        )
        for one in addresses(port) if holds(row.get("cidr"), one)
    ]  # fmt: skip
    hop = routes_of(options).get(_METADATA)
    if not answers or hop in answers:
        return
    code = "dhcp.no_metadata_route" if hop is None else "dhcp.other_metadata_route"
    told = "no route" if hop is None else f"a route to {hop}"
    yield degraded(
        code,
        port_of(end),
        f"DHCP gives port {end.label} {told} for metadata, which {answers[0]} answers: its guest "
        "gets neither keys nor a host name",
        _seen(look, f"DHCP_Options classless_static_route={options.get('classless_static_route')}"),
        _again(look),
    )


def check_names(look: Look) -> Iterator[Verdict]:
    """Yield a guest that is told no name server: addresses work, names do not."""
    end, found = look.sender, _find(look)
    if found is None or found[1].get("dns_server") or not found[1].get("router"):
        return
    subnet = next((x.get("subnet_id") for x in end.port.get("fixed_ips") or ()), "SUBNET")
    yield verdict(
        "dhcp.no_name_server",
        Severity.ADVICE,
        port_of(end),
        f"DHCP tells port {end.label} no name server: addresses work there, names do not",
        _seen(look, "DHCP_Options has no dns_server"),
        f"{OPENSTACK} subnet set --dns-nameserver ADDRESS {subnet}",
    )


def check_size(look: Look) -> Iterator[Verdict]:
    """Yield a guest that is told of larger packets than its network carries."""
    end, found = look.sender, _find(look)
    told, promised = (found[1] if found else {}).get("mtu", ""), (end.network or {}).get("mtu")
    if told.isdecimal() and promised and int(told) > int(promised):
        yield degraded(
            "dhcp.mtu",
            port_of(end),
            f"DHCP tells port {end.label} an MTU of {told}, and its network carries {promised}: "
            "large packets are lost",
            _seen(look, f"DHCP_Options mtu={told}"),
            _again(look),
        )


_NB = (Need.SENDER_NB,)
CHECKS = (
    Check(name="values of DHCP options", hop=Hop.SENDER_SWITCH, run=check_options, needs=_NB,
          skips=from_a_site, vital=False),
    Check(name="route to metadata", hop=Hop.SENDER_SWITCH, run=check_metadata_route,
          needs=(*_NB, Need.SENDER_NEUTRON), skips=from_a_site, vital=False),
    Check(name="MTU by DHCP", hop=Hop.SENDER_SWITCH, run=check_size, needs=_NB, skips=from_a_site,
          vital=False),
    Check(name="name server", hop=Hop.SENDER_SWITCH, run=check_names, needs=_NB, skips=from_a_site,
          vital=False),
)  # fmt: skip
