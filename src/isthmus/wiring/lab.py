"""Joins the lab with this machine: its commands, processes and APIs, and where labs are kept."""

import os
import sysconfig
from pathlib import Path

from isthmus import errors
from isthmus.clients.machine import process, shell
from isthmus.lab.labs import STATE_VARIABLE, Labs
from isthmus.lab.protocols import Api, Installed, Tools
from isthmus.model.topology import Topology
from isthmus.wiring.named_file import read_text

DEFAULT_STATE = Path("/var/lib/isthmus")
_OVN_SCHEMAS = Path("/usr/share/ovn")
_OVS_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


class MachineProcesses:
    """The processes of this machine."""

    spawn = staticmethod(process.spawn)
    is_alive, is_stopped = staticmethod(process.is_alive), staticmethod(process.is_stopped)
    send = staticmethod(process.send)
    list_children = staticmethod(process.list_children)
    find_marked = staticmethod(process.find_marked)
    memory_kib = staticmethod(process.memory_kib)
    open_zygote = staticmethod(process.Zygote)


def machine_tools() -> Tools:
    """Return the tools of this machine."""
    return Tools(
        run=shell.run,
        find_program=shell.find_program,
        interact=shell.interact,
        processes=MachineProcesses(),
        answers=_answers,
        open_api=_open_api,
    )


def _answers(url: str) -> bool:
    from isthmus.clients.http import lab_cloud  # half of the time that `lab list` takes

    return lab_cloud.answers(url)


def _open_api(clouds_file: Path, name: str) -> Api:
    from isthmus.clients.http import lab_cloud

    return lab_cloud.open_cloud(clouds_file, name)


def state_dir() -> Path:
    """Return the folder of all labs."""
    return Path(os.environ.get(STATE_VARIABLE) or DEFAULT_STATE)


def open_labs(folder: Path | None = None, tools: Tools | None = None) -> Labs:
    """Open the labs of this machine.

    Args:
        folder: where labs are kept; None for what the environment says.
        tools: of the machine; None for the real ones.
    """
    return Labs(
        folder or state_dir(),
        tools or machine_tools(),
        find_installed=find_installed,
        netns_dir=shell.NETNS_DIR,
    )


def choose_topology(file: Path | None, sites: int | None, hosts: int | None) -> Topology:
    """Read what the person asked for.

    Raises:
        Invalid: it is wrong, or says two things at once.
        NotFound: there is no such file.
    """
    from isthmus.lab.topology import default_topology, parse_topology

    if file is None:
        return default_topology(2 if sites is None else sites, 2 if hosts is None else hosts)
    if sites is not None or hosts is not None:
        raise errors.Invalid("--topology says it all: leave out --sites and --hosts")
    return parse_topology(read_text(file), str(file))


def find_installed() -> Installed:
    """Find the files that the programs brought along.

    Raises:
        Unsupported: one is not there.
    """
    paste = Path(sysconfig.get_path("data")) / "etc" / "neutron" / "api-paste.ini"
    found = Installed(paste_file=paste, ovn_schemas=_OVN_SCHEMAS, ovs_schema=_OVS_SCHEMA)
    found.require_there()
    return found
