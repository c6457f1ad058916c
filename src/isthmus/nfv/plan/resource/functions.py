"""What PCI functions allow: ports that share one, IOMMU groups, DPDK's limits, ports in use.

Each is something that a plan on paper can promise and a machine refuses.

Sources:
    DPDK, `config/meson.build` and `config/{x86,arm,ppc}/meson.build` (RTE_MAX_NUMA_NODES);
    Linux, Documentation/driver-api/vfio.rst (viable groups); Open vSwitch, Documentation/howto/dpdk
    (`class=eth,mac=`, for cards with two ports on one function).
"""

from collections.abc import Sequence

from isthmus.facts import validity
from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import Constraint, Note
from isthmus.nfv.plan.resource import ports

#: Drivers that leave a group viable: VFIO's own, and those that touch no device.
HARMLESS = frozenset({"", "vfio-pci", "pci-stub", "pcieport"})


def eal_nodes(inventory: host_inventory.HostInventory) -> int:
    """Return how many node ids DPDK's build for such a CPU knows."""
    vendor = inventory.cpu_vendor.upper()
    if vendor.startswith(("ARM", "HISILICON", "AMPERE", "CAVIUM", "APM")):
        return 4
    return 16 if vendor.startswith(("IBM", "POWER")) else 32


def check_functions(
    inventory: host_inventory.HostInventory, seats: Sequence[ports.Seat]
) -> list[Constraint]:
    """List what the functions of the demand's ports cannot do."""
    return [
        *_check_addresses(seats),
        *_check_interfaces(seats),
        *_check_twice(seats),
        *_check_shared(inventory, seats),
        *_check_groups(inventory, seats),
        *_check_eal(inventory, seats),
        *_check_management(seats),
    ]


def _check_addresses(seats: Sequence[ports.Seat]) -> list[Constraint]:
    return [
        Constraint(
            code="nic",
            message=f"{seat.nic.name} has no PCI address in this inventory, and "
            + (
                "DPDK is told by it what to attach"
                if seat.network.by is host_demand.DataPath.OVS_DPDK
                else "its virtual functions are found by it"
            ),
        )
        for seat in seats
        if not seat.nic.pci_address
        and seat.network.by is not host_demand.DataPath.KERNEL
        and not seat.network.af_packet
    ]


def _check_interfaces(seats: Sequence[ports.Seat]) -> list[Constraint]:
    """Check that a port is known by its interface where the kernel keeps it."""
    faults: list[Constraint] = []
    for seat in seats:
        nic, network = seat.nic, seat.network
        by_address = network.by is host_demand.DataPath.OVS_DPDK and not network.af_packet
        known = validity.is_interface_name(nic.name) and nic.name != nic.pci_address
        if not by_address and not known:
            faults.append(
                Constraint(
                    code="nic",
                    message=f"the inventory does not tell the name that the kernel has for "
                    f"{nic.name!r}, and {network.by} needs it (Neutron, ip link): take it with "
                    "isthmus nfv inspect, while the kernel's own driver has the port",
                )
            )
    return faults


def _check_twice(seats: Sequence[ports.Seat]) -> list[Constraint]:
    """Check that no port is wanted twice, by its name and by its address."""
    networks: dict[str, list[str]] = {}
    for seat in seats:
        networks.setdefault(seat.nic.name, []).append(seat.network.name)
    return [
        Constraint(
            code="nic",
            message=f"{name} is wanted {len(names)} times, by "
            f"{' and '.join(dict.fromkeys(names))}: its name and its PCI address are one port",
        )
        for name, names in networks.items()
        if len(names) > 1
    ]


def mates_of(
    inventory: host_inventory.HostInventory, nic: host_inventory.Nic
) -> list[host_inventory.Nic]:
    """List the other ports on a port's own PCI function."""
    return [
        one
        for one in inventory.nics
        if nic.pci_address and one.pci_address == nic.pci_address and one.name != nic.name
    ]


def _check_shared(
    inventory: host_inventory.HostInventory, seats: Sequence[ports.Seat]
) -> list[Constraint]:
    used = {seat.nic.name: seat for seat in seats}
    faults: list[Constraint] = []
    for seat in seats:
        mates = mates_of(inventory, seat.nic)
        if not mates:
            continue
        names = ", ".join(one.name for one in mates)
        path = seat.network.by
        if path is host_demand.DataPath.OVS_DPDK and not seat.network.af_packet:
            blind = [one.name for one in (seat.nic, *mates) if one.name in used and not one.mac]
            if blind[:1] == [seat.nic.name]:  # once for each function
                faults.append(
                    Constraint(
                        code="nic",
                        message=f"{seat.nic.name} and {names} are ports of one PCI function "
                        f"{seat.nic.pci_address}: DPDK tells them apart by MAC (class=eth,mac=), "
                        f"and the inventory does not have that of {' and '.join(blind)}: take it "
                        "anew with isthmus nfv inspect",
                    )
                )
            others = [used[one.name] for one in mates if one.name in used]
            if ports.planned_driver(seat) and any(
                other.network.by is not host_demand.DataPath.OVS_DPDK for other in others
            ):
                faults.append(
                    Constraint(
                        code="nic",
                        message=f"{seat.nic.name} by ovs-dpdk takes the whole PCI function "
                        f"{seat.nic.pci_address}, with it {names}, which is wanted otherwise",
                    )
                )
        elif path.has_functions and any(one.name in used for one in mates):
            faults.append(
                Constraint(
                    code="nic",
                    message=f"virtual functions belong to the PCI function {seat.nic.pci_address}, "
                    f"so {seat.nic.name} cannot have its own beside {names}",
                )
            )
    return faults


def _check_groups(
    inventory: host_inventory.HostInventory, seats: Sequence[ports.Seat]
) -> list[Constraint]:
    """Check vfio-pci against IOMMU groups: all devices of a group, or none."""
    taken = {seat.nic.pci_address for seat in seats if ports.planned_driver(seat)}
    used = {seat.nic.pci_address: seat for seat in seats}
    faults: list[Constraint] = []
    for seat in seats:
        group = seat.nic.iommu_group
        if group is None or not ports.planned_driver(seat):
            continue
        left = [
            one
            for one in inventory.nics
            if one.iommu_group == group
            and one.pci_address not in taken
            and one.driver not in HARMLESS
        ]
        if left:
            mates = ", ".join(f"{one.name} ({one.driver})" for one in left)
            wanted = any(one.pci_address in used for one in left)
            faults.append(
                Constraint(
                    code="iommu",
                    message=f"{seat.nic.name} is in IOMMU group {group} with {mates}: DPDK can "
                    "have it only where the whole group is given to vfio-pci. "
                    + (
                        "Take both by ovs-dpdk, or neither"
                        if wanted
                        else f"Bind {left[0].name} to vfio-pci too, or to no driver"
                    )
                    + "; a slot, or firmware with ACS, that gives each a group of its own",
                )
            )
    return faults


def _check_eal(
    inventory: host_inventory.HostInventory, seats: Sequence[ports.Seat]
) -> list[Constraint]:
    most = eal_nodes(inventory)
    return [
        Constraint(
            code="node",
            message=f"{seat.nic.name} sits on NUMA node {seat.node}, but DPDK knows {most} nodes "
            f"on {inventory.cpu_vendor or 'this'} CPUs (RTE_MAX_NUMA_NODES): Open vSwitch would "
            "not start with socket memory there",
        )
        for seat in ports.of_path(seats, host_demand.DataPath.OVS_DPDK)
        if seat.node >= most
    ]


def _check_management(seats: Sequence[ports.Seat]) -> list[Constraint]:
    """Check that the host stays reachable."""
    faults: list[Constraint] = []
    for seat in seats:
        takes = seat.network.by is host_demand.DataPath.KERNEL or ports.planned_driver(seat)
        if seat.nic.carries and takes and not seat.network.carries_management:
            faults.append(
                Constraint(
                    code="guard",
                    message=f"{seat.nic.name} carries the host's {' and '.join(seat.nic.carries)}: "
                    f"{seat.network.by} would take it away, and with it the way to this host; "
                    f"carries_management: true on {seat.network.name} says that this is meant",
                )
            )
    return faults


def note_functions(
    inventory: host_inventory.HostInventory, seats: Sequence[ports.Seat]
) -> list[Note]:
    """List what is unknown about the virtual functions and could make the plan fail."""
    found: list[Note] = []
    vfio = [seat.nic.name for seat in seats if ports.planned_driver(seat)]
    handed = [*vfio, *(seat.nic.name for seat in seats if seat.network.by.has_functions)]
    if handed and inventory.iommu is not True:
        off = inventory.iommu is False
        found.append(
            Note(
                code="iommu-off" if off else "iommu-unknown",
                text=(
                    "no IOMMU is active now"
                    if off
                    else "the inventory does not say whether an IOMMU is active"
                )
                + f", which {' and '.join(handed)} cannot do without: switch it on in firmware and "
                "by the kernel line",
            )
        )
    for seat in seats:
        left = _left_on_card(inventory, seats, seat.nic) if ports.planned_driver(seat) else []
        if left and seat.nic.iommu_group is None:
            found.append(
                Note(
                    code="iommu-group-unknown",
                    text=f"the IOMMU group of {seat.nic.name} is not known"
                    + (": no IOMMU is active" if inventory.iommu is False else "")
                    + f"; where it has {', '.join(left)} of the same card in it too, which stays "
                    "with the kernel, vfio-pci does not get the port (inspect again once an IOMMU "
                    "is active)",
                )
            )
    return found


def _left_on_card(
    inventory: host_inventory.HostInventory,
    seats: Sequence[ports.Seat],
    nic: host_inventory.Nic,
) -> list[str]:
    """List the ports on a port's own card, by other functions, that do not go to vfio-pci."""
    taken = {seat.nic.pci_address for seat in seats if ports.planned_driver(seat)}
    card = nic.pci_address.rpartition(".")[0]
    return [
        one.name
        for one in inventory.nics
        if card
        and one.pci_address.rpartition(".")[0] == card
        and one.pci_address not in taken
        and one.driver not in HARMLESS
    ]
