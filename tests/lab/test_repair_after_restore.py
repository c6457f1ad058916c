"""`isthmus-ovn-db-sync-util --repair` at a site that was put back: no living port is deleted.

On MariaDB, as in production. Neutron's database goes back first, then the northbound one.
"""

import contextlib
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.exceptions import SDKException
from tests.lab.conftest import Silent, need_lab, new_name
from tests.lab.person import Person

from isthmus import errors
from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until
from isthmus.wiring.lab import choose_topology, open_labs

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.stress,
    pytest.mark.timeout(2400),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

_UNKNOWN = "port.unknown_switch_port"
_NEUTRON = ("site1.neutron", "site1.maintenance")


@pytest.fixture
def own_lab() -> Iterator[OpenLab]:
    """A lab that nobody else stands in: its databases go back in time."""
    need_lab()
    labs, name = open_labs(), new_name()
    try:
        topology = choose_topology(None, 2, 1)
        yield labs.up(name, topology, reporter=Silent(), mariadb=True)
    finally:
        with contextlib.suppress(errors.NotFound):
            labs.down(name)


class Site:
    """site1 of a lab, whose databases are saved and put back."""

    def __init__(self, lab: OpenLab, copies: Path) -> None:
        self.lab, self.person = lab, Person(lab.plan)
        plan = lab.plan
        self.folder = plan.tier_dir(next(one for one in plan.tiers if one.name == "site1"))
        self._copies = copies

    def stop(self, *names: str) -> None:
        for name in names:
            self.lab.kill(name, signal.SIGTERM)
        until(lambda: self.states(names) == {"down"}, what=f"{names} ended", timeout_s=120)

    def start(self, *names: str) -> None:
        for name in names:
            self.lab.start(name)

    def states(self, names: tuple[str, ...]) -> set[str]:
        rows = self.lab.summarise()["processes"]
        return {str(one["state"]) for one in rows if one["name"] in names}

    def save(self) -> None:
        """Save Neutron's database, while its server is stopped, and NB."""
        self.stop("site1.mariadb")
        shutil.copytree(self.folder / "mariadb", self._copies / "mariadb")
        self.start("site1.mariadb")
        words = ("ovsdb-client", "backup", f"unix:{self.folder}/nb.sock", "OVN_Northbound")
        with (self._copies / "nb.db").open("wb") as file:
            subprocess.run(words, stdout=file, check=True)

    def restore_neutron(self) -> None:
        """As docs/howto/restore.md says."""
        self.stop(*_NEUTRON)
        self.stop("site1.mariadb")
        shutil.rmtree(self.folder / "mariadb")
        shutil.copytree(self._copies / "mariadb", self.folder / "mariadb")
        self.start("site1.mariadb")
        self.person.run("restored", "--config-file", str(self.folder / "neutron.conf"))
        self.start(*_NEUTRON)

    def restore_nb(self) -> None:
        self.stop("site1.nb")
        shutil.copy(self._copies / "nb.db", self.folder / "nb.db")
        self.start("site1.nb")

    def sync(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the comparison as its page and the audit print it."""
        text = (
            f"isthmus-ovn-db-sync-util --config-file {self.folder}/neutron.conf {' '.join(words)}"
        )
        return self.person.run("lab", "shell", "site1", "--", "sh", "-c", text, check=False)

    def nb(self, *words: str) -> str:
        return self.person.run("lab", "shell", "site1", "--", "ovn-nbctl", *words).stdout

    def ports(self) -> set[str]:
        return set(self.nb("--bare", "--columns=name", "list", "Logical_Switch_Port").split())

    def findings(self) -> list[tuple[str, str]]:
        done = self.person.run("audit", "-o", "json", check=False)
        return [(one["code"], one["name"]) for one in json.loads(done.stdout or "[]")]


class Servers:
    """Servers at both sites: of before what was saved, of after it, and one of which nobody hears.

    site1 is cut off from then on.
    """

    def __init__(self, site: Site) -> None:
        self.person = site.person
        central = self.person.network("central")
        self.network = central.create_network(name="net").id
        central.create_subnet(network_id=self.network, ip_version=4, cidr="10.67.0.0/24")
        self.rows: dict[str, dict[str, Any]] = {}
        for name, where in (("a0", "site1"), ("a1", "site1"), ("b1", "site2")):
            self.make(name, where)
        self.person.agree()
        site.save()
        for name, where in (("a2", "site1"), ("b2", "site2")):
            self.make(name, where)
        self.person.run("lab", "server", "delete", "a0")
        self.person.agree()
        self.person.run("lab", "link", "cut", "site1")
        self.make("a3", "site1")
        self.living = {self.port(name) for name in ("a1", "a2", "a3")}

    def make(self, name: str, where: str) -> None:
        self.rows[name] = self.person.server(name, where, self.network)

    def port(self, name: str) -> str:
        return str(self.rows[name]["port_id"])

    def address(self, name: str) -> str:
        return next(str(one) for one in self.rows[name]["addresses"] if ":" not in one)

    def are_reached(self) -> None:
        """See that each server of site1 which has a port reaches the others, of both sites."""
        for server in ("a1", "a2"):
            for name in ("a1", "a2", "b1", "b2"):
                assert self.person.ping(server, self.address(name)), (server, name)


def test_a_repair_deletes_no_living_port(own_lab: OpenLab, tmp_path: Path) -> None:
    site = Site(own_lab, tmp_path)
    servers = Servers(site)
    _put_neutron_back(site, servers)
    _put_nb_back(site, servers)


def _put_neutron_back(site: Site, servers: Servers) -> None:
    person, lost = site.person, servers.port("a3")
    site.restore_neutron()
    until(lambda: _has_port(site, servers.port("a1")), what="Neutron is back", timeout_s=300)
    done = site.sync("--repair")  # it is cut off, and has forgotten a2 and a3
    assert done.returncode == 3, done.stdout + done.stderr
    assert "nothing is repaired before the site has registered" in done.stderr
    assert servers.living <= site.ports()
    person.run("lab", "link", "restore", "site1")
    found = [(_UNKNOWN, lost)]
    until(lambda: site.findings() == found, timeout_s=600, every_s=5, what=f"{lost} alone is wrong")
    done = site.sync("--repair")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"ovn-nbctl lsp-del {lost}\n" in done.stdout
    assert servers.living <= site.ports()
    servers.are_reached()
    assert person.ping("a3", servers.address("a1")), "its server runs on"
    site.nb("lsp-del", lost)  # as it is printed
    person.agree(300)
    assert site.sync().stdout.endswith("Nothing differs.\n")


def _has_port(site: Site, port_id: str) -> bool:
    try:
        return bool(site.person.network("site1").get_port(port_id))
    except SDKException:
        return False


def _put_nb_back(site: Site, servers: Servers) -> None:
    site.restore_nb()  # it lacks a2 and the shadow of b2, and has a0
    assert site.sync().returncode == 1
    done = site.sync("--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    site.person.run("site", "resync", "site1", "--wait", "120")
    site.person.agree(300)
    assert servers.port("a0") not in site.ports()
    assert site.sync().stdout.endswith("Nothing differs.\n")
    servers.are_reached()
