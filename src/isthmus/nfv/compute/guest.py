"""What a flavor asks of NUMA nodes: Nova's constraints, from its extra specs.

Source:
    nova.virt.hardware 34.0.0: `numa_get_constraints`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from isthmus import errors
from isthmus.model.compute.cloud import Flavor, find_dedicated_mask
from isthmus.model.host.host_demand import CpuPolicy, EmulatorThreads, FlavorDemand, ThreadPolicy

_PCPU = re.compile(r"resources([1-9][0-9]*)?:PCPU")
_THREADS = re.compile(r"trait([1-9][0-9]*)?:HW_CPU_HYPERTHREADING")
_PAGE = re.compile(r"(\d+)(?:([KMG])i?B)?")
_KIB = {None: 1, "K": 1, "M": 1024, "G": 1024 * 1024}
LARGE, SMALL = "large", "small"


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest with NUMA nodes of its own; they are equal."""

    nodes: int
    vcpus: int  #: of each node
    ram_mib: int  #: of each node
    policy: CpuPolicy
    threads: ThreadPolicy
    isolated: bool  #: the emulator has a CPU of its own
    pages: str | int  #: large, small, a size in KiB; empty where the flavor does not say
    dedicated_vcpus: str = ""

    def to_demand(self, name: str) -> FlavorDemand:
        """Return it as the planner of hosts has flavors; its pages are the small ones."""
        emulator = EmulatorThreads.ISOLATE if self.isolated else EmulatorThreads.SHARE
        return FlavorDemand(
            name=name,
            vcpus=self.vcpus * self.nodes,
            ram_mib=self.ram_mib * self.nodes,
            cpu_policy=self.policy,
            thread_policy=self.threads,
            emulator_threads=emulator,
            numa_nodes=self.nodes,
            page_size=f"{self.pages}KiB" if isinstance(self.pages, int) else self.pages or SMALL,
            dedicated_vcpus=self.dedicated_vcpus,
        )


def plan_guest(flavor: Flavor) -> Guest | None:
    """Return the guest of a flavor, None where Nova fits it to no NUMA node.

    Raises:
        Unsupported: its nodes differ, or it asks for any page size.
        Invalid: it makes no sense.
    """
    specs = flavor.extra_specs
    policy = _find_policy(specs)
    pages = _read_pages(flavor)
    if not (specs.get("hw:numa_nodes") or pages or policy != "shared" or specs.get("hw:pmem")):
        return None
    if any(key.startswith(("hw:numa_cpus.", "hw:numa_mem.")) for key in specs):
        raise errors.Unsupported(f"flavor {flavor.name} lays out its NUMA nodes one by one")
    try:
        nodes = int(specs.get("hw:numa_nodes", "1"))
        found = Guest(
            nodes,
            flavor.vcpus // nodes,
            flavor.ram_mib // nodes,
            CpuPolicy(policy),
            ThreadPolicy(_find_threads(specs)),
            specs.get("hw:emulator_threads_policy") == "isolate" and policy != "shared",
            pages,
            find_dedicated_mask(flavor) if policy == "mixed" else "",
        )
    except (ValueError, ZeroDivisionError) as exc:
        raise errors.Invalid(
            f"flavor {flavor.name} has hw: extra specs that make no sense: {exc}"
        ) from exc
    if flavor.vcpus % nodes or flavor.ram_mib % nodes:
        raise errors.Invalid(
            f"flavor {flavor.name} cannot split {flavor.vcpus} vCPUs and {flavor.ram_mib} MiB "
            f"over {nodes} NUMA nodes"
        )
    return found


def _find_policy(specs: Mapping[str, str]) -> str:
    """Return how its CPUs are taken: explicit PCPU pins them."""
    if policy := specs.get("hw:cpu_policy"):
        return policy
    asked = [
        value
        for key, value in specs.items()
        if _PCPU.match(key) and value.strip().isdecimal() and int(value)
    ]
    return "dedicated" if asked else "shared"


def _find_threads(specs: Mapping[str, str]) -> str:
    """Return the thread policy; a trait of the host that is asked for stands for one."""
    if policy := specs.get("hw:cpu_thread_policy"):
        return policy
    asked = next((value for key, value in specs.items() if _THREADS.match(key)), "")
    return {"forbidden": "isolate", "required": "require"}.get(asked, "prefer")


def _read_pages(flavor: Flavor) -> str | int:
    text = flavor.extra_specs.get("hw:mem_page_size", "")
    if text in {"", LARGE, SMALL}:
        return text
    match = _PAGE.fullmatch(text)
    if match is None:
        raise errors.Unsupported(f"flavor {flavor.name} has hw:mem_page_size={text}")
    return int(match[1]) * _KIB[match[2]]
