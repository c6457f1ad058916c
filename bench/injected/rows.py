"""Rows of OVN that somebody has changed, at the sender's site or at the receiver's."""

import json
from collections.abc import Iterator

from bench.injected.scene import Scene, fault

_LSP = "Logical_Switch_Port"
_LRP = "Logical_Router_Port"


def _options(s: Scene) -> str:
    """Return the row of the sender's DHCP options."""
    return s.nb(s.a.site, "--bare", "get", _LSP, s.a.port, "dhcpv4_options").strip("[]")


@fault("a member is missing in a remote group or its address set", "acl.not_in_port_group", "pair",
       touches="groups of b")  # fmt: skip
def leave_group(s: Scene) -> Iterator[None]:
    group = s.get("port", s.b.port)["security_groups"][0]
    row = s.find(s.nb, s.b.site, _LSP, f"name={s.b.port}")
    words = ("Port_Group", f"pg_{group.replace('-', '_')}", "ports", row)
    s.nb(s.b.site, "remove", *words)
    yield
    s.nb(s.b.site, "add", *words)


@fault("the port is down", "lsp.disabled", "pair", touches="lsp of a")
def disable(s: Scene) -> Iterator[None]:
    s.nb(s.a.site, "lsp-set-enabled", s.a.port, "disabled")
    yield
    s.nb(s.a.site, "lsp-set-enabled", s.a.port, "enabled")


@fault("port security keeps out a shared address", "lsp.port_security", "pair",
       touches="guard of a")  # fmt: skip
def guard(s: Scene) -> Iterator[None]:
    before = s.nb(s.a.site, "lsp-get-port-security", s.a.port).splitlines()
    s.nb(s.a.site, "lsp-set-port-security", s.a.port, f"{s.a.mac} 192.0.2.7")
    yield
    s.nb(s.a.site, "lsp-set-port-security", s.a.port, *before)


@fault("IPv6 neighbour discovery is kept out", "lsp.neighbour_security", "six", family=6,
       touches="guard of a")  # fmt: skip
def guard_six(s: Scene) -> Iterator[None]:
    before = s.nb(s.a.site, "lsp-get-port-security", s.a.port).splitlines()
    s.nb(s.a.site, "lsp-set-port-security", s.a.port, f"{s.a.mac} {s.a.address}",
         f"00:00:5e:00:02:07 {s.a.six}")  # fmt: skip
    yield
    s.nb(s.a.site, "lsp-set-port-security", s.a.port, *before)


@fault("a server's port is taken for a shared address (OVN's type virtual)", "lsp.virtual", "pair",
       touches="lsp of a")  # fmt: skip
def make_virtual(s: Scene) -> Iterator[None]:
    s.nb(s.a.site, "set", _LSP, s.a.port, "type=virtual", f"options:virtual-ip={s.a.address}",
         "options:virtual-parents=somebody")  # fmt: skip
    yield
    for key in ("virtual-ip", "virtual-parents"):
        s.nb(s.a.site, "remove", _LSP, s.a.port, "options", key)
    s.nb(s.a.site, "lsp-set-type", s.a.port, "")


@fault("no DHCP options", "dhcp.no_options", "pair", touches="DHCP of a")
def clear_dhcp(s: Scene) -> Iterator[None]:
    row = _options(s)
    s.nb(s.a.site, "clear", _LSP, s.a.port, "dhcpv4_options")
    yield
    s.nb(s.a.site, "set", _LSP, s.a.port, f"dhcpv4_options={row}")


def _option(s: Scene, name: str, value: str | None) -> Iterator[None]:
    """Have DHCP answer something else."""
    row = _options(s)
    said = s.nb(s.a.site, "--if-exists", "get", "DHCP_Options", row, f"options:{name}")
    if value is None:
        s.nb(s.a.site, "remove", "DHCP_Options", row, "options", name)
    else:
        s.nb(s.a.site, "set", "DHCP_Options", row, f"options:{name}={json.dumps(value)}")
    yield
    if said:
        s.nb(s.a.site, "set", "DHCP_Options", row, f"options:{name}={said}")
    else:
        s.nb(s.a.site, "remove", "DHCP_Options", row, "options", name)


@fault("a bad DHCP option", "dhcp.bad_option", "pair", touches="DHCP of a")
def break_option(s: Scene) -> Iterator[None]:
    yield from _option(s, "domain_name", '"ex\nample"')


@fault("no route to metadata", "dhcp.other_metadata_route", "pair", touches="DHCP of a")
def lead_to_no_metadata(s: Scene) -> Iterator[None]:
    yield from _option(s, "classless_static_route", "{169.254.169.254/32,192.0.2.1}")


@fault("no name server", "dhcp.no_name_server", "pair", touches="DHCP of a", wanted=False)
def name_no_server(s: Scene) -> Iterator[None]:
    yield from _option(s, "dns_server", None)


@fault("the guest's interface carries another size", "dhcp.mtu", "pair", touches="DHCP of a")
def promise_more(s: Scene) -> Iterator[None]:
    yield from _option(s, "mtu", "1500")


@fault("OVN's rows are not what Neutron wants", "lrp.mac", "routed", touches="interface of a")
def change_mac(s: Scene) -> Iterator[None]:
    port = s.interface(s.a.network)
    name = f"lrp-{port['id']}"
    s.nb(s.a.site, "set", _LRP, name, 'mac="02:00:00:00:00:99"')
    yield
    s.nb(s.a.site, "set", _LRP, name, f'mac="{port["mac_address"]}"')


@fault("OVN's rows are not what Neutron wants", "lr.disabled", "routed", touches="router")
def disable_router(s: Scene) -> Iterator[None]:
    s.nb(s.a.site, "set", "Logical_Router", f"neutron-{s.router}", "enabled=false")
    yield
    s.nb(s.a.site, "set", "Logical_Router", f"neutron-{s.router}", "enabled=true")


@fault("no router advertisement, or of another mode", "lrp.no_advertisement", "six routed",
       family=6, touches="interface of a")  # fmt: skip
def advertise_nothing(s: Scene) -> Iterator[None]:
    name = f"lrp-{s.interface_six(s.a.network)['id']}"
    before = s.nb(s.a.site, "get", _LRP, name, "ipv6_ra_configs")
    s.nb(s.a.site, "clear", _LRP, name, "ipv6_ra_configs")
    yield
    s.nb(s.a.site, "set", _LRP, name, f"ipv6_ra_configs={before}")


@fault("OVN keeps an old MAC address", "lrp.stale_mac", "routed", touches="learned")
def learn_wrong(s: Scene) -> Iterator[None]:
    name = f"lrp-{s.interface(s.b.network)['id']}"
    datapath = s.find(s.sb, s.a.site, "Port_Binding", f"logical_port={name}", column="datapath")
    known = s.find(s.sb, s.a.site, "MAC_Binding", f"logical_port={name}", f'ip="{s.b.address}"')
    if known:
        s.sb(s.a.site, "destroy", "MAC_Binding", known)
    made = s.sb(s.a.site, "create", "MAC_Binding", f"logical_port={name}", f'ip="{s.b.address}"',
                'mac="02:00:00:00:00:98"', f"datapath={datapath}")  # fmt: skip
    yield
    s.sb(s.a.site, "--if-exists", "destroy", "MAC_Binding", made)


@fault("an old or full table of MAC addresses", "fdb.stale", "near", touches="lsp of b")
def learn_elsewhere(s: Scene) -> Iterator[None]:
    before = s.nb(s.a.site, "lsp-get-addresses", s.b.port).splitlines()
    s.nb(s.a.site, "lsp-set-addresses", s.b.port, "unknown")
    row = s.find(s.sb, s.a.site, "Port_Binding", f"logical_port={s.b.port}", column="datapath")
    key = s.sb(s.a.site, "get", "Datapath_Binding", row, "tunnel_key")
    mine = s.find(s.sb, s.a.site, "Port_Binding", f"logical_port={s.a.port}")
    wrong = s.sb(s.a.site, "get", "Port_Binding", mine, "tunnel_key")
    known = s.find(s.sb, s.a.site, "FDB", f'mac="{s.b.mac}"', f"dp_key={key}")
    if known:
        s.sb(s.a.site, "set", "FDB", known, f"port_key={wrong}")
    else:
        s.sb(s.a.site, "create", "FDB", f'mac="{s.b.mac}"', f"dp_key={key}", f"port_key={wrong}")
    yield
    known = s.find(s.sb, s.a.site, "FDB", f'mac="{s.b.mac}"', f"dp_key={key}")
    if known:
        s.sb(s.a.site, "destroy", "FDB", known)
    s.nb(s.a.site, "lsp-set-addresses", s.b.port, *before)


@fault("a member of a load balancer is marked down", "lb.member_offline", "near",
       service="tcp/80")  # fmt: skip
def monitor(s: Scene) -> Iterator[None]:
    net = s.b.cidr.rpartition(".")[0]
    vip, source = f"{net}.240:80", f"{net}.241"
    s.nb(s.b.site, "lb-add", "bench", vip, f"{s.b.address}:80", "tcp")
    row = s.find(s.nb, s.b.site, "Load_Balancer", "name=bench")
    s.nb(s.b.site, "set", "Load_Balancer", row,
         f'ip_port_mappings:"{s.b.address}"="{s.b.port}:{source}"')  # fmt: skip
    times = [f"options:{one}=1" for one in ("interval", "timeout", "failure_count")]
    s.nb(s.b.site, "--id=@hc", "create", "Load_Balancer_Health_Check", f'vip="{vip}"', *times,
         "--", "add", "Load_Balancer", row, "health_check", "@hc")  # fmt: skip
    s.nb(s.b.site, "ls-lb-add", f"neutron-{s.b.network}", "bench")
    yield
    s.nb(s.b.site, "lb-del", "bench")


@fault("a segment id twice", "segment.twice", "pair")
def join_segments(s: Scene) -> Iterator[None]:
    switches = [f"neutron-{net}" for net, _, _ in s.cloud.nets if s.find(
        s.nb, s.a.site, "Logical_Switch", f"name=neutron-{net}")]  # fmt: skip
    others = [one for one in switches if one != f"neutron-{s.a.network}"]
    for number, switch in enumerate((f"neutron-{s.a.network}", others[0])):
        name = f"twice{number}"
        s.nb(s.a.site, "lsp-add", switch, name, "--", "lsp-set-type", name, "localnet", "--",
             "lsp-set-options", name, "network_name=nowhere", "--", "set", _LSP, name,
             "tag=7")  # fmt: skip
    yield
    for number in range(2):
        s.nb(s.a.site, "lsp-del", f"twice{number}")


@fault("a server is being moved", "lsp.migrating", "pair", touches="chassis of a")
def move(s: Scene) -> Iterator[None]:
    before = s.nb(s.a.site, "get", _LSP, s.a.port, "options:requested-chassis").strip('"')
    other = next(one for one in s.cloud.hosts[s.a.site] if one != s.a.host)
    s.nb(s.a.site, "set", _LSP, s.a.port, f'options:requested-chassis="{s.a.host},{other}"')
    yield
    s.nb(s.a.site, "set", _LSP, s.a.port, f'options:requested-chassis="{before}"')


@fault("ovn-northd is dead or behind", "northd.behind", "pair", touches="northd")
def stop_northd(s: Scene) -> Iterator[None]:
    with s.stopped(f"{s.a.site}.northd"):
        cfg = int(s.nb(s.a.site, "get", "NB_Global", ".", "nb_cfg"))
        s.nb(s.a.site, "set", "NB_Global", ".", f"nb_cfg={cfg + 1}")
        yield


@fault("keys clash", "network.datapath_key", "far", touches="key")
def change_network_key(s: Scene) -> Iterator[None]:
    name, column = f"neutron-{s.a.network}", "other_config:requested-tnl-key"
    before = s.nb(s.a.site, "get", "Logical_Switch", name, column).strip('"')
    s.nb(s.a.site, "set", "Logical_Switch", name, f"{column}=9997")
    yield
    s.nb(s.a.site, "set", "Logical_Switch", name, f"{column}={before}")


@fault("keys clash", "shadow.key", "far", touches="shadow")
def change_key(s: Scene) -> Iterator[None]:
    column = "options:requested-tnl-key"
    before = s.nb(s.a.site, "get", _LSP, s.b.port, column).strip('"')
    s.nb(s.a.site, "set", _LSP, s.b.port, f"{column}=9999")
    yield
    s.nb(s.a.site, "set", _LSP, s.b.port, f"{column}={before}")


@fault("a shadow port is stale", "shadow.addresses", "far", touches="shadow")
def change_shadow(s: Scene) -> Iterator[None]:
    before = s.nb(s.a.site, "lsp-get-addresses", s.b.port).splitlines()
    s.nb(s.a.site, "lsp-set-addresses", s.b.port, f"{s.b.mac} 192.0.2.6")
    yield
    s.nb(s.a.site, "--if-exists", "lsp-set-addresses", s.b.port, *before)


@fault("another site's hypervisor is missing, or another", "remote_chassis.encap_ip", "far",
       touches="remote chassis")  # fmt: skip
def move_tunnel(s: Scene) -> Iterator[None]:
    row = s.find(s.sb, s.a.site, "Encap", f"chassis_name={s.b.host}")
    s.sb(s.a.site, "set", "Encap", row, "ip=192.0.2.99")
    yield
    s.sb(s.a.site, "set", "Encap", row, f"ip={s.encap(s.b.host)}")


@fault("another site's hypervisor is missing, or another", "remote_chassis.not_remote", "far",
       touches="remote chassis")  # fmt: skip
def mark_no_remote(s: Scene) -> Iterator[None]:
    s.sb(s.a.site, "set", "Chassis", s.b.host, "other_config:is-remote=false")
    yield
    s.sb(s.a.site, "set", "Chassis", s.b.host, "other_config:is-remote=true")


@fault("clocks differ", "clock.host", "pair", touches="clock")
def set_clock_back(s: Scene) -> Iterator[None]:
    s.nb(s.a.site, "--wait=hv", "--timeout=30", "sync")
    asked = int(s.nb(s.a.site, "get", "NB_Global", ".", "nb_cfg_timestamp"))
    with s.stopped(f"{s.a.site}.maintenance"):  # it asks hypervisors at times
        row = s.find(s.sb, s.a.site, "Chassis_Private", f"name={s.a.host}")
        s.sb(s.a.site, "set", "Chassis_Private", row, f"nb_cfg_timestamp={asked - 60_000}")
        yield
    s.nb(s.a.site, "--wait=hv", "--timeout=30", "sync")
