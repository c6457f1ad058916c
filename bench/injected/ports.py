"""Ports and rules: what a tenant or an operator does through Neutron."""

import ipaddress
from collections.abc import Iterator
from typing import Any

from bench.injected.scene import Scene, fault

_OUT: dict[str, Any] = {"direction": "egress"}
_IN: dict[str, Any] = {"direction": "ingress"}
_DHCP: dict[str, Any] = {
    **_OUT, "protocol": "udp", "port_range_min": 67, "port_range_max": 68
}  # fmt: skip


def nth(s: Scene, number: int) -> str:
    """Return an address of the sender's subnet that nobody has."""
    return str(ipaddress.ip_network(s.a.cidr)[number])


@fault("no ingress rule lets it in", "policy.ingress.none", "pair", touches="groups of b")
def let_nothing_in(s: Scene) -> Iterator[None]:
    with s.group(s.b, _OUT):
        yield


@fault("no ingress rule lets it in", "policy.ingress.protocol", "routed", touches="groups of b")
def let_tcp_in(s: Scene) -> Iterator[None]:
    with s.group(s.b, _OUT, {**_IN, "protocol": "tcp"}):
        yield


@fault("no egress rule lets it out", "policy.egress.none", "pair", touches="groups of a")
def let_nothing_out(s: Scene) -> Iterator[None]:
    with s.group(s.a, _IN):
        yield


@fault("rules let no DHCP out", "policy.no_dhcp", "pair", touches="groups of a")
def let_no_dhcp_out(s: Scene) -> Iterator[None]:
    with s.group(s.a, _IN, {**_OUT, "protocol": "icmp"}):
        yield


@fault("a stateless group has no rule for replies", "policy.stateless_return", "pair",
       touches="groups of b")  # fmt: skip
def let_no_reply_out(s: Scene) -> Iterator[None]:
    with s.group(s.b, _DHCP, _IN, stateful=False):
        yield


@fault("the port is down", "port.admin_down", "pair", touches="b")
def shut_down(s: Scene) -> Iterator[None]:
    s.put("port", s.b.port, admin_state_up=False)
    yield
    s.put("port", s.b.port, admin_state_up=True)


@fault("the port could not be bound", "port.binding_failed", "pair", touches="b")
def bind_nowhere(s: Scene) -> Iterator[None]:
    s.put("port", s.b.port, s.b.site, **{"binding:host_id": "nowhere"})
    yield
    s.put("port", s.b.port, s.b.site, **{"binding:host_id": s.b.host})


@fault("port security keeps out VRRP's MAC address", "port.vrrp_mac", "pair", touches="pairs of a")
def give_vrrp(s: Scene) -> Iterator[None]:
    pair = {"ip_address": nth(s, 250), "mac_address": "00:00:5e:00:02:07"}
    s.put("port", s.a.port, allowed_address_pairs=[pair])
    yield
    s.put("port", s.a.port, allowed_address_pairs=[])


@fault("a QoS limit that looks like loss", "qos.limit", "pair", wanted=False)
def limit(s: Scene) -> Iterator[None]:
    made = s.make("policy", "qos/policies", name="slow")["id"]
    rule = {"max_kbps": 5000, "direction": "egress"}
    s.call("POST", f"qos/policies/{made}/bandwidth_limit_rules", bandwidth_limit_rule=rule)
    s.put("port", s.a.port, qos_policy_id=made)
    yield
    s.put("port", s.a.port, qos_policy_id=None)
    s.delete(f"qos/policies/{made}")


@fault("a quota is used up", "quota.used_up", "pair", wanted=False)
def use_up_quota(s: Scene) -> Iterator[None]:
    project = s.get("port", s.a.port)["project_id"]
    used = len(s.call("GET", f"ports?project_id={project}&fields=id")["ports"])
    s.put("quota", project, port=used)
    yield
    s.delete(f"quotas/{project}")


@fault("subnets that overlap", "router.other_subnet", "routed", alone=True)
def overlap(s: Scene) -> Iterator[None]:
    network = s.make("network", name="overlaps")["id"]
    s.make("subnet", network_id=network, ip_version=4, cidr=s.b.cidr)
    try:
        row = s.lab.create_server(name="overlaps", site=s.a.site, network=network)
        s.asked = (s.asked[0], row["port_id"])
        yield
        s.lab.delete_server("overlaps")
    finally:
        s.delete(f"networks/{network}")


@fault("networks of different MTU", "mtu.networks_differ", "routed", touches="mtu of b")
def carry_less(s: Scene) -> Iterator[None]:
    before = s.get("network", s.b.network)["mtu"]
    s.put("network", s.b.network, mtu=before - 100)
    yield
    s.put("network", s.b.network, mtu=before)


@fault("no router joins the subnet", "router.none", "routed", touches="interface of a")
def leave_router(s: Scene) -> Iterator[None]:
    subnet = s.interface(s.a.network)["fixed_ips"][0]["subnet_id"]
    s.cloud.take_floating()  # they need it
    s.cloud.side.interface("remove", subnet)
    yield
    s.cloud.side.interface("add", subnet)
    s.cloud.give_floating()


@fault("no gateway in the subnet, or another one", "subnet.gateway_elsewhere", "routed",
       touches="interface of a")  # fmt: skip
def move_gateway(s: Scene) -> Iterator[None]:
    yield from _gateway(s, nth(s, 77))


@fault("no gateway in the subnet, or another one", "subnet.no_gateway", "routed",
       touches="interface of a")  # fmt: skip
def lose_gateway(s: Scene) -> Iterator[None]:
    yield from _gateway(s, None)


def _gateway(s: Scene, address: str | None) -> Iterator[None]:
    """Let guests be told another gateway than the router's address."""
    (fixed, *_) = s.interface(s.a.network)["fixed_ips"]
    subnet = fixed["subnet_id"]
    before = s.get("subnet", subnet)["gateway_ip"]
    s.cloud.take_floating()  # they need it
    s.cloud.side.interface("remove", subnet)
    s.put("subnet", subnet, gateway_ip=address)
    port = s.make("port", network_id=s.a.network, fixed_ips=[fixed])["id"]
    path = f"routers/{s.router}/%s_router_interface"
    s.call("PUT", path % "add", port_id=port)
    yield
    s.call("PUT", path % "remove", port_id=port)
    s.put("subnet", subnet, gateway_ip=before)
    s.cloud.side.interface("add", subnet)
    s.cloud.give_floating()


@fault("a route is missing, or leads nowhere", "route.next_hop_dead", "routed", touches="routes")
def lead_nowhere(s: Scene) -> Iterator[None]:
    route = {"destination": f"{s.b.address}/32", "nexthop": nth(s, 66)}
    s.put("router", s.router, routes=[route])
    yield
    s.put("router", s.router, routes=[])


@fault("the router has no external gateway", "router.no_gateway", "out", touches="gateway")
def lose_exit(s: Scene) -> Iterator[None]:
    s.cloud.take_floating()
    s.put("router", s.router, external_gateway_info=None)
    yield
    s.cloud.side.set_gateway()
    s.cloud.give_floating()


@fault("no source translation, or a wrong one", "snat.off", "out", touches="gateway")
def translate_nothing(s: Scene) -> Iterator[None]:
    network = s.cloud.external
    info = {"network_id": network, "enable_snat": False}
    s.put("router", s.router, external_gateway_info=info)
    yield
    s.put("router", s.router, external_gateway_info={**info, "enable_snat": True})


@fault("a floating IP has no port, or is down", "floating.no_port", "in", touches="floating IP")
def take_port(s: Scene) -> Iterator[None]:
    ident = s.cloud.find_floating(s.b)
    s.put("floatingip", ident, port_id=None)
    yield
    s.put("floatingip", ident, port_id=s.b.port)


@fault("a port forwarding that cannot work", "forwarding.none", "in", service="tcp/443",
       alone=True)  # fmt: skip
def forward_another(s: Scene) -> Iterator[None]:
    made = s.make("floatingip", floating_network_id=s.cloud.external)
    rule = {"protocol": "tcp", "external_port": 80, "internal_port": 80,
            "internal_ip_address": s.b.address, "internal_port_id": s.b.port}  # fmt: skip
    mine = s.cloud.find_floating(s.b)  # a port has either
    s.put("floatingip", mine, port_id=None)
    s.call("POST", f"floatingips/{made['id']}/port_forwardings", port_forwarding=rule)
    s.asked = (s.asked[0], str(made["floating_ip_address"]))
    yield
    s.delete(f"floatingips/{made['id']}")
    s.put("floatingip", mine, port_id=s.b.port)


@fault("a router does not say that packets are too large", "mtu.gateway", "out", touches="gateway")
def say_no_size(s: Scene) -> Iterator[None]:
    before = s.get("network", s.cloud.external)["mtu"]
    name = f"lrp-{s.gateway()['id']}"
    s.put("network", s.cloud.external, mtu=1300)
    s.cloud.await_jobs()
    s.nb(s.cloud.exit_site, "remove", "Logical_Router_Port", name, "options", "gateway_mtu")
    yield
    s.put("network", s.cloud.external, mtu=before)
