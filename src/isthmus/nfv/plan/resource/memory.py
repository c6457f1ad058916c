"""Socket memory: how much Open vSwitch takes from each node's huge pages for packet buffers.

The model is Open vSwitch's own, not an approximation of it: pools are shared by ports of one node
whose MTUs round to one buffer size, and a pool has 262,144 buffers from MTU 1500 up (halved until
it fits, down to 16,384, which is why a plan that gives too little does not fail but drops). On top
comes a reserve for what the poll mode drivers and vhost allocate besides.

Sources:
    Open vSwitch, Documentation/topics/dpdk/memory.rst (numbers of buffers, per-port formula, and
    the examples that `tests/tables/nfv` holds this module to) and lib/netdev-dpdk.c (rounding).
    Red Hat OpenStack Platform, "Network Functions Virtualization Planning and Configuration Guide",
    OVS-DPDK memory parameters: the 512 MiB reserve and the approximation of `redhat_mib`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from isthmus.model.host.host_plan import MempoolPlan

MBUF_ALIGN = 1024  #: NETDEV_DPDK_MBUF_ALIGN
FRAME_OVERHEAD = 26  #: Ethernet header 14, FCS 4, two VLAN tags of 4
MBUF_OVERHEAD = 960  #: headroom 128, struct dp_packet with its rte_mbuf, and the pool's own header
SHARED_MBUFS = 262_144  #: MAX_NB_MBUF: 4096 * 64
SMALL_MTU_MBUFS = 16_384  #: MIN_NB_MBUF: 4096 * 4, also for a shared pool under MTU 1500
SMALL_MTU = 1500
QUEUE_SIZE = 2048  #: default n_rxq_desc and n_txq_desc
BURST = 32  #: NETDEV_MAX_BURST
MOST_LCORES = 128  #: RTE_MAX_LCORE of distributions
RESERVE_MIB = 512
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class PortMemory:
    """What decides the buffers of one port."""

    name: str
    mtu: int
    rx_queues: int = 1


def mbuf_bytes(mtu: int) -> int:
    """Size of one packet buffer for an MTU."""
    return -(-(mtu + FRAME_OVERHEAD) // MBUF_ALIGN) * MBUF_ALIGN + MBUF_OVERHEAD


def per_port_mbufs(rx_queues: int, pmds: int) -> int:
    """Count the buffers of one port where each port has its own pool."""
    return (
        rx_queues * QUEUE_SIZE
        + (pmds + 1) * QUEUE_SIZE
        + min(MOST_LCORES, rx_queues) * BURST
        + SMALL_MTU_MBUFS
    )


def shared_mbufs(mtu: int) -> int:
    """Count the buffers of a shared pool."""
    return SHARED_MBUFS if mtu >= SMALL_MTU else SMALL_MTU_MBUFS


def plan_mempools(
    ports: Iterable[PortMemory], *, per_port: bool = False, pmds: int = 1
) -> tuple[MempoolPlan, ...]:
    """Lay out the pools of one node, smallest buffers first.

    Args:
        ports: all that have buffers on this node, vhost-user included.
        per_port: Open vSwitch's per-port-memory.
        pmds: PMD threads of the whole host; each has a transmit queue on every port.
    """
    if per_port:
        return tuple(
            _pool(port.mtu, per_port_mbufs(port.rx_queues, pmds), (port.name,))
            for port in sorted(ports, key=lambda port: (port.mtu, port.name))
        )
    sharing: dict[tuple[int, int], list[PortMemory]] = {}
    for port in ports:
        sharing.setdefault((mbuf_bytes(port.mtu), shared_mbufs(port.mtu)), []).append(port)
    return tuple(
        _pool(max(one.mtu for one in group), mbufs, tuple(sorted(one.name for one in group)))
        for (_, mbufs), group in sorted(sharing.items())
    )


def _pool(mtu: int, mbufs: int, used_by: tuple[str, ...]) -> MempoolPlan:
    size = mbuf_bytes(mtu)
    return MempoolPlan(
        mtu=mtu,
        mbufs=mbufs,
        mbuf_bytes=size,
        memory_mib=-(-mbufs * size // MIB),
        used_by=used_by,
    )


def socket_memory_mib(pools: Iterable[MempoolPlan], page_mib: int) -> int:
    """Return the socket memory of a node in MiB, in whole pages; 0 where nothing has buffers."""
    needed = sum(pool.memory_mib for pool in pools)
    return -(-(needed + RESERVE_MIB) // page_mib) * page_mib if needed else 0


def redhat_mib(mtus: Iterable[int]) -> int:
    """Return Red Hat's approximation, for comparison.

    The sum over distinct MTUs of (MTU rounded up to 1024 + 800) * 262144 bytes, plus 512 MiB,
    rounded up to 1024 MiB. It counts 160 bytes a buffer too few and counts two MTUs of one buffer
    size twice.
    """
    mtus = set(mtus)
    if not mtus:
        return 1024
    raw = sum((-(-mtu // 1024) * 1024 + 800) * SHARED_MBUFS for mtu in mtus)
    return -(-(raw // MIB + RESERVE_MIB) // 1024) * 1024


def explain(pools: Iterable[MempoolPlan], total_mib: int) -> str:
    """Explain a node's socket memory in one line."""
    parts: Mapping[str, int] = {
        f"{pool.mbufs} x {pool.mbuf_bytes} B (MTU {pool.mtu})": pool.memory_mib for pool in pools
    }
    if not parts:
        return "nothing on this node has packet buffers"
    terms = " + ".join(f"{text} = {mib} MiB" for text, mib in parts.items())
    return f"{terms} + {RESERVE_MIB} MiB reserve, in whole pages: {total_mib} MiB"
