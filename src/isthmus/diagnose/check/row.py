"""The end's own rows in the OVN of its site: switch port, keys, binding, DHCP options."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    at_a_site,
    broken,
    degraded,
    first,
    from_a_site,
    port_of,
    verdict,
)
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.question import End
from isthmus.diagnose.world import Row, Source
from isthmus.model.dataplane.ovn import CHASSIS_OPTION, KEY_OPTION, SWITCH_PREFIX
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Severity, Subject, Verdict

#: Whose frames come by another port, with a VLAN (neutron_lib constants).
SUBPORT_OWNER = "trunk:subport"
_NB = (Need.SENDER_NB,)
_BOTH = (Need.SENDER_NB, Need.SENDER_SB)


def requested_key(row: Row) -> int | None:
    """Return the tunnel key that a row asks for."""
    options = row.get("options") or row.get("other_config") or {}
    text = str(options.get(KEY_OPTION, ""))
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else None


def _seen(look: Look, text: str) -> str:
    return look.evidence(Source.NB, look.sender.site, text)


def check_switch(look: Look) -> Iterator[Verdict]:
    """Yield a network that has no switch."""
    end = look.sender
    name = SWITCH_PREFIX + end.network_id
    if look.world.find(Source.NB, end.site, "Logical_Switch", name=name) is None:
        yield broken(
            "switch.missing",
            Subject(end.network_id, "network", end.site),
            f"network {end.network_id} has no logical switch in OVN at site {end.site}",
            _seen(look, f"no Logical_Switch {name}"),
            f"{OPENSTACK} network set --description sent-again {end.network_id}",
        )


def check_switch_port(look: Look) -> Iterator[Verdict]:
    """Yield a port without a row, or whose row does not do what Neutron's port says."""
    end = look.sender
    row = look.lsp(end.site, end.id)
    if row is None:
        yield broken(
            "lsp.missing",
            port_of(end),
            f"port {end.label} has no switch port in OVN at its site {end.site}",
            _seen(look, f"no Logical_Switch_Port {end.id}"),
            f"openstack --os-cloud {end.site} port set --description sent-again {end.id}",
        )
        return
    up = end.port.get("admin_state_up") is not False
    if up and first(row.get("enabled")) is False:
        yield broken(
            "lsp.disabled",
            port_of(end),
            f"the switch port of {end.label} is disabled in OVN at site {end.site}, though the "
            "port is up",
            _seen(look, f"Logical_Switch_Port {end.id} has enabled=false"),
            f"ovn-nbctl lsp-set-enabled {end.id} enabled   # at site {end.site}",
        )
    elif not up and first(row.get("enabled")) is not False:
        yield degraded(
            "lsp.not_disabled",
            port_of(end),
            f"the switch port of {end.label} is enabled in OVN at site {end.site}, though the port "
            "is down",
            _seen(look, f"Logical_Switch_Port {end.id} has enabled={first(row.get('enabled'))}"),
            f"ovn-nbctl lsp-set-enabled {end.id} disabled   # at site {end.site}",
        )
    yield from _check_addresses(look, end, row)
    yield from _check_kind(look, end, row)


def _check_kind(look: Look, end: End, row: Row) -> Iterator[Verdict]:
    """Yield a port that OVN takes for another kind than it is, or that is moving."""
    options = row.get("options") or {}
    is_subport = end.port.get("device_owner") == SUBPORT_OWNER
    if is_subport and not (first(row.get("parent_name")) and first(row.get("tag"))):
        yield broken(
            "lsp.no_parent",
            port_of(end),
            f"port {end.label} is a subport of trunk {end.port.get('device_id')}, and OVN at site "
            f"{end.site} does not know by which port and VLAN its frames come",
            _seen(look, f"Logical_Switch_Port {end.id} has parent_name="
                        f"{first(row.get('parent_name'))} tag={first(row.get('tag'))}"),
            f"take it out of the trunk and put it in again: {OPENSTACK} network trunk unset "
            f"--subport {end.id} {end.port.get('device_id') or 'TRUNK'}",
        )  # fmt: skip
    parents = str(options.get("virtual-parents") or "").replace(",", ", ")
    if row.get("type") == "virtual" and end.host:
        yield broken(
            "lsp.virtual",
            port_of(end),
            f"OVN at site {end.site} takes port {end.label} for an address that others share, "
            f"since allowed address pairs of {parents or 'other ports'} name it: no hypervisor "
            "may claim it",
            _seen(look, f"Logical_Switch_Port {end.id} has type=virtual, "
                        f"virtual-parents={parents or 'none'}"),
            f"take {', '.join(end.fixed)} out of the allowed address pairs of {parents or 'them'}",
        )  # fmt: skip
    chassis = str(options.get(CHASSIS_OPTION) or "")
    if "," in chassis:
        yield degraded(
            "lsp.migrating",
            port_of(end),
            f"port {end.label} is being moved between {chassis.replace(',', ' and ')}: packets "
            "may be lost until that is done",
            _seen(look, f"Logical_Switch_Port {end.id} has {CHASSIS_OPTION}={chassis}"),
            f"see how far it is: openstack server migration list --server "
            f"{end.port.get('device_id') or 'SERVER'}",
        )


def _check_addresses(look: Look, end: End, row: Row) -> Iterator[Verdict]:
    written = " ".join(map(str, row.get("addresses") or ())).lower()
    lacks = [
        one for one in (end.mac_address, end.address)
        if one and one.lower() not in written.split() and one in (end.mac_address, *end.fixed)
    ]  # fmt: skip
    if lacks and "unknown" not in written:
        wanted = " ".join((end.mac_address, *end.fixed))
        # Other sites look it up in their own rows, and send to its key.
        far = bool(look.receiver.site) and look.receiver.site != end.site
        yield verdict(
            "lsp.addresses",
            Severity.DEGRADED if far else Severity.BROKEN,
            port_of(end),
            f"the switch port of {end.label} lacks {' and '.join(lacks)} in OVN at site {end.site}"
            f"{', so nothing at that site reaches it' if far else ''}",
            _seen(look, f"Logical_Switch_Port {end.id} has addresses {written or 'none'}"),
            f"ovn-nbctl lsp-set-addresses {end.id} '{wanted}'   # at site {end.site}",
        )
    guard = " ".join(map(str, row.get("port_security") or ())).lower()
    filtered = end.port.get("port_security_enabled") is True
    if filtered and guard and end.address in end.fixed and end.address not in guard.split():
        yield broken(
            "lsp.port_security",
            port_of(end),
            f"port security of {end.label} lacks {end.address} in OVN at site {end.site}",
            _seen(look, f"Logical_Switch_Port {end.id} has port_security {guard}"),
            f"ovn-nbctl lsp-set-port-security {end.id} '"
            f"{' '.join((end.mac_address, *end.fixed))}'   # at site {end.site}",
        )


def check_binding(look: Look) -> Iterator[Verdict]:
    """Yield a switch port that is on no chassis, on the wrong one, or not up there."""
    end = look.sender
    row, bound = look.lsp(end.site, end.id), look.binding(end.site, end.id)
    if row is None:
        return
    if bound is None:
        yield broken(
            "northd.no_binding",
            port_of(end),
            f"ovn-northd at site {end.site} has not carried port {end.label} into the southbound "
            "database",
            look.evidence(Source.SB, end.site, f"no Port_Binding {end.id}"),
            f"systemctl restart ovn-northd   # at site {end.site}; see its log first",
        )
        return
    chassis = look.chassis(end.site, first(bound.get("chassis")))
    if chassis is None:
        yield broken(
            "binding.no_chassis",
            port_of(end),
            f"no hypervisor of site {end.site} has claimed port {end.label}",
            look.evidence(Source.SB, end.site, f"Port_Binding {end.id} has chassis=[]"),
            f"on {end.host or 'its hypervisor'}: ovs-vsctl find Interface "
            f"external_ids:iface-id={end.id}; start ovn-controller there",
        )
    elif bound.get("type") == "external":  # a gateway stands in for its NIC
        return
    elif end.host and end.host not in (chassis.get("hostname"), chassis.get("name")):
        yield broken(
            "binding.wrong_chassis",
            port_of(end),
            f"port {end.label} is claimed by {chassis.get('hostname')}, and Neutron has it on "
            f"{end.host}",
            look.evidence(
                Source.SB, end.site, f"Port_Binding {end.id} has chassis {chassis.get('name')}"
            ),
            f"on {chassis.get('hostname')}: ovs-vsctl del-port the interface with "
            f"external_ids:iface-id={end.id}",
        )
    elif first(bound.get("up")) is False and first(row.get("enabled")) is not False:
        yield broken(
            "binding.not_up",
            port_of(end),
            f"hypervisor {chassis.get('hostname')} has claimed port {end.label} and not set up its "
            "flows",
            look.evidence(Source.SB, end.site, f"Port_Binding {end.id} has up=false"),
            f"on {chassis.get('hostname')}: ovn-appctl -t ovn-controller inc-engine/recompute",
        )


def check_own_key(look: Look) -> Iterator[Verdict]:
    """Yield a port whose key in use is not the one that its row asks for."""
    end = look.sender
    row, bound = look.lsp(end.site, end.id), look.binding(end.site, end.id)
    if row is None or bound is None:
        return
    wanted = requested_key(row)
    if wanted is not None and bound.get("tunnel_key") != wanted:
        yield broken(
            "binding.key",
            port_of(end),
            f"port {end.label} has tunnel key {bound.get('tunnel_key')} at site {end.site}, and "
            f"its switch port asks for {wanted}",
            look.evidence(
                Source.SB, end.site, f"Port_Binding {end.id} tunnel_key={bound.get('tunnel_key')}"
            ),
            f"ovn-sbctl find Port_Binding tunnel_key={wanted}   # who has it at site {end.site}",
        )


def check_network_key(look: Look) -> Iterator[Verdict]:
    """Yield a network whose datapath key at the sender's site is not the one of all sites."""
    end = look.sender
    presence = look.world.find(
        Source.CENTRAL, CENTRAL, "site_presence", network_id=end.network_id, site=end.site
    )
    bound = look.binding(end.site, end.id)
    uuid = first(bound.get("datapath")) if bound else None
    datapath = look.world.find(Source.SB, end.site, "Datapath_Binding", _uuid=uuid)
    if not presence or not datapath or presence.get("datapath_key") is None:
        return
    wanted, key = int(presence["datapath_key"]), datapath.get("tunnel_key")
    if key != wanted:
        name = SWITCH_PREFIX + end.network_id
        yield broken(
            "network.datapath_key",
            Subject(end.network_id, "network", end.site),
            f"network {end.network_id} has datapath key {key} at site {end.site}, and {wanted} at "
            "all sites",
            look.evidence(Source.SB, end.site, f"Datapath_Binding {uuid} tunnel_key={key}"),
            f"ovn-nbctl set Logical_Switch {name} other_config:{KEY_OPTION}={wanted}   # at site "
            f"{end.site}",
        )


def check_dhcp(look: Look) -> Iterator[Verdict]:
    """Yield a port that DHCP would not answer, though its subnet says that it does."""
    end, family = look.sender, look.way.packet.family
    row = look.lsp(end.site, end.id)
    subnets = look.world.rows(Source.CENTRAL, CENTRAL, "subnet")
    fixed = {one.get("subnet_id") for one in end.port.get("fixed_ips") or ()}
    mine = [one for one in subnets if one["id"] in fixed and one.get("ip_version") == family]
    if family != 4 or row is None or not mine or end.is_trusted:
        return
    if any(one.get("enable_dhcp") for one in mine) and not first(row.get("dhcpv4_options")):
        yield degraded(
            "dhcp.no_options",
            port_of(end),
            f"port {end.label} gets no DHCP answer: it has no DHCP options in OVN at site "
            f"{end.site}",
            _seen(look, f"Logical_Switch_Port {end.id} has dhcpv4_options=[]"),
            f"{OPENSTACK} subnet set --no-dhcp {mine[0]['id']} && {OPENSTACK} subnet set --dhcp "
            f"{mine[0]['id']}",
        )


def check_northd(look: Look) -> Iterator[Verdict]:
    """Yield a northd that has not carried over what was written."""
    site = look.sender.site
    row = next(iter(look.world.rows(Source.NB, site, "NB_Global")), {})
    wanted, done = int(row.get("nb_cfg") or 0), int(row.get("sb_cfg") or 0)
    if done < wanted:
        yield degraded(
            "northd.behind",
            Subject("ovn-northd", "process", site),
            f"ovn-northd at site {site} is {wanted - done} changes behind",
            _seen(look, f"NB_Global nb_cfg={wanted}, sb_cfg={done}"),
            f"systemctl restart ovn-northd   # at site {site}; see its log first",
        )


CHECKS = (
    Check(name="ovn-northd", hop=Hop.SENDER_SWITCH, run=check_northd, needs=_NB, skips=at_a_site),
    Check(name="switch", hop=Hop.SENDER_SWITCH, run=check_switch, needs=_NB, skips=from_a_site),
    Check(name="switch port", hop=Hop.SENDER_SWITCH, run=check_switch_port, needs=_NB,
          skips=from_a_site),
    Check(name="datapath key", hop=Hop.SENDER_SWITCH, run=check_network_key,
          needs=(Need.CENTRAL, Need.SENDER_SB), skips=from_a_site),
    Check(name="port key", hop=Hop.SENDER_SWITCH, run=check_own_key, needs=_BOTH,
          skips=from_a_site),
    Check(name="chassis of the port", hop=Hop.SENDER_SWITCH, run=check_binding, needs=_BOTH,
          skips=from_a_site),
    Check(name="DHCP options", hop=Hop.SENDER_SWITCH, run=check_dhcp, needs=_NB, skips=from_a_site,
          vital=False),
)  # fmt: skip
