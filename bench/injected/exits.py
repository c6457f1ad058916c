"""Exits and floating IPs: rows at the site of the gateway, and what sites are told."""

from collections.abc import Iterator

from bench.injected.scene import Scene, fault

_LRP = "Logical_Router_Port"


def _lrp(s: Scene) -> str:
    """Return the row of the gateway."""
    return f"lrp-{s.gateway()['id']}"


def _holder(s: Scene) -> str:
    """Return the hypervisor that has the gateway."""
    site = s.cloud.exit_site
    row = s.find(s.sb, site, "Port_Binding", f"logical_port=cr-{_lrp(s)}", column="chassis")
    return s.sb(site, "get", "Chassis", row, "name").strip('"')


@fault("no default route, or one too many", "default_route.missing", "out", touches="default route")
def lose_route(s: Scene) -> Iterator[None]:
    yield from _route(s, "lr-route-del", "lr-route-add")


def _route(s: Scene, do: str, undo: str) -> Iterator[None]:
    name = f"neutron-{s.router}"
    hop = s.nb(s.cloud.exit_site, "lr-route-list", name)
    hop = next(line.split()[1] for line in hop.splitlines() if "0.0.0.0/0" in line)
    uuid = s.find(s.nb, s.cloud.exit_site, "Logical_Router_Static_Route", 'ip_prefix="0.0.0.0/0"',
                  f'nexthop="{hop}"')  # fmt: skip
    ids = s.nb(s.cloud.exit_site, "get", "Logical_Router_Static_Route", uuid, "external_ids")
    s.nb(s.cloud.exit_site, do, name, "0.0.0.0/0", hop)
    yield
    s.nb(s.cloud.exit_site, "--may-exist", undo, name, "0.0.0.0/0", hop)
    uuid = s.find(s.nb, s.cloud.exit_site, "Logical_Router_Static_Route", 'ip_prefix="0.0.0.0/0"',
                  f'nexthop="{hop}"')  # fmt: skip
    s.nb(s.cloud.exit_site, "set", "Logical_Router_Static_Route", uuid, f"external_ids={ids}")


@fault("no default route, or one too many", "default_route.extra", "out", touches="default route")
def add_route(s: Scene) -> Iterator[None]:
    site, name = s.cloud.exit_site, f"neutron-{s.router}"
    gateway = s.gateway()["fixed_ips"][0]["ip_address"].rpartition(".")[0] + ".251"
    s.nb(site, "--ecmp", "lr-route-add", name, "0.0.0.0/0", gateway)
    yield
    s.nb(site, "lr-route-del", name, "0.0.0.0/0", gateway)


@fault("no source translation, or a wrong one", "nat.missing", "in", touches="nat")
def lose_translation(s: Scene) -> Iterator[None]:
    with s.stopped(f"{s.cloud.exit_site}.neutron"):  # it would write the row anew at once
        s.nb(s.cloud.exit_site, "lr-nat-del", f"neutron-{s.router}", "dnat_and_snat", s.b.public)
        yield
    s.isthmus("site", "resync", s.cloud.exit_site, "--network", s.b.network, "--wait", "60")


def _nat(s: Scene) -> str:
    return s.find(s.nb, s.cloud.exit_site, "NAT", f'external_ip="{s.b.public}"')


@fault("a distributed floating IP has no MAC address", "nat.no_mac", "in", touches="nat")
def lose_mac(s: Scene) -> Iterator[None]:
    row, site = _nat(s), s.cloud.exit_site
    mac = s.nb(site, "get", "NAT", row, "external_mac")
    port = s.nb(site, "get", "NAT", row, "logical_port")
    s.nb(site, "clear", "NAT", row, "external_mac")
    s.nb(site, "set", "NAT", row, f"logical_port={s.b.port}")
    yield
    for name, value in (("external_mac", mac), ("logical_port", port)):
        if value == "[]":
            s.nb(site, "clear", "NAT", row, name)
        else:
            s.nb(site, "set", "NAT", row, f"{name}={value}")


@fault("a distributed floating IP on a hypervisor without the bridge", "nat.no_fabric_at_port",
       "in plain", touches="nat")  # fmt: skip
def distribute(s: Scene) -> Iterator[None]:
    row, site = _nat(s), s.cloud.exit_site
    s.nb(site, "set", "NAT", row, f"logical_port={s.b.port}",
         'external_mac="fa:16:3e:00:09:09"')  # fmt: skip
    yield
    s.nb(site, "clear", "NAT", row, "external_mac", "logical_port")


@fault("the gateway is scheduled nowhere", "gateway.not_scheduled", "out", touches="gateway")
def schedule_nowhere(s: Scene) -> Iterator[None]:
    site, name = s.cloud.exit_site, _lrp(s)
    group = s.nb(site, "get", _LRP, name, "ha_chassis_group")
    members = [one.split() for one in s.nb(site, "lrp-get-gateway-chassis", name).splitlines()]
    s.nb(site, "clear", _LRP, name, "gateway_chassis", "ha_chassis_group")
    yield
    if group != "[]":
        s.nb(site, "set", _LRP, name, f"ha_chassis_group={group}")
    for chassis, priority in members:
        s.nb(site, "lrp-set-gateway-chassis", name, chassis.removeprefix(f"{name}_"), priority)
        # As Neutron names it: that of `ovn-nbctl` is one that somebody has made by hand.
        row = s.find(s.nb, site, "Gateway_Chassis",
                     f"name={name}-{chassis.removeprefix(f'{name}_')}")  # fmt: skip
        if row:
            s.nb(site, "set", "Gateway_Chassis", row, f"name={chassis}")


@fault("a gateway's row was made by hand", "gateway.by_hand", "out", touches="gateway")
def schedule_by_hand(s: Scene) -> Iterator[None]:
    site, name = s.cloud.exit_site, _lrp(s)
    held = _holder(s)
    other = next(one for one in s.cloud.hosts[site] if one != held)
    s.nb(site, "lrp-set-gateway-chassis", name, other, "1")
    yield
    s.nb(site, "lrp-del-gateway-chassis", name, other)


@fault("the gateway stands on a hypervisor without the bridge", "gateway.no_mapping", "out",
       touches="mappings")  # fmt: skip
def unmap(s: Scene) -> Iterator[None]:
    with s.setting(_holder(s), "ovn-bridge-mappings", None):
        yield


@fault("a translation's gateway port is bound nowhere", "gateway.not_claimed", "out",
       touches="gateway")  # fmt: skip
def claim_nothing(s: Scene) -> Iterator[None]:
    site, holder = s.cloud.exit_site, _holder(s)
    with s.stopped(f"{holder}.controller"):
        row = s.find(s.sb, site, "Port_Binding", f"logical_port=cr-{_lrp(s)}")
        s.sb(site, "clear", "Port_Binding", row, "chassis")
        yield
    s.at(holder, "sh", "-c", "ovn-appctl -t $(ls -t $OVN_RUNDIR/ovn-controller.*.ctl | head -1) "
         "inc-engine/recompute")  # fmt: skip


@fault("the gateway's hypervisor is dead", "gateway.no_chassis", "out", touches="controller",
       rough=True)  # fmt: skip
def kill_gateway(s: Scene) -> Iterator[None]:
    site, holder = s.cloud.exit_site, _holder(s)
    with s.dead(f"{holder}.controller"):
        s.sb(site, "chassis-del", holder)
        yield


@fault("a VLAN network's traffic is centralised", "lrp.centralised", "out", wanted=False)
def centralise(s: Scene) -> Iterator[None]:
    name = f"lrp-{s.interface(s.a.network)['id']}"
    s.nb(s.a.site, "set", _LRP, name, "options:reside-on-redirect-chassis=true")
    yield
    s.nb(s.a.site, "remove", _LRP, name, "options", "reside-on-redirect-chassis")


@fault("a bridge mapping is missing", "external.no_fabric", "out", touches="fabric")
def leave_fabric(s: Scene) -> Iterator[None]:
    site, switch = s.cloud.exit_site, f"neutron-{s.cloud.external}"
    names = [one.split("(")[1].rstrip(")") for one in s.nb(site, "lsp-list", switch).splitlines()]
    name = next(one for one in names if one.startswith("provnet-"))
    options = s.nb(site, "get", "Logical_Switch_Port", name, "options")
    s.nb(site, "lsp-del", name)
    yield
    s.nb(site, "--may-exist", "lsp-add", switch, name, "--", "lsp-set-type", name, "localnet",
         "--", "lsp-set-addresses", name, "unknown", "--", "set", "Logical_Switch_Port", name,
         f"options={options}")  # fmt: skip


@fault("the transit network of a router is broken", "transit.peer_missing", "out over",
       touches="transit")  # fmt: skip
def lose_peer(s: Scene) -> Iterator[None]:
    with s.stopped(f"{s.a.site}.neutron"):  # it would write the row anew at once
        s.nb(s.a.site, "lsp-del", f"isthmus-transit-{s.router}/{s.cloud.exit_site}")
        yield
    s.isthmus("site", "resync", s.a.site, "--network", s.a.network, "--wait", "60")


@fault("the exit's site is down", "exit.site_disabled", "out over", touches="site")
def disable_exit(s: Scene) -> Iterator[None]:
    yield from _disable(s, s.cloud.exit_site)


@fault("a floating IP is answered at no site", "floating.no_site", "in", touches="site")
def disable_floating(s: Scene) -> Iterator[None]:
    yield from _disable(s, s.cloud.exit_site)


@fault("a site is disabled", "site.disabled", "far", touches="site")
def disable_other(s: Scene) -> Iterator[None]:
    yield from _disable(s, s.b.site)


def _disable(s: Scene, site: str) -> Iterator[None]:
    s.isthmus("site", "disable", site)
    yield
    s.isthmus("site", "enable", site)
    s.cloud.await_jobs()


@fault("a change is parked, or waits", "job.waiting", "far", touches="jobs")
def leave_undelivered(s: Scene) -> Iterator[None]:
    with s.stopped("central.xjob"):
        s.put("port", s.b.port, description="waits")
        yield


@fault("sites carry different sizes", "mtu.sites_differ", "far", touches="mtu of b")
def differ(s: Scene) -> Iterator[None]:
    mtu = s.get("network", s.a.network)["mtu"]
    s.sql(s.a.site, f"UPDATE networks SET mtu = 1300 WHERE id = '{s.a.network}'")
    yield
    s.sql(s.a.site, f"UPDATE networks SET mtu = {mtu} WHERE id = '{s.a.network}'")


@fault("half of a bundle is there", "group.rules_differ", "far", touches="groups of b")
def lose_rule(s: Scene) -> Iterator[None]:
    group = s.get("port", s.b.port)["security_groups"][0]
    rule = s.make("security_group_rule", "security-group-rules", security_group_id=group,
                  direction="ingress", ethertype="IPv4", protocol="tcp", port_range_min=9,
                  port_range_max=9)["id"]  # fmt: skip
    s.cloud.await_jobs()
    s.sql(s.b.site, f"DELETE FROM securitygrouprules WHERE id = '{rule}'")
    yield
    s.delete(f"security-group-rules/{rule}")
