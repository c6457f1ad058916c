"""One question of a cloud in a lab, and the hands by which a fault is brought about there."""

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.flow_cloud import Guest
from bench.ground import api
from bench.injected.stage import Stage
from isthmus.clients.machine import shell
from isthmus.lab import status
from isthmus.lab.opened import OpenLab


@dataclass(slots=True)
class Scene:
    """Two ends, and what lies between them."""

    cloud: Stage
    a: Guest
    b: Guest
    asked: tuple[str, str]
    service: str = "icmp"
    family: int = 4

    @property
    def lab(self) -> OpenLab:
        """Return the lab."""
        return self.cloud.lab

    @property
    def router(self) -> str:
        """Return the id of the router."""
        return str(self.cloud.side.router["id"])

    # --- Neutron ---

    def call(self, method: str, path: str, cloud: str = "central", **body: Any) -> Any:
        """Call a Neutron."""
        return api(self.lab, cloud).call(method, f"/v2.0/{path}", body=body or None)

    def get(self, noun: str, ident: str, cloud: str = "central") -> dict[str, Any]:
        """Return one object."""
        found: dict[str, Any] = self.call("GET", f"{noun}s/{ident}", cloud)[noun]
        return found

    def put(self, noun: str, ident: str, cloud: str = "central", **fields: Any) -> None:
        """Change one object."""
        api(self.lab, cloud).call("PUT", f"/v2.0/{noun}s/{ident}", body={noun: fields})

    def make(self, noun: str, plural: str = "", **fields: Any) -> dict[str, Any]:
        """Make an object at central."""
        path = f"/v2.0/{plural or f'{noun}s'}"
        answer = api(self.lab, "central").call("POST", path, body={noun: fields})
        found: dict[str, Any] = answer[noun]
        return found

    def delete(self, path: str) -> None:
        """Delete an object at central."""
        self.call("DELETE", path)

    def interface(self, network: str) -> dict[str, Any]:
        """Return the router's port on a network."""
        path = f"ports?device_id={self.router}&network_id={network}"
        rows: list[dict[str, Any]] = self.call("GET", path)["ports"]
        return next(one for one in rows if ":" not in one["fixed_ips"][0]["ip_address"])

    def interface_six(self, network: str) -> dict[str, Any]:
        """Return the router's port on a network that has its IPv6 address."""
        path = f"ports?device_id={self.router}&network_id={network}"
        rows: list[dict[str, Any]] = self.call("GET", path)["ports"]
        return next(one for one in rows if ":" in one["fixed_ips"][0]["ip_address"])

    def gateway(self) -> dict[str, Any]:
        """Return the router's gateway port."""
        path = f"ports?device_id={self.router}&device_owner=network:router_gateway"
        rows: list[dict[str, Any]] = self.call("GET", path)["ports"]
        return rows[0]

    @contextlib.contextmanager
    def group(self, guest: Guest, *rules: dict[str, Any], stateful: bool = True) -> Iterator[None]:
        """Have a guest's port in a group of these rules alone."""
        made = self.make("security_group", "security-groups", stateful=stateful,
                         name=f"g-{secrets.token_hex(3)}")  # fmt: skip
        for one in made["security_group_rules"]:
            self.delete(f"security-group-rules/{one['id']}")
        for rule in rules:
            self.make("security_group_rule", "security-group-rules",
                      security_group_id=made["id"], ethertype="IPv4", **rule)  # fmt: skip
        before = self.get("port", guest.port)["security_groups"]
        self.put("port", guest.port, security_groups=[made["id"]])
        try:
            yield
        finally:
            self.put("port", guest.port, security_groups=before)
            with contextlib.suppress(Exception):  # a site may have yet to hear of the change
                self.delete(f"security-groups/{made['id']}")

    # --- rows and hosts ---

    def at(self, place: str, *argv: str) -> str:
        """Run a command at a place; gives what it prints."""
        env = status.ovn_variables(self.lab.plan, place)
        words = ["env", *(f"{key}={value}" for key, value in env.items()), *argv]
        return shell.run(words, netns=self.lab.find_netns(place)).stdout.strip()

    def nb(self, site: str, *words: str) -> str:
        """Run `ovn-nbctl` at a site."""
        return self.at(site, "ovn-nbctl", *words)

    def sb(self, site: str, *words: str) -> str:
        """Run `ovn-sbctl` at a site."""
        return self.at(site, "ovn-sbctl", *words)

    def vs(self, host: str, *words: str) -> str:
        """Run `ovs-vsctl` on a hypervisor."""
        return self.at(host, "ovs-vsctl", *words)

    def find(self, tool: Callable[..., str], place: str, table: str, *conditions: str,
             column: str = "_uuid") -> str:  # fmt: skip
        """Return a column of the first row that meets conditions; empty where there is none."""
        said = tool(place, "--bare", f"--columns={column}", "find", table, *conditions)
        return said.splitlines()[0].strip() if said else ""

    @contextlib.contextmanager
    def setting(
        self, host: str, key: str, value: str | None, table: str = "external_ids"
    ) -> Iterator[None]:
        """Have Open vSwitch on a hypervisor be told something else, or nothing."""
        column = f"{table}:{key}"
        before = self.vs(host, "--if-exists", "get", "Open_vSwitch", ".", column).strip('"')
        self._tell(host, table, key, value)
        try:
            yield
        finally:
            self._tell(host, table, key, before or None)

    def _tell(self, host: str, table: str, key: str, value: str | None) -> None:
        if value is None:
            self.vs(host, "remove", "Open_vSwitch", ".", table, key)
        else:
            self.vs(host, "set", "Open_vSwitch", ".", f"{table}:{key}={json.dumps(value)}")

    def device(self, host: str, address: str) -> str:
        """Return by which device a hypervisor sends to an address."""
        rows = json.loads(self.at(host, "ip", "-j", "route", "get", address))
        return str(rows[0]["dev"])

    def mtu(self, host: str, device: str) -> int:
        """Return what a device carries."""
        return int(json.loads(self.at(host, "ip", "-j", "link", "show", device))[0]["mtu"])

    @contextlib.contextmanager
    def narrow(self, host: str, device: str, mtu: int) -> Iterator[None]:
        """Have a device carry less."""
        before = self.mtu(host, device)
        self.at(host, "ip", "link", "set", device, "mtu", str(mtu))
        try:
            yield
        finally:
            self.at(host, "ip", "link", "set", device, "mtu", str(before))

    def encap(self, host: str) -> str:
        """Return the tunnel address of a hypervisor."""
        return self.vs(host, "get", "Open_vSwitch", ".", "external_ids:ovn-encap-ip").strip('"')

    @contextlib.contextmanager
    def stopped(self, *processes: str) -> Iterator[None]:
        """Have processes hang."""
        import signal

        for one in processes:
            self.lab.kill(one, signal.SIGSTOP)
        try:
            yield
        finally:
            for one in processes:
                self.lab.kill(one, signal.SIGCONT)

    @contextlib.contextmanager
    def dead(self, process: str) -> Iterator[None]:
        """Have a process be dead."""
        import signal

        self.lab.kill(process, signal.SIGKILL)
        try:
            yield
        finally:
            self.lab.start(process)

    def sql(self, site: str, text: str) -> list[Any]:
        """Change the Neutron database of a site, or central's, behind its back."""
        plan = self.lab.plan
        tier = next(one for one in plan.tiers if str(one.name) == site)
        file = plan.tier_dir(tier) / "neutron.db"
        with contextlib.closing(sqlite3.connect(file, timeout=60)) as found, found:
            return found.execute(text).fetchall()

    def isthmus(self, *words: str) -> None:
        """Run our own command against the lab."""
        from tests.lab.person import Person

        Person(self.lab.plan).run(*words)


Inject = Callable[[Scene], Iterator[None]]


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that is brought about: a generator, which undoes it behind its `yield`."""

    cause: str  #: name of its class in the catalogue
    code: str  #: by which it is to be told
    kind: str  #: of the question: see `stage.KINDS`
    run: Inject
    service: str = "icmp"
    family: int = 4
    touches: str = ""  #: two that touch the same are not brought about at once
    alone: bool = False  #: it asks another question, so nothing else is brought about with it
    lasting: bool = False  #: it cannot be undone
    rough: bool = False  #: what it leaves may last longer than the fault, so it comes last
    wanted: bool = True  #: told as what hinders; else as advice, behind all else


FAULTS: list[Injected] = []


def fault(cause: str, code: str, kind: str, **more: Any) -> Callable[[Inject], Inject]:
    """Note a fault.

    Args:
        cause: name of its class in the catalogue.
        code: by which it is to be told.
        kind: of the question.
        more: what else `Injected` has.
    """

    def note(run: Inject) -> Inject:
        FAULTS.append(Injected(cause, code, kind, run, **more))
        return run

    return note
