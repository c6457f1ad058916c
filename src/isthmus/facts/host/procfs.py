"""Facts of the running kernel and its processes, from /proc.

Source: Linux Documentation/filesystems/proc.rst and core-api/irq/irq-affinity.rst.
"""

import itertools
from dataclasses import dataclass

from isthmus.facts import cpuset
from isthmus.facts.dump import HostFacts
from isthmus.facts.fact import Fact, Requires, file, function


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread of the host."""

    pid: int
    tid: int
    is_kernel: bool
    allowed: tuple[int, ...]
    process: str
    name: str


#: Processes that are instances.
_EMULATORS = ("qemu-system", "qemu-kvm")


def is_emulator(process: str) -> bool:
    """Tell whether a process is an instance, by its name; `kvm-nx-lpage` and the like are not."""
    return process.startswith(_EMULATORS) or process == "kvm"


def parse_threads(text: str) -> tuple[Thread, ...]:
    """Read the table of threads that the facts script wrote; a garbled line is left out.

    Raises:
        ValueError: no thread is in it: each host has some.
    """
    found: list[Thread] = []
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) == 6 and parts[0].isdigit() and parts[1].isdigit():
            found.append(
                Thread(
                    pid=int(parts[0]),
                    tid=int(parts[1]),
                    is_kernel=parts[2] == "1",
                    allowed=cpuset.parse_list(parts[3]),
                    process=parts[4],
                    name=parts[5],
                )
            )
    if not found:
        raise ValueError(f"no thread in {text.strip()[:40]!r}")
    return tuple(found)


def parse_interrupts(text: str) -> dict[str, tuple[int, ...]]:
    """Read /proc/interrupts: numbered IRQ -> deliveries, in order of the CPUs that run.

    Raises:
        ValueError: it has not the line of CPUs that the kernel begins it with.
    """
    if "CPU" not in text.partition("\n")[0]:
        raise ValueError("/proc/interrupts is not there, or is cut off")
    found: dict[str, tuple[int, ...]] = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(":")
        if name.strip().isdigit():
            counts = itertools.takewhile(str.isdigit, rest.split())
            found[name.strip()] = tuple(map(int, counts))
    return found


def parse_irqs(seen: HostFacts) -> dict[str, tuple[int, ...]]:
    """Read which CPUs each IRQ really goes to."""
    return {
        irq: cpuset.parse_list(text)
        for irq, text in seen.matching("/proc/irq/", "/effective_affinity_list")
    }


def parse_default_irqs(seen: HostFacts) -> str:
    """Read the mask of CPUs that new IRQs go to; empty where the kernel gives none."""
    return seen.text("/proc/irq/default_smp_affinity")


#: pid, tid, 1 for a kernel thread, allowed CPUs, names of process and thread: see gather.sh.
THREADS = Fact(
    "threads",
    lambda seen: parse_threads(seen.commands["threads"]),
    (function("threads"),),
    Requires(privilege="root"),
    sample="1\t1\t0\t0-3\tsystemd\tsystemd\n",
)
INTERRUPTS = Fact(
    "interrupts",
    lambda seen: parse_interrupts(seen.files.get("/proc/interrupts", "")),
    (file("/proc/interrupts"),),
)
IRQS = Fact("irqs", parse_irqs, (file("/proc/irq/*/effective_affinity_list"),))
DEFAULT_IRQS = Fact("default_irqs", parse_default_irqs, (file("/proc/irq/default_smp_affinity"),))
FACTS = (THREADS, INTERRUPTS, IRQS, DEFAULT_IRQS)
