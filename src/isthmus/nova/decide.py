"""What the driver decides, without acting: names, interfaces, and what a hypervisor reports."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from isthmus.nova.record import Interface

#: Where the network of a port does not say its MTU.
DEFAULT_MTU = 1500
#: How much of a console Nova is given, in bytes, as libvirt's driver does.
CONSOLE_BYTES = 100 * 1024


def netns_name(prefix: str, uuid: str) -> str:
    """Return the name of a guest's namespace."""
    return prefix + uuid


def plan_interface(vif: Mapping[str, Any], taken: Iterable[str]) -> Interface:
    """Decide how one of Nova's VIFs looks in a guest.

    Args:
        vif: as Nova has it from Neutron.
        taken: names of the interfaces that the guest has.
    """
    used = set(taken)
    number = next(n for n in range(len(used) + 1) if f"eth{n}" not in used)
    mtu = vif["network"]["meta"].get("mtu") or DEFAULT_MTU
    return Interface(
        port_id=str(vif["id"]), mac=str(vif["address"]), mtu=int(mtu), name=f"eth{number}"
    )


def plan_interfaces(vifs: Sequence[Mapping[str, Any]]) -> tuple[Interface, ...]:
    """Decide the interfaces of a guest, in the order in which they were asked for."""
    made: list[Interface] = []
    for vif in vifs:
        made.append(plan_interface(vif, [one.name for one in made]))
    return tuple(made)


def list_events(vifs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """List the words of Neutron that a start has to wait for: one for each VIF not yet active."""
    return [("network-vif-plugged", str(vif["id"])) for vif in vifs if vif.get("active") is False]


def render_inventory(
    total: Mapping[str, int], ratios: Mapping[str, float], reserved: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    """Write what Placement is told of a hypervisor, by resource class.

    Args:
        total: what it has.
        ratios: how far each may be overcommitted.
        reserved: what guests may not have.
    """
    return {
        name: {
            "total": amount,
            "min_unit": 1,
            "max_unit": amount,
            "step_size": 1,
            "allocation_ratio": ratios[name],
            "reserved": reserved.get(name, 0),
        }
        for name, amount in total.items()
    }
