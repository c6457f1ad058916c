"""QoS policies of floating IPs and of router gateways: made at central, and in OVN at the site."""

import json
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.outside import make_inside, make_outside, put_floating, remove, set_gateway
from tests.neutron.server import User
from tests.neutron.test_local_apply import carried
from tests.neutron.test_own_networks import findings
from tests.neutron.test_qos_policies import limit, make_policy, person, rule
from tests.neutron.test_renewal import Pair

from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress]

NONE = {"qos_policy_id": None}


def limits_on(site: LocalServer, network: Any) -> set[tuple[str, str, int, int]]:
    """Give what OVN limits on an external network: match, direction, rate and priority."""
    words = ("--format=json", "--columns=qos_rules", "find", "Logical_Switch")
    found = json.loads(site.ovn.nbctl(*words, f"name=neutron-{network['id']}"))["data"]
    if not found:
        return set()
    cells = found[0][0]
    ids = [one[1] for one in cells[1]] if cells[0] == "set" else [cells[1]]
    limits = set()
    for one in ids:
        columns = "--columns=match,direction,bandwidth,priority"
        ((match, direction, bandwidth, priority),) = json.loads(
            site.ovn.nbctl("--format=json", columns, "list", "QoS", one)
        )["data"]
        limits.add((match, direction, dict(bandwidth[1]).get("rate", 0), priority))
    return limits


class Outside:
    """A router with a gateway at site1, and a server behind it with a floating IP."""

    def __init__(self, central: CentralServer, site: LocalServer) -> None:
        self.central, self.site = central, site
        self.user: User = person()
        self.network, _ = make_outside(central, 1)
        self.router, inside, _ = make_inside(central, self.user, "site1")
        done = set_gateway(central, self.router, self.user, self.network)
        assert done.status == 200, done.text
        server = central.create("port", self.user, network_id=inside["id"])
        self.floating = central.create(
            "floatingip", self.user, floating_network_id=self.network["id"], port_id=server["id"]
        )
        self.server = server["id"]
        assert site.update("port", server["id"], self.user, description="here").status == 200
        carried(central, site)
        path = f"/v2.0/ports?device_id={self.router['id']}&device_owner=network:router_gateway"
        self.gateway = central.call("GET", path).only()[0]["id"]
        self.address = self.floating["floating_ip_address"]

    def policy(self, **more: Any) -> str:
        made = make_policy(self.central, self.user)
        limit(self.central, made, self.user, **more)
        return made

    def limit_floating(self, **body: Any) -> None:
        done = put_floating(self.central, self.floating, self.user, **body)
        assert done.status == 200, done.text

    def limit_gateway(self, **body: Any) -> None:
        info = {"external_gateway_info": {"network_id": self.network["id"], **body}}
        path = f"/v2.0/routers/{self.router['id']}"
        done = self.central.call("PUT", path, {"router": info}, self.user)
        assert done.status == 200, done.text

    def match(self, *, egress: bool = True, address: str = "") -> str:
        port, where = ("inport", "src") if egress else ("outport", "dst")
        match = f'{port} == "{self.gateway}"'
        if address:
            # The test's site has the server's own hypervisor translate, where it is at home.
            resident = f'is_chassis_resident("{self.server}")'
            match += f" && ip4.{where} == {address} && {resident}"
        return match

    def becomes(self, *limits: tuple[str, str, int, int]) -> None:
        carried(self.central, self.site)
        until(
            lambda: limits_on(self.site, self.network) == set(limits),
            what=f"OVN limits {limits}, not {limits_on(self.site, self.network)}",
            timeout_s=60,
        )


def test_a_floating_ip_is_limited_where_it_is_answered(
    central: CentralServer, site1: LocalServer
) -> None:
    world = Outside(central, site1)
    policy = world.policy(max_kbps=3000, max_burst_kbps=300)
    world.limit_floating(qos_policy_id=policy)
    out = (world.match(address=world.address), "from-lport", 3000, 2003)
    world.becomes(out)
    # Its rules change, and more come.
    ((rate,),) = [
        [one["id"] for one in central.call("GET", f"/v2.0/qos/policies/{policy}").only()["rules"]]
    ]
    assert rule(central, policy, "bandwidth_limit", world.user, rate, max_kbps=5000).status == 200
    limit(central, policy, world.user, max_kbps=2000, direction="ingress")
    into = (world.match(egress=False, address=world.address), "to-lport", 2000, 2003)
    world.becomes((*out[:2], 5000, 2003), into)
    pair = Pair(central, site1)
    pair.settle()
    assert findings(pair, world.router["id"]) == []
    # A policy in use stays; one that limits nothing goes.
    path = f"/v2.0/qos/policies/{policy}"
    assert central.call("DELETE", path, user=world.user).status == 409
    world.limit_floating(**NONE)
    world.becomes()
    assert central.call("DELETE", path, user=world.user).status == 204
    # That of its network is its own where it has none.
    shared = make_policy(central, world.user)
    limit(central, shared, world.user, max_kbps=7000)
    body = {"network": {"qos_policy_id": shared}}
    done = central.call("PUT", f"/v2.0/networks/{world.network['id']}", body)
    assert done.status == 200, done.text
    of_gateway = (world.match(), "from-lport", 7000, 2002)
    by_network = (world.match(address=world.address), "from-lport", 7000, 2003)
    world.becomes(of_gateway, by_network)
    own = world.policy(max_kbps=900)
    world.limit_floating(qos_policy_id=own)
    world.becomes(of_gateway, (*by_network[:2], 900, 2003))
    # Without a port nothing of it is limited.
    world.limit_floating(port_id=None)
    world.becomes(of_gateway)
    assert remove(central, "floatingip", world.floating["id"], world.user).status == 204
    free: Any = {"network": NONE}
    assert central.call("PUT", f"/v2.0/networks/{world.network['id']}", free).status == 200
    world.becomes()


def test_a_gateway_is_limited_by_the_sites_own_neutron(
    central: CentralServer, site1: LocalServer
) -> None:
    world = Outside(central, site1)
    policy = world.policy(max_kbps=4000)
    world.limit_gateway(qos_policy_id=policy)
    assert ("qos_policy", policy) in central.jobs("site1"), "it comes along with the router"
    world.becomes((world.match(), "from-lport", 4000, 2002))
    there = site1.get(f"routers/{world.router['id']}").only()["external_gateway_info"]
    assert there["qos_policy_id"] == policy
    limit(central, policy, world.user, max_kbps=1000, direction="ingress")
    world.becomes(
        (world.match(), "from-lport", 4000, 2002),
        (world.match(egress=False), "to-lport", 1000, 2002),
    )
    pair = Pair(central, site1)
    pair.settle()
    assert findings(pair, world.router["id"], policy) == []
    assert pair.renew() == []
    # Nobody else says so at the site.
    info = {"external_gateway_info": {"network_id": world.network["id"], **NONE}}
    path = f"/v2.0/routers/{world.router['id']}"
    assert site1.call("PUT", path, {"router": info}).status == 409
    world.limit_gateway(**NONE)
    world.becomes()
    world.limit_gateway(qos_policy_id=policy)
    carried(central, site1)
    assert set_gateway(central, world.router, world.user, None).status == 409, "a floating IP"
    world.limit_floating(port_id=None)
    assert set_gateway(central, world.router, world.user, None).status == 200
    world.becomes()
    assert central.call("DELETE", f"/v2.0/qos/policies/{policy}", user=world.user).status == 204
    carried(central, site1)
    assert site1.call("GET", f"/v2.0/qos/policies/{policy}").status == 404


def test_what_is_not_there_is_refused(central: CentralServer, site1: LocalServer) -> None:
    world, other = Outside(central, site1), person()
    theirs = make_policy(central, other)
    for one in (theirs, "00000000-0000-4000-8000-000000000000"):
        done = put_floating(central, world.floating, world.user, qos_policy_id=one)
        assert done.status == 404, done.text
        info = {"external_gateway_info": {"network_id": world.network["id"], "qos_policy_id": one}}
        path = f"/v2.0/routers/{world.router['id']}"
        assert central.call("PUT", path, {"router": info}, world.user).status == 404
    assert put_floating(central, world.floating, world.user, qos_policy_id="no uuid").status == 400
    world.becomes()
