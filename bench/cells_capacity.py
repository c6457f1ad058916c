"""Capacity of 10,000 hosts for 20 flavors: counted at once, and host by host as Nova fits.

Half of the hosts have two NUMA nodes, each differently filled; half of the flavors are pinned. The
last line is what filling those hosts with those flavors, instance after instance, would take:
measured on 200 hosts with one flavor, whose counts are the same, and multiplied.
"""

import json
import random
import time

from isthmus.cells.arrays import make_arrays
from isthmus.cells.capacity import list_capacity
from isthmus.model.compute.cloud import (
    ComputeCloud,
    ComputeHost,
    Flavor,
    Provider,
    ResourceInventory,
)
from isthmus.nfv.compute.guest import plan_guest
from isthmus.nfv.compute.numa import NumaFit

HOSTS, FLAVORS = 10_000, 20


def _object(data: object) -> dict[str, object]:
    return {"nova_object.data": data}


def make_topology(dice: random.Random) -> str:
    nodes = []
    for number in range(2):
        cores = [[2 * one + 64 * number, 2 * one + 1 + 64 * number] for one in range(32)]
        cpus = [cpu for core in cores for cpu in core]
        pages = [(4, 16 * 262144, 0), (1048576, 112, dice.randint(0, 60))]
        nodes.append(
            _object(
                {
                    "id": number,
                    "cpuset": cpus[:4],
                    "pcpuset": cpus[4:],
                    "pinned_cpus": dice.sample(cpus[4:], dice.randint(0, 30)),
                    "siblings": cores,
                    "memory": 131072,
                    "cpu_usage": 0,
                    "memory_usage": 0,
                    "mempages": [
                        _object({"size_kb": size, "total": total, "used": used, "reserved": 0})
                        for size, total, used in pages
                    ],
                    "socket": number,
                }
            )
        )
    return json.dumps(_object({"cells": nodes}))


def make_cloud() -> ComputeCloud:
    dice = random.Random(1)
    hosts, providers, inventories = [], [], []
    for number in range(1, HOSTS + 1):
        numa = make_topology(dice) if number % 2 else ""
        uuid = str(number)
        cell = f"cell{number % 5}"
        hosts.append(ComputeHost(name=uuid, node=uuid, uuid=uuid, cell=cell, numa=numa))
        providers.append(Provider(id=number, uuid=uuid, name=uuid, root=number))
        cpus = ("PCPU", 120) if numa else ("VCPU", 512)
        for name, total in (cpus, ("MEMORY_MB", 262144), ("DISK_GB", 4000)):
            inventories.append(
                ResourceInventory(
                    provider=number,
                    resource_class=name,
                    capacity=total,
                    used=dice.randint(0, total // 2),
                )
            )
    return ComputeCloud(
        cells=(), hosts=tuple(hosts), providers=tuple(providers), inventories=tuple(inventories)
    )


def make_flavors() -> list[Flavor]:
    found = []
    for number in range(FLAVORS):
        specs = {"hw:cpu_policy": "dedicated", "hw:mem_page_size": "1GB"} if number % 2 else {}
        if number % 4 == 3:
            specs["hw:numa_nodes"] = "2"
        found.append(
            Flavor(
                name=f"f{number}",
                flavorid=str(number),
                vcpus=2 * (1 + number // 4),
                ram_mib=4096 * (1 + number // 4),
                disk_gib=20,
                extra_specs=specs,
            )
        )
    return found


def main() -> None:
    cloud, flavors = make_cloud(), make_flavors()
    began = time.perf_counter()
    arrays, fit = make_arrays(cloud), NumaFit(cloud.hosts)
    loaded = time.perf_counter()
    found = list_capacity(arrays, flavors, fit, "cell")
    counted = time.perf_counter()
    total = sum(one.fits for one in found)
    print(f"lay out {HOSTS} hosts: {loaded - began:.2f} s")
    print(f"count {FLAVORS} flavors by cell: {counted - loaded:.2f} s ({total} fits)")
    guest = plan_guest(flavors[1])
    assert guest is not None
    some = range(0, 400, 2)
    began = time.perf_counter()
    filled = [fit._fill(guest, at) for at in some]  # noqa: SLF001 - what the closed form replaces
    each = (time.perf_counter() - began) / len(some)
    assert filled == fit.count(flavors[1])[list(some)].tolist()
    pinned = each * HOSTS / 2 * FLAVORS / 2
    print(f"fill hosts instance by instance: {pinned:.0f} s for the pinned half")


if __name__ == "__main__":
    main()
