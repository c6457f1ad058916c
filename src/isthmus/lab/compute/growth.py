"""Cells that a site's Nova gets while the lab is up: conductors, queues, and who uses them."""

import json
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isthmus import errors
from isthmus.lab.compute import services
from isthmus.lab.plan import RABBITMQ_PORT, LabPlan
from isthmus.lab.process.ledger import Ledger
from isthmus.lab.process.program import Program
from isthmus.lab.process.start import start
from isthmus.lab.protocols import Tools
from isthmus.lab.tier.mariadb import database_url, find_socket
from isthmus.model.compute.adding import CellServers, NewCell
from isthmus.model.compute.cloud import CellAddress
from isthmus.model.topology import Hypervisor, Tier
from isthmus.services import rabbitmq

#: RabbitMQ's own.
_MANAGEMENT_PORT = 15672
_TRANSPORT = re.compile(r"^transport_url = .*$", re.MULTILINE)
#: A service that does not end for this long, in seconds, is killed.
_END_S = 60
_UP_S = 60
#: A virtual machine of Erlang for a command: 150 s on two cores with 15 processes that want them.
_PLUGIN_S = 600
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class SiteCells:
    """The cells of one site's Nova in a lab that is up; it runs their conductors and computes."""

    plan: LabPlan
    tools: Tools
    ledger: Ledger
    site: Tier

    @property
    def home(self) -> Path:
        """Return the folder of the site's Nova."""
        return services.find_home(self.plan, self.site)

    @property
    def nova_file(self) -> Path:
        """Return the file of Nova's API."""
        return self.home / "nova.conf"

    @property
    def placement_file(self) -> Path:
        """Return Placement's file."""
        return self.home / "placement.conf"

    def find_cell_file(self, name: str) -> Path:
        """Return where the file of a cell is that is added."""
        return self.home / f"added-{name}.conf"

    def open_servers(self) -> CellServers:
        """Return the servers that hold new cells; RabbitMQ's management is enabled for it.

        Raises:
            Unsupported: the site has no Nova.
            StepFailed: RabbitMQ's management does not come up.
        """
        if not self.nova_file.exists():
            raise errors.Unsupported(
                f"{self.site.name} has no Nova: isthmus lab up --compute makes labs that have"
            )
        users = json.loads((self.home / "definitions.json").read_text())["users"]
        admin = next((one for one in users if one["name"] == rabbitmq.RABBITMQ_ADMIN), None)
        if admin is None:
            raise errors.Unsupported("the lab was made by an older isthmus: make a new one")
        place = f"{self.site.management_address}:{_MANAGEMENT_PORT}"
        self._enable_management(f"http://{place}/")
        return CellServers(
            database=database_url(find_socket(self.home), ""),
            queue=f"{self.site.address}:{RABBITMQ_PORT}",
            management=f"http://{admin['name']}:{admin['password']}@{place}",
            reached_from="localhost",
        )

    def _enable_management(self, url: str) -> None:
        if self.tools.answers(url):
            return
        self.tools.run(
            [services.RABBITMQ_PLUGINS, "enable", "rabbitmq_management"],
            netns=self.site.netns,
            env=rabbitmq.rabbitmq_variables(self.home),
            timeout_s=_PLUGIN_S,
        )
        if not _wait(lambda: self.tools.answers(url), _UP_S):
            raise errors.StepFailed(f"RabbitMQ's management does not answer at {url}")

    def stop(self, host: str, cell: CellAddress) -> bool:
        """Stop nova-compute of a host; its guests run on.

        Args:
            host: whose it is.
            cell: that it is in.
        """
        del cell
        self.end(f"{self._get_host(host).name}.compute")
        return True

    def start(self, host: str, cell: CellAddress) -> None:
        """Start nova-compute of a host with the queue of a cell.

        Args:
            host: whose it is.
            cell: whose queue it is to use.
        """
        found = self._get_host(host)
        name = f"{found.name}.compute"
        file = self.plan.host_dir(found) / "nova" / "nova.conf"
        line = f"transport_url = {cell.queue.replace('$', '$$')}"
        before = file.read_text()
        text = _TRANSPORT.sub(lambda _: line, before, count=1)
        if text != before:
            self.end(name)
            part = file.with_suffix(".part")
            part.touch(mode=0o600)
            part.write_text(text)
            part.replace(file)
        if not self.is_running(name):
            start(self.ledger.read().programs[name].program, self.tools, self.ledger)

    def _get_host(self, name: str) -> Hypervisor:
        found = next((one for one in self.site.hypervisors if one.name == name), None)
        if found is None:
            raise errors.NotFound(f"{self.site.name} has no hypervisor {name!r}")
        return found

    def is_running(self, name: str) -> bool:
        """Tell whether a process of the lab runs."""
        running = self.ledger.read().programs.get(name)
        return running is not None and self.tools.processes.is_alive(running.process)

    def end(self, name: str) -> None:
        """End a process of the lab, if it runs."""
        processes = self.tools.processes
        process = self.ledger.read().programs[name].process
        processes.send(process, signal.SIGTERM)
        if not _wait(lambda: not processes.is_alive(process), _END_S):
            processes.send(process, signal.SIGKILL)
            _wait(lambda: not processes.is_alive(process), _END_S)


@dataclass(frozen=True, slots=True)
class SiteConductors:
    """Runs nova-conductor of cells that are added."""

    cells: SiteCells
    by_hand: bool = False

    def start(self, cell: NewCell) -> None:
        """Start it; nothing is done where it runs."""
        program = self._plan(cell)
        if self.cells.is_running(program.name):
            return
        own = self._find_own_file(cell)
        own.write_text(f"[DEFAULT]\nhost = {self.cells.site.name}-{cell.name}\n")
        start(program, self.cells.tools, self.cells.ledger)

    def stop(self, cell: NewCell) -> None:
        """End it, and remove its own file; nothing is done where it does not run."""
        name = self._plan(cell).name
        if name in self.cells.ledger.read().programs:
            self.cells.end(name)
            self.cells.ledger.add("process-gone", name=name)
        self._find_own_file(cell).unlink(missing_ok=True)

    def _find_own_file(self, cell: NewCell) -> Path:
        return self.cells.home / f"conductor-{cell.name}.conf"

    def _plan(self, cell: NewCell) -> Program:
        file = self.cells.find_cell_file(cell.name)
        return services.plan_conductor(self.cells.plan, self.cells.site, cell.name, file)


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
