"""A site's data plane with a real Neutron (29), OVN databases and northd."""

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from tests.neutron.site_dataplane import (
    KEY,
    codes,
    gone,
    lsp,
    make_network,
    running_site,
    shadow,
    uuid,
)
from tests.neutron.site_server import RefusedError, Server, Site

from isthmus.dataplane.capability import parse_capability
from isthmus.testing.until import until

pytestmark = pytest.mark.neutron


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as made:
        yield made


@pytest.fixture(scope="module")
def api(site: Site) -> Server:
    return site.start().ready()


@pytest.fixture(scope="module")
def worker(site: Site) -> Server:
    return site.start("maintenance").ready()


def test_keys_are_there_from_the_start_and_stay(site: Site, api: Server) -> None:
    assert api("client_class") == "KeyedOvnClient"
    network_id = make_network(api, 1)
    other = site.ovn.nbctl("get", "Logical_Switch", f"neutron-{network_id}", "other_config")
    assert f'requested-tnl-key="{KEY + 1}"' in other
    api(
        "create",
        kind="subnet",
        body={"network_id": network_id, "cidr": "10.0.0.0/24", "ip_version": 4, "name": "s"},
    )
    port = api("create", kind="port", body={"network_id": network_id, "name": "one"})
    table = {row["port_id"]: row["port_key"] for row in api("table", name="isthmus_port_keys")}
    key = table[port["id"]]
    assert f"requested-tnl-key={key}" in lsp(site, port["id"], "options")
    # The MTU that leaves room for Geneve in 1500 bytes is what DHCP says.
    dhcp = site.ovn.nbctl("--bare", "--columns=options", "find", "DHCP_Options", "cidr=10.0.0.0/24")
    assert "mtu=1442" in dhcp
    api("update", kind="port", object_id=port["id"], body={"name": "two"})
    assert "two" in lsp(site, port["id"], "external_ids")
    assert f"requested-tnl-key={key}" in lsp(site, port["id"], "options")
    api("update", kind="network", object_id=network_id, body={"name": "other"})
    other = site.ovn.nbctl("get", "Logical_Switch", f"neutron-{network_id}", "other_config")
    assert f'requested-tnl-key="{KEY + 1}"' in other
    assert len(table) == len(set(table.values()))
    metadata = [one for one in api("collect")["ports"] if one["type"] == "localport"]
    assert len(metadata) == 1
    assert metadata[0]["requested_key"] == metadata[0]["key"] == table[metadata[0]["id"]]


def test_router_ports_keep_their_keys(site: Site, api: Server) -> None:
    network_id = make_network(api, 2)
    subnet = api(
        "create",
        kind="subnet",
        body={"network_id": network_id, "cidr": "10.2.0.0/24", "ip_version": 4, "name": "s"},
    )
    router = api(
        "router",
        action="create_router",
        router={"router": {"name": "r", "tenant_id": "p1", "admin_state_up": True}},
    )
    made = api(
        "router",
        action="add_router_interface",
        router_id=router["id"],
        interface_info={"subnet_id": subnet["id"]},
    )
    table = {row["port_id"]: row["port_key"] for row in api("table", name="isthmus_port_keys")}
    options = lsp(site, made["port_id"], "options")
    assert f"requested-tnl-key={table[made['port_id']]}" in options
    assert "router-port=lrp-" in options
    api("update", kind="port", object_id=made["port_id"], body={"name": "gate"})
    options = lsp(site, made["port_id"], "options")
    assert f"requested-tnl-key={table[made['port_id']]}" in options
    assert "router-port=lrp-" in options


def test_networks_of_the_site_itself_have_no_keys(site: Site, api: Server) -> None:
    network = api("create", kind="network", body={"name": "own"})
    port = api("create", kind="port", body={"network_id": network["id"], "name": "one"})
    assert "requested-tnl-key" not in lsp(site, port["id"], "options")
    rows = api("table", name="isthmus_port_keys")
    assert port["id"] not in {row["port_id"] for row in rows}


def test_freed_keys_rest_and_the_end_is_said(site: Site, api: Server) -> None:
    network_id = make_network(api, 3, first=1, last=4)
    body = {"network_id": network_id, "name": "x"}
    ports = [api("create", kind="port", body=body) for _ in range(3)]  # and the metadata port
    with pytest.raises(RefusedError, match=r"no port key of network .* is left"):
        api("create", kind="port", body=body)
    assert network_id in api("keys_low")
    rows = [
        one for one in api("table", name="isthmus_port_keys") if one["network_id"] == network_id
    ]
    assert len(rows) == 4
    api("delete", kind="port", object_id=ports[0]["id"])
    with pytest.raises(RefusedError):
        api("create", kind="port", body={"network_id": network_id, "name": "too early"})


def test_shadows_become_rows(site: Site, api: Server) -> None:
    network_id = make_network(api, 4)
    group = api("create", kind="security_group", body={"name": "g", "description": ""})
    items = [shadow(1, network_id, security_groups=[group["id"]]), shadow(2, network_id)]
    assert codes(api("apply", items=items)) == ["", ""]
    assert api("wait_idle")
    one = items[0]["id"]
    assert lsp(site, one, "type") == "remote"
    assert lsp(site, one, "addresses") == "fa:16:02:00:00:01 10.0.0.1"
    assert (
        site.ovn.sbctl("--bare", "--columns=hostname", "list", "Chassis", "hv-b") == "site2/host-b"
    )

    def bound() -> bool:
        found = {port["id"]: port["chassis"] for port in api("collect")["shadows"]}
        return found == {items[0]["id"]: "hv-b", items[1]["id"]: "hv-b"}

    until(bound, what="both shadows are bound")
    collected = {port["id"]: port for port in api("collect")["shadows"]}
    assert collected[one]["key"] == 1001
    assert collected[one]["groups"] == ["pg_" + group["id"].replace("-", "_")]
    # A group that comes later finds the shadow that is already there.
    later = "66666666-6666-6666-6666-666666666666"
    api("apply", items=[shadow(2, network_id, security_groups=[later])])
    assert api("wait_idle")
    api("create", kind="security_group", body={"id": later, "name": "late", "description": ""})
    until(
        lambda: (
            ["pg_" + later.replace("-", "_")]
            in [port["groups"] for port in api("collect")["shadows"]]
        ),
        what="the shadow joins the new group",
    )
    # Another group, another hypervisor.
    moved = shadow(1, network_id, chassis="hv-c", hostname="host-c", encap_ip="192.0.2.3")
    assert codes(api("apply", items=[moved, gone(2)])) == ["", ""]
    assert api("wait_idle")
    until(lambda: bound_to(api, one) == "hv-c", what="the shadow moves")
    assert site.ovn.sbctl("--bare", "--columns=name", "list", "Chassis") == "hv-c"
    assert api("collect")["drift"] == []
    api("apply", items=[gone(1)])
    assert api("wait_idle")
    assert site.ovn.sbctl("--bare", "--columns=name", "list", "Chassis") == ""


def wait_bound(api: Server, wanted: dict[str, str]) -> None:
    """Wait until nothing is left to do, and each shadow is bound: northd has a part in it."""
    assert api("wait_idle")
    until(lambda: all(bound_to(api, one) for one in wanted), what="the shadows are bound")
    assert api("wait_idle")
    assert {one: bound_to(api, one) for one in wanted} == wanted


def bound_to(api: Server, port_id: str) -> str:
    return str({one["id"]: one["chassis"] for one in api("collect")["shadows"]}.get(port_id, ""))


def test_what_cannot_be_taken_says_why(site: Site, api: Server) -> None:
    network_id = make_network(api, 5)
    port = api("create", kind="port", body={"network_id": network_id, "name": "mine"})
    key = {row["port_id"]: row["port_key"] for row in api("table", name="isthmus_port_keys")}
    site.ovn.sbctl("chassis-add", "hv-own", "geneve", "192.0.2.99")
    until(
        lambda: "hv-own" in {one["name"] for one in api("collect")["chassis"]},
        what="Neutron sees the hypervisor",
    )
    results = api(
        "apply",
        items=[
            shadow(1, network_id),
            shadow(2, uuid(999)),
            shadow(3, network_id, port_key=1001),
            shadow(4, network_id, port_key=key[port["id"]]),
            shadow(5, network_id, chassis="hv-own"),
            shadow(6, network_id, encap_ip="192.0.2.99", chassis="hv-x"),
            shadow(7, network_id, site="site3"),
            shadow(8, network_id, port_key=40000),
            {"type": "shadow", "id": uuid(8), "state": {"port_id": uuid(8)}},
        ],
    )
    assert codes(results) == [
        "",
        "isthmus.transient.stale",
        "isthmus.transient.stale",
        "isthmus.refused.conflict",
        "isthmus.refused.conflict",
        "isthmus.refused.conflict",
        "isthmus.refused.conflict",
        "isthmus.refused.invalid",
        "isthmus.broken.protocol",
    ]
    # The key is free once its holder is gone, in the same batch too.
    assert codes(api("apply", items=[shadow(3, network_id, port_key=1001), gone(1)])) == ["", ""]
    api("apply", items=[gone(3)])
    site.ovn.sbctl("chassis-del", "hv-own")
    assert api("wait_idle")


def test_one_shadow_more_than_old_ovn_holds_is_refused(site: Site, api: Server) -> None:
    """OVN before 24.03 gives up the whole network at 681, so the 681st may not get there."""
    network_id = make_network(api, 40)
    version = site.ovn.nbctl("get", "NB_Global", ".", "options:northd_internal_version")
    limit = parse_capability(version.strip('"')).shadow_limit
    if limit is None:
        pytest.skip("this OVN has no such limit")

    def numbered(number: int) -> dict[str, Any]:
        return shadow(
            40_000 + number,
            network_id,
            port_key=1000 + number,
            mac_address=f"fa:16:02:00:{number // 256:02x}:{number % 256:02x}",
            addresses=[f"10.40.{number // 256}.{number % 256}"],
        )

    whole = [numbered(number) for number in range(limit)]
    assert set(codes(api("apply", items=whole))) == {""}
    (result,) = api("apply", items=[numbered(limit)])
    assert result["code"] == "isthmus.refused.exhausted"
    assert f"at most {limit}" in result["message"]
    assert api("wait_idle")

    def bound() -> bool:
        here = [one for one in api("collect")["shadows"] if one["id"] in {i["id"] for i in whole}]
        return len(here) == limit and all(one["chassis"] == "hv-b" for one in here)

    until(bound, what="every shadow is bound")
    # Who is there already may change, and one that leaves makes room.
    assert codes(api("apply", items=[numbered(0)])) == [""]
    assert codes(api("apply", items=[gone(40_000), numbered(limit)])) == ["", ""]
    assert set(codes(api("apply", items=[gone(40_001 + n) for n in range(limit)]))) == {""}
    assert api("wait_idle")


def test_a_hypervisor_that_changes_takes_its_shadows_along(site: Site, api: Server) -> None:
    network_id = make_network(api, 6)
    api("apply", items=[shadow(1, network_id), shadow(2, network_id), shadow(3, network_id)])
    renamed = shadow(1, network_id, chassis="hv-new")
    assert codes(api("apply", items=[renamed])) == [""]
    assert api("wait_idle")
    assert {port["requested_chassis"] for port in api("collect")["shadows"]} == {"hv-new"}
    readdressed = shadow(2, network_id, chassis="hv-new", encap_ip="192.0.2.7")
    assert codes(api("apply", items=[readdressed])) == [""]
    assert api("wait_idle")
    remote = [one for one in api("collect")["chassis"] if one["site"]]
    assert [(one["name"], one["encap_ips"]) for one in remote] == [("hv-new", ["192.0.2.7"])]
    api("apply", items=[gone(1), gone(2), gone(3)])
    assert api("wait_idle")


def test_a_restored_central_does_not_move_a_shadow_back(site: Site, api: Server) -> None:
    """Its tables are older than what is here; a shadow that is not here is made all the same."""
    network_id = make_network(api, 14)
    here = shadow(141, network_id, chassis="hv-e", hostname="host-e", encap_ip="192.0.2.5")
    assert codes(api("apply", items=[here])) == [""]
    stale = {"isthmus:stale": True}
    old = shadow(141, network_id, chassis="hv-f", hostname="host-f", encap_ip="192.0.2.6", **stale)
    lost = shadow(142, network_id, chassis="hv-f", hostname="host-f", encap_ip="192.0.2.6", **stale)
    # The same hypervisor had another tunnel address when central was backed up.
    other = shadow(
        143, network_id, chassis="hv-e", hostname="host-e", encap_ip="192.0.2.7", **stale
    )
    assert codes(api("apply", items=[old, lost])) == ["", ""]
    wait_bound(api, {here["id"]: "hv-e", lost["id"]: "hv-f"})
    assert codes(api("apply", items=[other])) == [""]
    wait_bound(api, {here["id"]: "hv-e", other["id"]: "hv-e"})
    remote = {one["name"]: one["encap_ips"] for one in api("collect")["chassis"] if one["site"]}
    assert remote == {"hv-e": ["192.0.2.5"], "hv-f": ["192.0.2.6"]}
    # Once its home has reported it, central is not older any more.
    moved = shadow(141, network_id, chassis="hv-f", hostname="host-f", encap_ip="192.0.2.6")
    assert codes(api("apply", items=[moved])) == [""]
    until(lambda: bound_to(api, here["id"]) == "hv-f", what="the shadow moves")
    api("apply", items=[gone(141), gone(142), gone(143)])
    assert api("wait_idle")


def test_a_network_leaves_nothing_behind(site: Site, api: Server) -> None:
    network_id = make_network(api, 7)
    api(
        "create",
        kind="subnet",
        body={
            "network_id": network_id,
            "cidr": "2001:db8:7::/64",
            "ip_version": 6,
            "ipv6_ra_mode": "slaac",
            "ipv6_address_mode": "slaac",
            "name": "s6",
        },
    )
    api("apply", items=[shadow(1, network_id)])
    until(lambda: api("collect")["responders"], what="the responder comes")
    assert api("wait_idle")
    api("delete", kind="network", object_id=network_id)
    assert api("wait_idle")
    collected = api("collect")
    for part in ("responders", "shadows", "drift"):
        assert collected[part] == [], part
    assert [one for one in collected["chassis"] if one["site"]] == []
    tables = ("isthmus_port_keys", "isthmus_shadows", "isthmus_datapaths")
    for table in tables:
        assert network_id not in {row["network_id"] for row in api("table", name=table)}
    assert network_id not in site.ovn.nbctl("show")


def test_responder_gives_way_to_a_router(site: Site, api: Server) -> None:
    network_id = make_network(api, 8)
    subnet = api(
        "create",
        kind="subnet",
        body={
            "network_id": network_id,
            "cidr": "2001:db8:8::/64",
            "ip_version": 6,
            "ipv6_ra_mode": "dhcpv6-stateful",
            "ipv6_address_mode": "dhcpv6-stateful",
            "name": "s6",
        },
    )
    until(lambda: api("collect")["responders"], what="the responder comes")
    assert api("collect")["responders"][0]["mode"] == "dhcpv6_stateful"
    assert api("collect")["responders"][0]["networks"] == ["2001:db8:8::/64"]
    router = api(
        "router",
        action="create_router",
        router={"router": {"name": "r6", "tenant_id": "p1", "admin_state_up": True}},
    )
    interface = {"subnet_id": subnet["id"]}
    api(
        "router",
        action="add_router_interface",
        router_id=router["id"],
        interface_info=interface,
    )
    until(lambda: not api("collect")["responders"], what="the responder goes")
    api(
        "router",
        action="remove_router_interface",
        router_id=router["id"],
        interface_info=interface,
    )
    until(lambda: api("collect")["responders"], what="the responder comes back")


def test_sweep_repairs_everything(site: Site, api: Server) -> None:
    network_id = make_network(api, 9)
    port = api("create", kind="port", body={"network_id": network_id, "name": "mine"})
    api("apply", items=[shadow(1, network_id)])
    assert api("wait_idle")
    one = shadow(1, network_id)["id"]
    site.ovn.nbctl("lsp-del", one)
    site.ovn.nbctl("clear", "Logical_Switch_Port", port["id"], "options")
    site.ovn.sbctl("chassis-del", "hv-b")
    # Lost rows come back by themselves; a lost key is for the sweep to find.
    lost = ("ovn.port_key.differs", "port without its key", port["id"])

    def shown() -> bool:
        drift = api("collect")["drift"]
        return lost in [(one["code"], one["what"], one["id"]) for one in drift]

    until(shown, what="the audit shows the loss")
    assert api("sweep")
    until(lambda: bound_to(api, one) == "hv-b", what="the shadow is bound again")
    until(lambda: api("collect")["drift"] == [], what="nothing differs")
    assert "requested-tnl-key" in lsp(site, port["id"], "options")


def test_a_port_that_ovn_lost_is_written_when_it_is_updated(site: Site, api: Server) -> None:
    """Neutron leaves it as it is until its maintenance worker looks; none runs here."""
    network_id = make_network(api, 21)
    subnet = {"network_id": network_id, "cidr": "10.21.0.0/24", "ip_version": 4}
    api("create", kind="subnet", body={**subnet, "name": "s"})
    port = api("create", kind="port", body={"network_id": network_id, "name": "mine"})
    (group_id,) = port["security_groups"]
    group = ("--bare", "--columns=ports", "list", "Port_Group", f"pg_{group_id.replace('-', '_')}")
    columns = ("options", "addresses", "port_security", "enabled", "type")

    def rows() -> set[str]:
        return {one["id"] for one in api("collect")["ports"]}

    until(lambda: port["id"] in rows(), what="the row is seen")
    before = {column: lsp(site, port["id"], column) for column in columns}
    for change in ({"description": "sent-again"}, {"description": "sent-again"}):
        site.ovn.nbctl("lsp-del", port["id"])
        until(lambda: port["id"] not in rows(), what="the row is gone")
        api("update", kind="port", object_id=port["id"], body=change)
        assert {column: lsp(site, port["id"], column) for column in columns} == before
        assert lsp(site, port["id"], "_uuid").strip() in site.ovn.nbctl(*group).split()
        until(lambda: port["id"] in rows(), what="the row is seen again")
    api("delete", kind="port", object_id=port["id"])
    until(lambda: port["id"] not in rows(), what="the row goes with its port")


def test_two_servers_agree(site: Site, api: Server) -> None:
    other = site.start().ready()
    network_id = make_network(api, 10)
    for number in range(1, 21):
        server = api if number % 2 else other
        assert codes(server("apply", items=[shadow(number, network_id)])) == [""]
    for number in range(1, 21):
        server = other if number % 2 else api
        state = shadow(number, network_id, addresses=[f"10.9.9.{number}"])
        assert codes(server("apply", items=[state])) == [""]
    assert api("wait_idle")
    assert other("wait_idle")
    until(lambda: not api("collect")["drift"], what="nothing differs")
    rows = {one["addresses"][0] for one in api("collect")["shadows"] if "10.9.9" in str(one)}
    assert len(rows) == 20
    assert codes(other("apply", items=[gone(number) for number in range(1, 21)])) == [""] * 20


def test_too_many_shadows_are_refused(site: Site, api: Server) -> None:
    limit = api("collect")["shadow_limit"]
    if limit is None:
        pytest.skip("this OVN has no limit")
    network_id = make_network(api, 11)
    items = [
        shadow(
            n,
            network_id,
            mac_address=f"fa:16:02:00:{n >> 8:02x}:{n & 255:02x}",
            addresses=[f"10.0.{n >> 8}.{n & 255}"],
        )
        for n in range(1, limit + 3)
    ]
    results = api("apply", items=items)
    assert codes(results) == [""] * limit + ["isthmus.refused.exhausted"] * 2
    assert "24.03" in results[-1]["message"]
    assert api("wait_idle")
    assert api("collect")["drift"] == []
    assert codes(api("apply", items=[gone(1), items[-1]])) == ["", ""]


def test_ovn_goes_away_and_comes_back_empty(site: Site, api: Server) -> None:
    network_id = make_network(api, 12)
    before, during = shadow(1, network_id), shadow(2, network_id)
    assert codes(api("apply", items=[before])) == [""]
    until(lambda: bound_to(api, before["id"]) == "hv-b", what="the shadow is bound")
    for name in ("northd", "sb", "nb"):
        site.ovn.kill(name)
    assert codes(api("apply", items=[during])) == [""], "central need not wait for OVN"
    site.ovn.wipe("sb")
    for name in ("nb", "sb"):
        site.ovn.start(name)
    site.ovn.sbctl("init")
    site.ovn.start("northd")
    for one in (before, during):
        where = functools.partial(bound_to, api, one["id"])
        until(where, what="the shadow is bound again")
        assert where() == "hv-b"
    assert api("wait_idle")
    until(lambda: api("collect")["drift"] == [], what="nothing differs")
    assert codes(api("apply", items=[gone(1), gone(2)])) == ["", ""]


def test_maintenance_worker_carries_keys(site: Site, api: Server, worker: Server) -> None:
    assert worker("client_class") == "KeyedOvnClient"


def test_what_ovn_lost_is_written_again(site: Site, api: Server, worker: Server) -> None:
    """It lost a port, what a port belongs to, or is itself younger than Neutron's database."""
    network_id = make_network(api, 13)
    subnet = {"network_id": network_id, "cidr": "10.13.0.0/24", "ip_version": 4}
    api("create", kind="subnet", body={**subnet, "name": "s"})
    port = api("create", kind="port", body={"network_id": network_id, "name": "mine"})
    (group_id,) = port["security_groups"]
    group = f"pg_{group_id.replace('-', '_')}"
    assert api("wait_idle")

    def rows() -> dict[str, Any]:
        return {one["id"]: one for one in api("collect")["ports"]}

    def repaired() -> bool:
        assert api("sweep")
        worker("repair")
        there = rows().get(port["id"])
        return bool(
            there is not None
            and there["requested_key"] == before["requested_key"]
            and there["addresses"] == before["addresses"]
            and site.ovn.nbctl("--bare", "--columns=acls", "find", "Port_Group", f"name={group}")
            and site.ovn.nbctl("find", "DHCP_Options", "cidr=10.13.0.0/24")
        )

    before = rows()[port["id"]]
    site.ovn.nbctl("lsp-del", port["id"])
    until(lambda: port["id"] not in rows(), what="the row is gone")
    until(repaired, what="the port is written again")
    site.ovn.nbctl("destroy", "Port_Group", group)
    site.ovn.nbctl("ls-del", f"neutron-{network_id}")
    until(lambda: port["id"] not in rows(), what="the switch is gone")
    until(repaired, what="the network is written again, and all on it")
    # A backup of Neutron's database: OVN's rows are of a later revision, and of other addresses.
    site.ovn.nbctl(
        "set", "Logical_Switch_Port", port["id"], "external_ids:neutron\\:revision_number=99"
    )
    site.ovn.nbctl("lsp-set-addresses", port["id"], "fa:16:3e:00:00:01 10.13.0.99")
    until(lambda: "10.13.0.99" in str(rows()[port["id"]]), what="the row differs")
    api("update", kind="port", object_id=port["id"], body={"admin_state_up": False})
    assert "false" not in lsp(site, port["id"], "enabled"), "OVN's driver takes it for a late one"
    until(repaired, what="the addresses are right again")
    until(lambda: "false" in lsp(site, port["id"], "enabled"), what="and what was left out is done")
    revision = int(api("get", kind="port", object_id=port["id"])["revision_number"])
    assert api("sweep")
    worker("repair")
    assert int(api("get", kind="port", object_id=port["id"])["revision_number"]) == revision


@pytest.mark.parametrize(
    ("kind", "table", "name"),
    [
        ("network", "Logical_Switch", "neutron-{}"),
        ("port", "Logical_Switch_Port", "{}"),
        ("router", "Logical_Router", "neutron-{}"),
        ("security_group", "Port_Group", "pg_{}"),
    ],
)
def test_what_is_deleted_while_it_is_written_is_not_left_in_ovn(
    site: Site, api: Server, worker: Server, kind: str, table: str, name: str
) -> None:
    network_id = make_network(api, 40 + len(kind), 400, 500)
    body: dict[str, Any] = {"name": "late"}
    if kind == "network":
        written = api("get", kind="network", object_id=network_id)
    elif kind == "router":
        full = {**body, "admin_state_up": True, "tenant_id": "p1", "project_id": "p1"}
        written = api("router", action="create_router", router={"router": full})
    else:
        more = {"network_id": network_id} if kind == "port" else {}
        written = api("create", kind=kind, body=body | more)
    called = name.format(written["id"]).replace("-", "_" if kind == "security_group" else "-")

    def names() -> str:
        return str(site.ovn.nbctl("--bare", "--columns=name", "list", table))

    assert called in names()
    if kind == "router":
        api("router", action="delete_router", id=written["id"])
    else:
        api("delete", kind=kind, object_id=written["id"])
    assert called not in names()
    with pytest.raises(RefusedError, match="Standard attribute ID not found"):
        worker("write", kind=kind, body=written)
    assert called not in names()
    assert worker("repair") is None
    assert called not in names()
