"""Joins the lab with this machine: its commands, processes and APIs, and where labs are kept."""

import contextlib
import ipaddress
import json
import os
import re
import signal
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus import errors
from isthmus.clients import lab_cloud, process, shell
from isthmus.lab import down as lab_down
from isthmus.lab import status
from isthmus.lab.capability import check_machine
from isthmus.lab.network.server import Servers, Wish
from isthmus.lab.network.wan import Wan
from isthmus.lab.plan import MAX_LABS, LabPlan, check_lab_name, management_range, plan_lab, prefix
from isthmus.lab.ports import Reporter, Tools
from isthmus.lab.process.ledger import FILE, Ledger, Made, Running
from isthmus.lab.process.lock import locked
from isthmus.lab.process.start import start, wait_until_up
from isthmus.lab.story import Line, Story
from isthmus.lab.tier.template import Templates
from isthmus.lab.topology import default_topology, parse_topology
from isthmus.lab.up import Installed, Up
from isthmus.lab.verify import Verify
from isthmus.model.topology import Topology

#: Where labs are kept; each in a folder of its name.
STATE_VARIABLE = "ISTHMUS_STATE"
DEFAULT_STATE = Path("/var/lib/isthmus")
_TEMPLATES = ".templates"
_LOCK = ".lock"
#: Longest wait for others that choose a lab's number; each takes one short command.
NUMBER_TIMEOUT_S = 60
#: A child of an `up` that was killed as it started it holds the lock until it has become its
#: program; seconds, on a busy machine.
_FORK_S = 2.0
_OVN_SCHEMAS = Path("/usr/share/ovn")
_OVS_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


class MachineProcesses:
    """The processes of this machine."""

    spawn = staticmethod(process.spawn)
    is_alive = staticmethod(process.is_alive)
    send = staticmethod(process.send)
    find_marked = staticmethod(process.find_marked)
    memory_kib = staticmethod(process.memory_kib)
    open_zygote = staticmethod(process.Zygote)


def machine_tools() -> Tools:
    """Give the tools of this machine."""
    return Tools(
        run=shell.run,
        find_program=shell.find_program,
        interact=shell.interact,
        processes=MachineProcesses(),
        answers=lab_cloud.answers,
        open_api=lab_cloud.open_cloud,
    )


def state_dir() -> Path:
    """Say where labs are kept."""
    return Path(os.environ.get(STATE_VARIABLE) or DEFAULT_STATE)


@dataclass(frozen=True, slots=True)
class OpenLab:
    """A lab that is up, with what is needed to do something with it."""

    plan: LabPlan
    tools: Tools
    ledger: Ledger
    made: Made

    @property
    def wan(self) -> Wan:
        """Give its WAN."""
        return Wan(self.plan, self.tools, self.ledger)

    def list_processes(self) -> list[Any]:
        """List the processes that the lab should have, with their state and memory."""
        return list(status.list_processes(self.ledger.read(), self.tools))

    def summarise(self) -> Any:
        """Say how the lab is."""
        made = self.ledger.read()
        processes = self.list_processes()
        return status.summarise(self.plan, made, processes, self.wan.list_links())

    def variables(self) -> str:
        """Write what a shell must export to use the lab."""
        return status.render_variables(self.plan)

    def get_program(self, name: str) -> Running:
        """Find a process of the lab.

        Raises:
            NotFound: there is none of that name.
        """
        programs = self.ledger.read().programs
        if name not in programs:
            known = ", ".join(programs)
            raise errors.NotFound(f"the lab has no process {name!r}; it has: {known}")
        return programs[name]

    def kill(self, name: str, number: signal.Signals) -> None:
        """Signal a process of the lab.

        Raises:
            NotFound: there is none of that name, or it is dead already.
        """
        if not self.tools.processes.send(self.get_program(name).process, number):
            raise errors.NotFound(f"{name} is not running")

    def start(self, name: str) -> None:
        """Start a process of the lab again, and wait until it answers.

        Raises:
            NotFound: there is none of that name.
            Exists: it is running.
            StepFailed: it did not come up.
        """
        running = self.get_program(name)
        if self.tools.processes.is_alive(running.process):
            raise errors.Exists(f"{name} is running (pid {running.process.pid})")
        found = start(running.program, self.tools, self.ledger)
        wait_until_up(running.program, found, self.tools)

    def find_netns(self, place: str) -> str:
        """Find the namespace of a hypervisor, a tier, a server or the WAN.

        Raises:
            NotFound: there is none of that name.
        """
        places = {str(tier.name): tier.netns for tier in self.plan.tiers}
        places |= {host.name: host.netns for host in self.plan.hypervisors}
        places |= {row["name"]: row["netns"] for row in self.ledger.read().servers.values()}
        places["wan"] = self.plan.wan_netns
        if place not in places:
            known = ", ".join(places)
            raise errors.NotFound(f"the lab has no place {place!r}; it has: {known}")
        return places[place]

    def shell(self, place: str) -> int:
        """Open a shell in a namespace of the lab; gives its exit code.

        Raises:
            NotFound: there is none of that name.
        """
        netns = self.find_netns(place)
        env = {"PS1": rf"({place}) \w# ", **status.variables(self.plan)}
        hosts = {host.name: host for host in self.plan.hypervisors}
        if place in hosts:
            env["OVS_RUNDIR"] = env["OVN_RUNDIR"] = str(self.plan.host_dir(hosts[place]))
        command = ["bash", "--norc"] if shell.find_program("bash") else ["sh"]
        return self.tools.interact(command, netns=netns, env=env)

    def verify(self) -> list[dict[str, str]]:
        """Prove that the lab works; gives a row per check."""
        return [found.to_row() for found in Verify(self.plan, self.tools, self.ledger).run()]

    def tell_story(self, tell: Callable[[Line], None], before: str = "") -> None:
        """Stretch a network over the sites, and tell what was seen.

        Raises:
            StepFailed: something was not as it should be.
        """
        Story(self.plan, self.tools, self.ledger, tell, before).run()

    def create_server(self, **wish: Any) -> Any:
        """Make a server; see `isthmus.lab.network.server.Wish` for what can be asked."""
        return self.servers.create(Wish(**wish))

    @property
    def servers(self) -> Servers:
        """Give its servers."""
        return Servers(self.plan, self.tools, self.ledger)


class Labs:
    """The labs of this machine."""

    def __init__(self, folder: Path | None = None, tools: Tools | None = None) -> None:
        """Bind them.

        Args:
            folder: where labs are kept; None for what the environment says.
            tools: of the machine; None for the real ones.
        """
        self.folder = folder or state_dir()
        self._tools = tools or machine_tools()

    @property
    def templates(self) -> Templates:
        """Give the cache of databases that all labs share."""
        return Templates(self.folder / _TEMPLATES, shell.run)

    def up(
        self,
        name: str,
        topology: Topology,
        *,
        reporter: Reporter,
        stock: bool = False,
    ) -> OpenLab:
        """Bring a lab up.

        Args:
            name: of the new lab.
            topology: what it is to have.
            reporter: hears of the progress.
            stock: whether its sites are plain ML2/OVN.

        Raises:
            Exists: there is a lab of that name, whole or not.
            Unsupported: the machine cannot do it.
            Busy: others have been choosing a number for their lab for a minute.
            StepFailed: something did not come up; what there is stays, for `logs` and `down`.
        """
        check_lab_name(name)
        folder = self.folder / name
        self._check_absent(name)
        check_machine(self._tools)
        with contextlib.ExitStack() as held:
            # Until the ledger tells the number, nobody else can know that it is taken.
            with self._choosing():
                self._check_absent(name)  # others may have come first
                plan = plan_lab(topology, name=name, number=self._free_number(), folder=folder)
                folder.mkdir(exist_ok=True, mode=0o700)
                held.enter_context(_one_at_a_time(folder))
                Ledger(folder).add(
                    "settings",
                    values={"number": plan.number, "stock": stock, "sites": _sites(topology)},
                )
            Up(
                plan,
                tools=self._tools,
                templates=self.templates,
                installed=find_installed(),
                reporter=reporter,
                stock=stock,
            ).run()
        return self.open(name)

    def down(self, name: str) -> int:
        """Remove a lab; gives how many processes were alive.

        Raises:
            NotFound: there is no such lab.
            Busy: somebody is bringing it up right now.
        """
        check_lab_name(name)
        folder = self.folder / name
        if not Ledger(folder).exists:
            raise errors.NotFound(f"lab {name!r} is not up, so there is nothing to take down")
        with _one_at_a_time(folder):
            return lab_down.take_down(folder, self._tools)

    def open(self, name: str) -> OpenLab:
        """Open a lab that is up.

        Raises:
            NotFound: there is no such lab.
        """
        check_lab_name(name)
        folder = self.folder / name
        ledger = Ledger(folder)
        made = ledger.read()
        sites = {"sites": made.settings["sites"]}
        topology = parse_topology(_dump(sites), str(folder / FILE))
        plan = plan_lab(topology, name=name, number=made.settings["number"], folder=folder)
        return OpenLab(plan, self._tools, ledger, made)

    def list_names(self) -> list[str]:
        """List the labs that are there."""
        if not self.folder.is_dir():
            return []
        return sorted(entry.parent.name for entry in self.folder.glob(f"[a-z]*/{FILE}"))

    def _check_absent(self, name: str) -> None:
        folder = self.folder / name
        if Ledger(folder).exists:
            state = "up" if Ledger(folder).read().whole else "there, though not whole,"
            raise errors.Exists(
                f"lab {name!r} is {state} already; see: isthmus lab down{_as(name)}"
            )
        foreign = sorted(entry.name for entry in shell.NETNS_DIR.glob(f"{prefix(name)}*"))
        if foreign:
            raise errors.Exists(
                f"there are namespaces of a lab {name!r} that {self.folder} does not know "
                f"({foreign[0]} ...): choose another --name, or set {STATE_VARIABLE} to its folder"
            )

    def _choosing(self) -> AbstractContextManager[None]:
        """Keep others from choosing a number meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        busy = f"others are choosing the numbers of their labs in {self.folder}: try again"
        return locked(self.folder / _LOCK, busy, NUMBER_TIMEOUT_S)

    def _free_number(self) -> int:
        used = set(self._used_numbers())
        addresses = self._tools.run(["ip", "-o", "-4", "addr", "show"]).stdout
        present = re.findall(r"inet (\d+\.\d+\.\d+\.\d+)", addresses)
        for number in range(MAX_LABS):
            links = management_range(number)
            if number not in used and not any(_in(address, links) for address in present):
                return number
        raise errors.Exhausted(f"this machine has {MAX_LABS} labs already")

    def _used_numbers(self) -> Iterator[int]:
        for name in self.list_names():
            # Between the two looks somebody may have taken it down.
            with contextlib.suppress(errors.NotFound):
                yield Ledger(self.folder / name).read().settings["number"]


def choose_topology(file: Path | None, sites: int | None, hosts: int | None) -> Topology:
    """Read what the person asked for.

    Raises:
        Invalid: it is wrong, or says two things at once.
        NotFound: there is no such file.
    """
    if file is None:
        return default_topology(2 if sites is None else sites, 2 if hosts is None else hosts)
    if sites is not None or hosts is not None:
        raise errors.Invalid("--topology says it all: leave out --sites and --hosts")
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise errors.NotFound(f"{file} cannot be read: {exc}") from exc
    return parse_topology(text, str(file))


def find_installed() -> Installed:
    """Find the files that the programs brought along.

    Raises:
        Unsupported: one is not there.
    """
    paste = Path(sysconfig.get_path("data")) / "etc" / "neutron" / "api-paste.ini"
    for needed in (paste, _OVS_SCHEMA, _OVN_SCHEMAS / "ovn-nb.ovsschema"):
        if not needed.exists():
            raise errors.Unsupported(f"{needed} is not there; run: ./dev setup")
    return Installed(paste_file=paste, ovn_schemas=_OVN_SCHEMAS, ovs_schema=_OVS_SCHEMA)


def _sites(topology: Topology) -> list[dict[str, Any]]:
    return [
        {
            "name": str(site.name),
            "hosts": list(site.hosts),
            "wan_rtt_ms": site.wan_rtt_ms,
            "flavour": "stock" if site.is_stock else "local",
        }
        for site in topology.sites
    ]


def _dump(value: Any) -> str:
    return json.dumps(value)  # JSON is YAML


def _as(name: str) -> str:
    return "" if name == "lab" else f" --name {name}"


def _in(address: str, links: ipaddress.IPv4Network) -> bool:
    return ipaddress.IPv4Address(address) in links


def _one_at_a_time(folder: Path) -> AbstractContextManager[None]:
    """Keep others from bringing the same lab up or down meanwhile."""
    busy = f"somebody is bringing lab {folder.name!r} up or down just now"
    return locked(folder / "lock", busy, _FORK_S)
