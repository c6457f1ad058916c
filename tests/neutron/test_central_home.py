"""A port has one home, and moves in two steps."""

import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.test_central_report import Stretched, item

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.sql.tables import LOCATIONS, REFUSALS, SITE_MAPPINGS, SITES
from isthmus.store.tiers import forget

pytestmark = pytest.mark.neutron


def make_port(net: Stretched) -> dict[str, Any]:
    return net.central.create("port", net.user, network_id=net.network["id"])


def ask(net: Stretched, site: str, port_id: str, **more: Any) -> Any:
    return net.central.bundle(site, "port", port_id, project=net.project, **more)


def homes(central: CentralServer, port_id: str) -> dict[str, bool]:
    rows = central.call("GET", f"/v2.0/site-mappings?type=port&resource_id={port_id}").only()
    return {row["site"]: row["withdrawn"] for row in rows}


def item_for(central: CentralServer, site: str, port_id: str) -> dict[str, Any]:
    """Give what Xjob would carry."""
    (one,) = central.wanted(site, ("port", port_id))
    return one


def let_go(central: CentralServer, site: str, port_id: str) -> None:
    """Make as if the site had taken the removal."""
    with central.database(write=True) as connection:
        forget.forget_objects(connection, [IntentKey(SiteName(site), ResourceType.PORT, port_id)])


def test_looking_moves_nothing(central: CentralServer) -> None:
    net = Stretched(central, present=("site1",))
    port = make_port(net)
    for site in ("site1", "site2"):
        (shown,) = ask(net, site, port["id"], show_only=True)["items"]
        assert shown["state"]["fixed_ips"] == port["fixed_ips"]
    assert homes(central, port["id"]) == {}
    assert ask(net, "site1", port["id"])["items"]
    assert ask(net, "site2", port["id"], show_only=True)["items"]
    assert homes(central, port["id"]) == {"site1": False}
    presences = central.call("GET", f"/v2.0/site-presences?network_id={net.network['id']}").only()
    assert {one["site"] for one in presences} == {"site1"}
    assert central.jobs("site2") & {("network", net.network["id"])} == set()


def test_a_port_moves_once_its_home_has_let_go(central: CentralServer) -> None:
    net = Stretched(central)
    port = make_port(net)
    assert by_type(ask(net, "site1", port["id"])["items"], "port")
    central.clear_journal()
    for _ in range(2):  # asking again while it moves is no harm
        answer = ask(net, "site2", port["id"])
        assert answer["items"] == []
        (refused,) = answer["refused"]
        assert refused["code"] == "isthmus.transient.stale"
        assert "moving" in refused["message"]
        assert homes(central, port["id"]) == {"site1": True}
        assert ("port", port["id"]) in central.jobs("site1")
    assert item_for(central, "site1", port["id"]) == {
        "type": "port",
        "id": port["id"],
        "state": None,
        "withdrawn": True,
    }
    let_go(central, "site1", port["id"])
    assert by_type(ask(net, "site2", port["id"])["items"], "port")
    assert homes(central, port["id"]) == {"site2": False}


def test_a_port_that_was_bound_meanwhile_stays(central: CentralServer) -> None:
    net = Stretched(central)
    port = make_port(net)
    ask(net, "site1", port["id"])
    ask(net, "site2", port["id"])
    assert homes(central, port["id"]) == {"site1": True}
    bound = {**net.port(), **{name: port[name] for name in ("id", "mac_address", "fixed_ips")}}
    assert net.report({**bound, "isthmus:base": port})["code"] == ""
    assert homes(central, port["id"]) == {"site1": False}
    assert item_for(central, "site1", port["id"])["state"] is not None
    (refused,) = ask(net, "site2", port["id"])["refused"]
    assert refused["code"] == "isthmus.refused.conflict"
    assert "site1" in refused["message"]


@pytest.mark.parametrize("silent", ["unreachable", "unknown"])
def test_no_port_leaves_a_site_that_cannot_be_heard(central: CentralServer, silent: str) -> None:
    net = Stretched(central)
    port = make_port(net)
    ask(net, "site1", port["id"])
    with central.database(write=True) as connection:
        change = sa.update(SITES).where(SITES.c.name == "site1")
        connection.execute(change.values(reachability=silent))
    try:
        (refused,) = ask(net, "site2", port["id"])["refused"]
        assert refused["code"] == "isthmus.refused.conflict"
        assert "release" in refused["message"]
        assert homes(central, port["id"]) == {"site1": False}
        (mapping,) = central.call(
            "GET", f"/v2.0/site-mappings?type=port&resource_id={port['id']}"
        ).only()
        path = f"/v2.0/site-mappings/{mapping['id']}/release"
        assert central.call("PUT", path, {"force": False}).refusal()[0] == 409
        assert central.call("PUT", path, {"force": True}, net.user).status in (403, 404)
        assert homes(central, port["id"]) == {"site1": False}
        assert central.call("PUT", path, {"force": True}).status == 200
        assert homes(central, port["id"]) == {}
        assert ("port", port["id"]) in central.jobs("site1")
    finally:
        central.hear("site1")
    assert by_type(ask(net, "site2", port["id"])["items"], "port")
    # What site1 says of it from now on is refused, and it is told again that it is to let go.
    central.clear_journal()
    late = {**net.port(), **{name: port[name] for name in ("id", "mac_address", "fixed_ips")}}
    assert net.report({**late, "isthmus:base": port})["code"] == "isthmus.refused.conflict"
    assert ("port", port["id"]) in central.jobs("site1")
    assert homes(central, port["id"]) == {"site2": False}


def test_a_port_comes_from_a_disabled_home_but_not_from_one_that_was_removed(
    central: CentralServer,
) -> None:
    """Neither can let go. An operator has said that one is out of use; the other may come back."""
    net = Stretched(central)
    port = make_port(net)
    ask(net, "site1", port["id"])
    here = sa.update(SITE_MAPPINGS).where(SITE_MAPPINGS.c.resource_id == port["id"])
    with central.database(write=True) as connection:
        connection.execute(here.values(site="gone/some-id"))
    (refused,) = ask(net, "site2", port["id"])["refused"]
    assert refused["code"] == "isthmus.refused.conflict"
    assert "removed" in refused["message"]
    assert "release" in refused["message"]
    with central.database(write=True) as connection:
        connection.execute(here.values(site="site1"))
        connection.execute(sa.update(SITES).where(SITES.c.name == "site1").values(state="disabled"))
    central.clear_journal()
    try:
        assert by_type(ask(net, "site2", port["id"])["items"], "port")
        assert homes(central, port["id"]) == {"site2": False}
    finally:
        with central.database(write=True) as connection:
            connection.execute(
                sa.update(SITES).where(SITES.c.name == "site1").values(state="enabled")
            )
    assert ("port", port["id"]) in central.jobs("site1")


def test_a_forced_release_tells_every_shadow(central: CentralServer) -> None:
    net = Stretched(central, present=("site1", "site2"))
    port = net.port()
    assert net.report(port)["code"] == ""
    central.clear_journal()
    (mapping,) = central.call("GET", f"/v2.0/site-mappings?resource_id={port['id']}").only()
    path = f"/v2.0/site-mappings/{mapping['id']}/release"
    assert central.call("PUT", path, {"force": True}).status == 200
    assert ("shadow", port["id"]) in central.jobs("site2")
    (wanted,) = central.wanted("site2", ("shadow", port["id"]))
    assert wanted["state"] is None
    # Until it has been told, nobody else is given the address.
    assert central.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    address = port["fixed_ips"]
    again = central.try_create("port", net.user, network_id=net.network["id"], fixed_ips=address)
    assert again.status in (409, 503)
    central.acknowledge_all()


def test_an_operator_asks_for_a_release(central: CentralServer) -> None:
    net = Stretched(central)
    port = make_port(net)
    ask(net, "site1", port["id"])
    (mapping,) = central.call("GET", f"/v2.0/site-mappings?resource_id={port['id']}").only()
    path = f"/v2.0/site-mappings/{mapping['id']}/release"
    assert central.call("PUT", path, {}).status == 200
    assert homes(central, port["id"]) == {"site1": True}


def test_no_report_takes_a_port_that_has_no_home(central: CentralServer) -> None:
    net = Stretched(central)
    port = make_port(net)
    taken_over = {**net.port(), **{name: port[name] for name in ("id", "mac_address")}}
    taken_over |= {"fixed_ips": port["fixed_ips"], "name": "mine", "isthmus:base": port}
    assert net.report(taken_over)["code"] == "isthmus.refused.conflict"
    assert net.shown(port)["name"] == ""
    central.report("site1", item(port, gone=True))
    assert net.shown(port)["id"] == port["id"]


def test_a_home_that_central_lost_is_where_the_port_is_located(central: CentralServer) -> None:
    """A row that went missing gives the port to no other site, and its own is believed again."""
    net = Stretched(central)
    port = net.port()
    assert net.report(port)["code"] == ""

    def lose() -> None:
        with central.database(write=True) as connection:
            lost = sa.delete(SITE_MAPPINGS).where(SITE_MAPPINGS.c.resource_id == port["id"])
            assert connection.execute(lost).rowcount == 1

    lose()
    (refused,) = ask(net, "site2", port["id"])["refused"]
    assert refused["code"] == "isthmus.refused.conflict"
    (result,) = central.report("site2", item(port))
    assert result["code"] == "isthmus.refused.conflict"
    assert homes(central, port["id"]) == {"site1": False}
    lose()
    assert net.report({**port, "name": "renamed", "isthmus:base": port})["code"] == ""
    assert homes(central, port["id"]) == {"site1": False}
    assert net.shown(port)["name"] == "renamed"


def test_nothing_is_left_of_a_port_that_went_while_it_was_fetched(central: CentralServer) -> None:
    net = Stretched(central)
    port = make_port(net)
    assert central.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    assert ask(net, "site1", port["id"])["items"] == []
    assert homes(central, port["id"]) == {}
    with central.database() as connection:
        found = sa.select(LOCATIONS.c.port_id).where(LOCATIONS.c.port_id == port["id"])
        assert connection.execute(found).all() == []


def test_what_is_refused_of_a_report_does_not_hold_up_the_rest(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    assert net.report(port)["code"] == ""
    other = net.port()
    assert net.report(other)["code"] == ""
    central.clear_journal()
    nobody = str(uuid.uuid4())
    change = {**port, "name": "new", "security_groups": [nobody], "isthmus:base": port}
    (result,) = central.report("site1", item(change))
    assert result["code"] == "isthmus.refused.not_found"
    assert result["attributes"] == ["security_groups"]
    shown = net.shown(port)
    assert (shown["name"], shown["security_groups"]) == ("new", net.groups)
    (seen,) = central.call("GET", f"/v2.0/site-refusals?resource_id={port['id']}").only()
    assert (seen["site"], seen["attributes"]) == ("site1", "security_groups")
    assert nobody in seen["reason"]
    row = next(one for one in central.call("GET", "/v2.0/sites").only() if one["name"] == "site1")
    assert row["parked"] >= 1
    # Once the reason has gone, it is taken, and seen no more.
    assert net.report({**port, "name": "new", "isthmus:base": shown})["code"] == ""
    with central.database() as connection:
        found = sa.select(REFUSALS).where(REFUSALS.c.resource_id == port["id"])
        assert connection.execute(found).all() == []


@pytest.mark.parametrize("name", ["fixed_ips", "security_groups"])
def test_a_port_is_known_though_a_part_of_it_is_refused(central: CentralServer, name: str) -> None:
    net = Stretched(central)
    wrong: dict[str, Any] = {
        "fixed_ips": [{"subnet_id": str(uuid.uuid4()), "ip_address": "10.9.9.9"}],
        "security_groups": [str(uuid.uuid4())],
    }
    port = net.port(**{name: wrong[name]})
    result = net.report(port)
    assert result["code"].startswith("isthmus.refused"), result
    assert result["attributes"] == [name]
    shown = net.shown(port)
    assert shown["binding:host_id"] == "site1/host1"
    for other in {"fixed_ips", "security_groups"} - {name}:
        assert shown[other] == port[other]


def test_a_mac_that_changed_at_its_home_is_taken_though_it_is_bound(
    central: CentralServer,
) -> None:
    net = Stretched(central)
    port = net.port()
    assert net.report(port)["code"] == ""
    changed = {**port, "mac_address": "fa:16:01:77:00:01", "name": "n2", "isthmus:base": port}
    assert net.report(changed)["code"] == ""
    shown = net.shown(port)
    assert (shown["mac_address"], shown["name"]) == ("fa:16:01:77:00:01", "n2")
    assert shown["binding:host_id"] == "site1/host1"
    shadow = central.desired("site2", ("shadow", port["id"]))[("shadow", port["id"])]
    assert shadow["mac_address"] == "fa:16:01:77:00:01"


def test_one_mac_at_two_sites_is_told(central: CentralServer) -> None:
    net = Stretched(central)
    first = net.port()
    assert net.report(first)["code"] == ""
    second = net.port(mac_address=first["mac_address"])
    ip = [{"subnet_id": net.subnet["id"], "ip_address": net.address("site2")}]
    (result,) = central.report("site2", item({**second, "fixed_ips": ip, "isthmus:location": None}))
    assert result["code"] == "isthmus.refused.in_use"
    (seen,) = central.call("GET", f"/v2.0/site-refusals?resource_id={second['id']}").only()
    assert first["mac_address"] in seen["reason"]
    central.report("site2", item(second, gone=True))
    assert central.call("GET", f"/v2.0/site-refusals?resource_id={second['id']}").only() == []


def test_a_withdrawn_network_that_is_in_use_after_all_comes_back(central: CentralServer) -> None:
    net = Stretched(central)
    path = f"/v2.0/site-presences?network_id={net.network['id']}&site=site1"
    (presence,) = central.call("GET", path).only()
    assert central.call("DELETE", f"/v2.0/site-presences/{presence['id']}").status == 204
    central.clear_journal()
    assert net.report(net.port())["code"] == ""
    (presence,) = central.call("GET", path).only()
    assert presence["withdrawn"] is False
    assert central.jobs("site1") >= {("network", net.network["id"]), ("subnet", net.subnet["id"])}


def test_what_was_in_use_is_tried_again_when_it_may_have_gone(central: CentralServer) -> None:
    from isthmus.store.sql.tables import JOURNAL

    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    central.clear_journal()
    assert central.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    mine = JOURNAL.c.resource_id == port["id"]
    parked = {"parked": True, "attempts": 5, "last_error": "isthmus.refused.in_use: a port"}
    with central.database(write=True) as connection:
        connection.execute(sa.update(JOURNAL).where(mine).values(parked))
    central.report("site1", item(net.port(), gone=True))  # of a port that central never knew
    with central.database() as connection:
        rows = connection.execute(
            sa.select(JOURNAL.c.lane, JOURNAL.c.parked, JOURNAL.c.attempts).where(mine)
        ).all()
    assert {(row.lane, bool(row.parked)) for row in rows} == {("site1", False), ("site2", True)}
    assert {row.attempts for row in rows} == {5}, "one more attempt is the last"
