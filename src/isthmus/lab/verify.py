"""Prove that a lab works: its processes, its APIs, and packets from every site to every other.

Probe servers are made on a network of their own, and taken away again, whatever happens.
"""

import contextlib
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from isthmus import errors
from isthmus.lab.network.server import ServerRequest, Servers
from isthmus.lab.plan import LabPlan
from isthmus.lab.process.ledger import Ledger
from isthmus.lab.protocols import Api, Tools
from isthmus.model.form import counted
from isthmus.model.verdict import Answer, Report, Ruling, Severity, Subject, Verdict

#: From the address being there to the first reply, on a busy machine; seconds.
PING_TIMEOUT_S = 60
#: A network goes only when its last port is gone everywhere; seconds.
REMOVE_TIMEOUT_S = 60
_POLL_S = 0.3
_SEE_LOGS = "isthmus lab logs says why"
_CIDR = {4: "10.254.0.0/24", 6: "fd00:1571:254::/64"}


class Verify:
    """The checks of one lab."""

    def __init__(
        self,
        plan: LabPlan,
        tools: Tools,
        ledger: Ledger,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Bind them.

        Args:
            plan: of the lab.
            tools: of the machine.
            ledger: what was made.
            tell: hears of each check that begins.
        """
        self._plan = plan
        self._tell = tell
        self._tools = tools
        self._ledger = ledger
        self._servers = Servers(plan, tools, ledger)
        made = ledger.read()
        self._stock = bool(made.settings.get("stock"))
        self._rulings: list[Ruling] = []
        self._broken: list[Verdict] = []

    def run(self) -> Report:
        """Run every check; what fails is a verdict, not an error.

        What cannot be told while something else is broken is not seen, and a lab of stock sites
        has no sites to be reachable for each other.
        """
        self._check("processes", self._processes, "isthmus lab start NAME brings one up again")
        for tier in self._plan.tiers:
            self._check(f"API of {tier.name}", self._api(str(tier.name)), _SEE_LOGS)
        if self._stock:
            self._skip(Answer.NOT_APPLICABLE, "its sites are stock ML2/OVN")
        elif self._broken:
            self._skip(Answer.NOT_SEEN, f"{self._broken[0].subject} is broken")
        else:
            self._check("sites at central", self._sites, "isthmus status says why")
            self._check_pings()
        return Report(findings=tuple(self._broken), rulings=tuple(self._rulings))

    def _check(self, name: str, check: Callable[[], str], remedy: str) -> None:
        self._tell(name)
        try:
            said = check()
        except errors.IsthmusError as error:
            self._fail(name, error, remedy)
        else:
            self._rulings.append(Ruling(check=name, answer=Answer.FINE, why=said))

    def _fail(self, name: str, error: errors.IsthmusError, remedy: str) -> None:
        self._rulings.append(Ruling(check=name, answer=Answer.FOUND, why=error.message))
        self._broken.append(
            Verdict(
                code=f"lab.{name.split(maxsplit=1)[0].lower()}",
                severity=Severity.BROKEN,
                subject=Subject(name),
                message=f"{name} failed",
                evidence=error.message,
                remedy=remedy,
            )
        )

    def _skip(self, answer: Answer, why: str) -> None:
        for name in ("sites at central", "ping"):
            self._rulings.append(Ruling(check=name, answer=answer, why=why))

    def _processes(self) -> str:
        programs = self._ledger.read().programs
        dead = [
            name
            for name, running in programs.items()
            if not self._tools.processes.is_alive(running.process)
        ]
        if dead:
            raise errors.StepFailed(f"dead: {', '.join(dead)}; see: isthmus lab start {dead[0]}")
        held = [
            name
            for name, running in programs.items()
            if self._tools.processes.is_stopped(running.process)
        ]
        if held:
            go_on = f"isthmus lab kill {held[0]} --signal CONT"
            raise errors.StepFailed(f"stopped by a signal: {', '.join(held)}; see: {go_on}")
        return f"{len(programs)} alive"

    def _api(self, tier: str) -> Callable[[], str]:
        def check() -> str:
            api = self._tools.open_api(self._plan.clouds_file, tier)
            return counted(len(api.get_all("network")), "network")

        return check

    def _sites(self) -> str:
        api = self._central()
        deadline = time.monotonic() + PING_TIMEOUT_S
        while True:
            rows = api.get_all("site")
            lost = [row["name"] for row in rows if row["reachability"] != "reachable"]
            if not lost and len(rows) == len(self._plan.joined_sites):
                return f"{len(rows)} reachable"
            if time.monotonic() > deadline:
                raise errors.StepFailed(f"not reachable for central: {', '.join(lost) or 'all'}")
            time.sleep(_POLL_S)

    def _central(self) -> Api:
        return self._tools.open_api(self._plan.clouds_file, str(self._plan.central.name))

    def _check_pings(self) -> None:
        name = f"verify-{uuid.uuid4().hex[:6]}"
        self._tell("probe servers")
        try:
            with self._network(name) as network_id, self._probes(name, network_id) as probes:
                for one, other in itertools.permutations(probes, 2):
                    check = self._ping(one, other)
                    self._check(f"ping {one['site']} to {other['site']}", check, "isthmus audit")
        except errors.IsthmusError as error:
            self._fail("probe servers", error, _SEE_LOGS)

    @contextlib.contextmanager
    def _network(self, name: str) -> Iterator[str]:
        api = self._central()
        made = api.call("POST", "/v2.0/networks", body={"network": {"name": name}})
        network_id = made["network"]["id"]
        try:
            for version, cidr in _CIDR.items():
                body: dict[str, Any] = {"network_id": network_id, "ip_version": version}
                body["cidr"] = cidr
                if version == 6:
                    body |= {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
                api.call("POST", "/v2.0/subnets", body={"subnet": body})
            yield network_id
        finally:
            self._remove(api, network_id)

    def _remove(self, api: Api, network_id: str) -> None:
        deadline = time.monotonic() + REMOVE_TIMEOUT_S
        while True:
            try:
                api.call("DELETE", f"/v2.0/networks/{network_id}")
            except errors.NotFound:
                return
            except (errors.Conflict, errors.Transient, errors.StepFailed):
                # A site has not said yet that the last port is gone.
                if time.monotonic() > deadline:
                    raise
            else:
                return
            time.sleep(_POLL_S)

    @contextlib.contextmanager
    def _probes(self, name: str, network_id: str) -> Iterator[list[Any]]:
        requests = [
            ServerRequest(name=f"{name}-{tier.name}", site=str(tier.name), network=network_id)
            for tier in self._plan.joined_sites
        ]
        try:
            with ThreadPoolExecutor(max_workers=4) as pool:
                yield list(pool.map(self._servers.create, requests))
        finally:
            for request in requests:
                with contextlib.suppress(errors.NotFound):
                    self._servers.delete(request.name)

    def _ping(self, one: Any, other: Any) -> Callable[[], str]:
        def check() -> str:
            began = time.monotonic()
            for address in other["addresses"]:
                self._await_reply(one["name"], address)
            waited = time.monotonic() - began
            return f"{', '.join(other['addresses'])} answered within {waited:.1f} s"

        return check

    def _await_reply(self, server: str, address: str) -> None:
        deadline = time.monotonic() + PING_TIMEOUT_S
        while True:
            code, _ = self._servers.run(server, ["ping", "-n", "-c", "1", "-W", "1", address])
            if code == 0:
                return
            if time.monotonic() > deadline:
                raise errors.StepFailed(f"no reply from {address} within {PING_TIMEOUT_S} s")
            time.sleep(_POLL_S)
