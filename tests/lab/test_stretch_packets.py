"""Packets between two independent OVN sites: what shadow ports, groups and responders really do."""

import contextlib
import dataclasses
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isthmus.clients.machine import shell
from isthmus.clients.ovsdb import ovn_connection
from isthmus.dataplane.capability import parse_capability
from isthmus.dataplane.kind import responder
from isthmus.dataplane.kind.binding import BINDING
from isthmus.dataplane.kind.port_key import PORT_KEY
from isthmus.dataplane.kind.remote_chassis import REMOTE_CHASSIS, render_chassis
from isthmus.dataplane.kind.responder import RESPONDER, Responder, ResponderKey
from isthmus.dataplane.kind.shadow_port import SHADOW_PORT, render_port
from isthmus.dataplane.kind.switch_key import SWITCH_KEY
from isthmus.dataplane.plan import apply_plan, diff_rows, observe
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import Scope
from isthmus.model.dataplane.ovn import RaSubnet
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.site import SiteName
from isthmus.testing import hypervisor
from isthmus.testing import ovn as testing_ovn
from isthmus.testing import until as until_module
from isthmus.testing.hypervisor import Hypervisor, ip
from isthmus.testing.needed import skip_without
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.row_kinds import by_id, desire

pytestmark = [pytest.mark.lab, pytest.mark.root]

until = until_module.until
NET = "77777777-7777-7777-7777-777777777777"
KEY = 0xFFF777
MTU = 1442
SITES = ("one", "two")
#: Answers whatever comes over UDP and TCP on one port of both families.
ECHO = """
import selectors, socket
watched = selectors.DefaultSelector()
for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
    one = socket.socket(socket.AF_INET6, kind)
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.bind(("::", 4000))
    if kind == socket.SOCK_STREAM:
        one.listen()
    watched.register(one, selectors.EVENT_READ, kind)
print("up", flush=True)
while True:
    for key, _ in watched.select():
        if key.data == socket.SOCK_DGRAM:
            data, peer = key.fileobj.recvfrom(65536)
            key.fileobj.sendto(data, peer)
        else:
            peer, _ = key.fileobj.accept()
            with peer:
                peer.sendall(b"hello")
"""
UDP = """
import socket, sys
one = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
one.settimeout(0.5)
for _ in range(int(sys.argv[2])):
    one.sendto(b"x" * 1200, (sys.argv[1], 4000))
    try:
        one.recv(65536)
        sys.exit(0)
    except TimeoutError:
        pass
sys.exit(1)
"""
TCP = """
import socket, sys
from isthmus.testing.needed import skip_without
with socket.create_connection((sys.argv[1], 4000), timeout=3) as one:
    sys.exit(one.recv(5) != b"hello")
"""


@dataclasses.dataclass
class Server:
    """A server and its port."""

    name: str
    site: str
    key: int
    groups: tuple[str, ...] = ()
    netns: str = ""

    @property
    def port_id(self) -> str:
        return f"88888888-8888-8888-8888-{self.key:012d}"

    @property
    def mac(self) -> str:
        return f"fa:16:{SITES.index(self.site):02x}:00:00:{self.key & 255:02x}"

    @property
    def ip4(self) -> str:
        return f"10.77.0.{self.key & 255}"

    @property
    def ip6(self) -> str:
        return f"fd77::{self.key:x}"

    def reaches(self, other: "Server", *, attempts: int = 6) -> bool:
        """Exchange datagrams over both families."""
        return all(
            shell.run(
                [sys.executable, "-c", UDP, address, str(attempts)], netns=self.netns, check=False
            ).exit_code
            == 0
            for address in (other.ip4, other.ip6)
        )

    def connects(self, other: "Server") -> bool:
        """Open a TCP connection."""
        words = [sys.executable, "-c", TCP, other.ip4]
        return shell.run(words, netns=self.netns, check=False).exit_code == 0


class Pair:
    """Two sites with a hypervisor each."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.databases: dict[str, OvnDatabases] = {}
        self.rows: dict[str, OvnRows] = {}
        self.hypervisors: dict[str, Hypervisor] = {}
        self.responders: dict[str, dict[ResponderKey, Responder]] = {}

    def shadow(self, server: Server) -> Shadow:
        return Shadow(
            port_id=server.port_id,
            network_id=NET,
            site=SiteName(server.site),
            chassis=f"hv-{server.site}",
            hostname=f"hv-{server.site}",
            encap_ip=f"192.0.2.{SITES.index(server.site) + 1}",
            port_key=server.key,
            mac_address=server.mac,
            addresses=(server.ip4, server.ip6),
            security_groups=server.groups,
        )

    def settle(self) -> None:
        """Bring both sites' rows to what they should be, and wait for the hypervisors."""
        for site in SITES:
            rows = self.rows[site]

            def same(site: str = site, rows: OvnRows = rows) -> bool:
                capability = parse_capability(rows.northd_version())
                observed = observe(rows, Scope.everything([NET]))
                groups = observed.of(SHADOW_PORT).groups
                shadows = [self.shadow(one) for one in self.servers.values() if one.site != site]
                wanted = desire(
                    (SWITCH_KEY, {NET: KEY}),
                    (
                        PORT_KEY,
                        {one.port_id: one.key for one in self.servers.values() if one.site == site},
                    ),
                    (SHADOW_PORT, by_id(render_port(one, groups, str) for one in shadows)),
                    (REMOTE_CHASSIS, render_chassis(shadows)),
                    (RESPONDER, self.responders.get(site, {})),
                )
                plan = diff_rows(wanted, observed, capability)
                assert apply_plan(rows, plan) == []
                return not plan and set(wanted.of(SHADOW_PORT)) <= set(observed.of(BINDING))

            until(same, what=f"rows of site {site}")
            self.databases[site].nbctl("--wait=hv", "sync")

    def add(self, name: str, site: str, key: int, *groups: str) -> Server:
        server = Server(name, site, key, groups)
        databases = self.databases[site]
        switch = f"neutron-{NET}"
        addresses = f"{server.mac} {server.ip4} {server.ip6}"
        databases.nbctl(
            *("lsp-add", switch, server.port_id),
            *("--", "lsp-set-addresses", server.port_id, addresses),
            *("--", "lsp-set-port-security", server.port_id, addresses),
            *("--", "lsp-set-options", server.port_id, f"requested-tnl-key={key}"),
        )
        for group in groups:
            databases.nbctl("add", "Port_Group", group, "ports", self._uuid(databases, server))
        server.netns = self.hypervisors[site].add_server(
            name, server.port_id, server.mac, f"{server.ip4}/24", f"{server.ip6}/64", mtu=MTU
        )
        self.servers[name] = server
        return server

    @staticmethod
    def _uuid(databases: OvnDatabases, server: Server) -> str:
        return databases.nbctl("get", "Logical_Switch_Port", server.port_id, "_uuid")

    def secure(self) -> None:
        """Make port groups as Neutron does: drop what no group lets through."""
        for databases in self.databases.values():
            for group in ("pg_drop", "pg_talk", "pg_other"):
                databases.nbctl("pg-add", group)
            for direction, port in (("to-lport", "outport"), ("from-lport", "inport")):
                match = f"{port} == @pg_drop && ip"
                databases.nbctl("acl-add", "pg_drop", direction, "1001", match, "drop")
            for group in ("pg_talk", "pg_other"):
                match = f"inport == @{group} && (ip4 || ip6)"
                databases.nbctl("acl-add", group, "from-lport", "1002", match, "allow-related")
            for family in ("ip4", "ip6"):
                match = f"outport == @pg_talk && {family} && {family}.src == $pg_talk_{family}"
                databases.nbctl("acl-add", "pg_talk", "to-lport", "1002", match, "allow-related")

    @contextlib.contextmanager
    def echo(self, *servers: Server) -> Iterator[None]:
        """Have servers answer."""
        running = []
        try:
            for server in servers:
                words = shell.inside(server.netns, [sys.executable, "-uc", ECHO])
                running.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
            for one in running:
                assert one.stdout is not None
                assert one.stdout.readline() == "up\n"
            yield
        finally:
            for one in running:
                one.kill()
                one.wait()
                assert one.stdout is not None
                one.stdout.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    skip_without([*testing_ovn.missing_programs(), *hypervisor.missing_programs()])
    folder = Path(tempfile.mkdtemp(prefix="isthmus-p-"))
    prefix = folder.name[-8:]
    made = Pair()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        for number, site in enumerate(SITES, 1):
            databases = stack.enter_context(OvnDatabases(folder / site))
            made.databases[site] = databases
            # With its key from the start, as our OVN client writes it: a key that changes later
            # leaves flows of the old one on hypervisors (OVN 23.03).
            switch = f"neutron-{NET}"
            config = f"other_config:requested-tnl-key={KEY}"
            databases.nbctl("ls-add", switch, "--", "set", "Logical_Switch", switch, config)
            both = ovn_connection.connect(databases.nb_remote, databases.sb_remote, 20)
            made.rows[site] = OvnRows(*both)
            stack.callback(ovn_connection.disconnect, *both)
            made.hypervisors[site] = stack.enter_context(
                Hypervisor(
                    folder, prefix, f"hv-{site}", databases.sb_remote, f"192.0.2.{number}/24"
                )
            )
        made.hypervisors["one"].join(made.hypervisors["two"])
        yield made


def test_servers_of_two_sites_talk_in_one_tunnel(pair: Pair) -> None:
    a, b = pair.add("a", "one", 1001), pair.add("b", "two", 2001)
    pair.settle()
    with pair.echo(a, b), capture(pair.hypervisors["one"].netns, "phys0") as packets:
        assert a.reaches(b)
        assert b.reaches(a)
        assert a.connects(b)
        assert b.connects(a)
        outer = rf"192\.0\.2\.1\.\d+ > 192\.0\.2\.2\.6081: .*Geneve.* vni 0x{KEY:x}.*"
        wanted = re.compile(outer + r"10\.77\.0\.233\.\d+ > 10\.77\.0\.209\.4000")
        until(
            lambda: any(wanted.search(line) for line in packets()),
            what="a packet straight from hypervisor to hypervisor",
        )


def test_groups_let_through_and_block_across_sites(pair: Pair) -> None:
    pair.secure()
    a = pair.add("a", "one", 1001, "pg_drop", "pg_talk")
    b = pair.add("b", "two", 2001, "pg_drop", "pg_talk")
    c = pair.add("c", "two", 2002, "pg_drop", "pg_other")
    # Central never sends the drop group, it is no security group.
    for one in (a, b, c):
        one.groups = tuple(group for group in one.groups if group != "pg_drop")
    pair.settle()
    with pair.echo(a, b, c):
        assert a.reaches(b)
        assert b.reaches(a)
        assert a.connects(b)
        assert not c.reaches(a, attempts=2), "c is no member of the group a lets in"
        assert not a.reaches(c, attempts=2), "c lets nobody in"
        # Membership changes at the other site.
        moved = pair.databases["two"]
        moved.nbctl("pg-set-ports", "pg_talk", b.port_id, c.port_id)
        c.groups = ("pg_talk",)
        pair.settle()
        assert c.reaches(a)
        b.groups = ()
        pair.settle()
        assert not b.reaches(a, attempts=2), "b has left the group"


def test_each_site_answers_its_own_router_solicitations(pair: Pair) -> None:
    a, b = pair.add("a", "one", 1001), pair.add("b", "two", 2001)
    subnet = RaSubnet(
        network_id=NET, cidr="2001:db8:77::/64", ra_mode="slaac", mtu=MTU, routed=False
    )
    pair.responders["one"] = responder.plan_responders([subnet], lambda _: 1900)
    pair.settle()
    renew(a)
    until(lambda: slaac(a), what="a takes its address", timeout_s=30)
    assert slaac(a) == ["2001:db8:77:0:f816:ff:fe00:e9"]
    assert "mtu 1442" in ip("link", "show", "dev", "a", netns=a.netns)
    # The solicitation of b reaches site one (it is multicast), but not its router.
    with capture(pair.hypervisors["one"].netns, "phys0", "udp port 6081") as packets:
        renew(b)
        until(
            lambda: any("router solicitation" in line for line in packets()),
            what="b's solicitation crosses",
            timeout_s=30,
        )
        assert not any("router advertisement" in line for line in packets())
    assert slaac(b) == []
    pair.responders["two"] = responder.plan_responders([subnet], lambda _: 2900)
    pair.settle()
    with capture(pair.hypervisors["one"].netns, "phys0", "udp port 6081") as packets:
        renew(b)
        until(lambda: slaac(b), what="b takes its address", timeout_s=30)
        assert not any("router advertisement" in line for line in packets())
    # Both have the same default router, so a server may move.
    routes = [ip("-6", "route", "show", "default", netns=one.netns).split()[2] for one in (a, b)]
    assert routes[0] == routes[1]
    with pair.echo(a, b):
        assert a.reaches(b)


def test_a_frame_of_the_networks_mtu_crosses(pair: Pair) -> None:
    a, b = pair.add("a", "one", 1001), pair.add("b", "two", 2001)
    pair.settle()
    size = MTU - 28  # IPv4 and ICMP headers
    words = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", str(size), b.ip4]
    until(
        lambda: shell.run(words, netns=a.netns, check=False).exit_code == 0,
        what="a full-sized ping",
    )


def renew(server: Server) -> None:
    """Have the kernel ask for a router again."""
    ip("link", "set", "dev", server.name, "down", netns=server.netns)
    ip("link", "set", "dev", server.name, "up", netns=server.netns)
    ip("addr", "replace", f"{server.ip6}/64", "dev", server.name, "nodad", netns=server.netns)


def slaac(server: Server) -> list[str]:
    """Give the addresses the kernel made from advertisements."""
    shown = ip("-6", "-o", "addr", "show", "dev", server.name, "dynamic", netns=server.netns)
    return [
        line.split()[3].partition("/")[0] for line in shown.splitlines() if "tentative" not in line
    ]


@contextlib.contextmanager
def capture(netns: str, device: str, *words: str) -> Iterator[Callable[[], list[str]]]:
    """Capture packets; the value gives the lines so far."""
    with tempfile.TemporaryFile("w+") as output:
        command = ["tcpdump", "-nlvi", device, *words]
        running = subprocess.Popen(
            shell.inside(netns, command), stdout=output, stderr=subprocess.PIPE, text=True
        )
        assert running.stderr is not None
        assert "listening" in running.stderr.readline()

        def lines() -> list[str]:
            output.seek(0)
            return re.sub(r"\n\s+", " ", output.read()).splitlines()

        try:
            yield lines
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait()
            running.stderr.close()
