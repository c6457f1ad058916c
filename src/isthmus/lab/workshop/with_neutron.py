"""The lesson that does the same with Neutron, and the faults that servers of it can have."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.lab.workshop.lesson import Lesson, Step, Words

SERVERS = ("ws-a", "ws-b")
_OPENSTACK = "openstack --os-cloud central"


def render_ping(words: Words) -> str:
    """Return the command by which one server asks the other."""
    address = words.lab(f"exec {SERVERS[1]} -- hostname -I")
    return words.lab(f"exec {SERVERS[0]} -- ping -c 3 -W 5 $({address})")


def ask_neutron(words: Words) -> Lesson:
    """Return the lesson on a network over two sites."""
    return Lesson(
        number=4,
        title="The same with Neutron, over two sites",
        aim="What was typed by hand is decided by Neutron and written by OVN: you say what you "
        "want, and look how it was made.",
        steps=(
            Step(
                why="A network and a subnet, at central.",
                commands=(
                    f"{_OPENSTACK} network create ws",
                    f"{_OPENSTACK} subnet create --network ws --subnet-range 10.97.0.0/24 ws4",
                ),
            ),
            Step(
                why="Have it at both sites; else the first server there brings it.",
                commands=(
                    f"isthmus network extend ws {' '.join(dict.fromkeys(words.sites))} --wait 300",
                ),
            ),
            Step(
                why="A server at each.",
                commands=tuple(
                    words.lab(f"server create {name} --site {site} --network ws")
                    for name, site in zip(SERVERS, words.sites, strict=True)
                ),
            ),
            Step(
                why="Packets pass, over a tunnel between hypervisors of two sites. A new server "
                "is heard elsewhere a few seconds later: if it fails, once more.",
                commands=(render_ping(words),),
                shows="0% packet loss",
            ),
            Step(
                why="Ask whether anything stands in the way, there or back.",
                commands=(f"isthmus why {' '.join(SERVERS)} icmp",),
                shows="reachable",
            ),
            Step(
                why="Look how it is made: find your namespace, your cable, your switch and your "
                "tunnel again.",
                commands=(f"isthmus explain {SERVERS[0]}",),
                shows="A bare copy by hand",
            ),
        ),
        away=(
            *(words.lab(f"server delete {name}") for name in SERVERS),
            f"{_OPENSTACK} network delete ws",
        ),
    )


def find_faults(words: Words) -> Lesson:
    """Return the lesson on broken labs."""
    steps = tuple(
        Step(why=one.symptom, commands=(words.lab(f"workshop break {one.number}"),))
        for one in FAULTS
    )
    return Lesson(
        number=5,
        title="Broken labs",
        aim="The servers of lesson 4 are there, and packets pass. Break the lab, see that they "
        f"do not, and find out why: `isthmus why {' '.join(SERVERS)} icmp` and `isthmus check` "
        "name the code of the cause and the command that repairs it. Give your answer: "
        "`isthmus lab workshop answer NUMBER CODE`. Repair it, and see packets pass, before you "
        "break the next thing.",
        steps=steps,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault that a person is to find."""

    number: int
    symptom: str
    code: str  #: the answer
    story: str  #: told with the answer
    server: str  #: whose place it is done at
    #: From the row of the server, where it is done and what: a command at a place, or a signal.
    command: Callable[[Mapping[str, Any]], tuple[str, tuple[str, ...]]] | None = None
    process: str = ""  #: of the server's hypervisor, that is stopped


FAULTS = (
    Fault(
        number=1,
        symptom="Since a colleague tidied up, ws-a does not reach ws-b; at one site, all is well.",
        code="host.not_interconn",
        story="A hypervisor makes tunnels to other sites if its Open vSwitch says so: the setting "
        "was taken away. OVN took the tunnels down, and no API shows it.",
        server=SERVERS[0],
        command=lambda row: (
            str(row["host"]),
            ("ovs-vsctl", "remove", "Open_vSwitch", ".", "external_ids", "ovn-is-interconn"),
        ),
    ),
    Fault(
        number=2,
        symptom="ws-a hears nobody at all, and nothing was changed in the cloud.",
        code="host.tap_down",
        story="The end of the cable on the hypervisor was set down, as by a script that is too "
        "eager. No API knows of it: only the hypervisor does.",
        server=SERVERS[0],
        command=lambda row: (
            str(row["host"]), ("ip", "link", "set", f"tap{str(row['port_id'])[:11]}", "down")
        ),
    ),
    Fault(
        number=3,
        symptom="ws-b does not answer. Its hypervisor does, and all processes are there.",
        code="host.vswitchd_hung",
        story="ovs-vswitchd was stopped: it is in the list of processes and does nothing. "
        "Whether a daemon lives is asked of the daemon.",
        server=SERVERS[1],
        process="vswitchd",
    ),
)  # fmt: skip
#: How a process that is to be found is stopped.
STOP = signal.SIGSTOP


def find_fault(number: int) -> Fault:
    """Return a fault by its number.

    Raises:
        NotFound: there is none.
    """
    for one in FAULTS:
        if one.number == number:
            return one
    raise errors.NotFound(f"there is no broken lab {number}: say 1 to {len(FAULTS)}")
