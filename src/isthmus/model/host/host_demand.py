"""NFV demand: what an operator wants of a host, before anybody looks at hardware.

Every field has a meaning on any host; which CPU or page that becomes is the plan's business. The
defaults are the field's usual advice, each with its source at the field.
"""

import enum
from dataclasses import dataclass, field
from typing import ClassVar


class DataPath(enum.StrEnum):
    """How the packets of a physical network reach instances."""

    OVS_DPDK = "ovs-dpdk"
    SRIOV = "sriov"
    SWITCHDEV = "switchdev"  #: virtual functions whose flows Open vSwitch offloads to the card
    KERNEL = "kernel"

    @property
    def has_functions(self) -> bool:
        """Tell whether instances get virtual functions by it."""
        return self in {DataPath.SRIOV, DataPath.SWITCHDEV}


class Affinity(enum.StrEnum):
    """Whether instances must run on the NUMA node of their network's port: Nova's policies."""

    REQUIRED = "required"
    SOCKET = "socket"  #: on any node of the port's socket
    LEGACY = "legacy"  #: on its node where that is known
    PREFERRED = "preferred"


class CpuPolicy(enum.StrEnum):
    """Nova's hw:cpu_policy."""

    DEDICATED = "dedicated"
    SHARED = "shared"
    MIXED = "mixed"  #: some virtual CPUs of each kind


class ThreadPolicy(enum.StrEnum):
    """Nova's hw:cpu_thread_policy."""

    PREFER = "prefer"
    ISOLATE = "isolate"
    REQUIRE = "require"


class EmulatorThreads(enum.StrEnum):
    """Nova's hw:emulator_threads_policy; `none` leaves them on the guest's own CPUs."""

    SHARE = "share"
    ISOLATE = "isolate"
    NONE = "none"


class SiblingUse(enum.StrEnum):
    """What becomes of the second thread of a PMD core."""

    POLL = "poll"  #: it polls too
    IDLE = "idle"  #: isolated and left alone: one PMD has the whole core


class BondMode(enum.StrEnum):
    """How a bond of Open vSwitch spreads packets (ovs-vswitchd.conf.db, Port: bond_mode)."""

    ACTIVE_BACKUP = "active-backup"
    BALANCE_SLB = "balance-slb"  #: by source MAC and VLAN; the other side needs no bond
    BALANCE_TCP = "balance-tcp"  #: by flow; only with LACP


class Lacp(enum.StrEnum):
    """Whether a bond speaks LACP."""

    OFF = "off"
    ACTIVE = "active"
    PASSIVE = "passive"


class Backend(enum.StrEnum):
    """Which Neutron back end wires the host."""

    OVN = "ovn"
    OVS = "ovs"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalNetwork:
    """One physical network and the ports that carry it."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    by: DataPath
    nics: tuple[str, ...]  #: interface names or PCI addresses
    mtu: int = 1500
    packet_rate_mpps: float = 0.0  #: million packets a second over each port, both directions
    affinity: Affinity = Affinity.REQUIRED
    bond: bool = False  #: OVS-DPDK: one bond of all ports instead of one bridge port each
    bond_mode: BondMode = BondMode.ACTIVE_BACKUP
    lacp: Lacp = Lacp.OFF
    vfs: int | None = None  #: SR-IOV, per port; None: as many as the wanted instances need
    trusted: bool = False  #: SR-IOV: VFs may change MAC and go promiscuous
    spoof_check: bool = True  #: SR-IOV: VFs send from their own MAC only
    bridge: str = ""  #: br-<name> where empty
    af_packet: bool = False  #: OVS-DPDK over the kernel's driver: for laboratories, never for speed
    rx_descriptors: int | None = None  #: OVS-DPDK, of each queue; None: Open vSwitch's 2048
    carries_management: bool = False  #: yes, take the port that carries the default route or ssh


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReserve:
    """What stays with the host itself."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    cores_per_node: int = 1  #: first core of each node, as Red Hat and OpenStack-Ansible advise
    shared_cores_per_node: int = 0  #: own cores for cpu_shared_set; 0: it shares the host's
    memory_mib: int = 4096  #: over all nodes; Red Hat's static recommendation
    memory_per_instance_mib: int = 0  #: QEMU's own overhead, in small pages


@dataclass(frozen=True, slots=True, kw_only=True)
class PmdDemand:
    """How poll mode driver threads are to be laid out."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    cores: dict[int, int] = field(default_factory=dict)  #: NUMA node -> cores, before any rate
    on_every_node: bool = (
        False  #: also where no DPDK port is, for vhost-user queues of guests there
    )
    siblings: SiblingUse = SiblingUse.POLL
    mpps_per_core: float = 3.0  #: what one core forwards; an assumption: measure your own
    max_sleep_us: int = 0  #: 0: never sleep; a laboratory's shared CPUs want some
    per_port_memory: bool = False
    memory_channels: int | None = None  #: EAL -n; None: let DPDK find out


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavorDemand:
    """One flavor, and how many instances of it this host must hold."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int = 20
    count: int = 0
    cpu_policy: CpuPolicy = CpuPolicy.DEDICATED
    thread_policy: ThreadPolicy = ThreadPolicy.PREFER
    emulator_threads: EmulatorThreads = EmulatorThreads.SHARE
    numa_nodes: int = 1
    page_size: str = "large"  #: large, small, or a size such as 2MiB, 512MiB, 1GiB
    networks: tuple[str, ...] = ()  #: physical networks, by name; tenant overlay is `tunnel`
    multiqueue: bool = False
    dedicated_vcpus: str = ""  #: policy mixed: which are, such as 2-7 or ^0-1 (all but those)
    realtime: bool = False  #: the kernel's realtime scheduling for them
    realtime_vcpus: str = ""  #: which; empty: all


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDemand:
    """The whole demand for one host or one group of equal hosts."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    physical_networks: tuple[PhysicalNetwork, ...]
    tunnel_network: str = ""  #: the physical network whose port carries tenant tunnels
    host: HostReserve = field(default_factory=HostReserve)
    pmd: PmdDemand = field(default_factory=PmdDemand)
    page_size: str = "1GiB"  #: default huge page size: 1GiB, 2MiB, 512MiB, 16MiB ...
    vhost_queue_size: int = 1024  #: [libvirt] rx_queue_size and tx_queue_size; 0: QEMU's 256
    flavors: tuple[FlavorDemand, ...] = ()
    backend: Backend = Backend.OVN
    shared_ratio: float = 4.0  #: cpu_allocation_ratio for cpu_shared_set

    def network(self, name: str) -> PhysicalNetwork | None:
        """Find a physical network by name."""
        return next((one for one in self.physical_networks if one.name == name), None)
