"""How a lab is, right now: its processes, their memory, its links and servers."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.lab.plan import LabPlan
from isthmus.lab.process.ledger import Made
from isthmus.lab.protocols import Processes, Tools
from isthmus.model.host.process import ProcessId

Row = Mapping[str, Any]
_RESUME = "isthmus lab kill {} --signal CONT"
#: States of a process that does nothing, what a person is told of it, and what to do.
_NEXT = (
    ("down", "Not running", "isthmus lab start {}"),
    ("stopped", "Stopped by a signal", _RESUME),
)


def list_processes(made: Made, tools: Tools) -> list[Row]:
    """List the processes that the lab should have."""
    return [
        {
            "name": name,
            "state": _tell_state(tools.processes, running.process),
            "pid": running.process.pid,
            "memory_mib": round(tools.processes.memory_kib(running.process) / 1024, 1),
            "log": str(running.program.log),
        }
        for name, running in made.programs.items()
    ]


def _as_option(lab: str) -> str:
    return "" if lab == "lab" else f" --name {lab}"


def say_resume(process: str, lab: str) -> str:
    """Write the command by which a process goes on that a signal has stopped."""
    return f"{_RESUME.format(process)}{_as_option(lab)}"


def _tell_state(processes: Processes, process: ProcessId) -> str:
    if not processes.is_alive(process):
        return "down"
    return "stopped" if processes.is_stopped(process) else "up"


def choose_next(processes: Sequence[Row], lab: str, server: str) -> str:
    """Return what a person does about a server that did not come up. Pure.

    Args:
        processes: of the lab, as `list_processes` gives them.
        lab: name of the lab.
        server: name of the server.
    """
    option = _as_option(lab)
    said = [
        f"{word}: {', '.join(names)}. Next: "
        + "; ".join(f"{command.format(name)}{option}" for name in names)
        for state, word, command in _NEXT
        if (names := [one["name"] for one in processes if one["state"] == state])
    ]
    if said:
        return ". ".join(said)
    return (
        f"All processes of the lab run (isthmus lab status{option}). Next: isthmus why {server} "
        "OTHER, with a server that works as OTHER, says what is in the way"
    )


def variables(plan: LabPlan) -> dict[str, str]:
    """Return the variables that let OpenStack's clients, and ours, find the lab."""
    return {"OS_CLIENT_CONFIG_FILE": str(plan.clouds_file), "OS_CLOUD": str(plan.central.name)}


def ovn_variables(plan: LabPlan, place: str) -> dict[str, str]:
    """Return the variables by which the tools of OVN and Open vSwitch find a place's daemons.

    Args:
        plan: of the lab.
        place: a site, a hypervisor, or anything else, which has none.
    """
    for site in plan.sites:
        home = plan.tier_dir(site)
        databases = {"OVN_NB_DB": f"unix:{home}/nb.sock", "OVN_SB_DB": f"unix:{home}/sb.sock"}
        if place == site.name:
            return databases
        for host in site.hypervisors:
            if place == host.name:
                folder = str(plan.host_dir(host))
                return {**databases, "OVS_RUNDIR": folder, "OVN_RUNDIR": folder}
    return {}


def render_variables(plan: LabPlan) -> str:
    """Write them as a shell reads them."""
    return "\n".join(f"export {key}={shlex.quote(value)}" for key, value in variables(plan).items())


def summarise(plan: LabPlan, made: Made, processes: list[Row], links: list[dict[str, Any]]) -> Row:
    """Return the state of a lab as one document.

    Args:
        plan: of the lab.
        made: what `up` has made so far.
        processes: one row each, with `memory_mib`.
        links: the links of the WAN, one row each.
    """
    memory = sum(row["memory_mib"] for row in processes)
    return {
        "name": plan.name,
        "whole": made.whole,
        "folder": str(plan.folder),
        "memory_mib": round(memory, 1),
        "tiers": [
            {
                "name": str(tier.name),
                "neutron": f"http://{tier.management_address}:9696",
                "hosts": [host.name for host in tier.hypervisors],
            }
            for tier in plan.tiers
        ],
        "links": links,
        "processes": processes,
        "servers": [row["name"] for row in (*made.servers.values(), *made.guests.values())],
        "variables": variables(plan),
    }
