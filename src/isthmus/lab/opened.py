"""A lab that is up, and what a person does with it."""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.lab import status
from isthmus.lab.demo import Demo, Line
from isthmus.lab.network.opened_outside import OpenOutside
from isthmus.lab.network.server import ServerRequest, Servers
from isthmus.lab.network.wan import Wan
from isthmus.lab.plan import LabPlan
from isthmus.lab.process.ledger import Ledger, Made, Running
from isthmus.lab.process.start import start, wait_until_up
from isthmus.lab.protocols import Tools
from isthmus.lab.verify import Verify
from isthmus.lab.workshop.with_neutron import STOP, Fault
from isthmus.model.verdict import Report

#: How long central may need to hear that a server is gone, in seconds, on a busy machine.
HEARD_TIMEOUT_S = 120
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class OpenLab:
    """A lab that is up, with what is needed to do something with it."""

    plan: LabPlan
    tools: Tools
    ledger: Ledger
    made: Made

    @property
    def wan(self) -> Wan:
        """Return its WAN."""
        return Wan(self.plan, self.tools, self.ledger)

    def list_processes(self) -> list[Any]:
        """List the processes that the lab should have, with their state and memory."""
        return list(status.list_processes(self.ledger.read(), self.tools))

    def summarise(self) -> Any:
        """Summarise the state of the lab."""
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
        """Signal a process of the lab, and those that it has started, as a service manager does.

        Raises:
            NotFound: there is none of that name, or it is dead already.
        """
        processes, process = self.tools.processes, self.get_program(name).process
        children = processes.list_children(process)  # before it: then they have another parent
        if not processes.send(process, number):
            raise errors.NotFound(f"{name} is not running")
        for child in children:
            processes.send(child, number)

    def start(self, name: str) -> None:
        """Start a process of the lab again, and wait until it answers.

        Raises:
            NotFound: there is none of that name.
            Exists: it is running.
            StepFailed: it did not come up.
        """
        running = self.get_program(name)
        if self.tools.processes.is_alive(running.process):
            held = self.tools.processes.is_stopped(running.process)
            how = (
                f"stopped by a signal: {status.say_resume(name, self.plan.name)}"
                if held
                else "running"
            )
            raise errors.Exists(f"{name} is {how} (pid {running.process.pid})")
        found = start(running.program, self.tools, self.ledger)
        wait_until_up(running.program, found, self.tools)

    def find_netns(self, place: str) -> str:
        """Find the namespace of a hypervisor, a tier, its outside, a server or the WAN.

        Raises:
            NotFound: there is none of that name.
        """
        places = {str(tier.name): tier.netns for tier in self.plan.tiers}
        places |= {host.name: host.netns for host in self.plan.hypervisors}
        made = self.ledger.read()
        places |= {row["name"]: row["netns"] for row in made.servers.values()}
        places["wan"] = self.plan.wan_netns
        places |= {
            f"{tier.name}-out": tier.outside.netns for tier in self.plan.sites if tier.outside
        }
        guest = made.find_guest(place)
        if place not in places and guest is not None:
            return str(guest["netns"])
        if place not in places:
            known = ", ".join(places)
            raise errors.NotFound(f"the lab has no place {place!r}; it has: {known}")
        return places[place]

    def shell(self, place: str, command: Sequence[str] = ()) -> int:
        """Open a shell in a namespace of the lab, or run a command there; gives its exit code.

        Args:
            place: see `find_netns`.
            command: what to run instead of a shell.

        Raises:
            NotFound: there is none of that name.
        """
        netns = self.find_netns(place)
        env = {"PS1": rf"({place}) \w# ", **status.variables(self.plan)}
        env |= status.ovn_variables(self.plan, place)
        shell = ["bash", "--norc"] if self.tools.find_program("bash") else ["sh"]
        return self.tools.interact(list(command) or shell, netns=netns, env=env)

    def break_for_workshop(self, fault: Fault) -> None:
        """Break the lab in one way.

        Raises:
            NotFound: the servers of the workshop are not there.
        """
        row = self.servers.get(fault.server)
        if fault.process:
            self.kill(f"{row['host']}.{fault.process}", STOP)
        if fault.command is not None:
            place, argv = fault.command(row)
            env = status.ovn_variables(self.plan, place)
            self.tools.run(["env", *(f"{key}={value}" for key, value in env.items()), *argv],
                           netns=self.find_netns(place))  # fmt: skip

    def list_logins(self) -> list[Any]:
        """List the people that may log in to the dashboard.

        Raises:
            NotFound: the lab has no dashboard.
        """
        from isthmus.lab.dashboard.logins import list_logins

        return list(list_logins(self.plan, self.ledger.read()))

    def verify(self, tell: Callable[[str], None] = lambda _: None) -> Report:
        """Prove that the lab works; `tell` hears of each check that begins."""
        return Verify(self.plan, self.tools, self.ledger, tell).run()

    def run_demo(self, tell: Callable[[Line], None], before: str = "") -> None:
        """Stretch a network over the sites, and tell what was seen.

        Raises:
            StepFailed: something was not as it should be.
        """
        Demo(self.plan, self.tools, self.ledger, tell, before).run()

    def create_server(self, **request: Any) -> Any:
        """Make a server; see `isthmus.lab.network.server.ServerRequest` for what can be asked."""
        wanted = ServerRequest(**request)
        try:
            return self.servers.create(wanted)
        except (errors.TimedOut, errors.StepFailed) as error:
            next_step = status.choose_next(self.list_processes(), self.plan.name, wanted.name)
            raise type(error)(f"{error.message}\n{next_step}", **error.fields) from error

    def delete_server(self, name: str) -> str:
        """Remove a server, and wait until central has heard that its port is free.

        Until then central refuses to delete the port's network, since the port is on it.

        Args:
            name: of the server.

        Returns:
            Why central has not heard of it, where nobody can wait for that; "" where it has.

        Raises:
            NotFound: there is none of that name.
            TimedOut: the server is gone, and central did not hear of it in time.
        """
        row = self.servers.get(name)
        self.servers.delete(name)
        links = {str(one["site"]): one["state"] for one in self.wan.list_links()}
        if links[row["site"]] == "cut":
            return f"{row['site']} is cut off; central hears of it when the link is back"
        try:
            self._await_heard(row)
        except errors.TimedOut:
            raise
        except errors.Transient as error:
            return f"central does not answer: {error.message}"
        return ""

    def _await_heard(self, row: Any) -> None:
        """Wait until central has no port for a server, or nobody in the port that it was given."""
        central = str(self.plan.central.name)
        api = self.tools.open_api(self.plan.clouds_file, central)
        path = f"/v2.0/ports/{row['port_id']}"
        deadline = time.monotonic() + HEARD_TIMEOUT_S
        while True:
            try:
                port = api.call("GET", path)["port"]
            except errors.NotFound:
                return
            if not row["own_port"] and not port["device_id"]:
                return
            if time.monotonic() > deadline:
                raise errors.TimedOut(
                    f"server {row['name']} is gone, but central still has its port {port['id']} "
                    f"({port['device_owner']}, {port['status']}) after {HEARD_TIMEOUT_S} s: "
                    f"{row['site']} has not reported it. Next: isthmus lab logs "
                    f"{row['site']}.neutron; isthmus status",
                    port_id=port["id"],
                    device_owner=port["device_owner"],
                )
            time.sleep(_POLL_S)

    @property
    def outside(self) -> OpenOutside:
        """Return the world outside its sites."""
        return OpenOutside(self.plan, self.tools)

    @property
    def servers(self) -> Servers:
        """Return its servers."""
        return Servers(self.plan, self.tools, self.ledger)
