"""Trunks whose ports move, are exchanged, refused or deleted while others change them."""

import pytest
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN
from tests.neutron.test_own_networks import findings
from tests.neutron.test_renewal import Pair
from tests.neutron.test_trunks import (
    OWNER,
    bind,
    change,
    in_ovn,
    make_port,
    make_ports,
    mapped,
    owner,
    person,
    settle,
    shown,
    sub,
)

pytestmark = [pytest.mark.neutron, pytest.mark.stress]


def test_trunks_exchange_their_subports(central: CentralServer, site1: LocalServer) -> None:
    """Neither can have the other's before that one has let go of it."""
    user = person()
    one, two, first, second = make_ports(central, user, 4)
    trunks = {}
    for parent, child in ((one, first), (two, second)):
        bind(site1, parent)
        body = {"port_id": parent, "sub_ports": [sub(child, 1)]}
        trunks[parent] = central.create("trunk", user, **body)["id"]
    settle(central, site1)
    for parent, child in ((one, first), (two, second)):
        gone = {"port_id": child}
        assert change(central, trunks[parent], "remove_subports", user, gone).status == 200
    for parent, child in ((one, second), (two, first)):
        assert change(central, trunks[parent], "add_subports", user, sub(child, 1)).status == 200
    settle(central, site1)
    for parent, child in ((one, second), (two, first)):
        assert in_ovn(site1, child) == (parent, "1")
        assert owner(site1, child) == owner(central, child) == OWNER
        trunk = trunks[parent]
        assert shown(site1, trunk, user) == shown(central, trunk, user)
    assert findings(Pair(central, site1), *trunks.values(), one, two, first, second) == []


def test_a_parent_that_is_bound_again_while_it_is_asked_away_keeps_its_trunk(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    parent, child, late = make_ports(central, user, 3)
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(child, 9)])["id"]
    bind(site1, parent)
    settle(central, site1)
    gone = {"binding:host_id": "", "device_owner": "", "device_id": ""}
    assert site1.update("port", parent, ADMIN, **gone).status == 200
    settle(central, site1)
    assert central.bundle("site2", "port", parent, project=user.project)["items"] == []
    # A subport that comes while the parent is about to leave.
    assert change(central, trunk, "add_subports", user, sub(late, 10)).status == 200
    carry(central, site1, but=["port"])
    assert site1.get(f"trunks/{trunk}").status == 404, "the trunk goes before its ports"
    bind(site1, parent)
    settle(central, site1)
    assert mapped(central, parent) == ["site1"]
    assert mapped(central, trunk) == mapped(central, child) == mapped(central, late) == ["site1"]
    assert shown(site1, trunk, user) == shown(central, trunk, user)
    for port, tag in ((child, "9"), (late, "10")):
        assert in_ovn(site1, port) == (parent, tag)
        assert owner(site1, port) == owner(central, port) == OWNER
    assert findings(Pair(central, site1), trunk, parent, child, late) == []


def test_a_parent_leaves_no_disabled_site_without_its_subports(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    (parent,) = make_ports(central, user, 1)
    bound = make_port(central, user, 7, availability_zone_hints=["zone1"])
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(bound, 9)])["id"]
    bind(site1, parent)
    gone = {"binding:host_id": "", "device_owner": "", "device_id": ""}
    assert site1.update("port", parent, ADMIN, **gone).status == 200
    settle(central, site1)
    path = "/v2.0/sites/site1"
    assert central.call("PUT", path, {"site": {"state": "disabled"}}).status == 200
    try:
        answer = central.bundle("site2", "port", parent, project=user.project)
        assert answer["items"] == []
        (refused,) = answer["refused"]
        assert refused["code"] == "isthmus.refused.conflict", refused
        assert "is for zones zone1" in refused["message"], refused
    finally:
        assert central.call("PUT", path, {"site": {"state": "enabled"}}).status == 200
    settle(central, site1)
    assert mapped(central, parent) == mapped(central, trunk) == mapped(central, bound) == ["site1"]
    bind(site1, parent)
    settle(central, site1)
    assert in_ovn(site1, bound) == (parent, "9")
    assert shown(site1, trunk, user) == shown(central, trunk, user)


def test_a_port_that_its_site_deletes_while_central_puts_it_into_a_trunk(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    parent, child, second = make_ports(central, user, 3)
    for port in (parent, second):
        bind(site1, port)
    assert site1.update("port", child, user, description="comes here").status == 200
    settle(central, site1)
    # The site does not hear of these before it has deleted what is in them.
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(child, 1)])["id"]
    other = central.create("trunk", user, port_id=second)["id"]
    down = {"trunk": {"admin_state_up": False}}
    for one in (trunk, other):
        assert central.call("PUT", f"/v2.0/trunks/{one}", down, user).status == 200
    for port in (child, second):
        assert site1.delete("port", port, ADMIN).status == 204
    settle(central, site1)
    assert shown(site1, trunk, user) == shown(central, trunk, user)
    assert shown(central, trunk, user)["sub_ports"] == []
    assert not shown(central, trunk, user)["admin_state_up"]
    for server in (central, site1):
        assert server.call("GET", f"/v2.0/trunks/{other}").status == 404
        for port in (child, second):
            assert server.call("GET", f"/v2.0/ports/{port}").status == 404
    for one in (other, child, second):
        assert mapped(central, one) == mapped(site1, one) == []
    assert findings(Pair(central, site1), trunk, other, parent, child, second) == []


def test_a_network_of_a_trunk_is_not_withdrawn_under_it(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    parent, child = make_ports(central, user, 2)
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(child, 1)])["id"]
    bind(site1, parent)
    settle(central, site1)
    network = central.call("GET", f"/v2.0/ports/{child}").only()["network_id"]
    (presence,) = central.call("GET", f"/v2.0/site-presences?network_id={network}").only()
    reply = central.call("DELETE", f"/v2.0/site-presences/{presence['id']}")
    assert reply.status == 409, reply.text
    assert "has 1 port at site site1" in reply.text, reply.text
    settle(central, site1)
    assert shown(site1, trunk, user) == shown(central, trunk, user)
    assert in_ovn(site1, child) == (parent, "1")
    assert mapped(central, child) == ["site1"]


def test_a_sites_own_trunk_holds_its_parent(central: CentralServer, site1: LocalServer) -> None:
    user = person()
    parent, child = make_ports(central, user, 2)
    for port in (parent, child):
        assert site1.update("port", port, user, description="comes here").status == 200
    mine = site1.create("trunk", user, port_id=parent, sub_ports=[sub(child, 1)])["id"]
    settle(central, site1)
    for port in (parent, child):
        assert central.bundle("site2", "port", port, project=user.project)["items"] == []
    codes = carry(central, site1)
    for port, what in ((parent, "a parent port"), (child, "a subport")):
        assert codes[port] == "isthmus.refused.in_use", site1.messages
        assert f"{what} for trunk {mine}" in site1.messages[port]
    assert site1.get(f"trunks/{mine}").status == 200
    assert site1.delete("trunk", mine, user).status == 204
    settle(central, site1)
    assert mapped(central, child) == mapped(central, parent) == []
