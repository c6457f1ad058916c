"""The demo: a network over all sites, told step by step with what was checked.

Every sentence that claims something comes after the check of it; a check that fails ends the story
with an error that says what was expected.
"""

import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus import errors
from isthmus.lab.network.server import ServerRequest, Servers
from isthmus.lab.network.wan import Wan
from isthmus.lab.plan import LabPlan
from isthmus.lab.process.ledger import Ledger
from isthmus.lab.protocols import Tools
from isthmus.lab.tier.maker import MARKER
from isthmus.model.host.process import ProcessId
from isthmus.model.topology import Tier

NETWORK = "net1"
SUBNETS: Sequence[Mapping[str, Any]] = (
    {"name": "v4", "ip_version": 4, "cidr": "10.20.0.0/24"},
    {
        "name": "v6",
        "ip_version": 6,
        "cidr": "fd00:20::/64",
        "ipv6_ra_mode": "slaac",
        "ipv6_address_mode": "slaac",
    },
)
#: On a busy machine; seconds.
TIMEOUT_S = 60
_POLL_S = 0.2
_TCP_PORT = 8080
_GENEVE_PORT = 6081
#: `IP 172.30.1.11.47 > 172.30.2.11.6081: Geneve, ...: IP 10.20.0.3 > 10.20.0.7: ICMP`
_TUNNELLED = re.compile(r"IP ([\d.]+)\.\d+ > ([\d.]+)\.\d+: Geneve.*? IP ([\d.]+) > ([\d.]+): ICMP")
_FETCH = (
    "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=5).read(5)"
    ".decode())"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence of the story: a step that is beginning, or a fact that was just checked."""

    text: str
    checked: bool = False


class Demo:
    """One telling, in one lab of two sites or more."""

    def __init__(
        self,
        plan: LabPlan,
        tools: Tools,
        ledger: Ledger,
        tell: Callable[[Line], None],
        before: str = "",
    ) -> None:
        """Prepare the demo; nothing is created yet.

        Args:
            plan: the lab's.
            tools: the machine's.
            ledger: the lab's.
            tell: called with each sentence as it happens.
            before: what the names of network and servers begin with.

        Raises:
            Invalid: there are not two sites.
        """
        if len(plan.sites) < 2:
            raise errors.Invalid("the story needs two sites: isthmus lab up --sites 2")
        self._plan = plan
        self._tools = tools
        self._ledger = ledger
        self._servers = Servers(plan, tools, ledger)
        self._tell = tell
        self._before = before

    def run(self) -> None:
        """Run the demo, and say each step as it happens.

        Raises:
            StepFailed: something is not as the story says.
        """
        one, two = self._plan.sites[:2]
        self._make_network()
        a, b = self._boot(f"{self._before}a", one), self._boot(f"{self._before}b", two)
        for server, site, other in ((a, one, two), (b, two, one)):
            self._same_everywhere(server, site, other)
        for source, target in ((a, b), (b, a)):
            self._ping(source, target)
        for source, target in ((a, b), (b, a)):
            self._tcp(source, target)
        self._capture(a, b)
        self._cut(one, two, a, b)

    @property
    def _network(self) -> str:
        return self._before + NETWORK

    def _say(self, text: str) -> None:
        self._tell(Line(text))

    def _checked(self, text: str) -> None:
        self._tell(Line(text, checked=True))

    def _api(self, tier: Tier) -> Any:
        return self._tools.open_api(self._plan.clouds_file, str(tier.name))

    def _make_network(self) -> None:
        self._say(f"A network {self._network} with an IPv4 and an IPv6 subnet, made at central:")
        api = self._api(self._plan.central)
        body = {"network": {"name": self._network}}
        network = api.call("POST", "/v2.0/networks", body=body)["network"]
        for subnet in SUBNETS:
            wanted = {**subnet, "network_id": network["id"]}
            api.call("POST", "/v2.0/subnets", body={"subnet": wanted})
        cidrs = " and ".join(str(subnet["cidr"]) for subnet in SUBNETS)
        self._checked(f"{self._network} {network['id']} with {cidrs}, MTU {network['mtu']}")

    def _boot(self, name: str, site: Tier) -> Mapping[str, Any]:
        self._say(f"A server {name} at {site.name}, made through the API of {site.name}:")
        began = time.monotonic()
        row = self._servers.create(
            ServerRequest(name=name, site=str(site.name), network=self._network)
        )
        took = time.monotonic() - began
        self._checked(f"{name} on {row['host']} has {', '.join(row['addresses'])} ({took:.1f} s)")
        return row

    def _same_everywhere(self, server: Mapping[str, Any], site: Tier, other: Tier) -> None:
        """Check that a port is itself in all three Neutrons; in the other site it is a shadow."""
        port_id, name = server["port_id"], server["name"]

        def look(tier: Tier) -> dict[str, Any]:
            port = self._api(tier).call("GET", f"/v2.0/ports/{port_id}")["port"]
            addresses = sorted(one["ip_address"] for one in port["fixed_ips"])
            return {"mac_address": port["mac_address"], "addresses": addresses}

        def look_at_shadow() -> dict[str, Any]:
            path = f"/v2.0/site-shadows/{port_id}"
            shadow = self._api(other).call("GET", path)["site_shadow"]
            addresses = sorted(shadow["addresses"])
            return {"mac_address": shadow["mac_address"], "addresses": addresses}

        home = look(site)

        def agreed() -> bool:
            try:
                return look(self._plan.central) == home == look_at_shadow()
            except errors.NotFound:
                return False  # the report is under way

        tiers = f"central, {site.name} and {other.name}"
        _await(agreed, f"{tiers} do not show port {port_id} alike")
        self._checked(f"{tiers} agree on id, MAC and addresses of {name}")

    def _ping(self, source: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        for address in target["addresses"]:
            command = ["ping", "-n", "-c", "1", "-W", "1", address]

            def replied(command: Sequence[str] = command) -> bool:
                return self._servers.run(source["name"], command)[0] == 0

            what = f"{source['name']} gets no reply from {target['name']} ({address})"
            _await(replied, what)
            self._checked(f"{source['name']} pings {target['name']} at {address}")

    def _tcp(self, source: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        folder = self._plan.folder / "www"
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text("hello")
        words = ["-m", "http.server", str(_TCP_PORT), "--bind", "::", "-d", str(folder)]
        with self._running([sys.executable, *words], target["netns"], "http"):
            for address in target["addresses"]:
                host = f"[{address}]" if ":" in address else address
                command = [sys.executable, "-c", _FETCH, f"http://{host}:{_TCP_PORT}/"]

                def fetched(command: Sequence[str] = command) -> bool:
                    return self._servers.run(source["name"], command) == (0, "hello")

                what = f"{source['name']} gets no web page from {target['name']} ({address})"
                _await(fetched, what)
                self._checked(
                    f"{source['name']} reads a page from {target['name']} at {address}, over TCP "
                    "(they are in one security group)"
                )

    def _capture(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
        self._say("A capture on the WAN while a pings b:")
        log = self._plan.log_dir / "capture.log"
        log.unlink(missing_ok=True)
        command = ["tcpdump", "-i", "any", "-n", "-l", "udp", "port", str(_GENEVE_PORT)]
        address = next(one for one in b["addresses"] if ":" not in one)
        ping = ["ping", "-n", "-c", "1", "-W", "1", address]
        with self._running(command, self._plan.wan_netns, "capture"):

            def seen() -> bool:
                self._servers.run(a["name"], ping)
                return len(self._hops(log)) >= 2

            _await(seen, f"the capture shows no packet of a to {address}; see {log}")
        ends = [str(self._plan.get_hypervisor(row["host"]).address) for row in (a, b)]
        hops = self._hops(log)
        if not hops <= {tuple(ends), tuple(reversed(ends))}:
            raise errors.StepFailed(f"packets took another way than {' to '.join(ends)}: {hops}")
        self._checked(
            f"one tunnel, {a['host']} ({ends[0]}) to {b['host']} ({ends[1]}) and back: "
            "no gateway on the way"
        )

    def _hops(self, log: Path) -> set[tuple[str, str]]:
        """List (from, to) of the tunnels that carried pings, as far as the capture shows."""
        text = log.read_text(errors="replace") if log.exists() else ""
        return {(found[1], found[2]) for found in _TUNNELLED.finditer(text)}

    def _cut(self, site: Tier, other: Tier, a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
        self._say(f"The WAN of {site.name} is cut; somebody boots a server there:")
        wan = Wan(self._plan, self._tools, self._ledger)
        wan.cut(site)
        try:
            name = f"{self._before}c"
            request = ServerRequest(name=name, site=str(site.name), network=a["network_id"])
            row = self._servers.create(request)
            self._checked(
                f"{name} has {', '.join(row['addresses'])}, from the lease of {site.name}"
            )
            self._ping(row, a)
        finally:
            wan.restore(site)
        self._say("The WAN is back:")
        self._same_everywhere(row, site, other)
        self._ping(b, row)

    @contextmanager
    def _running(self, command: Sequence[str], netns: str, name: str) -> Iterator[ProcessId]:
        """Run a process for the block; the lab's marker lets `down` find it in any case."""
        env = {MARKER: str(self._plan.folder)}
        log = self._plan.log_dir / f"{name}.log"
        process = self._tools.processes.spawn(command, netns=netns, log=log, env=env)
        try:
            yield process
        finally:
            self._tools.processes.send(process, signal.SIGKILL)


def _await(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not true():
        if time.monotonic() > deadline:
            raise errors.StepFailed(f"{otherwise} (waited {TIMEOUT_S} s)")
        time.sleep(_POLL_S)
