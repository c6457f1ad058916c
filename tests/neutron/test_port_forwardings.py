"""Port forwardings at central: what sites are told of them, what is refused, and what goes how."""

import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.outside import (
    add_gateway,
    make_inside,
    make_outside,
    plan_at,
    put_floating,
    remove,
    see_refused,
    set_gateway,
    told,
)
from tests.neutron.server import ADMIN, Reply, User, tenant
from tests.neutron.test_routers import leave

from isthmus.model.exits.plan import MOST_FORWARDED, Forwarded

pytestmark = [pytest.mark.neutron, pytest.mark.stress]

BOTH = {"site1", "site2"}


def forward(
    central: CentralServer,
    floating: Any,
    user: User,
    port: Any,
    outside: int,
    inside: int = 8080,
    protocol: str = "tcp",
    **more: Any,
) -> Reply:
    """Forward a port of a floating IP; ranges are named in `more` instead."""
    body = {
        "internal_port_id": port["id"],
        "internal_ip_address": port["fixed_ips"][0]["ip_address"],
        "protocol": protocol,
        **(more or {"external_port": outside, "internal_port": inside}),
    }
    path = f"/v2.0/floatingips/{floating['id']}/port_forwardings"
    return central.call("POST", path, {"port_forwarding": body}, user)


def path_of(floating: Any, forwarding: Any) -> str:
    return f"/v2.0/floatingips/{floating['id']}/port_forwardings/{forwarding['id']}"


def show(central: CentralServer, floating: Any) -> dict[str, Any]:
    return dict(central.call("GET", f"/v2.0/floatingips/{floating['id']}").only())


def forwarded_at(central: CentralServer, site: str, router: Any) -> tuple[Forwarded, ...]:
    return plan_at(central, site, router).forwarded


class Scene:
    """A router at both sites with a gateway at site1, a server's port and a floating IP."""

    def __init__(self, central: CentralServer, *, gateway: bool = True) -> None:
        self.user = tenant(uuid.uuid4().hex)
        self.outside, self.subnet = make_outside(central, 1)
        self.router, self.network, self.inside = make_inside(central, self.user, *sorted(BOTH))
        if gateway:
            assert set_gateway(central, self.router, ADMIN, self.outside).status == 200
        self.port = central.create("port", self.user, network_id=self.network["id"])
        self.floating = central.create(
            "floatingip", self.user, floating_network_id=self.outside["id"]
        )
        central.clear_journal()


def test_a_forwarding_is_told_to_every_site_of_its_router(central: CentralServer) -> None:
    scene = Scene(central)
    made = forward(central, scene.floating, scene.user, scene.port, 80)
    assert made.status == 201, made.text
    assert told(central, scene.router) == BOTH
    shown = show(central, scene.floating)
    assert (shown["status"], shown["router_id"]) == ("ACTIVE", scene.router["id"])
    assert [one["id"] for one in shown["port_forwardings"]] == [made.only()["id"]]
    (here,), (there,) = (forwarded_at(central, site, scene.router) for site in sorted(BOTH))
    assert (here.answers, there.answers) == (True, False)
    assert (str(here.external), here.outside.first) == (scene.floating["floating_ip_address"], 80)
    assert (here.replies, there.replies) == (None, None)
    # A change of its ports is told, one of its description is central's alone.
    path = path_of(scene.floating, made.only())
    body = {"port_forwarding": {"external_port": 81}}
    assert central.call("PUT", path, body, scene.user).status == 200
    assert told(central, scene.router) == BOTH
    assert forwarded_at(central, "site2", scene.router)[0].outside.first == 81
    about = {"port_forwarding": {"description": "of the shop"}}
    assert central.call("PUT", path, about, scene.user).only()["description"] == "of the shop"
    assert told(central, scene.router) == set()
    # A change of the floating IP itself leaves it as it is.
    changes: list[dict[str, Any]] = [{"description": "of the shop"}, {"port_id": None}]
    for change in changes:
        changed = put_floating(central, scene.floating, scene.user, **change).only()
        for one in (changed, show(central, scene.floating)):
            assert (one["status"], one["router_id"]) == ("ACTIVE", scene.router["id"])
    central.clear_journal()
    # The last one that goes leaves the floating IP free.
    assert central.call("DELETE", path, user=scene.user).status == 204
    assert told(central, scene.router) == BOTH
    assert forwarded_at(central, "site1", scene.router) == ()
    shown = show(central, scene.floating)
    assert (shown["status"], shown["router_id"]) == ("DOWN", None)


def test_replies_follow_the_server_s_home(central: CentralServer) -> None:
    scene = Scene(central)
    other, _ = make_outside(central, 2)
    assert add_gateway(central, scene.router, other, ADMIN).status == 200
    assert forward(central, scene.floating, scene.user, scene.port, 80).status == 201
    central.clear_journal()
    project = scene.user.project
    assert central.bundle("site2", "port", scene.port["id"], project=project)["items"]
    assert told(central, scene.router) == BOTH
    (there,) = forwarded_at(central, "site2", scene.router)
    assert there.replies is not None
    assert there.replies.site == "site1"
    assert plan_at(central, "site2", scene.router).transit is not None
    (shown,) = central.call("GET", f"/v2.0/router-exits/{scene.router['id']}").only()["forwardings"]
    assert (shown["home"], shown["site"], shown["ports"]) == ("site2", "site1", "80")


def test_what_cannot_be_forwarded_is_refused(central: CentralServer) -> None:
    scene = Scene(central)
    user, floating, port = scene.user, scene.floating, scene.port
    sctp = forward(central, floating, user, port, 80, protocol="sctp")
    assert sctp.status == 400, sctp.text
    assert "tcp and udp alone" in sctp.text
    many: dict[str, Any] = {
        "external_port_range": f"1:{MOST_FORWARDED}",
        "internal_port_range": "53:53",
    }
    made = forward(central, floating, user, port, 0, protocol="udp", **many)
    assert made.status == 201, made.text
    see_refused(
        central,
        scene.router,
        "forwarding-too-many",
        lambda: forward(central, floating, user, port, 80),
    )
    # Neutron's own words where it sees it.
    assert forward(central, floating, user, port, 53, 54, "udp").status == 400
    second = central.create("floatingip", user, floating_network_id=scene.outside["id"])
    assert put_floating(central, second, user, port_id=port["id"]).status in (400, 409)
    assert remove(central, "floatingip", floating["id"], user).status == 409
    other = central.create("port", user, network_id=scene.network["id"])
    assert put_floating(central, floating, user, port_id=other["id"]).status == 409
    assert put_floating(central, second, user, port_id=other["id"]).status == 200
    third = central.create("floatingip", user, floating_network_id=scene.outside["id"])
    assert forward(central, third, user, other, 80).status == 409
    assert set_gateway(central, scene.router, user, None).status == 409
    assert leave(central, scene.router, user, subnet_id=scene.inside["id"]).status == 409


def test_without_a_gateway_nothing_is_forwarded(central: CentralServer) -> None:
    scene = Scene(central, gateway=False)
    refused = forward(central, scene.floating, scene.user, scene.port, 80)
    assert refused.status in (400, 404), refused.text
    assert show(central, scene.floating)["router_id"] is None


def test_what_neutron_would_take_for_something_else_is_refused(central: CentralServer) -> None:
    """A plan that no site reads would keep everything of its router from them."""
    scene = Scene(central)
    user, floating, port = scene.user, scene.floating, scene.port
    ranges: dict[str, Any] = {
        "external_port_range": "100:110",
        "internal_port_range": "200:210",
    }
    (made,) = (forward(central, floating, user, port, 0, **ranges).only(),)
    path = path_of(floating, made)
    body: dict[str, Any]
    for body in ({"external_port": 81}, {"external_port_range": "100:105"}):
        changed = central.call("PUT", path, {"port_forwarding": body}, user)
        assert (changed.status, "forwarding-uneven" in changed.text) == (409, True), changed.text
    address = {"internal_ip_address": port["fixed_ips"][0]["ip_address"]}
    both = {"external_port": 81, "external_port_range": "100:110"}
    for body in (address, both, {"internal_port_range": "200:205"}):  # the last one by Neutron
        changed = central.call("PUT", path, {"port_forwarding": body}, user)
        assert changed.status == 400, changed.text
    more: dict[str, Any]
    for more in (
        {"external_port": 81, "external_port_range": "81:85", "internal_port": 80},
        {"external_port": 81},
        {"internal_port": 80},
    ):
        refused = forward(central, floating, user, port, 0, **more)
        assert refused.status == 400, refused.text
    (told_of,) = forwarded_at(central, "site1", scene.router)
    assert (told_of.outside.size, told_of.inside.size) == (11, 11)
    shorter = {"external_port_range": "100:105", "internal_port_range": "200:205"}
    changed = central.call("PUT", path, {"port_forwarding": shorter}, user)
    assert changed.status == 200, changed.text


@pytest.mark.parametrize(
    "order", ["port first", "forwardings first", "address first", "no address any more"]
)
def test_nothing_is_left_whatever_goes_first(central: CentralServer, order: str) -> None:
    scene = Scene(central)
    user = scene.user
    made = [forward(central, scene.floating, user, scene.port, one, one) for one in (80, 443)]
    assert [one.status for one in made] == [201, 201]
    central.clear_journal()
    if order == "port first":
        assert remove(central, "port", scene.port["id"], user).status == 204
    elif order == "forwardings first":
        for one in made:
            path = path_of(scene.floating, one.only())
            assert central.call("DELETE", path, user=user).status == 204
    elif order == "no address any more":
        path = f"/v2.0/ports/{scene.port['id']}"
        changed = central.call("PUT", path, {"port": {"fixed_ips": []}}, user)
        assert changed.status == 200, changed.text
        assert forwarded_at(central, "site1", scene.router) == ()
        assert remove(central, "port", scene.port["id"], user).status == 204
    else:  # an address that leaves the port takes along what leads to it
        body = {"port": {"fixed_ips": [{"subnet_id": scene.inside["id"]}]}}
        gone = scene.port["fixed_ips"][0]["ip_address"]
        changed = central.call("PUT", f"/v2.0/ports/{scene.port['id']}", body, user)
        assert changed.status == 200, changed.text
        if changed.only()["fixed_ips"][0]["ip_address"] == gone:
            assert remove(central, "port", scene.port["id"], user).status == 204
    assert told(central, scene.router) == BOTH
    assert forwarded_at(central, "site1", scene.router) == ()
    shown = show(central, scene.floating)
    assert (shown["status"], shown["router_id"]) == ("DOWN", None)
    assert set_gateway(central, scene.router, user, None).status == 200
    assert leave(central, scene.router, user, subnet_id=scene.inside["id"]).status == 200
    assert remove(central, "router", scene.router["id"], user).status == 204
    assert remove(central, "floatingip", scene.floating["id"], user).status == 204
