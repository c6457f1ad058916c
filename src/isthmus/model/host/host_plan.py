"""Host plan: which CPU, page, queue and virtual function does what, and the settings that say so.

A plan is complete: nothing downstream (rendering, checking, capacity) looks at the demand again. A
`Refusal` is the other possible outcome of planning: which constraints cannot hold, and the nearest
demands that can.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

_STRICT = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MempoolPlan:
    """One pool of packet buffers on one NUMA node."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    mtu: int  #: the largest MTU that this pool serves
    mbufs: int
    mbuf_bytes: int
    memory_mib: int
    used_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePlan:
    """Huge pages of one size on one node."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    size_kib: int
    total: int
    for_ovs: int  #: of the total; reserved from Nova


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """One NUMA node; the CPU sets are disjoint and together all CPUs of the node."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    id: int
    host_cpus: tuple[int, ...]
    shared_cpus: tuple[int, ...]  #: own cores of cpu_shared_set; empty where it uses the host's
    pmd_cpus: tuple[int, ...]
    idle_cpus: tuple[int, ...]  #: siblings of PMD CPUs that must do nothing
    dedicated_cpus: tuple[int, ...]
    memory_mib: int
    host_memory_mib: int  #: small pages: the reserve plus what does not fill a page
    socket_memory_mib: int
    mempools: tuple[MempoolPlan, ...]
    pages: tuple[PagePlan, ...]
    ports: tuple[str, ...]  #: planned NICs on this node


@dataclass(frozen=True, slots=True, kw_only=True)
class DpdkPortPlan:
    """One port that OVS polls."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    name: str  #: of the OVS interface
    nic: str
    pci_address: str
    devargs: str
    driver: str  #: what the device must be bound to; empty: keep its own
    node: int
    physical_network: str
    bridge: str
    bond: str = ""
    bond_mode: str = ""  #: balance-slb, active-backup or balance-tcp
    lacp: str = ""  #: active, passive or off
    mtu: int
    rx_queues: int
    rxq_affinity: Mapping[int, int]  #: queue -> CPU
    is_local: bool  #: all its CPUs are on its node
    carries_management: bool = False  #: taken though it carries the default route or ssh
    rx_descriptors: int | None = None  #: of each queue; None: Open vSwitch's 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class SriovPlan:
    """One physical function and its virtual functions."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    nic: str
    pci_address: str
    node: int | None  #: None where firmware does not say
    physical_network: str
    vfs: int
    trusted: bool
    mtu: int
    vendor_id: str = ""
    vf_product_id: str = ""
    spoof_check: bool = True  #: functions send from their own MAC only
    switchdev: bool = False  #: flows are offloaded to the switch in the card


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPortPlan:
    """One port that the kernel drives."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    nic: str
    node: int
    physical_network: str
    bridge: str
    mtu: int
    carries_management: bool = False  #: taken though it carries the default route or ssh


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavorPlan:
    """One flavor: its extra specs, and how many fit."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    extra_specs: Mapping[str, str]
    wanted: int
    fits_alone: int  #: on an empty host, this flavor only
    fits_more: int  #: beside all that is wanted
    limited_by: str  #: what runs out first
    nodes: tuple[int, ...]  #: NUMA nodes on which it may run


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A flow that has to leave its NUMA node."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    flow: str
    from_node: int
    to_node: int
    distance: int | None  #: SLIT; 10 is local
    cost: str  #: in words, with numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something a reader of the plan should know."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    code: str
    text: str
    subject: str = ""  #: the one NIC that it is about, by name; empty: the host, or an older plan


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """The whole plan of one host."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    host: str
    nodes: tuple[NodePlan, ...]
    default_page_kib: int
    dpdk_ports: tuple[DpdkPortPlan, ...]
    sriov: tuple[SriovPlan, ...]
    kernel_ports: tuple[KernelPortPlan, ...]
    kernel_args: tuple[str, ...]
    other_config: Mapping[str, str]  #: Open_vSwitch other_config
    external_ids: Mapping[str, str]  #: Open_vSwitch external_ids (OVN only)
    nova: Mapping[str, tuple[str, ...]]  #: "section/option" -> values; several: a repeated option
    neutron: Mapping[str, tuple[str, ...]]
    tuned_profile: str
    tuned_variables: Mapping[str, str]
    flavors: tuple[FlavorPlan, ...]
    crossings: tuple[Crossing, ...]
    notes: tuple[Note, ...]

    def _all(self, name: str) -> tuple[int, ...]:
        return tuple(sorted(cpu for node in self.nodes for cpu in getattr(node, name)))

    @property
    def host_cpus(self) -> tuple[int, ...]:
        """CPUs of the host's own processes, ascending."""
        return self._all("host_cpus")

    @property
    def shared_cpus(self) -> tuple[int, ...]:
        """CPUs of cpu_shared_set: its own, or else the host's."""
        return self._all("shared_cpus") or self.host_cpus

    @property
    def pmd_cpus(self) -> tuple[int, ...]:
        """CPUs that poll, ascending."""
        return self._all("pmd_cpus")

    @property
    def dedicated_cpus(self) -> tuple[int, ...]:
        """CPUs of pinned instances, ascending."""
        return self._all("dedicated_cpus")

    @property
    def isolated_cpus(self) -> tuple[int, ...]:
        """CPUs that the kernel's scheduler must leave alone, ascending."""
        return tuple(sorted((*self.pmd_cpus, *self.dedicated_cpus, *self._all("idle_cpus"))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One thing that cannot hold."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    code: str  #: cpus, memory, pages, nic, vfs, node, flavor, affinity, iommu, guard, path
    message: str  #: one sentence with the values


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """No plan: why, and what nearly the same would work."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    host: str
    constraints: tuple[Constraint, ...]
    alternatives: tuple[
        str, ...
    ] = ()  #: changes of the demand, each of which was planned and works
