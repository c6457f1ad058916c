"""What central changes and removes, at the site."""

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, carrier, tenant
from tests.neutron.test_local_crash import make_port

from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.site import SiteName
from isthmus.testing.until import until

pytestmark = pytest.mark.neutron


def make_network(central: CentralServer, project: str) -> tuple[Any, Any]:
    user = tenant(project)
    network = central.create("network", user, name="n")
    subnet = central.create(
        "subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4
    )
    return network, subnet


def put(central: CentralServer, path: str, **body: Any) -> None:
    answer = central.call("PUT", f"/v2.0/{path}", body)
    assert answer.status == 200, answer


def carried(central: CentralServer, site: LocalServer) -> None:
    """Carry until there is nothing left to carry."""
    left: dict[str, str] = {}

    def look() -> bool:
        left.clear()
        left.update(carry(central, site))
        return not left

    try:
        until(look)
    except AssertionError as late:
        raise AssertionError(f"still refused: {left}") from late


def test_changes_of_every_type_arrive(central: CentralServer, site1: LocalServer) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    network, subnet = make_network(central, project)
    addresses = central.create("address_group", user, name="peers", addresses=["192.0.2.0/24"])
    group = central.create("security_group", user, name="web")
    rule = central.create(
        "security_group_rule",
        user,
        security_group_id=group["id"],
        direction="ingress",
        remote_address_group_id=addresses["id"],
    )
    port = central.create(
        "port", user, network_id=network["id"], name="p", security_groups=[group["id"]]
    )
    assert site1.update("port", port["id"], user, description="here").status == 200
    carried(central, site1)

    put(central, f"networks/{network['id']}", network={"name": "other", "mtu": 1300})
    put(
        central,
        f"subnets/{subnet['id']}",
        subnet={
            "name": "other",
            "dns_nameservers": ["192.0.2.1"],
            "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.99"}],
            "gateway_ip": None,
        },
    )
    put(central, f"security-groups/{group['id']}", security_group={"name": "other"})
    put(central, f"ports/{port['id']}", port={"name": "other", "fixed_ips": []})
    put(central, f"address-groups/{addresses['id']}/add_addresses", addresses=["198.51.100.0/24"])
    central.call("DELETE", f"/v2.0/security-group-rules/{rule['id']}")
    more = central.create(
        "security_group_rule",
        user,
        security_group_id=group["id"],
        direction="egress",
        protocol="udp",
        remote_ip_prefix="203.0.113.0/24",
        ethertype="IPv4",
    )
    late = central.create(
        "subnet", user, network_id=network["id"], cidr="10.9.0.0/24", ip_version=4
    )
    carried(central, site1)

    here = site1.get(f"networks/{network['id']}").only()
    assert (here["name"], here["mtu"]) == ("other", 1300)
    there = central.call("GET", f"/v2.0/subnets/{subnet['id']}").only()
    here = site1.get(f"subnets/{subnet['id']}").only()
    for name in ("name", "dns_nameservers", "allocation_pools", "gateway_ip"):
        assert here[name] == there[name], name
    here = site1.get(f"security-groups/{group['id']}").only()
    assert here["name"] == "other"
    rules = {one["id"] for one in here["security_group_rules"]}
    assert more["id"] in rules
    assert rule["id"] not in rules
    here = site1.get(f"ports/{port['id']}").only()
    assert (here["name"], here["fixed_ips"]) == ("other", [])
    assert site1.get(f"subnets/{late['id']}").only()["cidr"] == "10.9.0.0/24"
    assert {row["pool_id"] for row in site1.rows("isthmus_leases")} >= {late["id"], subnet["id"]}


def test_applying_twice_and_out_of_date(central: CentralServer, site1: LocalServer) -> None:
    project = uuid.uuid4().hex
    network, _ = make_network(central, project)
    site1.get(f"networks/{network['id']}", tenant(project)).only()
    state = central.desired("site1", ("network", network["id"]))["network", network["id"]]
    item = {"type": "network", "id": network["id"], "state": {**state, "name": "a"}}
    assert site1.apply(item) == {network["id"]: ""}
    assert site1.apply(item) == {network["id"]: ""}
    old = {**item, "state": {**state, "name": "old"}}
    assert site1.apply(old, sequence=1) == {network["id"]: "isthmus.transient.stale"}
    assert site1.get(f"networks/{network['id']}").only()["name"] == "a"


#: What is lost at once, in an order that foreign keys allow.
LOST: list[tuple[str, ...]] = [
    ("securitygrouprules",),
    ("ports",),
    ("ports", "securitygrouprules", "securitygroups"),
    ("securitygrouprules", "address_groups"),
    ("ports", "subnets"),
    ("ports", "subnets", "networks"),
]


@contextlib.contextmanager
def _by_hand(site: LocalServer) -> Iterator[sa.Connection]:
    """Open a site's database as MariaDB is opened: what refers to a row goes with it."""
    engine = sa.create_engine(site.url, connect_args={"timeout": 60})
    sa.event.listen(
        engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON")
    )
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.mark.stress
@pytest.mark.parametrize("tables", LOST, ids="+".join)
def test_rows_that_were_removed_by_hand_are_made_again(
    central: CentralServer, site1: LocalServer, tables: tuple[str, ...]
) -> None:
    """What Neutron keeps beside a row that has gone does not stand in the way of the next one."""
    _, items = make_port(central, "site1")
    assert set(site1.apply(*items).values()) == {""}
    ids = {one["id"] for one in items}
    ids |= {
        rule["id"]
        for one in items
        if one["type"] == "security_group"
        for rule in one["state"]["security_group_rules"]
    }
    with _by_hand(site1) as connection:
        for table in tables:
            # Those of OVN's metadata as well, which stand on the network.
            column = "network_id" if table == "ports" else "id"
            name = sa.table(table, sa.column(column))
            gone = connection.execute(sa.delete(name).where(name.c[column].in_(sorted(ids))))
            assert gone.rowcount, table
    assert set(site1.apply(*items).values()) == {""}, site1.messages
    for table, kind in (("ports", "port"), ("subnets", "subnet"), ("networks", "network")):
        if table in tables:
            (one,) = (one["id"] for one in items if one["type"] == kind)
            assert site1.get(f"{table}/{one}").status == 200
    for one in items:
        if one["type"] == "security_group":
            here = site1.get(f"security-groups/{one['id']}").only()["security_group_rules"]
            assert {rule["id"] for rule in here} == {
                rule["id"] for rule in one["state"]["security_group_rules"]
            }


def test_a_port_that_is_made_again_under_its_server_is_active(
    central: CentralServer, site1: LocalServer
) -> None:
    """The site was restored: OVN has had the port up all the time, and says so no more."""
    project = uuid.uuid4().hex
    network, _ = make_network(central, project)
    server: dict[str, Any] = {
        "device_owner": "compute:nova",
        "device_id": "d",
        "binding:host_id": "host1",
    }
    ports = [
        site1.create("port", ADMIN, network_id=network["id"], project_id=project, **server)["id"]
        for _ in range(2)
    ]

    def find_status(port_id: str) -> str:
        return str(site1.get(f"ports/{port_id}").only()["status"])

    site1.ovn.sbctl("lsp-bind", ports[0], "hv1")
    site1.ovn.sbctl("set", "Port_Binding", ports[0], "up=true")
    until(lambda: find_status(ports[0]) == "ACTIVE", what="OVN has said that it is up")
    for one in ports:
        until(lambda one=one: central.call("GET", f"/v2.0/ports/{one}").status == 200)  # type: ignore[misc]
    state = central.desired("site1", *(("port", one) for one in ports))
    with _by_hand(site1) as connection:
        table = sa.table("ports", sa.column("id"))
        gone = connection.execute(sa.delete(table).where(table.c.id.in_(ports)))
        assert gone.rowcount == len(ports)
    items = [{"type": "port", "id": one, "state": state["port", one]} for one in ports]
    assert set(site1.apply(*items).values()) == {""}, site1.messages
    assert [find_status(one) for one in ports] == ["ACTIVE", "DOWN"]


@pytest.mark.stress
def test_an_item_without_an_id_or_too_long_keeps_nothing_else_away(
    central: CentralServer, site1: LocalServer
) -> None:
    _, items = make_port(central, "site1")
    ids = ("x", "../../v2.0/ports", "i" * 10**5, str(uuid.uuid4()).upper(), "")
    for bad in ids:
        for kind in ("port", "shadow", "lease"):
            codes = site1.apply({"type": kind, "id": bad, "state": None}, *items)
            assert codes.pop(bad[:64]) == "isthmus.refused.invalid"
            assert set(codes.values()) == {""}
    port = next(one for one in items if one["type"] == "port")
    other = str(uuid.uuid4())
    long = {**port, "id": other, "state": {**port["state"], "id": other, "x": "y" * (5 << 20)}}
    codes = site1.apply(long, *items)
    assert codes.pop(other) == "isthmus.refused.invalid"
    assert set(codes.values()) == {""}


def test_a_network_that_goes_leaves_no_trace(central: CentralServer, site1: LocalServer) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    network, subnet = make_network(central, project)
    port = site1.create("port", user, network_id=network["id"])
    until(lambda: central.call("GET", f"/v2.0/ports/{port['id']}").status == 200)
    gone = {"type": "network", "id": network["id"], "state": None}
    assert site1.apply(gone) == {network["id"]: "isthmus.refused.in_use"}
    assert "in use at this site" in site1.messages[network["id"]]
    assert site1.get(f"networks/{network['id']}").status == 200

    assert central.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    assert central.call("DELETE", f"/v2.0/networks/{network['id']}").status == 204
    carried(central, site1)
    assert _traces(site1, [network["id"], subnet["id"], port["id"]]) == {}
    assert f"neutron-{network['id']}" not in site1.ovn.nbctl("ls-list")
    until(
        lambda: network["id"] not in site1.ovn.sbctl("list", "Datapath_Binding"),
        what="northd has taken its rows away",
    )
    # Taking it away again does no harm.
    assert site1.apply(gone) == {network["id"]: ""}


def _traces(site: LocalServer, ids: list[str]) -> dict[str, Any]:
    """Find what any table still says of objects; which batch dealt with them last stays a while."""
    found = {}
    with site.database() as connection:
        tables = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).scalars()
        for table in set(tables) - {"isthmus_applied"}:
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()
            hits = [row for row in rows if any(one in map(str, row) for one in ids)]
            if hits:
                found[table] = hits
    return found


def test_what_goes_and_what_comes_in_one_batch(central: CentralServer, site1: LocalServer) -> None:
    """Items in any order: made by rank, removed the other way round, each with its own result."""
    project = uuid.uuid4().hex
    user = tenant(project)
    network, subnet = make_network(central, project)
    port = central.create("port", user, network_id=network["id"])
    bundle = central.bundle("site1", "port", port["id"], project=project)["items"]
    nonsense: Any = {"type": "subnet", "id": str(uuid.uuid4()), "state": {"id": "?"}}
    codes = site1.apply(*reversed(bundle), nonsense)
    assert codes.pop(nonsense["id"]) == "isthmus.refused.invalid"
    assert set(codes.values()) == {""}
    assert site1.get(f"ports/{port['id']}").only()["fixed_ips"] == port["fixed_ips"]
    ids = [
        (one["type"], one["id"]) for one in bundle if one["type"] in ("network", "subnet", "port")
    ]
    codes = site1.apply(*({"type": kind, "id": one, "state": None} for kind, one in ids))
    assert set(codes.values()) == {""}
    assert not _traces(site1, [network["id"], subnet["id"], port["id"]])


def test_a_site_keeps_what_is_its_own(site1: LocalServer) -> None:
    own = site1.create("network", ADMIN, name="own")
    subnet = site1.create("subnet", ADMIN, network_id=own["id"], cidr="10.0.0.0/24", ip_version=4)
    group = site1.create("security_group", ADMIN, name="own")
    addresses = site1.create("address_group", ADMIN, name="own", addresses=["10.0.0.0/24"])
    codes = site1.apply(
        {"type": "subnet", "id": subnet["id"], "state": None},
        {"type": "network", "id": own["id"], "state": None},
        {"type": "security_group", "id": group["id"], "state": None},
        {"type": "address_group", "id": addresses["id"], "state": None},
    )
    assert set(codes.values()) == {"isthmus.refused.conflict"}
    assert site1.get(f"security-groups/{group['id']}").only()["name"] == "own"
    assert site1.get(f"address-groups/{addresses['id']}").only()["name"] == "own"
    assert site1.get(f"networks/{own['id']}").only()["name"] == "own"


def test_groups_that_name_each_other(central: CentralServer, site1: LocalServer) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    one = central.create("security_group", user, name="one")
    two = central.create("security_group", user, name="two")
    for here, there in ((one, two), (two, one)):
        central.create(
            "security_group_rule",
            user,
            security_group_id=here["id"],
            direction="ingress",
            remote_group_id=there["id"],
        )
    assert site1.get(f"security-groups/{one['id']}", user).status == 200
    for group in (one, two):
        here = site1.get(f"security-groups/{group['id']}").only()["security_group_rules"]
        there = central.call("GET", f"/v2.0/security-groups/{group['id']}").only()
        assert {r["id"] for r in here} == {r["id"] for r in there["security_group_rules"]}


def test_who_may_send_and_who_may_look(site1: LocalServer) -> None:
    stranger = tenant(uuid.uuid4().hex)
    body = {"site_apply": {"sequence": 1, "items": []}}
    assert site1.call("POST", "/v2.0/site-applies", body, stranger).status in (403, 404)
    assert site1.call("POST", "/v2.0/site-applies", body, carrier("site1")).status == 201
    assert site1.get("site-holdings", stranger).only() == []
    (holdings,) = site1.get("site-holdings").only()
    assert holdings["tier"] == "local"
    assert {"networks", "ports", "leases", "shadows", "ovn", "pulse", "journal"} <= set(holdings)


def test_shadows_are_listed_as_neutron_lists(central: CentralServer, site1: LocalServer) -> None:
    project = uuid.uuid4().hex
    network, _ = make_network(central, project)
    site1.create("port", tenant(project), network_id=network["id"])
    shadows = [
        Shadow(
            port_id=str(uuid.UUID(int=number)),
            network_id=network["id"],
            site=SiteName("site2"),
            chassis=f"hv-far-{number % 2}",
            hostname=f"far-{number % 2}",
            encap_ip=f"192.0.2.{20 + number % 2}",
            port_key=20000 - number,
            mac_address=f"fa:16:42:00:00:{number:02x}",
            addresses=(f"10.9.0.{number}",),
        )
        for number in range(1, 6)
    ]
    items = [{"type": "shadow", "id": s.port_id, "state": s.to_dict()} for s in shadows]
    assert site1.apply(*items) == dict.fromkeys((s.port_id for s in shadows), "")
    here = f"site-shadows?network_id={network['id']}"
    one, *others = site1.get(here).only()
    shown = shadows[0].to_dict()
    assert one == {"id": shown.pop("port_id"), **shown}
    assert [row["id"] for row in others] == [s.port_id for s in shadows[1:]]
    by_key = site1.get(f"{here}&sort_key=port_key&sort_dir=asc&fields=port_key").only()
    assert by_key == [{"port_key": key} for key in range(19995, 20000)]
    answer = site1.get(f"{here}&limit=2&marker={shadows[1].port_id}")
    page = answer.body["site_shadows"]
    assert [row["id"] for row in page] == [shadows[2].port_id, shadows[3].port_id]
    assert len(site1.get(f"{here}&chassis=hv-far-1").only()) == 3
    assert site1.get(f"site-shadows/{shadows[4].port_id}").only()["addresses"] == ["10.9.0.5"]
    assert site1.get(f"site-shadows/{uuid.uuid4()}").status == 404
    stranger = tenant(project)
    assert site1.get("site-shadows", stranger).only() == []
    assert site1.get(f"site-shadows/{shadows[4].port_id}", stranger).status == 404


def test_central_owns_what_it_has_extended(central: CentralServer, site1: LocalServer) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    network, subnet = make_network(central, project)
    group = central.create("security_group", user, name="web")
    central.create("security_group_rule", user, security_group_id=group["id"], direction="ingress")
    site1.create("port", user, network_id=network["id"], security_groups=[group["id"]])
    (rule, *_) = site1.get(f"security-groups/{group['id']}").only()["security_group_rules"]
    default = site1.get("security-groups?name=default", user).only()[0]
    for who in (user, ADMIN):
        answers = [
            site1.update("network", network["id"], who, name="x"),
            site1.delete("network", network["id"], who),
            site1.update("subnet", subnet["id"], who, name="x"),
            site1.delete("subnet", subnet["id"], who),
            site1.try_create(
                "subnet", who, network_id=network["id"], cidr="10.7.0.0/24", ip_version=4
            ),
            site1.update("security_group", group["id"], who, name="x"),
            site1.delete("security_group", group["id"], who),
            site1.delete("security_group_rule", rule["id"], who),
            *(
                site1.try_create(
                    "security_group_rule", who, security_group_id=one["id"], direction="ingress"
                )
                for one in (group, default)
            ),
            site1.try_create(
                "rbac_policy",
                who,
                object_type="network",
                object_id=network["id"],
                target_tenant=uuid.uuid4().hex,
                action="access_as_shared",
            ),
        ]
        for answer in answers:
            assert answer.refusal() == (409, "BelongsToCentral"), answer
            assert "change it at central" in answer.text


def test_a_group_of_the_sites_own_is_for_its_own_networks(
    central: CentralServer, site1: LocalServer
) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    network, _ = make_network(central, project)
    group = site1.create("security_group", user, name="mine")
    answer = site1.try_create("port", user, network_id=network["id"], security_groups=[group["id"]])
    assert answer.refusal() == (400, "GroupOnlyHere")
    assert "not known at central" in answer.text
    port = site1.create("port", user, network_id=network["id"])
    changed = site1.update("port", port["id"], user, security_groups=[group["id"]])
    assert changed.refusal() == (400, "GroupOnlyHere")
    own = site1.create("network", user, name="own")
    site1.create("port", user, network_id=own["id"], security_groups=[group["id"]])
    assert site1.update("security_group", group["id"], user, name="x").status == 200
