"""Clouds by dice that Nova itself runs: hosts as their virt drivers report them, and flavors."""

import random
from typing import Any

from tests.cells.draw import NETWORKS, ROOT_TRAITS, TRAITS, VF

#: (vendor, product, type) of devices that can be asked for, by alias.
DEVICES = {
    "gpu": ("10de", "1001", "type-PCI"),
    "vf": ("8086", "2002", "type-VF"),
    "pf": ("8086", "2001", "type-PF"),
}
POLICIES = ("required", "legacy", "preferred", "socket")


def draw_booted(seed: int) -> dict[str, Any]:
    """Draw a cloud of two cells, its configuration, and flavors that are booted there."""
    dice = random.Random(seed + 40_000)
    in_placement = dice.random() < 0.5
    # Placement has a card as functions or as a whole.
    whole = not in_placement and dice.random() < 0.5
    cloud = {
        "seed": seed,
        "cpu_ratio": dice.choice((1.0, 1.5, 2.0)),
        "ram_ratio": dice.choice((1.0, 1.0, 1.5)),
        "in_placement": in_placement,
        "aliases": {name: dice.choice(POLICIES) for name in DEVICES if name != "pf" or whole},
        "hosts": [_draw_host(dice, number, whole=whole) for number in range(dice.randint(2, 4))],
    }
    cloud["flavors"] = [_draw_flavor(dice, number, cloud) for number in range(5)]
    cloud["mixed"] = [f"f{dice.randint(0, 4)}" for _ in range(8)]
    return cloud


def _draw_host(dice: random.Random, number: int, *, whole: bool) -> dict[str, Any]:
    nodes = _draw_nodes(dice) if dice.random() < 0.7 else []
    traits = [one for one in (*TRAITS, *ROOT_TRAITS) if dice.random() < 0.8]
    memory = sum(one["memory"] for one in nodes) or 1024 * dice.randint(4, 12)
    inventory = {
        "MEMORY_MB": {"total": memory, "reserved": dice.choice((0, 512, 1024))},
        "DISK_GB": {"total": dice.randint(40, 200), "reserved": dice.choice((0, 7))},
    }
    shared = sum(len(one["shared"]) for one in nodes) if nodes else dice.randint(4, 9)
    if shared:
        reserved = dice.choice((0, 1)) if shared > 1 else 0
        inventory["VCPU"] = {"total": shared, "reserved": reserved}
    dedicated = sum(len(one["dedicated"]) for one in nodes)
    if dedicated:
        inventory["PCPU"] = {"total": dedicated, "reserved": 0}
    if dice.random() < 0.5:
        inventory["MEM_ENCRYPTION_CONTEXT"] = {"total": dice.randint(1, 3), "reserved": 0}
    children = [
        {
            "name": f"nic{card}",
            "traits": [dice.choice(NETWORKS)] + (["CUSTOM_FAST"] if dice.random() < 0.3 else []),
            "inventory": {VF: {"total": dice.randint(1, 4), "reserved": dice.choice((0, 0, 1))}},
        }
        for card in range(dice.choice((0, 1, 2, 3)))
    ]
    return {
        "name": f"h{number}",
        "cell": f"cell{number % 2 + 1}",
        "traits": traits,
        "nodes": nodes,
        "inventory": inventory,
        "children": children,
        "devices": _draw_devices(dice, len(nodes), whole=whole),
    }


def _draw_nodes(dice: random.Random) -> list[dict[str, Any]]:
    threads, shares = dice.choice((1, 2)), dice.random() < 0.7
    nodes, cpu = [], 0
    for number in range(dice.choice((1, 2, 2, 4))):
        cores = []
        for _ in range(dice.choice((3, 4, 5))):
            cores.append(list(range(cpu, cpu + threads)))
            cpu += threads
        kept = 1 if shares else 0
        memory = 1024 * dice.choice((4, 6, 8))
        huge = dice.randint(0, memory // 2048)
        pages = [[4, (memory - huge * 1024) * 256, dice.choice((0, 256 * 512))]]
        if huge:
            pages.append([1048576, huge, dice.choice((0, 1)) if huge > 1 else 0])
        nodes.append(
            {
                "id": number,
                "socket": number // 2,
                "cores": cores,
                "shared": [one for core in cores[:kept] for one in core],
                "dedicated": [one for core in cores[kept:] for one in core],
                "memory": memory,
                "pages": pages,
            }
        )
    return nodes


def _draw_devices(dice: random.Random, nodes: int, *, whole: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for card in range(dice.choice((0, 2, 3, 4))):
        kind = dice.choice(("gpu", "vf", "vf"))
        node = dice.choice([*range(nodes), *range(nodes), None])
        place = f"0000:{card + 1:02x}:00"
        if kind == "gpu":
            found.append(_make_device(kind, f"{place}.0", node))
            continue
        if whole:
            found.append(_make_device("pf", f"{place}.0", node))
        found += [
            _make_device(kind, f"{place}.{function + 1}", node, f"{place}.0")
            for function in range(dice.randint(2, 5))
        ]
    return found


def _make_device(
    kind: str, address: str, node: int | None, parent: str | None = None
) -> dict[str, Any]:
    vendor, product, own = DEVICES[kind]
    return {
        "dev_id": f"pci_{address}",
        "address": address,
        "vendor_id": vendor,
        "product_id": product,
        "label": f"label_{vendor}_{product}",
        "status": "available",
        "numa_node": node,
        "dev_type": own,
        "parent_addr": parent,
    }


def _draw_flavor(dice: random.Random, number: int, cloud: dict[str, Any]) -> dict[str, Any]:
    specs: dict[str, str] = {}
    vcpus, ram = dice.choice((1, 1, 2)), 1024 * dice.choice((1, 1, 2, 3))
    if any(host["nodes"] for host in cloud["hosts"]) and dice.random() < 0.6:
        nodes = dice.choice((1, 1, 1, 2))
        vcpus, ram = dice.choice((1, 1, 2)) * nodes, 1024 * dice.choice((1, 2)) * nodes
        specs |= _draw_numa(dice, nodes)
        if "hw:mem_page_size" in specs:
            ram = 1024 * nodes
    if dice.random() < 0.45:
        specs |= _draw_aliases(dice, whole="pf" in cloud["aliases"])
    elif dice.random() < 0.3:
        specs |= _draw_groups(dice)
    for trait in TRAITS[:2]:
        if dice.random() < 0.12:
            specs[f"trait:{trait}"] = dice.choice(("required", "required", "forbidden"))
    if dice.random() < 0.12:
        specs |= dice.choice(list(ROOT_TRAITS.values()))
    return {
        "name": f"f{number}",
        "flavorid": f"f{number}",
        "vcpus": vcpus,
        "ram_mib": ram,
        "disk_gib": dice.choice((1, 5, 10)),
        "ephemeral_gib": dice.choice((0, 0, 3)),
        "swap_mib": dice.choice((0, 0, 1500)),
        "extra_specs": specs,
    }


def _draw_numa(dice: random.Random, nodes: int) -> dict[str, str]:
    specs: dict[str, str] = {}
    if nodes > 1 or dice.random() < 0.5:
        specs["hw:numa_nodes"] = str(nodes)
    policy = dice.choice(("shared", "dedicated", "dedicated"))
    specs["hw:cpu_policy"] = policy
    if policy == "dedicated" and dice.random() < 0.4:
        specs["hw:cpu_thread_policy"] = dice.choice(("prefer", "require", "isolate"))
    if policy == "dedicated" and dice.random() < 0.2:
        specs["hw:emulator_threads_policy"] = "isolate"
    if dice.random() < 0.4:
        specs["hw:mem_page_size"] = dice.choice(("large", "small", "1GB"))
    return specs


def _draw_aliases(dice: random.Random, *, whole: bool) -> dict[str, str]:
    ways = ["gpu:1", "vf:1", "vf:2", "gpu:1,vf:1", *(["pf:1", "vf:1,pf:1"] if whole else [])]
    specs = {"pci_passthrough:alias": dice.choice(ways)}
    if dice.random() < 0.3:
        specs["hw:pci_numa_affinity_policy"] = dice.choice(POLICIES)
    return specs


def _draw_groups(dice: random.Random) -> dict[str, str]:
    specs = {"group_policy": dice.choice(("none", "isolate"))}
    for group in range(1, dice.randint(1, 2) + 1):
        specs[f"resources{group}:{VF}"] = "1"
        if dice.random() < 0.6:
            specs[f"trait{group}:{dice.choice(NETWORKS)}"] = "required"
    return specs
