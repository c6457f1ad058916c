"""Which affinity a flavor's virtual functions have: one policy for all of them.

Nova takes one policy from a flavor (`hw:pci_numa_affinity_policy`), so where its networks differ
the strictest counts: what an operator has required is never loosened by another network. A single
port may still have its own (`openstack port set --numa-policy-...`), which Nova then prefers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import Constraint, Note
from isthmus.nfv.plan.resource import ports

#: The strictest first. `socket` and `legacy` cannot be compared as a rule: a device of an unknown
#: node is good for legacy only; where the node is known, legacy is the stricter one.
STRICTEST = (
    host_demand.Affinity.REQUIRED,
    host_demand.Affinity.LEGACY,
    host_demand.Affinity.SOCKET,
    host_demand.Affinity.PREFERRED,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of one flavor; `affinity` is None where it has no virtual function."""

    affinity: host_demand.Affinity | None
    notes: tuple[Note, ...] = ()


def decide_policy(
    demand: host_demand.HostDemand, seats: Sequence[ports.Seat], flavor: host_demand.FlavorDemand
) -> Policy:
    """Decide the policy of a flavor's virtual functions."""
    networks = networks_of(demand, flavor)
    if not networks:
        return Policy(None)
    wanted = {network.affinity for network in networks}
    affinity = next(one for one in STRICTEST if one in wanted)
    notes: list[Note] = []
    if len(wanted) > 1:
        loose = sorted({one.name for one in networks if one.affinity is not affinity})
        notes.append(
            Note(
                code="affinity-strictest",
                text=f"flavor {flavor.name} has networks of several affinities, and Nova one "
                f"policy for all: {affinity} counts for {', '.join(loose)} too, unless "
                "a port has its own numa_affinity_policy",
            )
        )
    names = {network.name for network in networks}
    unknown = sorted(
        seat.nic.name for seat in seats if seat.network.name in names and not seat.is_known
    )
    if unknown and affinity in {host_demand.Affinity.REQUIRED, host_demand.Affinity.SOCKET}:
        notes.append(
            Note(
                code="affinity-legacy",
                text=f"flavor {flavor.name} gets pci_numa_affinity_policy legacy, not {affinity}: "
                f"the node of {', '.join(unknown)} is not known, and Nova gives such functions to "
                f"nobody who asks for {affinity}",
            )
        )
        affinity = host_demand.Affinity.LEGACY
    return Policy(affinity, tuple(notes))


def networks_of(
    demand: host_demand.HostDemand, flavor: host_demand.FlavorDemand
) -> list[host_demand.PhysicalNetwork]:
    """List the networks of a flavor that give it virtual functions, one for each."""
    found = (
        demand.network(demand.tunnel_network if name == "tunnel" else name)
        for name in flavor.networks
    )
    return [one for one in found if one is not None and one.by.has_functions]


def check_sockets(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand
) -> list[Constraint]:
    """Check the policy `socket`: Nova wants each node to be in one socket."""
    wanted = [
        one.name for one in demand.physical_networks if one.affinity is host_demand.Affinity.SOCKET
    ]
    if not wanted or inventory.has_numa_sockets:
        return []
    why = (
        "introspection data does not say in which socket a node is"
        if inventory.source == "ironic"
        else "a NUMA node of it has no CPU, or those of two sockets"
    )
    return [
        Constraint(
            code="affinity",
            message=f"{', '.join(wanted)} asks for affinity socket, which Nova gives nobody on "
            f"{inventory.name}: {why}",
        )
    ]
