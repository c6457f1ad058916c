"""Rows of stretched networks, written to and read from real databases with a real northd."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from ovsdbapp import exceptions as ovs_errors
from tests.ovn.overtaxed import OvertaxedProxy
from typing_extensions import override

from isthmus import errors
from isthmus.clients.ovsdb import ovn_connection, ovn_write
from isthmus.clients.ovsdb.database import Database
from isthmus.dataplane.capability import parse_capability
from isthmus.dataplane.kind.binding import BINDING
from isthmus.dataplane.kind.port_key import PORT_KEY
from isthmus.dataplane.kind.remote_chassis import REMOTE_CHASSIS, RemoteChassis
from isthmus.dataplane.kind.responder import RESPONDER, RaMode, Responder, ResponderKey
from isthmus.dataplane.kind.shadow_port import SHADOW_PORT, RemotePort
from isthmus.dataplane.kind.switch_key import SWITCH_KEY
from isthmus.dataplane.plan import apply_plan, diff_rows, observe
from isthmus.dataplane.row_kind import Desired, Observed
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import Scope
from isthmus.model.dataplane.ovn import KEY_OPTION
from isthmus.model.site import SiteName
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.row_kinds import by_id, desire
from isthmus.testing.until import until

pytestmark = pytest.mark.ovn

NET = "11111111-1111-1111-1111-111111111111"
SITE = SiteName("site2")
KEY = 0xFFF001


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 180) -> None:
    until(condition, what=what, timeout_s=timeout_s)


def make_network(databases: OvnDatabases) -> None:
    databases.nbctl("ls-add", f"neutron-{NET}")
    databases.nbctl("lsp-add", f"neutron-{NET}", "own")
    databases.nbctl("pg-add", "pg_one", "own")
    databases.nbctl("pg-add", "pg_two")


def port(number: int, **changes: object) -> RemotePort:
    base = RemotePort(
        port_id=f"22222222-2222-2222-2222-{number:012d}",
        network_id=NET,
        site=SITE,
        chassis="hv-b",
        port_key=100 + number,
        addresses=frozenset(
            {f"fa:16:02:00:00:{number % 256:02x} 10.0.{number >> 8}.{number & 255}"}
        ),
        groups=frozenset({"pg_one"}),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def make_chassis(encap_ip: str = "192.0.2.2", name: str = "hv-b") -> RemoteChassis:
    return RemoteChassis(name=name, hostname=f"site2/{name}", encap_ip=encap_ip, site=SITE)


def desired(
    *ports: RemotePort,
    chassis: dict[str, RemoteChassis] | None = None,
    responders: dict[ResponderKey, Responder] | None = None,
) -> Desired:
    standing = {"hv-b": make_chassis()} if ports else {}
    return desire(
        (SWITCH_KEY, {NET: KEY}),
        (PORT_KEY, {"own": 7}),
        (SHADOW_PORT, by_id(ports)),
        (REMOTE_CHASSIS, standing if chassis is None else chassis),
        (RESPONDER, responders or {}),
    )


def look_at(rows: OvnRows) -> Observed:
    return observe(rows, Scope.everything([NET]))


def watch(rows: OvnRows, **callbacks: Callable[[str], None]) -> None:
    assert isinstance(rows.nb, Database)
    assert isinstance(rows.sb, Database)
    ovn_connection.watch(rows.nb, rows.sb, **callbacks)


def settle(rows: OvnRows, wanted: Desired) -> Observed:
    """Compare and write until nothing is left to do, as the reconciler does."""

    def look() -> Observed | None:
        seen = observe(rows, Scope.everything(wanted.of(SWITCH_KEY)))
        plan = diff_rows(wanted, seen, parse_capability(rows.northd_version()))
        if not plan and set(wanted.of(SHADOW_PORT)) <= set(seen.of(BINDING)):
            return seen
        assert apply_plan(rows, plan) == []
        return None

    return until(look, what="the rows settle")


def test_shadow_is_bound_with_its_key(databases: OvnDatabases, rows: OvnRows) -> None:
    make_network(databases)
    one = port(1)
    seen = settle(rows, desired(one))
    assert seen.of(SHADOW_PORT).ports == {one.port_id: one}
    assert seen.of(REMOTE_CHASSIS).ours == {"hv-b": make_chassis()}
    wait_for(
        lambda: (found := rows.find_binding(one.port_id)) is not None and found.chassis == "hv-b",
        "the shadow is bound",
    )
    binding = rows.find_binding(one.port_id)
    assert binding is not None
    assert binding.tunnel_key == one.port_key
    wait_for(lambda: rows.datapath_keys([NET]) == {NET: KEY}, "the switch has its key")
    own = rows.find_binding("own")
    assert own is not None
    assert own.tunnel_key == 7


def test_every_change_is_carried_out(databases: OvnDatabases, rows: OvnRows) -> None:
    make_network(databases)
    one, two = port(1), port(2)
    settle(rows, desired(one, two))
    moved = dataclasses.replace(
        one,
        chassis="hv-c",
        addresses=frozenset({"fa:16:02:00:00:01 10.0.0.9", "unknown"}),
        groups=frozenset({"pg_two"}),
    )
    wanted = desired(
        moved,
        chassis={"hv-c": make_chassis("192.0.2.3", "hv-c")},
    )
    seen = settle(rows, wanted)
    assert seen.of(SHADOW_PORT).ports == {one.port_id: moved}
    assert set(seen.of(REMOTE_CHASSIS).ours) == {"hv-c"}
    assert "hv-b" not in databases.sbctl("--bare", "--columns=name", "list", "Chassis")
    # The tunnel address of a hypervisor changes, and another one takes the old one.
    swapped = desired(
        moved,
        chassis={
            "hv-c": make_chassis("192.0.2.4", "hv-c"),
            "hv-d": make_chassis("192.0.2.3", "hv-d"),
        },
    )
    assert settle(rows, swapped).of(REMOTE_CHASSIS).ours == swapped.of(REMOTE_CHASSIS)
    assert settle(rows, desire((SWITCH_KEY, {NET: KEY}))).of(SHADOW_PORT).ports == {}
    assert databases.sbctl("--bare", "--columns=name", "list", "Chassis") == ""
    assert databases.nbctl("lsp-list", f"neutron-{NET}").count("(") == 1


def test_drift_is_repaired(databases: OvnDatabases, rows: OvnRows) -> None:
    make_network(databases)
    one = port(1)
    wanted = desired(one)
    settle(rows, wanted)
    databases.nbctl("lsp-set-options", one.port_id, "requested-chassis=elsewhere")
    databases.nbctl("lsp-set-type", one.port_id, "virtual")
    databases.nbctl("pg-set-ports", "pg_one", "own")
    databases.nbctl("pg-set-ports", "pg_two", one.port_id)
    databases.nbctl("remove", "Logical_Switch", f"neutron-{NET}", "other_config", KEY_OPTION)
    databases.nbctl("lsp-set-options", "own")
    databases.sbctl("set", "Chassis", "hv-b", "other_config:is-remote=false")
    seen = settle(rows, wanted)
    assert seen.of(SHADOW_PORT).ports == {one.port_id: one}
    assert seen.of(SWITCH_KEY)[NET].key == KEY
    assert seen.of(PORT_KEY)["own"].port_key == 7
    assert seen.of(REMOTE_CHASSIS).ours == wanted.of(REMOTE_CHASSIS)


def test_wiped_southbound_is_filled_again(databases: OvnDatabases, rows: OvnRows) -> None:
    make_network(databases)
    one = port(1)
    settle(rows, desired(one))
    databases.kill("sb")
    databases.wipe("sb")
    databases.start("sb")
    databases.sbctl("init")
    wait_for(lambda: not look_at(rows).of(REMOTE_CHASSIS).ours, "the loss is seen")
    settle(rows, desired(one))
    wait_for(
        lambda: (found := rows.find_binding(one.port_id)) is not None and found.chassis == "hv-b",
        "the shadow is bound again",
    )


def test_a_northd_that_binds_shadows_does_so_at_once(
    databases: OvnDatabases, rows: OvnRows
) -> None:
    if not parse_capability(rows.northd_version()).binds_remote:
        pytest.skip("this OVN binds no shadow by itself")
    make_network(databases)
    one = port(1)
    settle(rows, desired(one))
    row = ("--bare", "--columns=chassis", "list", "Port_Binding", one.port_id)
    # It does so in the transaction that makes its row: it is never unbound.
    wait_for(lambda: databases.sbctl(*row) != "", "northd binds the shadow")


def test_unbound_shadows_are_reported(databases: OvnDatabases, rows: OvnRows) -> None:
    if parse_capability(rows.northd_version()).binds_remote:
        pytest.skip("this OVN binds shadows by itself")
    unbound: set[str] = set()
    made: set[str] = set()
    moved: set[str] = set()
    watch(rows, unbound=unbound.add, made=made.add, moved=moved.add, exits=moved.add)
    make_network(databases)
    wait_for(lambda: {f"neutron-{NET}", "pg_one"} <= made, "switch and port group are announced")
    one = port(1)
    settle(rows, desired(one))
    wait_for(lambda: one.port_id in unbound, "the new shadow is announced")
    unbound.clear()
    databases.sbctl("clear", "Port_Binding", one.port_id, "chassis")
    wait_for(lambda: one.port_id in unbound, "the lost binding is announced")
    assert moved == set()


def test_a_router_that_is_new_or_loses_a_row_is_announced(
    databases: OvnDatabases, rows: OvnRows
) -> None:
    routers: list[str] = []
    others: set[str] = set()
    watch(rows, unbound=others.add, made=others.add, moved=others.add, exits=routers.append)
    databases.nbctl("lr-add", "neutron-r1")
    databases.nbctl("lr-add", "isthmus-ra-r2")
    wait_for(lambda: routers == ["r1"], "the router of Neutron's is announced")
    new = "external_ids:isthmus\\:router=r1"
    adds = {
        "static_routes": ["Logical_Router_Static_Route", "ip_prefix=0.0.0.0/0", "nexthop=10.0.0.1"],
        "policies": ["Logical_Router_Policy", "priority=1", "match=ip4", "action=drop"],
        "nat": ["NAT", "type=snat", "external_ip=10.0.0.1", "logical_ip=10.1.0.0/24"],
    }
    for column, words in adds.items():
        made = ("--", "--id=@x", "create", *words)
        databases.nbctl(*made, new, "--", "add", "Logical_Router", "neutron-r1", column, "@x")
        mine = ("--", "--id=@x", "create", *words)
        databases.nbctl(*mine, "--", "add", "Logical_Router", "neutron-r1", column, "@x")
    for number, column in enumerate(adds, start=2):
        databases.nbctl("clear", "Logical_Router", "neutron-r1", column)
        wait_for(lambda number=number: len(routers) == number, f"lost {column}")  # type: ignore[misc]
    assert set(routers) == {"r1"}


def test_a_subport_that_moves_is_announced(databases: OvnDatabases, rows: OvnRows) -> None:
    """From one hypervisor to the next, though it stays up all the while, and to none."""
    moved: list[str] = []
    others: set[str] = set()
    watch(rows, unbound=others.add, made=others.add, moved=moved.append, exits=others.add)
    make_network(databases)
    for name in ("hv-a", "hv-b"):
        databases.sbctl("chassis-add", name, "geneve", f"192.0.2.{ord(name[-1])}")
    databases.nbctl("lsp-add", f"neutron-{NET}", "parent")
    databases.nbctl("lsp-add", f"neutron-{NET}", "child", "parent", "7")
    find = ("--bare", "--columns=logical_port", "list", "Port_Binding")
    for one in ("parent", "child"):
        wait_for(lambda one=one: databases.sbctl(*find, one) != "", f"{one} is there")  # type: ignore[misc]
    for number, name in enumerate(("hv-a", "hv-b"), 1):
        row = databases.sbctl("get", "Chassis", name, "_uuid")
        for one in ("parent", "child"):
            databases.sbctl("set", "Port_Binding", one, f"chassis={row}", "up=true")
        wait_for(lambda number=number: moved == ["child"] * number, f"it is at {name}")  # type: ignore[misc]
    databases.sbctl("clear", "Port_Binding", "child", "chassis")
    wait_for(lambda: moved == ["child"] * 3, "it is nowhere")


def test_rows_of_others_are_left_alone(databases: OvnDatabases, rows: OvnRows) -> None:
    make_network(databases)
    databases.sbctl("chassis-add", "hv-a", "geneve", "192.0.2.1")
    databases.nbctl("lr-add", "tenant-router")
    databases.nbctl("lsp-add", f"neutron-{NET}", port(3).port_id)
    clashing = desired(
        port(3), chassis={"hv-a": make_chassis("192.0.2.9", "hv-a"), "hv-b": make_chassis()}
    )
    seen = look_at(rows)
    apply_plan(rows, diff_rows(clashing, seen, parse_capability("")))
    settle(rows, desire((SWITCH_KEY, {NET: KEY})))
    assert rows.find_host("") is not None  # hv-a, made without a hostname
    assert rows.local_chassis()["hv-a"].encap_ips == ("192.0.2.1",)
    assert "tenant-router" in databases.nbctl("lr-list")
    assert port(3).port_id in databases.nbctl("lsp-list", f"neutron-{NET}")


def test_one_bad_row_spoils_no_batch(databases: OvnDatabases, rows: OvnRows) -> None:
    make_network(databases)
    databases.sbctl("chassis-add", "hv-a", "geneve", "192.0.2.1")
    wanted = desired(
        port(1),
        chassis={"hv-b": make_chassis(), "hv-x": make_chassis("192.0.2.1", "hv-x")},
    )
    plan = diff_rows(wanted, look_at(rows), parse_capability(""))
    refused = apply_plan(rows, plan)
    assert len(refused) == 1
    assert "192.0.2.1" in refused[0]
    assert look_at(rows).of(REMOTE_CHASSIS).ours == {"hv-b": make_chassis()}


def test_responder_comes_changes_and_goes(databases: OvnDatabases, rows: OvnRows) -> None:
    make_network(databases)
    key = ResponderKey(NET, RaMode.SLAAC)
    wanted = Responder(
        key=key,
        port_id="33333333-3333-3333-3333-333333333333",
        port_key=9,
        mac="02:69:73:00:00:01",
        networks=frozenset({"2001:db8::/64"}),
        mtu=1442,
    )
    settle(rows, desired(responders={key: wanted}))
    wait_for(lambda: rows.find_binding(wanted.port_id) is not None, "northd takes the port")
    binding = rows.find_binding(wanted.port_id)
    assert binding is not None
    assert binding.tunnel_key == 9
    flows = databases.sbctl("lflow-list")
    assert "put_nd_ra_opts" in flows
    assert 'addr_mode = "slaac"' in flows
    more = dataclasses.replace(
        wanted, networks=frozenset({"2001:db8::/64", "2001:db8:1::/64"}), mtu=1400
    )
    assert settle(rows, desired(responders={key: more})).of(RESPONDER) == {key: more}
    settle(rows, desired())
    assert databases.nbctl("lr-list") == ""
    wait_for(lambda: rows.find_binding(wanted.port_id) is None, "northd drops the port")


def test_a_thousand_shadows(databases: OvnDatabases, rows: OvnRows) -> None:
    make_network(databases)
    many = [port(number) for number in range(1, 1301)]
    seen = settle(rows, desired(*many))
    assert len(seen.of(SHADOW_PORT).ports) == 1300
    assert all(seen.of(BINDING)[one.port_id].chassis == "hv-b" for one in many)


def test_what_a_database_does_not_get_through_with_is_halved(databases: OvnDatabases) -> None:
    make_network(databases)
    many = [port(number) for number in range(1, 61)]
    wanted = desired(*many)
    proxy = OvertaxedProxy(databases.folder / "proxy.sock", databases.folder / "nb.sock")
    with proxy:
        nb, sb = ovn_connection.connect(proxy.remote, databases.sb_remote, timeout_s=2)
        rows = OvnRows(nb, sb)
        proxy.most_bytes = 30_000  # some 40 of these rows
        sizes = []

        def settled() -> bool:
            plan = diff_rows(wanted, look_at(rows), parse_capability(""))
            try:
                apply_plan(rows, plan)
            except errors.TimedOut:
                sizes.append(nb.pace.rows)
            return not plan

        wait_for(settled, "the rows are written in small transactions", timeout_s=180)
        assert proxy.lost
        assert sizes == sorted(sizes, reverse=True)
        assert all(after <= before // 2 for before, after in itertools.pairwise(sizes))
        proxy.most_bytes = 10**9
        more = desired(*many, *(port(number) for number in range(61, 101)))
        plan = diff_rows(more, look_at(rows), parse_capability(""))
        assert apply_plan(rows, plan) == []
        assert nb.pace.rows > sizes[-1]
        ovn_connection.disconnect(nb, sb)


def test_one_row_that_takes_too_long_keeps_the_others_from_nothing() -> None:
    pace = ovn_write.Pace(rows=1)
    assert pace.timed_out(1), "passed over"
    assert not pace.timed_out(1), "a second one: it is the database, not the row"
    pace.written()
    assert pace.timed_out(1)
    assert [ovn_write.Pace().timed_out(size) for size in (1000, 2)] == [False, False]


class Late:
    """A database that gives no answer: what is written waits until the time is over."""

    def transaction(self, **_options: object) -> "Late":
        return self

    def __enter__(self) -> "Late":
        return self

    def __exit__(self, *_: object) -> None:
        raise ovs_errors.TimeoutException(commands=[self], timeout=20, cause="empty")

    def add(self, _command: object) -> None: ...


def test_of_a_row_that_takes_too_long_a_person_reads_no_objects() -> None:
    name = "neutron-0b"
    command: Any = Fix(name)
    pace = ovn_write.Pace(rows=1)
    assert ovn_write.commit(Late(), [command], pace) == [f"OVN did not write {name} in time"]
    with pytest.raises(errors.TimedOut, match=r"the next transaction has 1$"):
        ovn_write.commit(Late(), [command], pace)


class Fix:
    """A change that is not made."""

    def __init__(self, name: str) -> None:
        self.name = name

    @override
    def __str__(self) -> str:
        return f"write {self.name}"
