"""What a site tells central of its ports, by itself and soon."""

import threading
import uuid
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, tenant

from isthmus.testing.until import until

pytestmark = pytest.mark.neutron


def make_network(central: CentralServer, project: str, cidr: str = "10.0.0.0/24") -> Any:
    network = central.create("network", tenant(project), name="n")
    central.create("subnet", tenant(project), network_id=network["id"], cidr=cidr, ip_version=4)
    return network


def boot(site: LocalServer, network: Any, host: str = "host1", **more: Any) -> dict[str, Any]:
    """Make a port as Nova does."""
    return site.create(
        "port",
        ADMIN,
        network_id=network["id"],
        project_id=network["project_id"],
        device_id=str(uuid.uuid4()),
        device_owner="compute:nova",
        **{"binding:host_id": host},
        **more,
    )


def at_central(central: CentralServer, port_id: str) -> dict[str, Any] | None:
    answer = central.call("GET", f"/v2.0/ports/{port_id}")
    return dict(answer.only()) if answer.status == 200 else None


def backlog(site: LocalServer, port_id: str) -> bool:
    return port_id in {row["resource_id"] for row in site.rows("isthmus_journal")}


def settled(site: LocalServer, port_id: str) -> None:
    until(lambda: not backlog(site, port_id), what=f"port {port_id} is reported")


def test_a_port_is_at_central_with_its_location(central: CentralServer, site1: LocalServer) -> None:
    assert site1.wan is not None
    network = make_network(central, uuid.uuid4().hex)
    port = boot(site1, network)
    bundles = site1.wan.asked()
    settled(site1, port["id"])
    there = at_central(central, port["id"])
    assert there is not None
    for name in ("mac_address", "fixed_ips", "device_id", "device_owner", "security_groups"):
        assert there[name] == port[name], name
    assert there["binding:host_id"] == "site1/host1"
    with central.database() as connection:
        row = connection.exec_driver_sql(
            "SELECT site, chassis, hostname, encap_ip, port_key FROM isthmus_locations "
            "WHERE port_id = ?",
            (port["id"],),
        ).one()
    assert tuple(row[:4]) == ("site1", "hv1", "host1", "192.0.2.1")
    lsp = site1.ovn.nbctl("get", "Logical_Switch_Port", port["id"], "options")
    assert f'requested-tnl-key="{row.port_key}"' in lsp
    # The steady state asks central for nothing.
    boot(site1, network)
    assert site1.wan.asked() == bundles


def test_the_relay_is_woken_once_a_call_and_not_between_a_port_and_its_binding() -> None:
    with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
        warnings.simplefilter("ignore")
        from isthmus.neutron.local.report import listener as module

    def commit() -> None:
        session: Any = SimpleNamespace(info={module._WAKE: True})
        listener._after_commit(session)

    def commit_beside() -> None:
        other = threading.Thread(target=commit)
        other.start()
        other.join()

    nothing: Any = None
    listener = module.ReportListener(nothing)
    with listener.one_report():
        with listener.one_report():
            commit()
        commit()
        assert not listener.woken.is_set()
    assert listener.woken.is_set()
    listener.woken.clear()
    with listener.one_report():
        commit_beside()
        assert listener.woken.is_set()  # another thread's call has ended
        listener.woken.clear()
    assert not listener.woken.is_set()  # nothing was committed

    def refuse_behind_the_commit() -> None:
        with listener.one_report():
            commit()
            raise OSError

    with pytest.raises(OSError):
        refuse_behind_the_commit()
    assert listener.woken.is_set()


def test_a_port_is_not_reported_while_a_call_is_about_to_change_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
        warnings.simplefilter("ignore")
        from isthmus.neutron.local.report.listener import ReportListener

    def a_session() -> Any:
        return SimpleNamespace(info={}, connection=lambda: None)

    nothing: Any = None
    listener = ReportListener(nothing)
    monkeypatch.setattr("isthmus.store.delivery.journal.record", lambda *_args: None)
    session = a_session()
    with listener.one_report():
        listener.note(session, ["one"])
        with listener.one_report():
            listener.note(a_session(), ["one", "two"])
        assert sorted(listener.list_open()) == ["one", "two"]
    assert listener.list_open() == []
    listener.note(session, ["three"])  # by no call
    assert listener.list_open() == []


def test_status_follows(central: CentralServer, site1: LocalServer) -> None:
    network = make_network(central, uuid.uuid4().hex)
    port = boot(site1, network)
    settled(site1, port["id"])
    found = at_central(central, port["id"])
    assert found is not None
    assert found["status"] == "DOWN"
    site1.ovn.sbctl("set", "Port_Binding", port["id"], "up=true")
    site1.ovn.sbctl("set", "Port_Binding", port["id"], f"chassis={_chassis(site1, 'hv1')}")

    def active() -> bool:
        there = at_central(central, port["id"])
        return there is not None and there["status"] == "ACTIVE"

    until(active, what="the port is ACTIVE at central")


def test_a_subport_of_a_trunk_is_where_ovn_has_it(
    central: CentralServer, site1: LocalServer
) -> None:
    network = make_network(central, uuid.uuid4().hex)
    parent = boot(site1, network)
    child = site1.create("port", ADMIN, network_id=network["id"], project_id=network["project_id"])
    sub_port = {"port_id": child["id"], "segmentation_type": "vlan", "segmentation_id": 7}
    site1.create("trunk", ADMIN, port_id=parent["id"], sub_ports=[sub_port])
    site1.ovn.sbctl("set", "Port_Binding", child["id"], f"chassis={_chassis(site1, 'hv2')}")
    site1.ovn.sbctl("set", "Port_Binding", child["id"], "up=true")
    until(
        lambda: _locations(central, child["id"]) == [("site1", "hv2", "host2", "192.0.2.2")],
        what="central knows where the subport is",
    )


@pytest.mark.stress
def test_a_subport_goes_where_its_parent_goes_and_has_no_place_outside_of_a_trunk(
    central: CentralServer, site1: LocalServer
) -> None:
    network = make_network(central, uuid.uuid4().hex)
    parent = boot(site1, network)
    child = site1.create("port", ADMIN, network_id=network["id"], project_id=network["project_id"])
    sub_port = {"port_id": child["id"], "segmentation_type": "vlan", "segmentation_id": 8}
    trunk = site1.create("trunk", ADMIN, port_id=parent["id"], sub_ports=[sub_port])
    place = {
        "hv1": ("site1", "hv1", "host1", "192.0.2.1"),
        "hv2": ("site1", "hv2", "host2", "192.0.2.2"),
    }
    for name in ("hv2", "hv1"):
        site1.ovn.sbctl("set", "Port_Binding", child["id"], f"chassis={_chassis(site1, name)}")
        site1.ovn.sbctl("set", "Port_Binding", child["id"], "up=true")
        until(
            lambda name=name: _locations(central, child["id"]) == [place[name]],  # type: ignore[misc]
            what=f"the subport is at {name}",
        )
    body = {"sub_ports": [{"port_id": child["id"]}]}
    left = site1.call("PUT", f"/v2.0/trunks/{trunk['id']}/remove_subports", body)
    assert left.status == 200, left
    site1.ovn.sbctl("clear", "Port_Binding", child["id"], "chassis")
    until(lambda: _locations(central, child["id"]) == [], what="it is nowhere")


@pytest.mark.stress
def test_a_subport_that_is_deleted_with_its_trunk_is_gone_at_central(
    central: CentralServer, site1: LocalServer
) -> None:
    network = make_network(central, uuid.uuid4().hex)
    parent = boot(site1, network)
    child = site1.create("port", ADMIN, network_id=network["id"], project_id=network["project_id"])
    sub_port = {"port_id": child["id"], "segmentation_type": "vlan", "segmentation_id": 9}
    trunk = site1.create("trunk", ADMIN, port_id=parent["id"], sub_ports=[sub_port])
    site1.ovn.sbctl("set", "Port_Binding", child["id"], f"chassis={_chassis(site1, 'hv1')}")
    site1.ovn.sbctl("set", "Port_Binding", child["id"], "up=true")
    until(lambda: len(_locations(central, child["id"])) == 1, what="central knows where it is")
    assert site1.delete("trunk", trunk["id"]).status == 204
    assert site1.delete("port", child["id"]).status == 204
    until(
        lambda: central.call("GET", f"/v2.0/ports/{child['id']}").status == 404,
        what="central has heard that it is gone",
    )
    assert _locations(central, child["id"]) == []


def _locations(central: CentralServer, port_id: str) -> list[tuple[str, ...]]:
    with central.database() as connection:
        rows = connection.exec_driver_sql(
            "SELECT site, chassis, hostname, encap_ip FROM isthmus_locations WHERE port_id = ?",
            (port_id,),
        ).all()
    return [tuple(row) for row in rows]


def _chassis(site: LocalServer, name: str) -> str:
    return site.ovn.sbctl("get", "Chassis", name, "_uuid")


def test_a_port_that_goes_is_gone_at_central(central: CentralServer, site1: LocalServer) -> None:
    network = make_network(central, uuid.uuid4().hex)
    port = boot(site1, network)
    settled(site1, port["id"])
    assert site1.delete("port", port["id"]).status == 204
    until(lambda: at_central(central, port["id"]) is None, what="central forgets the port")
    settled(site1, port["id"])
    assert port["id"] not in {row["resource_id"] for row in site1.rows("isthmus_site_mappings")}


def test_one_commit_notes_a_port_once(central: CentralServer, site1: LocalServer) -> None:
    assert site1.wan is not None
    network = make_network(central, uuid.uuid4().hex)
    port = boot(site1, network)
    settled(site1, port["id"])
    site1.wan.cut()
    try:
        site1.update("port", port["id"], name="a")
        site1.update("port", port["id"], description="b")
        site1.update("port", port["id"], security_groups=[], port_security_enabled=False)
        (row,) = [r for r in site1.rows("isthmus_journal") if r["resource_id"] == port["id"]]
        assert (row["lane"], row["type"]) == ("central", "port")
        # Nothing that is not of central's networks is noted.
        own = site1.create("network", ADMIN, name="own")
        other = site1.create("port", ADMIN, network_id=own["id"])
        assert not backlog(site1, other["id"])
    finally:
        site1.wan.heal()
    settled(site1, port["id"])
    there = at_central(central, port["id"])
    assert there is not None
    assert (there["name"], there["description"], there["security_groups"]) == ("a", "b", [])
    assert there["port_security_enabled"] is False


def test_a_site_tells_since_when_central_does_not_answer_it(site1: LocalServer) -> None:
    assert site1.wan is not None

    def central() -> Any:
        (held,) = site1.get("site-holdings").only()
        return held["pulse"]["central"]

    until(lambda: central()["answered_s"] is not None, what="central has answered")
    site1.wan.cut()
    try:
        until(lambda: central()["behind_s"] and central()["error"], what="central owes an answer")
    finally:
        site1.wan.heal()
    until(lambda: central()["behind_s"] is None, what="central answers again")
    assert central()["error"] == ""


def test_a_site_tells_since_when_its_database_takes_no_write(site1: LocalServer) -> None:
    """It answers reads meanwhile: nobody would notice."""

    def database() -> Any:
        return site1.holdings("pulse")["pulse"]["database"]

    until(lambda: database()["answered_s"] is not None, what="it has taken a write")
    with site1.database(write=True) as connection:  # a transaction that does not end
        connection.execute(sa.text("UPDATE isthmus_witnesses SET turn = turn"))
        until(lambda: database()["behind_s"], what="it owes an answer")
    until(lambda: database()["behind_s"] is None, what="it takes writes again")
    assert database()["error"] == ""


def test_changes_on_both_sides_of_a_cut_are_both_kept(
    central: CentralServer, site1: LocalServer
) -> None:
    assert site1.wan is not None
    project = uuid.uuid4().hex
    network = make_network(central, project)
    port = boot(site1, network, name="old", description="old")
    settled(site1, port["id"])
    group = central.create("security_group", tenant(project), name="web")
    site1.wan.cut()
    try:
        site1.update("port", port["id"], name="from the site", description="from the site")
        path = f"/v2.0/ports/{port['id']}"
        body = {"port": {"description": "from central", "security_groups": [group["id"]]}}
        assert central.call("PUT", path, body).status == 200
    finally:
        site1.wan.heal()
    settled(site1, port["id"])

    def converged() -> bool:
        carry(central, site1)
        here = site1.get(f"ports/{port['id']}").only()
        there = at_central(central, port["id"])
        assert there is not None
        names = ("name", "description", "security_groups", "fixed_ips", "mac_address")
        return all(here[name] == there[name] for name in names)

    until(converged, what="both tiers agree")
    here = site1.get(f"ports/{port['id']}").only()
    assert here["name"] == "from the site"
    assert here["description"] == "from central"
    assert here["security_groups"] == [group["id"]]
    assert here["binding:host_id"] == "host1"


def test_cut_off_a_site_goes_on_and_all_is_told_later(
    central: CentralServer, site1: LocalServer
) -> None:
    assert site1.wan is not None
    network = make_network(central, uuid.uuid4().hex)
    first = boot(site1, network)
    settled(site1, first["id"])
    site1.wan.cut()
    try:
        made = [boot(site1, network, host=f"host{number % 2 + 1}") for number in range(6)]
        assert site1.delete("port", made[0]["id"]).status == 204
        assert site1.delete("port", first["id"]).status == 204
    finally:
        site1.wan.heal()
    for port in (*made, first):
        settled(site1, port["id"])
    assert at_central(central, made[0]["id"]) is None
    assert at_central(central, first["id"]) is None
    for port in made[1:]:
        there = at_central(central, port["id"])
        assert there is not None
        assert there["fixed_ips"] == port["fixed_ips"]
        assert there["mac_address"] == port["mac_address"]
