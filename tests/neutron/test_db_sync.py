"""`isthmus-ovn-db-sync-util` at a real site: Neutron's rows come back, and ours were never away."""

import contextlib
import socket
import subprocess
import sys
import uuid
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.site_dataplane import shadow
from tests.neutron.test_exits_at_site import World
from tests.neutron.test_local_apply import carried
from tests.neutron.test_routers import row
from tests.ports.row_kinds.exits import DEFAULT, FLOATING, POLICY, make_plan

from isthmus.model.exits.plan_form import to_form
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]


PROGRAM = "from isthmus.neutron.local.ovn.db_sync import main; main()"


def run(
    site: LocalServer, *words: str, output: str = "", program: str = PROGRAM
) -> "subprocess.CompletedProcess[str]":
    conf = Path(site.folder) / "neutron.conf"
    with open(output, "w") if output else contextlib.nullcontext(subprocess.PIPE) as to:  # noqa: PTH123
        return subprocess.run(
            [sys.executable, "-c", program, f"--config-file={conf}", *words],
            check=False,
            stdout=to,
            stderr=subprocess.PIPE,
            text=True,
        )


class Rows:
    """A router with an exit at the site, a server, and a port of another site."""

    def __init__(self, central: CentralServer, site: LocalServer) -> None:
        self.site = site
        self.world = World(central, site)
        beyond = replace(DEFAULT, destination=ip_network("10.99.0.0/24"))
        plan = to_form(make_plan(routes=(beyond,), policies=(POLICY,), floating=(FLOATING,)))
        assert self.world.apply(self.world.gateway("172.31.7.10"), plan) == "", self.world.said
        self.network_id = self.world.server["network_id"]
        far = {"chassis": "hv-s", "hostname": "host-s", "encap_ip": "192.0.2.77"}
        told = shadow(77, self.network_id, addresses=["10.7.0.77"], **far)
        self.shadow_id = told["id"]
        groups = self.world.server["security_groups"]
        told["state"]["security_groups"] = groups
        assert site.apply(told)[told["id"]] == "", site.messages
        until(lambda: self.shadow_id in self.names())
        until(lambda: self.site.holdings("ovn")["ovn"]["drift"] == [], what="our rows are there")

    def nb(self, *words: str) -> str:
        return self.site.ovn.nbctl(*words)

    def names(self) -> set[str]:
        return set(self.nb("--bare", "--columns=name", "list", "Logical_Switch_Port").split())

    def ours(self) -> dict[str, Any]:
        """Return our rows with their UUIDs: one that was made again has another."""
        found = {}
        for table in ("Logical_Switch_Port", "NAT", "Logical_Router_Static_Route", "Load_Balancer"):
            text = self.nb(
                "--format=csv", "--no-headings", "--columns=_uuid,external_ids", "list", table
            )
            found[table] = sorted(one for one in text.splitlines() if "isthmus:" in one)
        return found


@pytest.fixture(scope="module")
def rows(central: CentralServer, site1: LocalServer) -> Rows:
    return Rows(central, site1)


def test_where_nothing_differs_nothing_is_said(rows: Rows) -> None:
    before = rows.ours()
    assert before["Logical_Switch_Port"]
    assert before["NAT"]
    done = run(rows.site)
    assert (done.returncode, done.stdout) == (0, "Nothing differs.\n"), done.stdout + done.stderr
    assert rows.ours() == before


def test_what_neutron_wrote_comes_back_and_ours_stays(rows: Rows) -> None:
    before, server = rows.ours(), rows.world.server["id"]
    key = row(rows.site, "Logical_Switch_Port", server, "options")
    nats = rows.world.nats()
    assert nats == [
        ("dnat_and_snat", "172.16.0.9", "10.0.0.5"),
        ("snat", "172.31.7.10", "0.0.0.0/0"),
    ]
    (group,) = rows.world.server["security_groups"]
    port_group = f"pg_{group.replace('-', '_')}"
    acls = len(row(rows.site, "Port_Group", port_group, "acls").split())
    assert acls
    rows.nb("lsp-del", server)
    rows.nb("clear", "Port_Group", port_group, "acls")
    rows.nb("lr-nat-del", f"neutron-{rows.world.router['id']}", "snat", "0.0.0.0/0")
    (dhcp,) = rows.nb(
        "--bare", "--columns=_uuid", "find", "DHCP_Options", "cidr=10.7.0.0/24"
    ).split()
    rows.nb("dhcp-options-del", dhcp)
    said = run(rows.site)
    assert said.returncode == 1, said.stderr
    for what in ("Port found in Neutron", server, "ACLs to be added", "SNAT", "0.0.0.0/0"):
        assert what in said.stdout
    assert "Nothing was written" in said.stdout
    assert server not in rows.names()
    assert rows.ours() == before
    done = run(rows.site, "--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    assert row(rows.site, "Logical_Switch_Port", server, "options") == key
    assert len(row(rows.site, "Port_Group", port_group, "acls").split()) == acls
    assert rows.world.nats() == nats
    assert rows.nb("--bare", "--columns=_uuid", "find", "DHCP_Options", "cidr=10.7.0.0/24").split()
    assert rows.ours() == before
    assert run(rows.site).stdout == "Nothing differs.\n"


def find_lost(rows: Rows, part: str) -> list[Any]:
    """Return what the site reports of lost rows, as the audit reads it."""
    found: list[Any] = rows.site.holdings("ovn")["ovn"][part]
    return found


def test_address_groups_and_translations_that_are_lost_are_named_and_come_back(rows: Rows) -> None:
    central, site, world = rows.world.central, rows.site, rows.world
    addresses = ["10.55.0.0/24", "10.56.0.1/32", "2001:db8:55::/64"]
    group = central.create("address_group", world.user, addresses=addresses)["id"]
    (security_group,) = world.server["security_groups"]
    central.create(
        "security_group_rule",
        world.user,
        security_group_id=security_group,
        direction="ingress",
        ethertype="IPv4",
        remote_address_group_id=group,
    )
    carried(central, site)
    sets = [f"ag_{group.replace('-', '_')}_ip{version}" for version in (4, 6)]
    until(lambda: "10.56.0.1" in row(site, "Address_Set", sets[0], "addresses"))
    for part in ("lost_addresses", "lost_snats"):
        assert find_lost(rows, part) == []
    before = rows.ours()
    rows.nb("remove", "Address_Set", sets[0], "addresses", '"10.56.0.1/32"')
    rows.nb("add", "Address_Set", sets[0], "addresses", '"10.57.0.1/32"')
    rows.nb("destroy", "Address_Set", sets[1])
    rows.nb("lr-nat-del", f"neutron-{world.router['id']}", "snat", "0.0.0.0/0")
    until(lambda: bool(find_lost(rows, "lost_snats")), what="the site sees it")
    assert find_lost(rows, "lost_addresses") == [
        {
            "id": group,
            "missing": ["10.56.0.1/32", "2001:db8:55::/64"],
            "extra": ["10.57.0.1/32"],
        }
    ]
    lost = {"router_id": world.router["id"], "external": "172.31.7.10", "internal": "10.7.0.0/24"}
    assert find_lost(rows, "lost_snats") == [lost]
    said = run(site)
    assert said.returncode == 1
    assert f"Address group {group} has other addresses" in said.stdout
    assert len(find_lost(rows, "lost_addresses")) == 1
    assert run(site, "--repair").returncode == 0
    until(lambda: find_lost(rows, "lost_snats") == [], what="the site sees that it is there")
    assert find_lost(rows, "lost_addresses") == []
    assert rows.ours() == before
    assert run(site).stdout == "Nothing differs.\n"


def test_a_port_that_is_made_has_an_address_and_a_key_of_the_site(
    rows: Rows, tmp_path: Path
) -> None:
    """Neutron's comparison makes metadata ports that are not there."""
    path = f"/v2.0/ports?network_id={rows.network_id}&device_owner=network:distributed"
    assert rows.site.call("GET", path).only() == []
    more = tmp_path / "more.conf"
    more.write_text("[ovn]\novn_metadata_enabled = True\n")
    done = run(rows.site, f"--config-file={more}", "--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = rows.site.call("GET", path).only()
    (address,) = made["fixed_ips"]
    leases = rows.world.central.call(
        "GET", f"/v2.0/site-leases?pool_id={address['subnet_id']}&site=site1"
    ).only()
    number = int(ip_address(address["ip_address"]))
    assert any(int(one["first"]) <= number <= int(one["last"]) for one in leases)
    assert "requested-tnl-key" in row(rows.site, "Logical_Switch_Port", made["id"], "options")


def test_a_port_that_runs_and_that_neutron_does_not_know_is_left(rows: Rows) -> None:
    """As of a restored site that was cut off: it was deleted, and its server with it."""
    user, site = rows.world.user, rows.site
    group = site.create("security_group", user, name="own")["id"]
    network = site.create("network", user, name="own")["id"]
    cidr = {"cidr": "10.77.0.0/24", "ip_version": 4}
    subnet = site.create("subnet", user, network_id=network, **cidr)["id"]
    ports = [
        site.create("port", user, network_id=network, security_groups=[group]) for _ in range(2)
    ]
    runs, idle = (one["id"] for one in ports)
    site.ovn.sbctl("lsp-bind", runs, "hv1")
    site.ovn.sbctl("set", "Port_Binding", runs, "up=true")
    until(lambda: row(site, "Logical_Switch_Port", runs, "up") == "true")
    tables = ("Logical_Switch_Port", "Logical_Switch", "Port_Group", "ACL", "DHCP_Options")
    before = {one: rows.nb("--bare", "--columns=_uuid", "list", one).split() for one in tables}
    with site.database(write=True) as connection:  # nobody tells OVN
        for table, one in (
            ("ports", runs),
            ("ports", idle),
            ("subnets", subnet),
            ("securitygroups", group),
            ("networks", network),
        ):
            connection.execute(sa.text(f"DELETE FROM {table} WHERE id = :id"), {"id": one})
    said = run(site)
    assert said.returncode == 1
    assert f"Port {runs} of network {network} is up, and Neutron does not know it" in said.stdout
    done = run(site, "--repair")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"ovn-nbctl lsp-del {runs}\n" in done.stdout
    assert "which ports are left" in done.stdout
    there = {one: set(rows.nb("--bare", "--columns=_uuid", "list", one).split()) for one in tables}
    lost = {one: set(before[one]) - there[one] for one in tables if set(before[one]) - there[one]}
    assert runs in rows.names()
    assert lost == {}, lost
    rows.nb("lsp-del", runs)
    done = run(site, "--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not row(site, "Logical_Switch", f"neutron-{network}", "_uuid")
    assert not row(site, "Port_Group", f"pg_{group.replace('-', '_')}", "_uuid")
    assert run(site).stdout == "Nothing differs.\n"


def test_a_site_that_has_forgotten_what_was_made_is_not_repaired(rows: Rows) -> None:
    """By its database what OVN has would be deleted."""
    before = rows.names()

    def forget(recovered: int) -> None:
        with rows.site.database(write=True) as connection:
            text = "UPDATE isthmus_epochs SET recovered = :recovered, reason = 'it was restored'"
            connection.execute(sa.text(text), {"recovered": recovered})

    forget(0)
    try:
        done = run(rows.site, "--repair")
        assert done.returncode == 3, done.stdout
        assert "nothing is repaired before the site has registered" in done.stderr
        assert rows.names() == before
        assert run(rows.site).returncode in (0, 1), "it may be compared"
    finally:
        forget(1)


def test_a_hypervisor_of_another_site_is_no_host_of_this_one() -> None:
    """Neutron's own tool notes its physical networks, in any mode."""
    program = """
from types import SimpleNamespace as Row
from isthmus.neutron.local.ovn.compare.views import OwnHosts
rows = {1: Row(hostname="near", other_config={}),
        2: Row(hostname="far", other_config={"is-remote": "true"})}
api = Row(tables={"Chassis": Row(rows=rows)}, other="kept",
          get_chassis_hostname_and_physnets=lambda: {"near": ["p"], "far": ["p"]})
seen = OwnHosts(api)
print(seen.get_chassis_hostname_and_physnets(), seen.other)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.stdout.strip() == "{'near': ['p']} kept", done.stderr


def test_another_neutron_is_refused(rows: Rows, tmp_path: Path) -> None:
    more = tmp_path / "more.conf"
    more.write_text("[DEFAULT]\ncore_plugin = ml2\n")
    done = run(rows.site, f"--config-file={more}")
    assert done.returncode == 2
    assert "core_plugin is 'ml2'" in done.stderr
    assert run(rows.site, f"--config-file={tmp_path}/none").returncode == 2


def test_databases_that_do_not_answer_are_said(rows: Rows, tmp_path: Path) -> None:
    more = tmp_path / "more.conf"
    text = f"[ovn]\novn_nb_connection = unix:{tmp_path}/{uuid.uuid4().hex}\n"
    more.write_text(text + "ovsdb_connection_timeout = 1\n")
    done = run(rows.site, f"--config-file={more}")
    assert done.returncode == 3, done.stderr
    assert "a database of OVN does not answer" in done.stderr


def test_a_database_that_hangs_is_said(rows: Rows, tmp_path: Path) -> None:
    """It was waited for without an end."""
    hung = f"{tmp_path}/hung.sock"
    more = tmp_path / "more.conf"
    for name in ("nb", "sb"):
        more.write_text(f"[ovn]\novn_{name}_connection = unix:{hung}\n")
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(hung)
            silent.listen()
            done = run(rows.site, f"--config-file={more}")
        Path(hung).unlink()
        assert done.returncode == 3, done.stderr
        assert f"error: unix:{hung} gave no answer in 30 seconds" in done.stderr


def test_what_else_fails_is_no_difference(rows: Rows, tmp_path: Path) -> None:
    more = tmp_path / "more.conf"
    more.write_text(f"[database]\nconnection = sqlite:///{tmp_path}/none/neutron.db\n")
    done = run(rows.site, f"--config-file={more}")
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: Neutron's database cannot be used: ")
    assert "Traceback" not in done.stderr
    full = run(rows.site, output="/dev/full")
    assert full.returncode == 2, full.stderr
    assert full.stderr.splitlines()[-1].startswith("error: the output cannot be written: ")
    assert "Traceback" not in full.stderr


def test_a_bug_is_no_database_that_does_not_answer(rows: Rows) -> None:
    """It was called one, and to be tried again later."""
    program = """
from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import impl_idl_ovn
def fail(*_):
    raise KeyError("a column")
impl_idl_ovn.OvsdbSbOvnIdl.from_worker = fail
from isthmus.neutron.local.ovn.db_sync import main
main()
"""
    done = run(rows.site, program=program)
    assert done.returncode == 70, done.stderr
    assert "does not answer" not in done.stderr


def test_what_neutron_loads_is_not_said(rows: Rows) -> None:
    done = run(rows.site)
    assert " INFO " not in done.stderr
    assert "Could not load" not in done.stderr
