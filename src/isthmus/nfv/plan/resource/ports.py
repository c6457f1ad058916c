"""Which NIC carries which physical network, and on which NUMA node that happens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import Constraint, DpdkPortPlan, KernelPortPlan, Note, SriovPlan
from isthmus.nfv.plan.demand import bridge_name

#: NICs whose DPDK driver works beside the kernel's; they are never unbound (doc.dpdk.org, mlx5).
BIFURCATED_VENDORS = frozenset({"15b3"})
#: Sources that cannot tell how many virtual functions a device may have.
SILENT_ON_VFS = frozenset({"ironic", "commands", "lstopo", "lscpu", "capabilities", "sheet"})
MOST_QUEUES = 16  #: more receive queues than any one port gains from


@dataclass(frozen=True, slots=True)
class Seat:
    """One port of one physical network and the node it sits on."""

    network: host_demand.PhysicalNetwork
    nic: host_inventory.Nic
    node: int  #: where `is_known`, else an assumption
    is_known: bool = True


def seat_ports(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand
) -> tuple[tuple[Seat, ...], tuple[Constraint, ...], tuple[Note, ...]]:
    """Find every port that the demand names."""
    by_name = {nic.name: nic for nic in inventory.nics}
    by_address: dict[str, list[host_inventory.Nic]] = {}
    for nic in inventory.nics:
        if nic.pci_address:
            by_address.setdefault(nic.pci_address, []).append(nic)
    seats: list[Seat] = []
    faults: list[Constraint] = []
    notes: list[Note] = []
    for network in demand.physical_networks:
        for name in network.nics:
            found = [by_name[name]] if name in by_name else by_address.get(name.lower(), [])
            if len(found) != 1:
                faults.append(
                    _ambiguous(network, name, found) if found else _absent(inventory, network, name)
                )
                continue
            seats.append(_seat(inventory, network, found[0]))
            notes += _note_node(inventory, seats[-1])
    return tuple(seats), tuple(faults), tuple(notes)


def _seat(
    inventory: host_inventory.HostInventory,
    network: host_demand.PhysicalNetwork,
    nic: host_inventory.Nic,
) -> Seat:
    """Seat a port; one of an unknown node goes to the first with CPUs and memory."""
    if nic.node is not None:
        return Seat(network, nic, nic.node)
    usable = [
        node.id
        for node in inventory.nodes
        if node.memory_mib and any(core.node == node.id for core in inventory.cores)
    ]
    return Seat(network, nic, (usable or list(inventory.node_ids))[0], is_known=False)


def _note_node(inventory: host_inventory.HostInventory, seat: Seat) -> list[Note]:
    if seat.is_known:
        return []
    if seat.network.by.has_functions:
        text = (
            f"firmware does not say on which NUMA node {seat.nic.name} sits: Nova gives its "
            "virtual functions to no instance that requires their node, so affinity is planned as "
            "legacy"
        )
    elif len(inventory.nodes) > 1:
        text = (
            f"firmware does not say on which NUMA node {seat.nic.name} sits: node {seat.node} was "
            "assumed, and nothing proves that its PMD is local"
        )
    else:
        return []
    return [Note(code="node-unknown", text=text, subject=seat.nic.name)]


def _ambiguous(
    network: host_demand.PhysicalNetwork, name: str, found: Sequence[host_inventory.Nic]
) -> Constraint:
    names = " and ".join(nic.name for nic in found)
    return Constraint(
        code="nic",
        message=f"physical network {network.name} wants {name}, but {names} are ports of that one "
        "PCI function: name the interface",
    )


def planned_driver(seat: Seat) -> str:
    """Return the driver that DPDK needs a port bound to; empty where the kernel's stays."""
    by_dpdk = seat.network.by is host_demand.DataPath.OVS_DPDK
    if not by_dpdk or seat.network.af_packet or seat.nic.vendor_id in BIFURCATED_VENDORS:
        return ""
    return "vfio-pci"


def _absent(
    inventory: host_inventory.HostInventory, network: host_demand.PhysicalNetwork, name: str
) -> Constraint:
    there = ", ".join(nic.name for nic in inventory.nics) or "none"
    return Constraint(
        code="nic",
        message=f"physical network {network.name} wants {name}, which {inventory.name} does not "
        f"have (it has: {there})",
    )


def nodes_of(seats: Sequence[Seat], network: str) -> tuple[int, ...]:
    """Return the nodes that carry a physical network, ascending."""
    return tuple(sorted({seat.node for seat in seats if seat.network.name == network}))


def of_path(seats: Sequence[Seat], path: host_demand.DataPath) -> tuple[Seat, ...]:
    """Return the ports that go by one data path, by their PCI address."""
    return tuple(
        sorted(
            (seat for seat in seats if seat.network.by is path),
            key=lambda seat: (seat.nic.pci_address, seat.nic.name),
        )
    )


def plan_dpdk(
    seats: Sequence[Seat],
    pmds: Mapping[int, tuple[int, ...]],
    homes: Mapping[int, int],
    shared: frozenset[str] = frozenset(),
) -> tuple[DpdkPortPlan, ...]:
    """Lay out the ports that Open vSwitch polls, their queues and who polls which.

    Queues go to the least loaded PMD of the port's home node, by packet rate where the demand gives
    one, so that no PMD has more than one queue above another where rates are equal.

    Args:
        seats: all ports of the plan.
        pmds: PMD CPUs of each node.
        homes: node of a port -> node whose PMDs poll it.
        shared: PCI addresses of functions with several ports.
    """
    mine = of_path(seats, host_demand.DataPath.OVS_DPDK)
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
        found.append(
            _dpdk_port(
                seat,
                index,
                affinity,
                is_local=homes[seat.node] == seat.node,
                by_mac=seat.nic.pci_address in shared,
            )
        )
    return tuple(found)


def _dpdk_port(
    seat: Seat, index: int, affinity: Mapping[int, int], *, is_local: bool, by_mac: bool
) -> DpdkPortPlan:
    nic, network = seat.nic, seat.network
    devargs = f"class=eth,mac={nic.mac}" if by_mac else nic.pci_address
    return DpdkPortPlan(
        name=f"dpdk{index}",
        nic=nic.name,
        pci_address=nic.pci_address,
        devargs=f"eth_af_packet{index},iface={nic.name}" if network.af_packet else devargs,
        driver=planned_driver(seat),
        node=seat.node,
        physical_network=network.name,
        bridge=bridge_name(network),
        bond=f"bond-{network.name}"[:15] if network.bond else "",
        bond_mode=str(network.bond_mode) if network.bond else "",
        lacp=str(network.lacp) if network.bond else "",
        mtu=network.mtu,
        rx_queues=len(affinity),
        rxq_affinity=affinity,
        is_local=is_local,
        carries_management=network.carries_management,
        rx_descriptors=network.rx_descriptors,
    )


def plan_sriov(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand, seats: Sequence[Seat]
) -> tuple[tuple[SriovPlan, ...], tuple[Constraint, ...], tuple[Note, ...]]:
    """Count the virtual functions of each physical function."""
    found: list[SriovPlan] = []
    faults: list[Constraint] = []
    notes: list[Note] = []
    for seat in with_functions(seats):
        nic, network = seat.nic, seat.network
        wanted = wanted_vfs(demand, network)
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
        found.append(
            SriovPlan(
                nic=nic.name,
                pci_address=nic.pci_address,
                node=seat.node if seat.is_known else None,
                physical_network=network.name,
                vfs=wanted,
                trusted=network.trusted,
                spoof_check=network.spoof_check,
                switchdev=network.by is host_demand.DataPath.SWITCHDEV,
                mtu=network.mtu,
                vendor_id=nic.vendor_id,
                vf_product_id=nic.vf_product_id,
            )
        )
    return tuple(found), tuple(faults), tuple(notes)


def wanted_vfs(demand: host_demand.HostDemand, network: host_demand.PhysicalNetwork) -> int:
    """Count the virtual functions that each port of a network needs; at least one."""
    if network.vfs is not None:
        return network.vfs
    needed = sum(flavor.count * flavor.networks.count(network.name) for flavor in demand.flavors)
    return max(1, -(-needed // len(network.nics)))


def with_functions(seats: Sequence[Seat]) -> tuple[Seat, ...]:
    """Return the ports whose virtual functions instances get, by their PCI address."""
    paths = (host_demand.DataPath.SRIOV, host_demand.DataPath.SWITCHDEV)
    return tuple(
        sorted(
            (seat for path in paths for seat in of_path(seats, path)),
            key=lambda seat: (seat.nic.pci_address, seat.nic.name),
        )
    )


def plan_kernel(seats: Sequence[Seat]) -> tuple[KernelPortPlan, ...]:
    """List the ports that the kernel keeps on a bridge: its own, and uplinks of a card's switch."""
    paths = (host_demand.DataPath.KERNEL, host_demand.DataPath.SWITCHDEV)
    return tuple(
        KernelPortPlan(
            nic=seat.nic.name,
            node=seat.node,
            physical_network=seat.network.name,
            bridge=bridge_name(seat.network),
            mtu=seat.network.mtu,
            carries_management=seat.network.carries_management,
        )
        for path in paths
        for seat in of_path(seats, path)
    )
