"""Trunks that central has: at the home of their parent port, and in OVN there."""

import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Reply, Server, User, tenant
from tests.neutron.test_local_apply import carried
from tests.neutron.test_own_networks import findings
from tests.neutron.test_renewal import Pair

from isthmus import errors
from isthmus.store.sql.tables import SITE_MAPPINGS
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress]

OWNER = "trunk:subport"


def person() -> User:
    return tenant(uuid.uuid4().hex)


def make_port(central: CentralServer, user: User, number: int = 0, **more: Any) -> str:
    """Make a port at central on a network of its own; gives its id."""
    network = central.create("network", user, name=f"n{number}", **more)
    cidr = f"10.0.{number}.0/24"
    central.create("subnet", user, network_id=network["id"], cidr=cidr, ip_version=4)
    return str(central.create("port", user, network_id=network["id"])["id"])


def make_ports(central: CentralServer, user: User, count: int) -> list[str]:
    return [make_port(central, user, number) for number in range(count)]


def bind(site: LocalServer, port: str, host: str = "host1") -> None:
    """Boot a server with a port at the site."""
    values = {"binding:host_id": host, "device_owner": "compute:nova", "device_id": "vm"}
    assert site.update("port", port, ADMIN, **values).status == 200


def sub(port: str, tag: int) -> dict[str, Any]:
    return {"port_id": port, "segmentation_type": "vlan", "segmentation_id": tag}


def change(server: Server, trunk: str, how: str, user: User, *subports: Any) -> Reply:
    body = {"sub_ports": list(subports)}
    return server.call("PUT", f"/v2.0/trunks/{trunk}/{how}", body, user)


def shown(server: Server, trunk: str, user: User) -> dict[str, Any]:
    found = dict(server.call("GET", f"/v2.0/trunks/{trunk}", user=user).only())
    return {
        **{name: found[name] for name in ("id", "name", "port_id", "admin_state_up", "project_id")},
        "sub_ports": sorted((one["port_id"], one["segmentation_id"]) for one in found["sub_ports"]),
    }


def in_ovn(site: LocalServer, port: str) -> tuple[str, str]:
    """Give the parent and the tag that OVN has of a port."""
    found = site.ovn.nbctl(
        "--data=bare",
        "--no-headings",
        "--columns=parent_name,tag",
        "list",
        "Logical_Switch_Port",
        port,
    ).splitlines()
    return (found[0].strip(), found[1].strip()) if len(found) > 1 else ("", "")


def owner(server: Server, port: str) -> str:
    return str(server.call("GET", f"/v2.0/ports/{port}").only()["device_owner"])


def mapped(server: Server, one: str) -> list[str]:
    with server.database() as connection:
        query = sa.select(SITE_MAPPINGS.c.site).where(SITE_MAPPINGS.c.resource_id == one)
        return sorted(connection.scalars(query))


def settle(central: CentralServer, site1: LocalServer) -> None:
    Pair(central, site1).settle()


def test_a_trunk_made_at_central_is_at_the_home_of_its_parent(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    parent, first, second = make_ports(central, user, 3)
    bind(site1, parent)
    settle(central, site1)
    # The subport's network is not at the site, nor is it anywhere.
    assert site1.get(f"ports/{first}", user).status == 200, "it is shown, and stays at central"
    assert mapped(central, first) == []
    trunk = central.create(
        "trunk", user, name="t", description="d", port_id=parent, sub_ports=[sub(first, 100)]
    )
    assert trunk["status"] == "ACTIVE"
    assert owner(central, first) == OWNER
    assert ("trunk", trunk["id"]) in central.jobs("site1")
    assert ("port", first) in central.jobs("site1")
    carried(central, site1)
    assert shown(site1, trunk["id"], user) == shown(central, trunk["id"], user)
    assert site1.get(f"trunks/{trunk['id']}", user).only()["description"] == "d"
    assert site1.get(f"trunks/{trunk['id']}", user).only()["status"] == "ACTIVE"
    assert in_ovn(site1, first) == (parent, "100")
    details = central.call("GET", f"/v2.0/ports/{parent}", user=user).only()["trunk_details"]
    assert [one["port_id"] for one in details["sub_ports"]] == [first]
    # Subports come and go, while the server runs.
    assert change(central, trunk["id"], "add_subports", user, sub(second, 200)).status == 200
    carried(central, site1)
    assert in_ovn(site1, second) == (parent, "200")
    assert change(central, trunk["id"], "remove_subports", user, {"port_id": first}).status == 200
    carried(central, site1)
    assert shown(site1, trunk["id"], user) == shown(central, trunk["id"], user)
    assert in_ovn(site1, first) == ("", "")
    assert owner(site1, first) == ""
    # One with another tag is removed and added; what comes between is not seen by the site.
    assert change(central, trunk["id"], "remove_subports", user, {"port_id": second}).status == 200
    both = (sub(second, 300), sub(first, 200))
    assert change(central, trunk["id"], "add_subports", user, *both).status == 200
    path = f"/v2.0/trunks/{trunk['id']}"
    said = {"name": "u", "admin_state_up": False}
    assert central.call("PUT", path, {"trunk": said}, user).status == 200
    carried(central, site1)
    assert shown(site1, trunk["id"], user) == shown(central, trunk["id"], user)
    assert (in_ovn(site1, first), in_ovn(site1, second)) == ((parent, "200"), (parent, "300"))
    settle(central, site1)
    assert owner(central, first) == OWNER
    assert findings(Pair(central, site1), trunk["id"], parent, first, second) == []
    check_goes(central, site1, user, trunk["id"], [parent, first, second])


def check_goes(
    central: CentralServer, site1: LocalServer, user: User, trunk: str, ports: list[str]
) -> None:
    """See that what is in use stays, and that of what is not nothing is left in any tier."""
    for server in (central, site1):
        for port in ports:
            refused = server.call("DELETE", f"/v2.0/ports/{port}")
            assert refused.status == 409, refused.text
    path = f"/v2.0/trunks/{trunk}"
    assert central.call("DELETE", path, user=user).status == 409, "it is disabled"
    assert central.call("PUT", path, {"trunk": {"admin_state_up": True}}, user).status == 200
    assert central.call("DELETE", path, user=user).status == 204
    # In one go: ports before the site has heard of their trunk's end.
    for port in ports:
        assert central.call("DELETE", f"/v2.0/ports/{port}").status == 204
    settle(central, site1)
    for server in (central, site1):
        for table, column in (("trunks", "id"), ("subports", "trunk_id")):
            with server.database() as connection:
                left = sa.text(f"SELECT count(*) FROM {table} WHERE {column} = '{trunk}'")
                assert connection.scalar(left) == 0, table
        for one in (trunk, *ports):
            assert mapped(server, one) == []
        assert server.call("GET", path).status == 404
    for port in ports:
        assert site1.ovn.nbctl("find", "Logical_Switch_Port", f"name={port}") == ""


def test_a_parent_that_is_used_at_a_site_brings_its_trunk(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    parent, child = make_ports(central, user, 2)
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(child, 7)])
    assert mapped(central, trunk["id"]) == []
    bind(site1, parent)
    assert mapped(central, child) == mapped(central, trunk["id"]) == ["site1"]
    assert shown(site1, trunk["id"], user) == shown(central, trunk["id"], user)
    assert in_ovn(site1, child) == (parent, "7")
    settle(central, site1)
    assert findings(Pair(central, site1), trunk["id"], parent, child) == []
    # A server that goes takes its trunk's being ACTIVE with it, in both tiers.
    gone = {"binding:host_id": "", "device_owner": "", "device_id": ""}
    assert site1.update("port", parent, ADMIN, **gone).status == 200
    path = f"/v2.0/trunks/{trunk['id']}"
    for server in (central, site1):
        until(
            lambda server=server: server.call("GET", path).only()["status"] == "DOWN",  # type: ignore[misc]
            what="the trunk is down",
        )
    settle(central, site1)
    assert findings(Pair(central, site1), trunk["id"], parent, child) == []


def test_a_trunk_goes_where_its_parent_goes(central: CentralServer, site1: LocalServer) -> None:
    user = person()
    parent, child = make_ports(central, user, 2)
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(child, 9)])
    bind(site1, parent)
    settle(central, site1)

    def ask(port: str) -> dict[str, Any]:
        return dict(central.bundle("site2", "port", port, project=user.project))

    # A subport goes nowhere by itself, nor a parent that is in use.
    assert ask(child)["items"] == []
    (refused,) = ask(child)["refused"]
    assert f"subport of trunk {trunk['id']}" in refused["message"], refused
    assert ask(parent)["items"] == []
    gone = {"binding:host_id": "", "device_owner": "", "device_id": ""}
    assert site1.update("port", parent, ADMIN, **gone).status == 200
    settle(central, site1)
    assert ask(parent)["items"] == [], "site1 has to let go of it first"
    assert {("trunk", trunk["id"]), ("port", parent), ("port", child)} <= central.jobs("site1")
    settle(central, site1)
    for one in (parent, child, trunk["id"]):
        assert mapped(site1, one) == []
    assert site1.rows("subports") == [
        row for row in site1.rows("subports") if row["trunk_id"] != trunk["id"]
    ]
    items = ask(parent)["items"]
    ids = {(one["type"], one["id"]) for one in items}
    assert {("port", parent), ("port", child), ("trunk", trunk["id"])} <= ids
    for one in (parent, child, trunk["id"]):
        assert mapped(central, one) == ["site2"]


def test_ports_that_cannot_be_at_one_site_are_refused_before_a_site_hears(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    parent, other = make_ports(central, user, 2)
    bind(site1, parent)
    settle(central, site1)
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(other, 1)])["id"]
    # A network that may not be at the site.
    far = make_port(central, user, 5, availability_zone_hints=["zone2"])
    more = change(central, trunk, "add_subports", user, sub(far, 3))
    assert more.status == 409, more.text
    assert "is for zones zone2" in more.text, more.text
    assert mapped(central, far) == []
    carried(central, site1)
    assert shown(site1, trunk, user)["sub_ports"] == [(other, 1)]


def test_what_neutron_refuses_is_refused(central: CentralServer, site1: LocalServer) -> None:
    user, stranger = person(), person()
    parent, child, third = make_ports(central, user, 3)
    theirs = make_port(central, stranger)
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(child, 1)])["id"]
    add = "add_subports"
    for status, reply in (
        (409, central.try_create("trunk", user, port_id=parent)),
        (409, central.try_create("trunk", user, port_id=child)),
        (404, central.try_create("trunk", user, port_id=theirs)),
        (404, central.try_create("trunk", user, port_id=str(uuid.uuid4()))),
        (400, central.try_create("trunk", user, port_id="no uuid")),
        (409, change(central, trunk, add, user, sub(child, 2))),
        (409, change(central, trunk, add, user, sub(parent, 2))),
        (409, change(central, trunk, add, user, sub(third, 1))),
        (404, change(central, trunk, add, user, sub(theirs, 2))),
        (400, change(central, trunk, add, user, sub(third, 5000))),
        (400, change(central, trunk, add, user, {**sub(third, 2), "segmentation_type": "vxlan"})),
        (400, change(central, trunk, add, user, {"port_id": third})),
        (400, change(central, trunk, add, user, sub(third, 2), sub(third, 3))),
        (404, change(central, trunk, "remove_subports", user, {"port_id": third})),
        (404, change(central, trunk, add, stranger, sub(theirs, 2))),
    ):
        assert reply.status == status, (status, reply.text)
    assert shown(central, trunk, user)["sub_ports"] == [(child, 1)]
    limit = {"quota": {"trunk": 1}}
    assert central.call("PUT", f"/v2.0/quotas/{user.project}", limit).status == 200
    over = central.try_create("trunk", user, port_id=third)
    assert over.status == 409, over.text
    assert "Quota exceeded" in over.text
    # It counts at central alone.
    assert site1.call("PUT", f"/v2.0/quotas/{user.project}", {"quota": {"trunk": 0}}).status == 200
    bind(site1, parent)
    assert shown(site1, trunk, user)["sub_ports"] == [(child, 1)]


def test_a_site_changes_nothing_of_centrals_trunks_and_has_its_own(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    parent, child, own, inner = make_ports(central, user, 4)
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(child, 1)])["id"]
    for port in (parent, own):
        bind(site1, port)
    assert site1.update("port", inner, user, description="comes here").status == 200
    path = f"/v2.0/trunks/{trunk}"
    for reply in (
        site1.call("PUT", path, {"trunk": {"name": "mine"}}, user),
        site1.call("DELETE", path, user=user),
        site1.call("PUT", f"{path}/tags/mine", user=user),
        change(site1, trunk, "add_subports", user, sub(inner, 2)),
        change(site1, trunk, "remove_subports", user, {"port_id": child}),
    ):
        assert reply.status == 409, reply.text
        assert "belongs to central" in reply.text, reply.text
    # One of the site's own is the site's: central shows of it the owner of its subports.
    mine = site1.create("trunk", user, port_id=own, sub_ports=[sub(inner, 1)])["id"]
    until(lambda: owner(central, inner) == OWNER, what="central has heard of the subport")
    settle(central, site1)
    assert central.call("GET", f"/v2.0/trunks/{mine}").status == 404
    assert findings(Pair(central, site1), mine, own, inner) == []
    assert change(site1, mine, "remove_subports", user, {"port_id": inner}).status == 200
    assert change(site1, mine, "add_subports", user, sub(inner, 2)).status == 200
    settle(central, site1)
    # Central knows nothing of it: the site refuses the second trunk of a port, by name.
    second = central.create("trunk", user, port_id=own)["id"]
    assert carry(central, site1)[second] == "isthmus.refused.conflict"
    assert f"port {own} is in trunk {mine}, which was made at this site" in site1.messages[second]
    assert site1.delete("trunk", mine, user).status == 204
    carried(central, site1)
    assert shown(site1, second, user) == shown(central, second, user)


def test_a_trunk_goes_where_its_parent_port_could_not_be_bound(
    central: CentralServer, site1: LocalServer
) -> None:
    """Neutron itself lets go of no such trunk, but central has deleted it."""
    user = person()
    parent, child, alone = make_ports(central, user, 3)
    trunk = central.create("trunk", user, port_id=parent, sub_ports=[sub(child, 1)])["id"]
    bare = central.create("trunk", user, port_id=alone)["id"]
    bind(site1, parent, host="nowhere")
    bind(site1, alone)
    carried(central, site1)
    assert site1.get(f"ports/{parent}").only()["binding:vif_type"] == "binding_failed"
    for one in (trunk, bare):
        assert site1.get(f"trunks/{one}").status == 200
        assert central.call("DELETE", f"/v2.0/trunks/{one}", user=user).status == 204
    carried(central, site1)
    assert [site1.get(f"trunks/{one}").status for one in (trunk, bare)] == [404, 404]
    assert in_ovn(site1, child) == ("", "")


def test_tags_and_rows_changed_by_hand_are_healed(
    central: CentralServer, site1: LocalServer
) -> None:
    user, pair = person(), Pair(central, site1)
    parent, child, other = make_ports(central, user, 3)
    both = [sub(child, 1), sub(other, 2)]
    trunk = central.create("trunk", user, port_id=parent, sub_ports=both)["id"]
    bind(site1, parent)
    assert central.call("PUT", f"/v2.0/trunks/{trunk}/tags/red", user=user).status in (200, 201)
    pair.settle()
    assert site1.get(f"trunks/{trunk}").only()["tags"] == ["red"]
    assert findings(pair, trunk, parent, child, other) == []
    assert pair.renew() == []
    with site1.database(write=True) as connection:
        connection.execute(sa.text(f"UPDATE trunks SET name = 'other' WHERE id = '{trunk}'"))
        connection.execute(sa.text(f"DELETE FROM subports WHERE port_id = '{child}'"))
        connection.execute(
            sa.text(f"UPDATE subports SET segmentation_id = 5 WHERE port_id = '{other}'")
        )
    found = findings(pair, trunk)
    assert any("sub_ports" in one for one in found), found
    assert any("name" in one for one in found), found
    assert f"trunk {trunk}" in pair.renew()
    pair.settle()
    assert findings(pair, trunk, parent, child, other) == []
    assert pair.renew() == []
    with site1.database(write=True) as connection:
        connection.execute(sa.text(f"DELETE FROM subports WHERE trunk_id = '{trunk}'"))
        connection.execute(sa.text(f"DELETE FROM trunks WHERE id = '{trunk}'"))
    assert any("missing" in one or "only at central" in one for one in findings(pair, trunk))
    assert f"trunk {trunk}" in pair.renew()
    pair.settle()
    assert findings(pair, trunk, parent, child, other) == []
    assert in_ovn(site1, other) == (parent, "2")


def test_a_trunk_of_many_subports(central: CentralServer, site1: LocalServer) -> None:
    user = person()
    parent = make_port(central, user)
    network = central.create("network", user, name="many")
    central.create("subnet", user, network_id=network["id"], cidr="10.9.0.0/24", ip_version=4)
    body = {"ports": [{"network_id": network["id"], "name": f"s{one}"} for one in range(60)]}
    ports = [one["id"] for one in central.call("POST", "/v2.0/ports", body, user).only()]
    bind(site1, parent)
    settle(central, site1)
    subports = [sub(port, tag + 1) for tag, port in enumerate(ports)]
    trunk = central.create("trunk", user, port_id=parent, sub_ports=subports)["id"]
    carried_in_parts(central, site1, trunk)
    assert shown(site1, trunk, user) == shown(central, trunk, user)
    assert {in_ovn(site1, port)[0] for port in ports} == {parent}
    settle(central, site1)
    assert {owner(tier, port) for tier in (central, site1) for port in ports} == {OWNER}
    gone = [{"port_id": port} for port in ports[:50]]
    assert change(central, trunk, "remove_subports", user, *gone).status == 200
    carried_in_parts(central, site1, trunk)
    assert {in_ovn(site1, port)[0] for port in ports[:50]} == {""}
    assert {in_ovn(site1, port)[0] for port in ports[50:]} == {parent}
    assert central.call("DELETE", f"/v2.0/trunks/{trunk}", user=user).status == 204
    carried_in_parts(central, site1, trunk)
    assert {in_ovn(site1, port)[0] for port in ports} == {""}
    settle(central, site1)
    assert {owner(tier, port) for tier in (central, site1) for port in ports} == {""}


def carried_in_parts(central: CentralServer, site: LocalServer, trunk: str) -> None:
    """Carry until a trunk is taken; each part but the last is unfinished, and nothing else."""
    said: list[str] = []

    def taken() -> bool:
        said.append(carry(central, site).get(trunk, ""))
        return not said[-1]

    until(taken, what="the trunk is taken", timeout_s=240)
    assert set(said) <= {"", errors.Unfinished.code}, said
