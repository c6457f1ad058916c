"""Record how many instances Nova itself fits on hosts: the oracle of `tests/tables/nfv`.

Run it with a Python that has Nova installed (`python -m venv v && v/bin/pip install nova==34.0.0`),
once for each release that is followed:

    v/bin/python bench/record_nova_fit.py 300 >tests/tables/nfv/nova_fit.json

Hosts and flavors are drawn from a fixed seed. Each is filled with one flavor after the other by
`nova.virt.hardware.numa_fit_instance_to_host`, every answer being the number that went in. Virtual
functions are left out: Nova's PCI pools need a database to be built from.
"""

import json
import random
import sys
from importlib import metadata
from typing import Any

from nova import conf, objects
from nova.virt import hardware

SEED = 34
MOST = 64


def draw_host(dice: random.Random) -> list[dict[str, Any]]:
    threads = dice.choice([1, 2, 2, 2])
    cores = dice.choice([2, 3, 4, 6, 8, 14])
    tied = dice.random() < 0.5
    return [
        {
            "node": node,
            "cores": [threads] * max(0, cores - dice.choice([0, 0, 1, 2])),
            "shared_cpus": 2 * threads,
            "pages": {
                "1048576": dice.choice([0, 4, 8, 15, 30]),
                "2048": dice.choice([0, 512, 2048]),
            },
            "physnets": ["left"] if tied and node == 0 else ["right"] if tied and node == 1 else [],
        }
        for node in range(dice.choice([1, 2, 2, 2, 4, 8]))
    ]


def draw_flavor(dice: random.Random, index: int) -> dict[str, Any]:
    nodes = dice.choice([1, 1, 1, 2])
    shared = dice.random() < 0.15
    return {
        "name": f"f{index}",
        "vcpus": nodes * dice.choice([1, 2, 3, 4, 6, 8]),
        "ram_mib": nodes * dice.choice([512, 1024, 2048, 4096, 8192]),
        "numa_nodes": nodes,
        "cpu_policy": "shared" if shared else "dedicated",
        "thread_policy": "prefer" if shared else dice.choice(["prefer", "prefer", "require"]),
        "emulator_threads": "share" if shared else dice.choice(["share", "share", "isolate"]),
        "page_size": dice.choice(["large", "large", "1GiB", "2MiB"]),
        "networks": dice.choice([[], [], ["left"], ["right"], ["left", "right"]]),
        "most": dice.choice([1, 2, 5, MOST]),
    }


def make_topology(nodes: list[dict[str, Any]]) -> Any:
    cells, cpu = [], 0
    for node in nodes:
        siblings = []
        for threads in node["cores"]:
            siblings.append(set(range(cpu, cpu + threads)))
            cpu += threads
        shared = set(
            range(1000 + 100 * node["node"], 1000 + 100 * node["node"] + node["shared_cpus"])
        )
        cells.append(
            objects.NUMACell(
                id=node["node"],
                cpuset=shared,
                pcpuset=set().union(*siblings),
                siblings=siblings or [set()],
                memory=sum(int(size) * count for size, count in node["pages"].items()) // 1024,
                cpu_usage=0,
                memory_usage=0,
                pinned_cpus=set(),
                mempages=[
                    objects.NUMAPagesTopology(size_kb=4, total=0, used=0),
                    *(
                        objects.NUMAPagesTopology(size_kb=int(size), total=count, used=0)
                        for size, count in sorted(
                            node["pages"].items(), key=lambda one: int(one[0])
                        )
                    ),
                ],
                network_metadata=objects.NetworkMetadata(
                    physnets=set(node["physnets"]), tunneled=False
                ),
                socket=0,
            )
        )
    return objects.NUMATopology(cells=cells)


def make_instance(flavor: dict[str, Any]) -> Any:
    count = flavor["numa_nodes"]
    each = flavor["vcpus"] // count
    shared = flavor["cpu_policy"] == "shared"
    size = {"large": -2, "1GiB": 1048576, "2MiB": 2048}[flavor["page_size"]]
    cells = []
    for index in range(count):
        cpus = set(range(index * each, (index + 1) * each))
        cells.append(
            objects.InstanceNUMACell(
                id=index,
                cpuset=cpus if shared else set(),
                pcpuset=set() if shared else cpus,
                memory=flavor["ram_mib"] // count,
                pagesize=size,
                cpu_policy=flavor["cpu_policy"],
                cpu_thread_policy=None if shared else flavor["thread_policy"],
            )
        )
    return objects.InstanceNUMATopology(
        cells=cells, emulator_threads_policy=flavor["emulator_threads"]
    )


def fill(topology: Any, flavor: dict[str, Any]) -> tuple[int, Any]:
    limits = objects.NUMATopologyLimits(
        cpu_allocation_ratio=4.0,
        ram_allocation_ratio=1.0,
        network_metadata=objects.NetworkMetadata(physnets=set(flavor["networks"]), tunneled=False),
    )
    for placed in range(flavor["most"]):
        fitted = hardware.numa_fit_instance_to_host(topology, make_instance(flavor), None, limits)
        if fitted is None:
            return placed, topology
        topology = hardware.numa_usage_from_instance_numa(topology, fitted)
    return flavor["most"], topology


def main() -> None:
    objects.register_all()
    conf.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    dice = random.Random(SEED)
    cases = []
    for _ in range(int(sys.argv[1])):
        nodes = draw_host(dice)
        flavors = [draw_flavor(dice, index) for index in range(dice.choice([1, 1, 2, 3]))]
        topology, answers = make_topology(nodes), []
        for flavor in flavors:
            placed, topology = fill(topology, flavor)
            answers.append(placed)
        cases.append({"nodes": nodes, "flavors": flavors, "nova": answers})
    sys.stdout.write(f'{{"nova": "{metadata.version("nova")}", "cases": [\n')
    sys.stdout.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
    sys.stdout.write("\n]}\n")


if __name__ == "__main__":
    main()
