"""Host inventory: what one hypervisor is made of, whoever told us.

A live host, an Ironic introspection document, the output of `lscpu` and a saved file all become
this one form; planning and checking never ask where it came from. What a source cannot know stays
`None` or empty, so that a planner can say "not known" instead of guessing.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One physical core and the CPUs (hardware threads) on it."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    socket: int
    id: int  #: unique within its socket only
    node: int  #: NUMA node
    cpus: tuple[int, ...]  #: siblings, ascending; at least one


@dataclass(frozen=True, slots=True, kw_only=True)
class HugePages:
    """The pool of one page size on one NUMA node."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    size_kib: int
    total: int  #: pages
    free: int | None = None  #: pages; None where the source does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class NumaNode:
    """One NUMA node: memory and how far it is to the others."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    id: int
    memory_mib: int  #: what the kernel manages, huge pages included
    distances: tuple[int, ...] = ()  #: SLIT row, in order of node ids; empty where not known
    hugepages: tuple[HugePages, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """One last-level cache and who shares it."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    level: int
    size_kib: int
    cpus: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """One network interface that sits on a bus."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str  #: interface name; the PCI address where no kernel driver gives one
    pci_address: str = ""  #: 0000:3b:00.0; empty for devices that are not PCI
    node: int | None = None  #: None where firmware does not say
    driver: str = ""
    vendor_id: str = ""  #: four hex digits
    product_id: str = ""
    vf_product_id: str = ""  #: what its virtual functions call themselves
    mac: str = ""
    speed_mbps: int | None = None
    mtu: int | None = None
    max_vfs: int = 0
    vfs: int = 0
    iommu_group: int | None = None
    carries: tuple[str, ...] = ()  #: what the host itself needs it for: default route, ssh


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInventory:
    """All that planning needs to know of a host."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    source: str = ""  #: live, facts, ironic, commands, saved
    cpu_vendor: str = ""  #: GenuineIntel, AuthenticAMD, ARM; empty where not known
    cpu_model: str = ""
    cores: tuple[Core, ...]
    nodes: tuple[NumaNode, ...]  #: ascending by id; ids may have gaps
    caches: tuple[Cache, ...] = ()
    nics: tuple[Nic, ...] = ()
    page_sizes_kib: tuple[int, ...] = ()  #: huge page sizes that CPU and kernel offer
    iommu: bool | None = None  #: is one active now
    kernel_release: str = ""
    kernel_line: str = ""
    ovs_version: str = ""
    dpdk_version: str = ""

    @property
    def cpus(self) -> tuple[int, ...]:
        """All CPUs, ascending."""
        return tuple(sorted(cpu for core in self.cores for cpu in core.cpus))

    @property
    def node_ids(self) -> tuple[int, ...]:
        """Ids of all NUMA nodes, ascending."""
        return tuple(node.id for node in self.nodes)

    @property
    def cpu_nodes(self) -> dict[int, int]:
        """NUMA node of each CPU."""
        return {cpu: core.node for core in self.cores for cpu in core.cpus}

    @property
    def threads_per_core(self) -> int:
        """The most CPUs that one core has."""
        return max((len(core.cpus) for core in self.cores), default=1)

    @property
    def has_numa_sockets(self) -> bool:
        """Tell whether it is known in which socket each node is."""
        return self.source != "ironic" and all(
            len({core.socket for core in self.cores_of(node)}) == 1 for node in self.node_ids
        )

    def socket_nodes(self, node: int) -> tuple[int, ...]:
        """Return all nodes of a node's socket, ascending; only the node if that is not known."""
        sockets = {core.socket for core in self.cores_of(node)}
        if not self.has_numa_sockets or len(sockets) != 1:
            return (node,)
        return tuple(
            other
            for other in self.node_ids
            if {core.socket for core in self.cores_of(other)} == sockets
        )

    def cores_of(self, node: int) -> tuple[Core, ...]:
        """Cores of one node, by their lowest CPU."""
        return tuple(
            sorted((core for core in self.cores if core.node == node), key=lambda core: core.cpus)
        )

    def distance(self, near: int, far: int) -> int | None:
        """SLIT distance between two nodes (10 is local); None where not known."""
        ids = self.node_ids
        row = self.nodes[ids.index(near)].distances
        return row[ids.index(far)] if len(row) == len(ids) else None
