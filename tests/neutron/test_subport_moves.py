"""A subport that is at home elsewhere comes to the site of its trunk, if it is in no use."""

from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN
from tests.neutron.test_central_home import homes, let_go
from tests.neutron.test_local_apply import carried
from tests.neutron.test_own_networks import findings
from tests.neutron.test_renewal import Pair
from tests.neutron.test_trunks import (
    bind,
    change,
    in_ovn,
    make_ports,
    mapped,
    owner,
    person,
    settle,
    shown,
    sub,
)

from isthmus.store.sql.tables import SITES

pytestmark = [pytest.mark.neutron, pytest.mark.stress]

GONE: dict[str, Any] = {"binding:host_id": "", "device_owner": "", "device_id": ""}


@pytest.mark.parametrize("new", [True, False], ids=["of a new trunk", "of one that is there"])
def test_a_subport_comes_once_its_home_has_released_it(
    central: CentralServer, site1: LocalServer, new: bool
) -> None:
    user = person()
    parent, child, other = make_ports(central, user, 3)
    bind(site1, parent)
    assert central.bundle("site2", "port", child, project=user.project)["items"]
    settle(central, site1)
    first = sub(child, 1) if new else sub(other, 2)
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[first])["id"]
    if not new:
        carried(central, site1)
        assert change(central, trunk, "add_subports", user, sub(child, 1)).status == 200
    assert homes(central, child) == {"site2": True}
    assert ("port", child) in central.jobs("site2")
    assert owner(central, child) == "trunk:subport"
    for _ in range(2):  # until it has been released, however often the trunk is tried
        assert carry(central, site1)[trunk] == "isthmus.transient.stale"
        assert homes(central, child) == {"site2": True}
    central.clear_journal()
    assert central.wanted("site2", ("port", child))[0]["state"] is None
    let_go(central, "site2", child)
    assert central.jobs("site1") == {("trunk", trunk)}
    carried(central, site1)
    assert homes(central, child) == {"site1": False}
    assert shown(site1, trunk, user) == shown(central, trunk, user)
    assert in_ovn(site1, child) == (parent, "1")
    settle(central, site1)
    assert findings(Pair(central, site1), trunk, parent, child, other) == []


def test_a_site_releases_a_subport_for_another(central: CentralServer, site1: LocalServer) -> None:
    user = person()
    parent, child, former = make_ports(central, user, 3)
    # It was a subport here, of a server that was.
    past = central.create("trunk", user, port_id=former, sub_ports=[sub(child, 9)])["id"]
    bind(site1, former)
    settle(central, site1)
    assert in_ovn(site1, child) == (former, "9")
    assert site1.update("port", former, ADMIN, **GONE).status == 200
    settle(central, site1)
    assert central.bundle("site2", "port", parent, project=user.project)["items"]
    assert change(central, past, "remove_subports", user, {"port_id": child}).status == 200
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(child, 1)])["id"]
    assert homes(central, child) == {"site1": True}
    carried(central, site1)
    assert homes(central, child) == {}
    assert site1.rows("ports") == [one for one in site1.rows("ports") if one["id"] != child]
    assert ("trunk", trunk) in central.jobs("site2")
    (told,) = central.wanted("site2", ("trunk", trunk))
    assert [one["port_id"] for one in told["state"]["sub_ports"]] == [child]
    assert homes(central, child) == {"site2": False}
    assert {("port", child)} <= central.jobs("site2")
    settle(central, site1)
    assert findings(Pair(central, site1), past, former, child) == []


def test_one_that_is_in_use_or_whose_home_is_silent_is_refused(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    parent, bound, far = make_ports(central, user, 3)
    # A host alone makes it in use; a device is what Neutron itself refuses.
    assert site1.update("port", bound, ADMIN, **{"binding:host_id": "host1"}).status == 200
    settle(central, site1)
    for one in (parent, far):
        assert central.bundle("site2", "port", one, project=user.project)["items"]
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[])["id"]
    refused = change(central, trunk, "add_subports", user, sub(bound, 1))
    assert refused.status == 409, refused.text
    assert "where it is in use" in refused.text
    assert f"port {parent}, the parent of the trunk, has its home at site site2" in refused.text
    assert homes(central, bound) == {"site1": False}
    silent = sa.update(SITES).where(SITES.c.name == "site2")
    here = make_ports(central, user, 1)[0]
    bind(site1, here)
    settle(central, site1)
    second = central.create("trunk", user, port_id=here, sub_ports=[])["id"]
    with central.database(write=True) as connection:
        connection.execute(silent.values(reachability="unreachable"))
    try:
        refused = change(central, second, "add_subports", user, sub(far, 1))
    finally:
        central.hear("site2")
    assert refused.status == 409, refused.text
    assert "cannot be reached" in refused.text
    assert homes(central, far) == {"site2": False}
    assert mapped(central, second) == ["site1"]
    assert owner(central, far) == ""
