"""`isthmus-ovn-db-sync-util --repair` while Neutron goes on, as its page allows: nothing is lost.

What Neutron makes is in OVN a moment after it is in the database, so whoever reads the database
first finds rows in OVN of which it knows nothing.
"""

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.mariadb import central, site1, sound
from tests.neutron.server import User, tenant
from tests.neutron.test_local_apply import carried
from tests.neutron.test_routers import join, make_network, row

from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.timeout(600)]

__all__ = ["central", "site1", "sound"]

#: The command, which tells the test once that it has read a list from the database, and goes on
#: when it sees in OVN what the test has made or removed meanwhile.
_PROGRAM = """
import json, sys, urllib.request
from isthmus.neutron.local.ovn import db_sync
from isthmus.neutron.local.ovn.compare.comparison import NorthboundComparison
from isthmus.testing.until import until
from neutron_lib.plugins import directory
where, plugin, method, *words = sys.argv[1:]
real = NorthboundComparison.do_sync
def do_sync(self):
    read_from = directory.get_plugin(plugin)
    read = getattr(read_from, method)
    told = []
    def list_all(*arguments, **options):
        found = read(*arguments, **options)
        if not told:
            told.append(True)
            said = json.load(urllib.request.urlopen(where))
            for table, name, there in said:
                until(lambda: (self.ovn_nb_api.lookup(table, name, default=None) is not None)
                      == there, what=name)
        return found
    setattr(read_from, method, list_all)
    real(self)
    assert told, method
NorthboundComparison.do_sync = do_sync
sys.exit(db_sync.run(words))
"""

#: A table of OVN's, the name of a row, and whether it has to be there.
Seen = tuple[str, str, bool]


class Cloud:
    """A site with a network, and the command that repairs it while something happens."""

    def __init__(self, central: CentralServer, site: LocalServer) -> None:
        self.central, self.site = central, site
        self.user: User = tenant(uuid.uuid4().hex)
        self.network, self.subnet = make_network(central, self.user, "10.31.0.0/24")
        self.first = self.create("port", network_id=self.network["id"])
        carried(central, site)

    def create(self, kind: str, **values: Any) -> Any:
        return self.site.create(kind, self.user, **values)

    def repair(
        self,
        method: str,
        meanwhile: Callable[[], list[Seen]],
        *more: str,
        plugin: str = "CORE",
        code: int = 0,
    ) -> "subprocess.CompletedProcess[str]":
        """Repair; when it has read a list, something happens."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                said = json.dumps(meanwhile()).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(said)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{server.server_address[1]}/"
        conf = f"--config-file={Path(self.site.folder) / 'neutron.conf'}"
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PROGRAM, where, plugin, method, conf, *more, "--repair"],
                check=False,
                capture_output=True,
                text=True,
            )
        finally:
            server.shutdown()
            server.server_close()
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def has(self, table: str, name: str) -> bool:
        return bool(row(self.site, table, name, "_uuid"))


@pytest.fixture(scope="module")
def cloud(central: CentralServer, site1: LocalServer) -> Cloud:
    return Cloud(central, site1)


def test_a_port_that_is_made_meanwhile_stays(cloud: Cloud) -> None:
    made: list[str] = []

    def make() -> list[Seen]:
        made.append(cloud.create("port", network_id=cloud.network["id"])["id"])
        return [("Logical_Switch_Port", made[0], True)]

    cloud.repair("get_ports", make)
    assert cloud.has("Logical_Switch_Port", made[0])


def test_a_network_that_is_made_meanwhile_stays(cloud: Cloud) -> None:
    made: list[str] = []

    def make() -> list[Seen]:
        network, _ = make_network(cloud.central, cloud.user, "10.32.0.0/24")
        made.append(network["id"])
        port = cloud.create("port", network_id=network["id"])
        return [
            ("Logical_Switch", f"neutron-{network['id']}", True),
            ("Logical_Switch_Port", port["id"], True),
        ]

    cloud.repair("get_networks", make)
    assert cloud.has("Logical_Switch", f"neutron-{made[0]}")


def test_a_port_that_is_removed_meanwhile_is_no_failure(cloud: Cloud) -> None:
    port = cloud.create("port", network_id=cloud.network["id"])["id"]

    def remove() -> list[Seen]:
        assert cloud.site.delete("port", port, cloud.user).status == 204
        return [("Logical_Switch_Port", port, False)]

    cloud.repair("get_ports", remove)
    assert not cloud.has("Logical_Switch_Port", port)


def test_a_group_and_a_rule_that_are_made_meanwhile_stay(cloud: Cloud) -> None:
    group = cloud.create("security_group", name="g")["id"]
    name = f"pg_{group.replace('-', '_')}"
    made: list[str] = []

    def make() -> list[Seen]:
        cloud.create(
            "security_group_rule",
            security_group_id=group,
            direction="ingress",
            ethertype="IPv4",
            protocol="tcp",
        )
        other = cloud.create("security_group", name="other")["id"]
        made.append(f"pg_{other.replace('-', '_')}")
        return [("Port_Group", made[0], True)]

    before = len(row(cloud.site, "Port_Group", name, "acls").split())
    cloud.repair("get_security_groups", make)
    assert cloud.has("Port_Group", made[0])
    assert len(row(cloud.site, "Port_Group", name, "acls").split()) == before + 1


def test_a_rule_that_is_made_while_the_rules_are_read_stays(cloud: Cloud) -> None:
    group = cloud.create("security_group", name="g")["id"]
    name = f"pg_{group.replace('-', '_')}"

    def make() -> list[Seen]:
        other = cloud.create("security_group", name="other")["id"]
        for one in (group, other):
            cloud.create(
                "security_group_rule",
                security_group_id=one,
                direction="ingress",
                ethertype="IPv4",
                protocol="tcp",
            )
        return [("Port_Group", f"pg_{other.replace('-', '_')}", True)]

    before = len(row(cloud.site, "Port_Group", name, "acls").split())
    cloud.repair("get_security_group_rules", make)
    assert len(row(cloud.site, "Port_Group", name, "acls").split()) == before + 1


def test_a_router_that_comes_meanwhile_stays_with_its_interface(cloud: Cloud) -> None:
    made: list[str] = []

    def make() -> list[Seen]:
        router = cloud.central.create("router", cloud.user, name="r")
        joined = join(cloud.central, router, cloud.user, subnet_id=cloud.subnet["id"])
        assert joined.status == 200, joined.text
        carried(cloud.central, cloud.site)
        made.extend((f"neutron-{router['id']}", f"lrp-{joined.body['port_id']}"))
        return [("Logical_Router", made[0], True), ("Logical_Router_Port", made[1], True)]

    cloud.repair("get_routers", make, plugin="L3_ROUTER_NAT")
    assert cloud.has("Logical_Router", made[0])
    assert cloud.has("Logical_Router_Port", made[1])
    cloud.repair("get_routers", list, plugin="L3_ROUTER_NAT")


def test_a_database_that_dies_meanwhile_is_said_to_be_away(cloud: Cloud, tmp_path: Path) -> None:
    """It was called a bug of ours."""
    more = tmp_path / "more.conf"
    more.write_text("[ovn]\novsdb_connection_timeout = 3\n")
    cloud.site.ovn.nbctl("lsp-del", cloud.first["id"])

    def die() -> list[Seen]:
        cloud.site.ovn.kill("nb")
        return []

    try:
        done = cloud.repair("get_ports", die, f"--config-file={more}", code=3)
    finally:
        cloud.site.ovn.start("nb")
    assert "as they should be" not in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: a database of OVN ")
    until(lambda: cloud.site.get(f"ports/{cloud.first['id']}").status == 200)
    cloud.repair("get_ports", list)
    assert cloud.has("Logical_Switch_Port", cloud.first["id"])


def test_what_fails_of_a_transaction_is_no_difference(cloud: Cloud, tmp_path: Path) -> None:
    """By its exit code it was one."""
    more = tmp_path / "more.conf"
    more.write_text("[ovn]\novsdb_connection_timeout = 3\n")
    (dhcp,) = cloud.site.ovn.nbctl(
        "--bare", "--columns=_uuid", "find", "DHCP_Options", "cidr=10.31.0.0/24"
    ).split()
    cloud.site.ovn.nbctl("dhcp-options-del", dhcp)
    cloud.site.ovn.nbctl(
        "--",
        "--id=@x",
        "create",
        "Port_Group",
        "name=pg_x",
        "external_ids:neutron\\:security_group_id=x",
    )

    def die() -> list[Seen]:
        cloud.site.ovn.kill("nb")
        return []

    try:
        done = cloud.repair("get_security_groups", die, f"--config-file={more}", code=3)
    finally:
        cloud.site.ovn.start("nb")
    assert "error: a database of OVN gave no answer in time" in done.stderr
    cloud.repair("get_ports", list)
    assert not cloud.has("Port_Group", "pg_x")
