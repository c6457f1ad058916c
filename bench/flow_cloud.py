"""A cloud of a seed in a lab of two sites, and its flows as real packets: for `why_flows`."""

import contextlib
import ipaddress
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.router import Side
from isthmus.lab.opened import OpenLab

SITES = ("site1", "site2")
TCP, UDP = (22, 80, 443, 5432, 8080), (53, 80, 123, 4789, 5432)
SERVICES = ("icmp", *(f"tcp/{one}" for one in TCP), *(f"udp/{one}" for one in UDP))
_HELPER = Path(__file__).with_name("why_packets.py")


@dataclass(slots=True)
class Guest:
    """A server, or who is outside."""

    name: str
    netns: str
    address: str
    asked: str  #: how `why` is asked for it
    port: str = ""
    network: str = ""
    cidr: str = ""
    pair: str = ""
    public: str = ""
    site: str = ""
    host: str = ""
    mac: str = ""
    tap: str = ""
    six: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """One question, and the packet that answers it."""

    sender: str  #: name of the guest
    source: str  #: address that it sends from; empty for the one that it has
    target: str
    asked: tuple[str, str]
    service: str


class Cloud:
    """One cloud of a seed in the lab."""

    def __init__(self, lab: OpenLab, seed: int, undo: contextlib.ExitStack) -> None:
        self.lab, self.side, self.seed, self.undo = lab, Side(lab, "central"), seed, undo
        self.dice = random.Random(seed)
        self.guests: list[Guest] = []
        self.groups: list[str] = []
        self.stateful: dict[str, bool] = {}
        self.nets: list[tuple[str, str, str]] = []  #: id, subnet, prefix
        self.floating: list[dict[str, Any]] = []
        self.external = ""
        self.exit_site = ""
        self.busy: dict[str, set[int]] = {}  #: ports where somebody else answers, by guest

    def lay(self) -> None:
        """Make it."""
        self._make_groups()
        sites = self._make_networks()
        self._make_router()
        for at, (net, _, cidr) in enumerate(self.nets):
            for number in range(2):
                site = sites[at][number % len(sites[at])]
                self._make_server(f"f{self.seed}-{at}{number}", site, net, cidr)
        self._open_outside()

    def _delete(self, path: str) -> None:
        with contextlib.suppress(Exception):
            self.side.call("DELETE", path)

    def _make_groups(self) -> None:
        for number in range(3):
            stateful = number == 0 or self.dice.random() < 0.7
            self.groups.append(self._group(number, stateful))
            self.stateful[self.groups[-1]] = stateful

    def _group(self, number: int, stateful: bool) -> str:
        body = {"security_group": {"name": f"f{self.seed}-{number}", "stateful": stateful}}
        row = self.side.call("POST", "security-groups", **body)["security_group"]
        self.undo.callback(self._delete, f"security-groups/{row['id']}")
        return str(row["id"])

    def _make_networks(self) -> list[list[str]]:
        found = []
        for number in range(3):
            cidr = f"10.{100 + self.seed % 100}.{number}.0/24"
            net, subnet = self.side.network(f"f{self.seed}-{number}", cidr)
            self.undo.callback(self._delete, f"networks/{net}")
            both = number == 0 or self.dice.random() < 0.7
            sites = [*SITES] if both else [self.dice.choice(SITES)]
            self.dice.shuffle(sites)
            self.nets.append((net, subnet, cidr))
            found.append(sites)
        return found

    def _make_router(self) -> None:
        self.side.router = self.side.make("router", name=f"f{self.seed}")
        router = self.side.router["id"]
        self.undo.callback(self._delete, f"routers/{router}")
        joined = [0, 1, 2] if self.dice.random() < 0.5 else [0, 1]
        for number in joined:
            self.side.interface("add", self.nets[number][1])
            self.undo.callback(self._leave, self.nets[number][1])
        if self.dice.random() < 0.85:
            site = self.dice.choice(SITES)
            zone = self.side.call("GET", f"sites/{site}")["site"]["availability_zones"]
            self.side.leave(site, [*zone])
            self.external = str(self.side.external["id"])
            self.exit_site = site
            self.undo.callback(self._delete, f"networks/{self.external}")
            self.undo.callback(
                self.side.call, "PUT", f"routers/{router}",
                router={"external_gateway_info": None},
            )  # fmt: skip

    def _leave(self, subnet: str) -> None:
        with contextlib.suppress(Exception):
            self.side.interface("remove", subnet)

    def _make_server(self, name: str, site: str, net: str, cidr: str) -> None:
        row = self.lab.create_server(
            name=name, site=site, network=net, security_groups=(self.groups[0],)
        )
        self.undo.callback(self.lab.delete_server, name)
        address = next(one for one in row["addresses"] if ":" not in one)
        self.guests.append(Guest(name, row["netns"], address, row["port_id"], row["port_id"], net,
                                 cidr))  # fmt: skip

    def _open_outside(self) -> None:
        if not self.external:
            return
        rows = [one for one in self.lab.outside.list_rows()
                if one["site"] == self.exit_site and one["type"] == "flat"]  # fmt: skip
        host = next(one for one in rows[0]["hosts"] if ":" not in one)
        netns = self.lab.outside.get(self.exit_site).netns
        self.guests.append(Guest("outside", netns, host, host))

    # --- a round ---

    def shuffle(self, number: int) -> None:
        """Draw rules, memberships, floating IPs and pairs anew."""
        self.dice = random.Random(self.seed * 1000 + number)
        for group in self.groups:
            self._draw_rules(group)
        for guest in self.guests:
            if guest.port:
                self._draw_port(guest)
        self._draw_floating()

    def _draw_rules(self, group: str) -> None:
        path = f"security-group-rules?security_group_id={group}"
        for row in self.side.call("GET", path)["security_group_rules"]:
            self.side.call("DELETE", f"security-group-rules/{row['id']}")
        dice = self.dice
        # Without it a guest loses its address.
        self._rule(group, direction="egress", protocol="udp", port_range_min=67, port_range_max=68)
        for direction in ("egress", "ingress"):
            if direction == "egress" and dice.random() < 0.7:
                self._rule(group, direction=direction)
                continue
            for _ in range(dice.randint(0, 3)):
                more: dict[str, Any] = {}
                protocol = dice.choice(("icmp", "tcp", "tcp", "udp", None))
                if protocol:
                    more["protocol"] = protocol
                if protocol in ("tcp", "udp") and dice.random() < 0.8:
                    low, high = sorted(dice.sample(TCP if protocol == "tcp" else UDP, 2))
                    more |= {"port_range_min": low, "port_range_max": dice.choice((low, high))}
                peer = dice.random()
                if peer < 0.35:
                    more["remote_group_id"] = dice.choice(self.groups)
                elif peer < 0.6:
                    more["remote_ip_prefix"] = dice.choice(self.nets)[2]
                self._rule(group, direction=direction, **more)

    def _rule(self, group: str, **fields: Any) -> None:
        rule = {"security_group_id": group, "ethertype": "IPv4"} | fields
        with contextlib.suppress(Exception):  # the same was drawn twice
            self.side.call("POST", "security-group-rules", security_group_rule=rule)

    def _draw_port(self, guest: Guest) -> None:
        dice, old = self.dice, guest.pair
        guest.pair = ""
        if dice.random() < 0.4:
            net = ipaddress.ip_network(guest.cidr)
            guest.pair = str(net[200 + self.guests.index(guest)])
        if guest.pair != old:
            for verb, address in (("del", old), ("add", guest.pair)):
                if address:
                    inside(guest.netns, "ip", "addr", verb, f"{address}/24", "dev",
                        _device(guest.netns))  # fmt: skip
        first = dice.choice(self.groups)  # Neutron takes no stateful one beside a stateless one
        more = [one for one in self.groups if one != first
                and self.stateful[one] is self.stateful[first]]  # fmt: skip
        groups = [first, *(more[:1] if dice.random() < 0.5 else [])]
        pairs = [{"ip_address": guest.pair}] if guest.pair else []
        port = {"security_groups": groups, "allowed_address_pairs": pairs}
        self.side.call("PUT", f"ports/{guest.port}", port=port)

    def _draw_floating(self) -> None:
        for row in self.floating:
            self._delete(f"floatingips/{row['id']}")
        self.floating.clear()
        joined = {one["fixed_ips"][0]["subnet_id"] for one in self.side.call(
            "GET", f"ports?device_id={self.side.router['id']}"
                   "&device_owner=network:router_interface")["ports"]}  # fmt: skip
        for guest in self.guests:
            guest.public = ""
            reached = any(net == guest.network and subnet in joined
                          for net, subnet, _ in self.nets)  # fmt: skip
            if self.external and guest.port and reached and self.dice.random() < 0.4:
                body = {"floating_network_id": self.external, "port_id": guest.port}
                row = self.side.call("POST", "floatingips", floatingip=body)["floatingip"]
                self.floating.append(row)
                self.undo.callback(self._delete, f"floatingips/{row['id']}")
                guest.public = str(row["floating_ip_address"])

    def list_flows(self) -> list[Flow]:
        """List all flows of a round."""
        found = []
        for one in self.guests:
            for other in self.guests:
                if one is other:
                    continue
                targets = [(other.address, other.asked)] if one.port or not other.port else []
                if other.pair and one.network == other.network:
                    targets.append((other.pair, f"{other.pair}@{other.network}"))
                if other.public:
                    targets.append((other.public, other.public))
                sources = [("", one.asked)]
                if one.pair and one.network == other.network:
                    sources.append((one.pair, f"{one.pair}@{one.network}"))
                found += [
                    Flow(one.name, source, target, (asked, wanted), service)
                    for source, asked in sources for target, wanted in targets
                    for service in SERVICES
                ]  # fmt: skip
        return found

    def send(self, flows: Sequence[Flow]) -> dict[Flow, bool]:
        """Send flows, all at once; tells which were answered."""
        running = []
        with self._listening():
            numbered = {at: one for at, one in enumerate(flows) if not self._is_busy(one)}
            for guest in self.guests:
                mine = [
                    {"id": number, "source": one.source, "target": one.target,
                     "protocol": one.service.partition("/")[0],
                     "port": int(one.service.partition("/")[2] or 0)}
                    for number, one in numbered.items() if one.sender == guest.name
                ]  # fmt: skip
                if mine:
                    running.append((_start(guest.netns, "send"), json.dumps(mine)))
            for process, said in running:
                process.stdin.write(said)
                process.stdin.close()
            answers: dict[str, str] = {}
            for process, _ in running:
                answers |= json.loads(process.stdout.read() or "{}")
                process.wait()
        return {one: str(number) in answers for number, one in numbered.items()}

    def _is_busy(self, flow: Flow) -> bool:
        """Tell whether somebody else answers where a flow goes."""
        port = int(flow.service.partition("/")[2] or 0)
        owners = [one for one in self.guests
                  if flow.target in (one.address, one.pair, one.public)]  # fmt: skip
        return any(port in self.busy.get(one.name, set()) for one in owners)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        ports = ",".join(map(str, sorted({*TCP, *UDP})))
        started = [_start(guest.netns, "listen", ports) for guest in self.guests]
        try:
            for guest, one in zip(self.guests, started, strict=True):
                ready, *busy = one.stdout.readline().split()
                assert ready == "ready"
                self.busy[guest.name] = {int(port) for port in busy}
            yield
        finally:
            for one in started:
                one.stdin.close()
                one.wait()


def _start(netns: str, *words: str) -> Any:
    argv = ["ip", "netns", "exec", netns, sys.executable, str(_HELPER), *words]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(argv, **pipes)


def inside(netns: str, *words: str) -> str:
    """Run a command in a namespace; gives what it prints."""
    argv = ["ip", "netns", "exec", netns, *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def _device(netns: str) -> str:
    rows = json.loads(inside(netns, "ip", "-j", "-4", "route", "show") or "[]")
    return str(next(row["dev"] for row in rows))
