"""Which NIC carries which physical network, and on which NUMA node that happens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.model import host_inventory, nfv_intent
from isthmus.model.host_plan import Constraint, DpdkPortPlan, KernelPortPlan, Note, SriovPlan
from isthmus.nfv.plan.intent import bridge_name

#: NICs whose DPDK driver works beside the kernel's; they are never unbound (doc.dpdk.org, mlx5).
BIFURCATED_VENDORS = frozenset({"15b3"})
#: Sources that cannot tell how many virtual functions a device may have.
SILENT_ON_VFS = frozenset({"ironic", "commands"})
MOST_QUEUES = 16  #: more receive queues than any one port gains from


@dataclass(frozen=True, slots=True)
class Seat:
    """One port of one physical network and the node it sits on."""

    network: nfv_intent.PhysicalNetwork
    nic: host_inventory.Nic
    node: int


def seat_ports(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent
) -> tuple[tuple[Seat, ...], tuple[Constraint, ...], tuple[Note, ...]]:
    """Find every port that the intent names."""
    by_name = {nic.name: nic for nic in inventory.nics}
    by_address = {nic.pci_address: nic for nic in inventory.nics if nic.pci_address}
    seats: list[Seat] = []
    faults: list[Constraint] = []
    notes: list[Note] = []
    for network in intent.physical_networks:
        for name in network.nics:
            nic = by_name.get(name) or by_address.get(name.lower())
            if nic is None:
                faults.append(_absent(inventory, network, name))
                continue
            node = nic.node if nic.node is not None else inventory.node_ids[0]
            if nic.node is None and len(inventory.nodes) > 1:
                notes.append(
                    Note(
                        code="node-unknown",
                        text=f"firmware does not say on which NUMA node {nic.name} sits: node "
                        f"{node} was assumed, and nothing proves that its PMD is local",
                    )
                )
            seats.append(Seat(network, nic, node))
    return tuple(seats), tuple(faults), tuple(notes)


def _absent(
    inventory: host_inventory.HostInventory, network: nfv_intent.PhysicalNetwork, name: str
) -> Constraint:
    there = ", ".join(nic.name for nic in inventory.nics) or "none"
    return Constraint(
        code="nic",
        message=f"physical network {network.name} wants {name}, which {inventory.name} does not "
        f"have (it has: {there})",
    )


def nodes_of(seats: Sequence[Seat], network: str) -> tuple[int, ...]:
    """Give the nodes that carry a physical network, ascending."""
    return tuple(sorted({seat.node for seat in seats if seat.network.name == network}))


def of_path(seats: Sequence[Seat], path: nfv_intent.DataPath) -> tuple[Seat, ...]:
    """Give the ports that go by one data path, by their PCI address."""
    return tuple(
        sorted(
            (seat for seat in seats if seat.network.by is path),
            key=lambda seat: (seat.nic.pci_address, seat.nic.name),
        )
    )


def plan_dpdk(
    seats: Sequence[Seat], pmds: Mapping[int, tuple[int, ...]], homes: Mapping[int, int]
) -> tuple[DpdkPortPlan, ...]:
    """Lay out the ports that Open vSwitch polls, their queues and who polls which.

    Queues go to the least loaded PMD of the port's home node, by packet rate where the intent gives
    one, so that no PMD has more than one queue above another where rates are equal.

    Args:
        seats: all ports of the plan.
        pmds: PMD CPUs of each node.
        homes: node of a port -> node whose PMDs poll it.
    """
    mine = of_path(seats, nfv_intent.DataPath.OVS_DPDK)
    load = {cpu: 0.0 for cpus in pmds.values() for cpu in cpus}
    found: list[DpdkPortPlan] = []
    for index, seat in enumerate(mine):
        cpus = pmds[homes[seat.node]]
        sharers = sum(homes[other.node] == homes[seat.node] for other in mine)
        queues = 1 if seat.network.af_packet else min(max(1, len(cpus) // sharers), MOST_QUEUES)
        weight = (seat.network.packet_rate_mpps or 1.0) / queues
        affinity: dict[int, int] = {}
        for queue in range(queues):
            cpu = min(cpus, key=lambda one: (load[one], one))
            load[cpu] += weight
            affinity[queue] = cpu
        found.append(_dpdk_port(seat, index, affinity, is_local=homes[seat.node] == seat.node))
    return tuple(found)


def _dpdk_port(
    seat: Seat, index: int, affinity: Mapping[int, int], *, is_local: bool
) -> DpdkPortPlan:
    nic, network = seat.nic, seat.network
    keeps_driver = network.af_packet or nic.vendor_id in BIFURCATED_VENDORS
    return DpdkPortPlan(
        name=f"dpdk{index}",
        nic=nic.name,
        pci_address=nic.pci_address,
        devargs=f"eth_af_packet{index},iface={nic.name}" if network.af_packet else nic.pci_address,
        driver="" if keeps_driver else "vfio-pci",
        node=seat.node,
        physical_network=network.name,
        bridge=bridge_name(network),
        bond=f"bond-{network.name}"[:15] if network.bond else "",
        mtu=network.mtu,
        rx_queues=len(affinity),
        rxq_affinity=affinity,
        is_local=is_local,
    )


def plan_sriov(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent, seats: Sequence[Seat]
) -> tuple[tuple[SriovPlan, ...], tuple[Constraint, ...], tuple[Note, ...]]:
    """Count the virtual functions of each physical function."""
    found: list[SriovPlan] = []
    faults: list[Constraint] = []
    notes: list[Note] = []
    for seat in of_path(seats, nfv_intent.DataPath.SRIOV):
        nic, network = seat.nic, seat.network
        wanted = wanted_vfs(intent, network)
        if inventory.source in SILENT_ON_VFS and not nic.max_vfs:
            notes.append(
                Note(
                    code="vfs-unknown",
                    text=f"the inventory does not say how many virtual functions {nic.name} may "
                    f"have: {wanted} are planned unchecked",
                )
            )
        elif nic.max_vfs < wanted:
            can = f"at most {nic.max_vfs}" if nic.max_vfs else "no"
            faults.append(
                Constraint(
                    code="vfs",
                    message=f"physical network {network.name} needs {wanted} virtual functions of "
                    f"{nic.name}, which can have {can} virtual functions",
                )
            )
        if not nic.pci_address:
            faults.append(Constraint(code="nic", message=f"{nic.name} has no PCI address"))
        found.append(
            SriovPlan(
                nic=nic.name,
                pci_address=nic.pci_address,
                node=seat.node,
                physical_network=network.name,
                vfs=wanted,
                trusted=network.trusted,
                mtu=network.mtu,
                vendor_id=nic.vendor_id,
                vf_product_id=nic.vf_product_id,
            )
        )
    return tuple(found), tuple(faults), tuple(notes)


def wanted_vfs(intent: nfv_intent.NfvIntent, network: nfv_intent.PhysicalNetwork) -> int:
    """Count the virtual functions that each port of a network needs; at least one."""
    if network.vfs is not None:
        return network.vfs
    needed = sum(flavor.count * flavor.networks.count(network.name) for flavor in intent.flavors)
    return max(1, -(-needed // len(network.nics)))


def plan_kernel(seats: Sequence[Seat]) -> tuple[KernelPortPlan, ...]:
    """List the ports that the kernel keeps."""
    return tuple(
        KernelPortPlan(
            nic=seat.nic.name,
            node=seat.node,
            physical_network=seat.network.name,
            bridge=bridge_name(seat.network),
            mtu=seat.network.mtu,
        )
        for seat in of_path(seats, nfv_intent.DataPath.KERNEL)
    )
