"""The sender's hypervisor: its daemons, the tap, the tunnel and the flow towards the receiver."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    across_hosts,
    at_a_port,
    broken,
    by_a_tunnel,
    degraded,
    first,
    on_a_host,
    port_of,
)
from isthmus.diagnose.question import End
from isthmus.diagnose.world import Row, Source
from isthmus.model.verdict import Subject, Verdict

_HOST = (Need.SENDER_HOST,)
#: As many connections as Open vSwitch tracks if nobody says otherwise (lib/conntrack.c).
_CONNECTIONS = 3_000_000
#: How ports are bound that a NIC switches by itself: Open vSwitch has no interface for them.
_OF_A_NIC = frozenset({"hw_veb", "hostdev_physical", "macvtap", "802.1qbh"})


def _daemon(look: Look, name: str) -> Row | None:
    return look.world.find(Source.HOST, look.sender.host, "daemon", name=name)


def _settings(look: Look) -> Row:
    """Return what Open vSwitch on the sender's hypervisor is told of OVN."""
    row: Row = next(iter(look.world.rows(Source.HOST, look.sender.host, "Open_vSwitch")), {})
    return row.get("external_ids") or {}


def _tunnel_addresses(look: Look, end: End) -> set[str]:
    """Return the tunnel addresses that the OVN of an end's site has of its hypervisor."""
    chassis = look.chassis_of(end)
    encaps = look.encaps(end.site, str(chassis.get("name"))) if chassis else []
    return {str(one.get("ip")) for one in encaps}


def check_daemons(look: Look) -> Iterator[Verdict]:
    """Yield daemons that do not run, do not answer, or are not connected."""
    host = look.sender.host
    for name, code in (("ovs-vswitchd", "vswitchd"), ("ovn-controller", "controller")):
        row = _daemon(look, name)
        if row is None or row.get("state") in ("running", "connected", None):
            continue
        subject = Subject(name, "process", host)
        seen = look.evidence(Source.HOST, host, f"{name}: {row.get('said')}")
        if row["state"] == "hung":
            found = (
                f"host.{code}_hung",
                f"{name} on {host} does not answer: stopped, or it hangs",
            )
            remedy = f"on {host}: kill -CONT $(pidof {name}) || systemctl restart {name}"
        elif row["state"] == "not connected":
            found = (f"host.{code}_disconnected", f"{name} on {host} is not connected to OVN")
            remedy = f"on {host}: ovs-vsctl get Open_vSwitch . external_ids:ovn-remote"
        else:
            found = (f"host.{code}_dead", f"{name} does not run on {host}")
            remedy = f"on {host}: systemctl start {name}"
        severe = broken if name == "ovs-vswitchd" else degraded
        tail = "" if name == "ovs-vswitchd" else "; what changes from now on does not get there"
        yield severe(found[0], subject, found[1] + tail, seen, remedy)


def check_tap(look: Look) -> Iterator[Verdict]:
    """Yield a port that has no interface on its hypervisor, several, or a dead one."""
    end, host = look.sender, look.sender.host
    lsp = look.lsp(end.site, end.id) if look.world.has(Source.NB, end.site) else None
    parent = first((lsp or {}).get("parent_name"))  # frames of a subport come by its parent
    rows = list(look.world.list(Source.HOST, host, "Interface", iface_id=parent or end.id))
    if not rows:
        yield broken(
            "host.no_interface",
            port_of(end),
            f"hypervisor {host} has no interface for port {end.label}",
            look.evidence(Source.HOST, host, f"no Interface with iface-id={end.id}"),
            f"openstack server reboot --hard {end.port.get('device_id') or 'SERVER'}",
        )
    elif len(rows) > 1:
        names = ", ".join(str(row.get("name")) for row in rows)
        yield broken(
            "host.interface_twice",
            port_of(end),
            f"hypervisor {host} has {len(rows)} interfaces for port {end.label}: {names}",
            look.evidence(Source.HOST, host, f"Interface {names} with iface-id={end.id}"),
            f"on {host}: ovs-vsctl del-port {rows[-1].get('name')}",
        )
    else:
        yield from _check_interface(look, rows[0])


def _check_interface(look: Look, row: Row) -> Iterator[Verdict]:
    end, host, name = look.sender, look.sender.host, row.get("name")
    error, ofport = first(row.get("error")), first(row.get("ofport"))
    if error or ofport == -1:
        yield broken(
            "host.interface_error",
            port_of(end),
            f"Open vSwitch on {host} cannot use interface {name} of port {end.label}: {error}",
            look.evidence(Source.HOST, host, f"Interface {name} ofport={ofport} error={error}"),
            f"on {host}: ip link show {name}; ovs-vsctl del-port {name}; restart the server",
        )
    elif "down" in (first(row.get("link_state")), first(row.get("admin_state"))):
        yield broken(
            "host.tap_down",
            port_of(end),
            f"interface {name} of port {end.label} is down on {host}",
            look.evidence(
                Source.HOST, host,
                f"Interface {name} admin_state={first(row.get('admin_state'))} "
                f"link_state={first(row.get('link_state'))}",
            ),
            f"on {host}: ip link set {name} up",
        )  # fmt: skip
    else:
        yield from _check_size(look, row)


def _check_size(look: Look, row: Row) -> Iterator[Verdict]:
    """Yield an interface that carries less than its network promises."""
    end, host, name = look.sender, look.sender.host, row.get("name")
    mtu, promised = first(row.get("mtu")), (end.network or {}).get("mtu")
    if mtu and promised and int(mtu) < int(promised):
        yield degraded(
            "host.tap_mtu",
            port_of(end),
            f"interface {name} of port {end.label} carries {mtu} bytes on {host}, and its network "
            f"promises {promised}: large packets are lost",
            look.evidence(Source.HOST, host, f"Interface {name} mtu={mtu}"),
            f"on {host}: ip link set {name} mtu {promised}",
        )


def check_connections(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor that tracks as many connections as it may: new ones are dropped."""
    host = look.sender.host
    for row in look.world.rows(Source.HOST, host, "conntrack"):
        count, most = int(row.get("count") or 0), int(row.get("most") or 0)
        if most and count >= most:
            yield broken(
                "host.conntrack_full",
                Subject(host, "hypervisor", look.sender.site),
                f"hypervisor {host} tracks {count} connections, and may track no more than {most}: "
                "new ones are dropped",
                look.evidence(Source.HOST, host, f"dpctl/ct-get-nconns={count}, maxconns={most}"),
                f"on {host}: ovs-appctl dpctl/ct-set-maxconns {max(2 * most, _CONNECTIONS)}",
            )


def check_names(look: Look) -> Iterator[Verdict]:
    """Yield two hypervisors of one name in OVN: each takes the other's row."""
    one, other = look.sender, look.receiver
    theirs: Row = next(iter(look.world.rows(Source.HOST, other.host, "Open_vSwitch")), {})
    their_name = (theirs.get("external_ids") or {}).get("system-id")
    mine = str(_settings(look).get("system-id") or "")
    if one.site == other.site and mine and mine == their_name:
        both = sorted((one.host, other.host))
        yield broken(
            "host.system_id_twice",
            Subject(mine, "chassis", one.site),
            f"hypervisors {' and '.join(both)} of site {one.site} call themselves {mine} both: "
            "each takes the other's row in OVN",
            look.evidence(Source.HOST, one.host, f"external_ids:system-id={mine} on both"),
            f"on {both[1]}: ovs-vsctl set Open_vSwitch . external_ids:system-id=$(uuidgen); "
            "systemctl restart ovn-controller",
        )


def check_mappings(look: Look) -> Iterator[Verdict]:
    """Yield a bridge that stands for two physical networks: their packets mix."""
    host = look.sender.host
    said = str(_settings(look).get("ovn-bridge-mappings", ""))
    pairs = [one.strip().partition(":")[::2] for one in said.split(",") if ":" in one]
    bridges = [bridge for _, bridge in pairs]
    for bridge in dict.fromkeys(one for one in bridges if bridges.count(one) > 1):
        both = " and ".join(physical for physical, other in pairs if other == bridge)
        yield degraded(
            "host.bridge_twice",
            Subject(host, "hypervisor", look.sender.site),
            f"on {host} bridge {bridge} stands for {both}: what is said on one is heard on the "
            "other",
            look.evidence(Source.HOST, host, f"external_ids:ovn-bridge-mappings={said}"),
            f"on {host}: ovs-vsctl set Open_vSwitch . "
            "external_ids:ovn-bridge-mappings=PHYSICAL_NETWORK:BRIDGE,...",
        )


def check_tunnel(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor that has no tunnel to the receiver's."""
    host, end = look.sender.host, look.receiver
    wanted = _tunnel_addresses(look, end)
    across = look.sender.site != end.site
    if across and str(_settings(look).get("ovn-is-interconn", "")).lower() != "true":
        yield broken(
            "host.not_interconn",
            Subject(host, "hypervisor", look.sender.site),
            f"hypervisor {host} makes no tunnels to other sites",
            look.evidence(Source.HOST, host, "external_ids lacks ovn-is-interconn=true"),
            f"on {host}: ovs-vsctl set Open_vSwitch . external_ids:ovn-is-interconn=true",
        )
        return  # that there is no tunnel follows
    tunnels = {
        str((row.get("options") or {}).get("remote_ip"))
        for row in look.world.rows(Source.HOST, host, "Interface")
        if (row.get("options") or {}).get("remote_ip")
    }
    if wanted and not wanted & tunnels:
        yield broken(
            "host.no_tunnel",
            Subject(host, "hypervisor", look.sender.site),
            f"hypervisor {host} has no tunnel to {', '.join(sorted(wanted))} ({end.host})",
            look.evidence(
                Source.HOST, host, f"tunnels to {', '.join(sorted(tunnels)) or 'nowhere'}"
            ),
            f"on {host}: ovn-appctl -t ovn-controller inc-engine/recompute",
        )


def check_own_address(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor whose tunnel address is not the one that its site has of it."""
    end, host = look.sender, look.sender.host
    own = {one for one in str(_settings(look).get("ovn-encap-ip", "")).split(",") if one}
    known = _tunnel_addresses(look, end)
    if own and known and not own & known:
        yield broken(
            "host.encap_ip",
            Subject(host, "hypervisor", end.site),
            f"hypervisor {host} has tunnel address {', '.join(sorted(own))}, and OVN at site "
            f"{end.site} has {', '.join(sorted(known))}",
            look.evidence(Source.HOST, host, f"external_ids:ovn-encap-ip={', '.join(sorted(own))}"),
            f"on {host}: systemctl restart ovn-controller",
        )


def check_flow(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor that has no flow towards the receiver."""
    host, end = look.sender.host, look.receiver
    bound = look.binding(look.sender.site, end.id)
    row = look.world.find(Source.HOST, host, "flow", to=end.id) if end.id else None
    if row is None or bound is None or int(row.get("count") or 0) > 0:
        return
    yield broken(
        "host.no_flow",
        Subject(host, "hypervisor", look.sender.site),
        f"hypervisor {host} has no flow towards port {end.label} (key {bound.get('tunnel_key')})",
        look.evidence(Source.HOST, host, f"ovs-ofctl dump-flows br-int {row.get('match')}: none"),
        f"on {host}: ovn-appctl -t ovn-controller inc-engine/recompute, or restart ovn-controller",
    )


#: First: what it tells explains much of the rest.
DAEMONS = Check(
    name="daemons of the hypervisor", hop=Hop.SENDER_TAP, run=check_daemons, skips=on_a_host,
    needs=_HOST, vital=False,
)  # fmt: skip
CHECKS = (
    Check(name="names of hypervisors", hop=Hop.TUNNEL, run=check_names, skips=across_hosts,
          needs=_HOST, vital=False),
    Check(name="tunnel address", hop=Hop.TUNNEL, run=check_own_address, skips=on_a_host,
          needs=(*_HOST, Need.SENDER_SB), vital=False),
    Check(name="connections", hop=Hop.SENDER_TAP, run=check_connections, skips=on_a_host,
          needs=_HOST, vital=False),
    Check(name="bridge mappings", hop=Hop.SENDER_TAP, run=check_mappings, skips=on_a_host,
          needs=_HOST, vital=False),
    Check(name="tap", hop=Hop.SENDER_TAP, run=check_tap, needs=_HOST, vital=False,
          skips=lambda look: at_a_port(look) or on_a_host(look) or (
              "its NIC switches it" if look.sender.port.get("binding:vif_type") in _OF_A_NIC
              else "")),
    Check(name="tunnel", hop=Hop.TUNNEL, run=check_tunnel, skips=by_a_tunnel,
          needs=(*_HOST, Need.RECEIVER_SB), vital=False),
    Check(name="flow", hop=Hop.TUNNEL, run=check_flow, skips=by_a_tunnel,
          needs=(*_HOST, Need.SENDER_SB), vital=False),
)  # fmt: skip
