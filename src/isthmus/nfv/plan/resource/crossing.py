"""Flows that leave their NUMA node, and what that costs in numbers that can be checked.

The cost is told in two figures, both arithmetic: the SLIT ratio (ACPI 6.5, 5.2.17: a distance is
relative memory latency, 10 is local) and the traffic that the link between the nodes has to carry
at the demand's own rate. What that does to packets per second only a measurement can say.
"""

from collections.abc import Mapping, Sequence

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import Crossing
from isthmus.nfv.plan.resource import ports

LOCAL = 10


def cost(distance: int | None, network: host_demand.PhysicalNetwork) -> str:
    """Describe the cost of one crossing."""
    if distance is None:
        ratio = "the distance is not known"
    else:
        ratio = f"memory is {distance / LOCAL:.1f} times as far as at home"
    if not network.packet_rate_mpps:
        return f"{ratio}; the packet rate is not given"
    gbit = network.packet_rate_mpps * network.mtu * 8 / 1000
    return (
        f"{ratio}; {network.packet_rate_mpps:g} million packets a second are up to {gbit:.0f} "
        f"Gbit/s between the nodes at MTU {network.mtu}"
    )


def find_crossings(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    seats: Sequence[ports.Seat],
    homes: Mapping[int, int],
    guests: Mapping[str, Sequence[int]],
) -> tuple[Crossing, ...]:
    """List every flow that crosses.

    Args:
        inventory: the host.
        demand: the demand.
        seats: all ports of the plan.
        homes: node of a polled port -> node that polls it.
        guests: flavor -> nodes on which its instances may run.
    """
    found: dict[tuple[str, int, int], Crossing] = {}

    def add(flow: str, near: int, far: int, network: host_demand.PhysicalNetwork) -> None:
        distance = inventory.distance(near, far)
        found[flow, near, far] = Crossing(
            flow=flow,
            from_node=near,
            to_node=far,
            distance=distance,
            cost=cost(distance, network),
        )

    for seat in ports.of_path(seats, host_demand.DataPath.OVS_DPDK):
        if homes[seat.node] != seat.node:
            add(f"{seat.nic.name} to its PMD", seat.node, homes[seat.node], seat.network)
    for flavor in demand.flavors:
        for name in dict.fromkeys(flavor.networks):
            network = demand.network(demand.tunnel_network if name == "tunnel" else name)
            if network is None:
                continue
            for seat in (seat for seat in seats if seat.network.name == network.name):
                for node in guests.get(flavor.name, ()):
                    if node != seat.node:
                        flow = f"{seat.nic.name} to instances of {flavor.name}"
                        add(flow, seat.node, node, network)
    return tuple(found[key] for key in sorted(found))
