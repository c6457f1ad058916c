"""A site's Neutron is killed at each step of what it does for a trunk; nothing is lost or left."""

import pytest
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import User
from tests.neutron.test_local_crash import dying, site2
from tests.neutron.test_trunks import (
    bind,
    change,
    in_ovn,
    make_ports,
    mapped,
    owner,
    person,
    shown,
    sub,
)

from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress, pytest.mark.timeout(600)]

__all__ = ["site2"]


def settle(central: CentralServer, site: LocalServer) -> None:
    """Carry both ways until neither tier owes the other anything."""

    def settled() -> bool:
        carry(central, site)
        return not central.jobs("site2") and not site.rows("isthmus_journal")

    until(settled, timeout_s=120, what="nothing is under way")


def check(central: CentralServer, site: LocalServer, trunk: str, user: User) -> None:
    """See that a trunk is the same in both tiers and in OVN."""
    settle(central, site)
    there = shown(central, trunk, user)
    assert shown(site, trunk, user) == there
    for port, tag in there["sub_ports"]:
        assert in_ovn(site, port) == (there["port_id"], str(tag))
        assert owner(site, port) == owner(central, port) == "trunk:subport"


@pytest.mark.parametrize("point", ["apply.trunk.made", "apply.trunk.untied", "apply.trunk.emptied"])
def test_while_a_trunk_is_made_and_changed(
    central: CentralServer, site2: LocalServer, point: str
) -> None:
    user = person()
    parent, first, second = make_ports(central, user, 3)
    site2.start()
    bind(site2, parent, host="host3")
    settle(central, site2)
    trunk = ""
    if point != "apply.trunk.made":
        trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(first, 1)])["id"]
        settle(central, site2)
    with dying(site2, point):
        if trunk:
            body = {"port_id": first}
            assert change(central, trunk, "remove_subports", user, body).status == 200
            assert change(central, trunk, "add_subports", user, sub(second, 1)).status == 200
        else:
            trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(first, 1)])["id"]
        carry(central, site2)
    check(central, site2, trunk, user)
    if point != "apply.trunk.made":
        assert in_ovn(site2, first) == ("", "")
        assert owner(site2, first) == owner(central, first) == ""
    site2.stop()


@pytest.mark.parametrize(
    "point", ["apply.trunk.untied", "apply.trunk.emptied", "apply.trunk.removed"]
)
def test_while_a_trunk_is_removed(central: CentralServer, site2: LocalServer, point: str) -> None:
    user = person()
    parent, child = make_ports(central, user, 2)
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(child, 1)])["id"]
    site2.start()
    bind(site2, parent, host="host3")
    check(central, site2, trunk, user)
    with dying(site2, point):
        assert central.call("DELETE", f"/v2.0/trunks/{trunk}", user=user).status == 204
        carry(central, site2)
    settle(central, site2)
    assert site2.get(f"trunks/{trunk}").status == 404
    assert in_ovn(site2, child) == ("", "")
    assert owner(site2, child) == owner(central, child) == ""
    assert mapped(site2, trunk) == mapped(central, trunk) == []
    for port in (parent, child):
        assert central.call("DELETE", f"/v2.0/ports/{port}").status == 204
    settle(central, site2)
    assert site2.ovn.nbctl("find", "Logical_Switch_Port", f"name={child}") == ""
    site2.stop()
