"""Collecting for `isthmus why`: which port is meant, and what did not answer."""

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from isthmus import errors
from isthmus.cli.diagnose.ways import parse_remotes
from isthmus.cli.diagnose.why import EXITS
from isthmus.diagnose.collect import host, ovn
from isthmus.diagnose.collect.resolve import resolve_end
from isthmus.diagnose.collect.tasks import Task, gather
from isthmus.diagnose.collect.world import collect_scene
from isthmus.diagnose.judge import Word, judge
from isthmus.diagnose.question import PING, EndKind, Service
from isthmus.diagnose.world import Row, Source
from isthmus.facts.ovsdb import Select, parse_answer, render_transaction

SITES = [{"name": "s1", "region": "r1"}, {"name": "s2", "region": "r2"}]


def port(port_id: str, address: str, **more: Any) -> dict[str, Any]:
    return {
        "id": port_id, "name": f"name-{port_id}", "network_id": "n", "device_id": f"vm-{port_id}",
        "mac_address": f"fa:16:3e:00:00:{address[-2:].replace('.', '0')}", "project_id": "p",
        "fixed_ips": [{"subnet_id": "sub", "ip_address": address}], "admin_state_up": True,
        "security_groups": ["g"], "allowed_address_pairs": [], "status": "ACTIVE",
        "binding:host_id": "", **more,
    }  # fmt: skip


class Lists:
    """A tier's lists, kept in memory; filters as Neutron's API has them."""

    def __init__(
        self, tables: dict[str, list[dict[str, Any]]], error: Exception | None = None
    ) -> None:
        self.tables = tables
        self.error = error
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def read_ahead_s(self) -> float:
        return 0.4

    def list(self, resource: str, **filters: Any) -> list[Row]:
        self.asked.append((resource, filters))
        if self.error is not None:
            raise self.error
        filters.pop("fields", None)
        return [one for one in self.tables.get(resource, ()) if _meets(one, filters)]


def _meets(row: dict[str, Any], filters: dict[str, Any]) -> bool:
    for key, wanted in filters.items():
        if key == "fixed_ips":
            asked = [wanted] if isinstance(wanted, str) else wanted
            addresses = {one.partition("=")[2] for one in asked}
            if not addresses & {one["ip_address"] for one in row["fixed_ips"]}:
                return False
        elif row.get(key) not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


class Ways:
    """No way into OVN or hypervisors."""

    lab = ""

    def __init__(self, central: Lists, **sites: Lists) -> None:
        self.api = central
        self.site_lists = sites

    def open_site_api(self, name: str, region: str) -> Lists:
        assert region
        return self.site_lists[name]

    def open_northbound(self, site: str) -> Any:
        raise errors.Unsupported(f"no way in to {site}")

    def open_southbound(self, site: str) -> Any:
        raise errors.Unsupported(f"no way in to {site}")

    def open_host(self, host: str) -> Any:
        raise errors.Unsupported(f"no way in to {host}")

    def find_server_port(self, name: str) -> str | None:
        return "b" if name == "web" else None

    def list_servers(self) -> dict[str, str]:
        return {"web": "b"}


def ways(*ports: dict[str, Any], **sites: Lists) -> Ways:
    tables = {
        "port": list(ports),
        "network": [{"id": "n", "name": "net", "mtu": 1442}],
        "subnet": [{"id": "sub", "network_id": "n", "cidr": "10.0.0.0/24"}],
        "site": SITES,
        "site_mapping": [{"type": "port", "resource_id": one["id"], "site": s} for one, s in zip(
            ports, ("s1", "s2"), strict=False)],
    }  # fmt: skip
    return Ways(Lists(tables), **{"s1": Lists({}), "s2": Lists({}), **sites})


A, B = port("a", "10.0.0.5"), port("b", "10.0.0.6")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("a", ("a", "")),
        ("name-b", ("b", "")),
        ("vm-a", ("a", "")),
        ("10.0.0.6", ("b", "10.0.0.6")),
        ("10.0.0.5@net", ("a", "10.0.0.5")),
        ("web", ("b", "")),
    ],
)
def test_who_is_meant(asked: str, found: tuple[str, str]) -> None:
    end = resolve_end(ways(A, B), asked, PING)
    assert (end.port["id"], end.address) == found
    assert end.kind is EndKind.PORT


def test_a_port_that_a_site_alone_knows_is_found_there() -> None:
    lone = port("c", "10.9.0.7")
    end = resolve_end(ways(A, B, s2=Lists({"port": [lone]})), "name-c", PING)
    assert (end.port["id"], end.site) == ("c", "s2")


def test_an_address_of_a_pair_is_found_by_its_network() -> None:
    holder = port("v", "10.0.0.8", allowed_address_pairs=[{"ip_address": "10.0.0.99"}])
    end = resolve_end(ways(holder), "10.0.0.99@n", PING)
    assert (end.port["id"], end.address) == ("v", "10.0.0.99")


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ("nobody", errors.NotFound),
        ("10.0.0.200", errors.NotFound),
        ("10.0.0.5@nonet", errors.NotFound),
        ("twin", errors.Conflict),
    ],
)
def test_who_cannot_be_meant_is_refused(asked: str, error: type[Exception]) -> None:
    twins = [port("x", "10.0.0.8", name="twin"), port("y", "10.0.0.9", name="twin")]
    with pytest.raises(error):
        resolve_end(ways(A, B, *twins), asked, PING)


def test_a_site_that_is_cut_does_not_keep_a_name_from_being_refused() -> None:
    cut = Lists({}, errors.Unreachable("s1 cannot be reached"))
    with pytest.raises(errors.NotFound):
        resolve_end(ways(A, s1=cut), "nobody", PING)


def test_what_cannot_be_read_is_told_with_its_reason() -> None:
    cut = Lists({}, errors.Unreachable("s2 cannot be reached"))
    scene = collect_scene(ways(A, B, s2=cut), "a", "b", timeout_s=30, now=lambda: "t")
    found = judge(scene.world, scene.source, scene.target, Service(), scene.family)
    told = {(one.source, one.place): one.reason for one in found.unseen}
    assert told[Source.NB, "s1"] == "no way in to s1"
    assert "s2 cannot be reached" in told[Source.NEUTRON, "s2"]
    assert (Source.NEUTRON, "s1") not in told
    assert found.word in (Word.UNDETERMINED, Word.BLOCKED)


def test_a_site_is_never_asked_by_an_id_that_would_be_fetched() -> None:
    site = Lists({"port": [A], "network": [{"id": "n", "name": "net"}]})
    collect_scene(ways(A, B, s1=site), "a", "b", timeout_s=30, now=lambda: "t")
    assert site.asked
    fetched = {"port", "network", "subnet", "security_group", "address_group"}
    assert not [one for one in site.asked if one[0] in fetched and "id" in one[1]]


def test_two_names_of_one_port_are_refused() -> None:
    with pytest.raises(errors.Invalid):
        collect_scene(ways(A, B), "a", "name-a", timeout_s=30, now=lambda: "t")


def test_who_hangs_is_left_behind() -> None:
    released = threading.Event()

    def hang() -> dict[str, Sequence[Row]]:
        assert released.wait(60)
        return {}

    quick = Task(Source.NB, "s1", "rows", lambda: {"ACL": []})
    slow = Task(Source.SB, "s1", "rows", hang)
    try:
        for patience_s in (0.3, 3, 30):  # on a busy machine the quick one may come late, too
            found = gather([quick, slow], time.monotonic() + patience_s, lambda: "t")
            if found.seen:
                break
    finally:
        released.set()
    assert set(found.seen) == {(Source.NB, "s1")}
    assert [one.reason for one in found.unseen] == ["rows: no answer in time"]


def test_tables_of_one_source_are_joined_and_a_failed_one_is_told() -> None:
    def fail() -> dict[str, Sequence[Row]]:
        raise errors.Refused("not for you")

    tasks = [
        Task(Source.CENTRAL, "central", "sites", lambda: {"site": SITES}),
        Task(Source.CENTRAL, "central", "ports", lambda: {"port": [A]}),
        Task(Source.CENTRAL, "central", "jobs", fail),
    ]
    found = gather(tasks, time.monotonic() + 30, lambda: "t")
    assert set(found.seen[Source.CENTRAL, "central"].tables) == {"site", "port"}
    assert [one.reason for one in found.unseen] == ["jobs: not for you"]


def test_selects_and_answers_have_the_notation_of_ovsdb() -> None:
    selects = [Select("Chassis", (("name", "==", "c1"),), ("name",)), Select("Encap")]
    asked = json.loads(render_transaction("OVN_Southbound", selects))
    assert asked == [
        "OVN_Southbound",
        {"op": "select", "table": "Chassis", "where": [["name", "==", "c1"]], "columns": ["name"]},
        {"op": "select", "table": "Encap", "where": []},
    ]
    answer = json.dumps(
        [{"rows": [{"name": "c1", "up": ["set", []], "config": ["map", [["a", "b"]]]}]},
         {"rows": [{"_uuid": ["uuid", "u1"], "set": ["set", [["uuid", "u2"]]], "ip": "1.2.3.4"}]}]
    )  # fmt: skip
    assert parse_answer(answer, selects) == [
        [{"name": "c1", "up": [], "config": {"a": "b"}}],
        [{"_uuid": "u1", "set": ["u2"], "ip": "1.2.3.4"}],
    ]


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '[{"error": "no such table"}, {"rows": []}]']
)
def test_an_answer_of_no_use_is_refused(text: str) -> None:
    with pytest.raises(errors.ProtocolError):
        parse_answer(text, [Select("Gone"), Select("Encap")])


def test_where_databases_answer_is_read() -> None:
    assert parse_remotes(["s1=tcp:1.2.3.4:6641,unix:/sb"]) == {
        "s1": ("tcp:1.2.3.4:6641", "unix:/sb")
    }
    for wrong in ("s1", "s1=a", "=a,b", "s1=a,b,c"):
        with pytest.raises(errors.Invalid):
            parse_remotes([wrong])


def test_every_verdict_has_its_own_exit_code() -> None:
    assert set(EXITS) == set(Word)
    assert len(set(EXITS.values())) == len(Word)
    of_errors = {one.exit_code for one in errors.POLICY.values()}
    assert not set(EXITS.values()) & {*of_errors, errors.EXIT_BUG, errors.EXIT_INTERRUPTED}


class Rows:
    """A database whose sets of one are bare values, as OVSDB's notation has them."""

    def __init__(self, tables: dict[str, list[dict[str, Any]]]) -> None:
        self.tables = tables

    def select(self, selects: Sequence[Select]) -> list[list[Row]]:
        return [[r for r in self.tables.get(s.table, ()) if _holds(r, s)] for s in selects]

    def read_server(self) -> Row:
        return {"model": "clustered", "leader": False, "connected": True}


def _holds(row: dict[str, Any], select: Select) -> bool:
    for column, function, value in select.where:
        plain = value[1] if isinstance(value, list) else value
        if function == "includes":
            ((_, plain),) = plain
            held = row[column] if isinstance(row[column], list) else [row[column]]
            if plain not in held:
                return False
        elif row[column] != plain:
            return False
    return True


def test_rows_of_ovn_have_lists_where_ovsdb_has_bare_values() -> None:
    nb = Rows(
        {
            "NB_Global": [{"nb_cfg": 1, "sb_cfg": 1}],
            "Logical_Switch": [{"_uuid": "ls", "name": "neutron-n", "acls": [], "ports": ["ul"]}],
            "Logical_Switch_Port": [
                {"_uuid": "ua", "name": "a", "addresses": "m 10.0.0.5", "port_security": "m",
                 "type": "", "dhcpv4_options": "d"},
                {"_uuid": "ul", "name": "provnet", "type": "localnet", "tag": 7,
                 "options": {"network_name": "fabric"}},
            ],
            "DHCP_Options": [{"_uuid": "d", "cidr": "10.0.0.0/24", "options": {}}, {"_uuid": "e"}],
            "Port_Group": [{"name": "pg", "ports": "ua", "acls": "x"},
                           {"name": "other", "ports": ["ub"], "acls": []}],
            "ACL": [{"_uuid": "x", "match": "ip4.src == $pg_ip4"}, {"_uuid": "y", "match": "1"}],
        }
    )  # fmt: skip
    sb = Rows(
        {
            "Port_Binding": [
                    {"logical_port": "a", "datapath": "dp", "tunnel_key": 1, "type": ""},
                    {"logical_port": "x", "datapath": "dp", "tunnel_key": 9, "type": "remote"},
                ],
            "Datapath_Binding": [{"_uuid": "dp", "tunnel_key": 2}],
            "Address_Set": [{"name": "pg_ip4", "addresses": "10.0.0.5"},
                            {"name": "no", "addresses": []}],
        }
    )  # fmt: skip
    found = gather([*ovn.tasks("s1", nb, sb, (A, B))], time.monotonic() + 30, lambda: "t")
    assert found.unseen == []
    north = found.seen[Source.NB, "s1"].tables
    assert north["Logical_Switch_Port"][0]["addresses"] == ["m 10.0.0.5"]
    assert [dict(one) for one in north["Port_Group"]] == [
        {"name": "pg", "ports": ["ua"], "acls": ["x"]}
    ]
    assert [one["_uuid"] for one in north["ACL"]] == ["x"]
    assert [one["_uuid"] for one in north["DHCP_Options"]] == ["d"]
    assert [(one["switch"], one["tag"]) for one in north["segment"]] == [("neutron-n", [7])]
    south = found.seen[Source.SB, "s1"].tables
    assert [dict(one) for one in south["Address_Set"]] == [
        {"name": "pg_ip4", "addresses": ["10.0.0.5"]}
    ]
    assert [one["tunnel_key"] for one in south["Datapath_Binding"]] == [2]
    assert south["remote_count"] == [{"datapath": "dp", "count": 1}]


class Host:
    """A hypervisor whose ovn-controller is stopped and whose vswitchd runs."""

    def select(self, selects: Sequence[Select]) -> list[list[Row]]:
        assert [one.table for one in selects] == ["Open_vSwitch", "Interface"]
        tap = {"name": "tap1", "external_ids": {"iface-id": "a"}, "options": {}}
        return [[{"external_ids": {}}], [tap, {"name": "br", "external_ids": {}, "options": {}}]]

    def ask_daemon(self, daemon: str, *words: str) -> str:
        if daemon == "ovn-controller":
            raise errors.TimedOut(f"no answer to {' '.join(words)}")
        return "ovs-vswitchd 3.1\n"

    def read_file(self, path: str) -> str:
        raise errors.NotFound(path)

    def read_log(self, daemon: str) -> list[str]:
        raise errors.NotFound(daemon)

    def list_flows(self, match: str, bridge: str = "") -> list[str]:
        return ["table=37 actions=output:1"] if match == "metadata=0x2,reg15=0x16" else []

    def run_ip(self, *words: str) -> str:
        if words[0] == "route":
            return json.dumps([{"dst": words[2], "dev": "br-phys"}])
        return json.dumps([{"ifname": words[3], "mtu": 1500}])


def test_a_hypervisor_is_read_with_what_hangs_there() -> None:
    tasks = host.tasks("h1", Host(), tunnels=["172.30.2.11"], towards=[("b", 2, 22), ("c", 2, 9)])
    found = gather([*tasks], time.monotonic() + 30, lambda: "t")
    tables = found.seen[Source.HOST, "h1"].tables
    assert [one["iface_id"] for one in tables["Interface"]] == ["a", ""]
    assert {one["name"]: one["state"] for one in tables["daemon"]} == {
        "ovs-vswitchd": "running", "ovn-controller": "hung",
    }  # fmt: skip
    assert tables["route"] == [{"to": "172.30.2.11", "dev": "br-phys", "mtu": 1500}]
    assert [(one["to"], one["count"]) for one in tables["flow"]] == [("b", 1), ("c", 0)]
