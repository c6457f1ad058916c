"""Hosts and demands drawn by dice: what the planner is held against Nova's own answers on.

The same number always draws the same host, so that recorded answers can be held against plans that
are made anew (`bench/nova_fit.py` records them, `tests/tables/test_nfv_fit.py` compares).
"""

import dataclasses
import hashlib
import json
import random
from typing import Any

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_demand import (
    Affinity,
    CpuPolicy,
    DataPath,
    EmulatorThreads,
    ThreadPolicy,
)
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv.plan.demand import check_demand
from isthmus.nfv.plan.host import plan_host
from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic

#: A host that cannot be planned is drawn anew, this often at most.
MOST_DRAWS = 200


def draw_plan(number: int) -> tuple[HostInventory, host_demand.HostDemand, HostPlan]:
    """Draw a host and a demand that can be planned."""
    for again in range(MOST_DRAWS):
        dice = random.Random(f"nfv {number} {again}")  # noqa: S311 - a test's dice
        host = draw_host(dice)
        demand = draw_demand(dice, host)
        if check_demand(demand):
            continue
        plan = plan_host(host, demand)
        if isinstance(plan, HostPlan):
            return host, demand, plan
    raise AssertionError(f"nothing that can be planned was drawn for {number}")


def draw_host(dice: random.Random) -> HostInventory:
    """Draw a host of 1 to 8 nodes, with ports on known and unknown ones."""
    sockets, per_socket = dice.choice([(1, 1), (1, 2), (2, 1), (2, 1), (2, 2), (1, 4), (2, 4)])
    count = sockets * per_socket
    host = make_host(
        Shape(
            name="drawn",
            sockets=sockets,
            nodes_per_socket=per_socket,
            cores_per_node=dice.choice([3, 4, 5, 6, 8, 10]),
            threads=dice.choice([1, 2, 2, 2, 4]),
            numbering=dice.choice(["halves", "pairs", "alternate"]),
            memory_mib=tuple(dice.choice([16384, 24576, 32768]) for _ in range(count)),
            nics=(
                make_nic("fast0", dice.randrange(count), bus=0x10),
                make_nic("fast1", dice.randrange(count), bus=0x18),
                *(
                    make_nic(
                        f"vf{index}",
                        None if dice.random() < 0.25 else dice.randrange(count),
                        vfs=dice.choice([1, 2, 3, 5, 8]),
                        bus=0x20 + 8 * index,
                    )
                    for index in range(4)
                ),
            ),
        )
    )
    if dice.random() < 0.15:
        host = _add_memory_node(host, dice)
    return host


def _add_memory_node(host: HostInventory, dice: random.Random) -> HostInventory:
    """Add a node of memory alone, as CXL and GPUs have it."""
    last = host.nodes[-1]
    extra = host_inventory.NumaNode(id=last.id + dice.choice([1, 7]), memory_mib=65536)
    nodes = tuple(dataclasses.replace(node, distances=()) for node in host.nodes)
    return dataclasses.replace(host, nodes=(*nodes, extra))


def draw_demand(dice: random.Random, host: HostInventory) -> host_demand.HostDemand:
    """Draw a demand of one to three flavors, of all policies that Nova has."""
    loose = [Affinity.REQUIRED, Affinity.PREFERRED, Affinity.LEGACY]
    if host.has_numa_sockets:
        loose.append(Affinity.SOCKET)
    networks = [
        host_demand.PhysicalNetwork(
            name="fast",
            by=dice.choice([DataPath.OVS_DPDK, DataPath.OVS_DPDK, DataPath.KERNEL]),
            nics=("fast0",) if dice.random() < 0.6 else ("fast0", "fast1"),
            affinity=dice.choice(loose),
        ),
        *(
            host_demand.PhysicalNetwork(
                name=name, by=DataPath.SRIOV, nics=nics, affinity=dice.choice(loose), vfs=vfs
            )
            for name, nics, vfs in (
                ("direct", ("vf0", "vf1") if dice.random() < 0.5 else ("vf0",), 1),
                ("other", ("vf2",) if dice.random() < 0.7 else ("vf2", "vf3"), 1),
            )
        ),
    ]
    most = {nic.name: nic.max_vfs for nic in host.nics}
    networks = [
        dataclasses.replace(one, vfs=dice.randint(1, min(most[name] for name in one.nics)))
        if one.by is DataPath.SRIOV
        else one
        for one in networks
    ]
    own = dice.choice([0, 0, 1])
    return host_demand.HostDemand(
        physical_networks=tuple(networks),
        tunnel_network=dice.choice(["", "fast"]),
        host=host_demand.HostReserve(memory_mib=2048, shared_cores_per_node=own),
        page_size=dice.choice(["1GiB", "1GiB", "2MiB"]),
        flavors=tuple(draw_flavor(dice, index) for index in range(dice.choice([1, 1, 2, 3]))),
    )


def draw_flavor(dice: random.Random, index: int) -> host_demand.FlavorDemand:
    """Draw a flavor; not every one makes sense, and `check_demand` says which do."""
    nodes = dice.choice([1, 1, 1, 2, 2, 4])
    vcpus = nodes * dice.choice([1, 2, 2, 3, 4, 6])
    policy = dice.choice([CpuPolicy.DEDICATED] * 5 + [CpuPolicy.MIXED] * 3 + [CpuPolicy.SHARED])
    realtime = policy is not CpuPolicy.SHARED and dice.random() < 0.25
    mask = dice.choice(["1", "0-1", "^0", "^0-1", "0,2", f"{vcpus - 1}"])
    mixed = policy is CpuPolicy.MIXED
    pinned = policy is not CpuPolicy.SHARED
    return host_demand.FlavorDemand(
        name=f"f{index}",
        vcpus=vcpus,
        ram_mib=nodes * dice.choice([512, 1024, 1024, 2048, 4096]),
        count=dice.choice([0, 0, 1, 2]),
        cpu_policy=policy,
        thread_policy=dice.choice(
            [ThreadPolicy.PREFER] * 4 + [ThreadPolicy.REQUIRE] * 2 + [ThreadPolicy.ISOLATE]
        )
        if pinned
        else ThreadPolicy.PREFER,
        emulator_threads=dice.choice([*EmulatorThreads, EmulatorThreads.SHARE])
        if pinned
        else EmulatorThreads.SHARE,
        numa_nodes=nodes,
        page_size=dice.choice(["large"] * 4 + ["small", "2MiB", "1GiB"]),
        networks=tuple(
            name
            for name in ("fast", "direct", "other", "direct")
            if dice.random() < (0.35 if name != "fast" else 0.5)
        ),
        dedicated_vcpus=mask if mixed and not realtime else "",
        realtime=realtime,
        realtime_vcpus=mask if realtime and (mixed or dice.random() < 0.5) else "",
    )


def describe(host: HostInventory, demand: host_demand.HostDemand, plan: HostPlan) -> dict[str, Any]:
    """Return what Nova is asked about: nothing of how the planner came to its own answer."""
    networks = {one.name: one for one in demand.physical_networks}
    return {
        "nodes": [
            {
                "id": node.id,
                "memory_mib": node.memory_mib,
                "cores": [list(core.cpus) for core in host.cores_of(node.id)],
                "sockets": sorted({core.socket for core in host.cores_of(node.id)}),
                "pages": {str(page.size_kib): page.total for page in planned.pages},
                "small_mib": planned.host_memory_mib,
            }
            for node, planned in zip(host.nodes, plan.nodes, strict=True)
        ],
        "nova": {key: list(values) for key, values in plan.nova.items()},
        "pools": [[one.physical_network, one.node, one.vfs] for one in plan.sriov],
        "flavors": [
            {
                "name": flavor.name,
                "vcpus": flavor.vcpus,
                "ram_mib": flavor.ram_mib,
                "extra_specs": dict(flavor.extra_specs),
                "wanted": flavor.wanted,
                "functions": [
                    name
                    for name in wanted.networks
                    if name in networks and _is_direct(networks, name)
                ],
                "physnets": sorted(set(wanted.networks) - {"tunnel"}),
            }
            for flavor, wanted in zip(plan.flavors, demand.flavors, strict=True)
        ],
    }


def _is_direct(networks: dict[str, host_demand.PhysicalNetwork], name: str) -> bool:
    return networks[name].by.has_functions


def digest(described: dict[str, Any]) -> str:
    """Return a short name of what Nova is asked about: it changes where an answer may."""
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def answers_of(plan: HostPlan) -> list[list[int]]:
    """Return the planner's own answers: alone, and beside all that is wanted."""
    return [[flavor.fits_alone, flavor.fits_more] for flavor in plan.flavors]
