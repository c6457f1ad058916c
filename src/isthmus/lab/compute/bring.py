"""Bring up what a site with a Nova has besides: who waits for whom.

Nova has a zygote of its own, since Neutron and Nova cannot be imported by one process. It imports
while Neutron's parts come up.
"""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from isthmus import errors
from isthmus.lab.compute import services
from isthmus.lab.compute.image import NAME, render_image
from isthmus.lab.compute.services import ComputeFiles, ComputeServices, People
from isthmus.lab.compute.template import make_databases
from isthmus.lab.plan import LabPlan
from isthmus.lab.process.ledger import Ledger
from isthmus.lab.process.program import Program
from isthmus.lab.process.start import log_end, start, wait_until_up
from isthmus.lab.protocols import Tools, Zygote
from isthmus.lab.tier.maker import MARKER
from isthmus.lab.tier.mariadb import DATA
from isthmus.lab.tier.template import Templates
from isthmus.model.host.process import ProcessId
from isthmus.model.topology import Topology

#: Longest wait for the hypervisors to be in their cells, in seconds, on a busy machine.
DISCOVERY_TIMEOUT_S = 300
_POLL_S = 0.1

Phase = Callable[[str], AbstractContextManager[None]]


class UploadImage(Protocol):
    """Gives an image to the Glance of a site."""

    def __call__(self, clouds_file: Path, cloud: str, name: str, data: bytes) -> None:
        """Upload it, for everybody to use.

        Args:
            clouds_file: of the lab.
            cloud: of the site's administrator.
            name: of the image.
            data: the image itself.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeRequest:
    """What a person asks of the sites' Nova."""

    files: ComputeFiles
    upload: UploadImage
    cells: int = 1
    metadata: bool = False  #: whether hypervisors have Neutron's metadata agent

    def check(self, topology: Topology) -> None:
        """Make sure that no cell is without a hypervisor.

        Raises:
            Invalid: one would be.
        """
        for site in topology.sites:
            if self.cells > max(len(site.hosts), 1):
                raise errors.Invalid(
                    f"{self.cells} cells need as many hypervisors, and {site.name} has "
                    f"{len(site.hosts)}"
                )


class Compute:
    """The Novas of one lab that comes up."""

    def __init__(
        self,
        plan: LabPlan,
        request: ComputeRequest,
        *,
        tools: Tools,
        templates: Templates,
        ledger: Ledger,
        phase: Phase,
    ) -> None:
        """Bind it; nothing is made yet.

        Args:
            plan: of the lab.
            request: what the person asks for.
            tools: what to make it with.
            templates: databases.
            ledger: where to write down what is made.
            phase: tells the person what goes on while it is entered.
        """
        self._plan = plan
        self._request = request
        self._tools = tools
        self._templates = templates
        self._ledger = ledger
        self._phase = phase
        self._sites: list[ComputeServices] = []
        self._early: list[tuple[Program, ProcessId]] = []
        self._zygote: Zygote | None = None

    def begin(self) -> None:
        """Start to import; call it early."""
        env = {MARKER: str(self._plan.folder), **services.ZYGOTE_ENV}
        log = self._plan.log_dir / "zygote-nova.log"
        self._zygote = self._tools.processes.open_zygote(services.PRELOAD, log, env)

    def prepare(self, people: People) -> None:
        """Write files, copy databases, and start MariaDB and RabbitMQ.

        Args:
            people: the users of the lab's Keystone.
        """
        plan, request = self._plan, self._request
        with self._phase("databases and queues of Nova"):
            template = make_databases(self._templates, self._tools, request.cells)
            self._sites = [
                services.plan_compute(plan, site, people, request.files, request.cells)
                for site in plan.sites
            ]
            for one in self._sites:
                self._write(one, template)
            early = [program for one in self._sites for program in one.early]
            with ThreadPoolExecutor(max_workers=4) as pool:
                processes = pool.map(lambda each: start(each, self._tools, self._ledger), early)
                self._early = list(zip(early, processes, strict=True))

    def serve(self) -> None:
        """Start the APIs and the workers; call it when Keystone and Neutron answer.

        Raises:
            StepFailed: one did not come up, or a hypervisor did not announce itself.
        """
        with self._phase("Placement, Glance and Nova"):
            middle = [program for one in self._sites for program in one.middle]
            running = [(program, self._start(program)) for program in middle]
            for program, process in self._early:  # workers without a queue wait long for it
                wait_until_up(program, process, self._tools)
            for program in (program for one in self._sites for program in one.late):
                self._start(program)
            discoveries = [(one, self._start(one.discovery)) for one in self._sites]
            for program, process in running:
                wait_until_up(program, process, self._tools)
            image = render_image()
            for site in self._plan.sites:
                self._request.upload(self._plan.clouds_file, str(site.name), NAME, image)
            deadline = time.monotonic() + DISCOVERY_TIMEOUT_S
            for one, process in discoveries:
                while self._tools.processes.is_alive(process):
                    if time.monotonic() > deadline:
                        raise errors.StepFailed(log_end(one.discovery.log))
                    time.sleep(_POLL_S)
                self._check_discovered(one)

    def close(self) -> None:
        """End the zygote; what it forked goes on."""
        if self._zygote is not None:
            self._zygote.close()

    def _start(self, program: Program) -> ProcessId:
        # Glance declares options of the same names as Nova: it imports by itself.
        zygote = None if program.name.endswith(".glance") else self._zygote
        return start(program, self._tools, self._ledger, zygote)

    def _check_discovered(self, one: ComputeServices) -> None:
        self._ledger.add("process-gone", name=one.discovery.name)
        if not one.discovered.exists():
            raise errors.StepFailed(log_end(one.discovery.log))

    def _write(self, one: ComputeServices, template: Path) -> None:
        for folder in one.folders:
            folder.mkdir(parents=True, exist_ok=True)
        for path, text in one.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(text)
        shutil.copytree(template, one.site.home / DATA)
