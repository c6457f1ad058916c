"""Planning NFV hosts: one plan, and a fleet of 1,000 inventories of 20 shapes, read from JSON.

The named peer is `derive`, below: the rules that TripleO's derived parameters had (first core of
each node for the host, N cores for PMDs, the rest for Nova, socket memory by Red Hat's formula,
half of the memory in 1 GiB pages), written anew as plain loops. It answers less: no capacity, no
per-node pages, no queues, no crossings, no reasons; the ratio says what the rest costs.

Run it by `python -m bench.nfv_plan`; it prints what it measured and nothing else.
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from isthmus.facts.document import to_document
from isthmus.facts.source import document
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv.fleet import plan_fleet
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.host import plan_host
from isthmus.nfv.plan.resource.memory import redhat_mib
from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic
from isthmus.testing.nfv.nfv_shapes import PUBLISHED

FLEET = 1000
SHAPES = 20
ROUNDS = 7
DEMAND = parse_demand("""
physical_networks:
- {name: fast, by: ovs-dpdk, nics: [dpdk1], packet_rate_mpps: 4, mtu: 9000}
tunnel_network: fast
flavors:
- {name: small, vcpus: 4, ram_mib: 8192, count: 1, networks: [fast]}
- {name: large, vcpus: 8, ram_mib: 16384, networks: [fast, tunnel]}
""")


def derive(body: dict[str, Any], *, pmd_cores: int = 1, huge_pct: int = 50) -> dict[str, Any]:
    """Give what TripleO's derived parameters gave, in a few loops over a saved inventory."""
    nodes = sorted({nic["node"] for nic in body["nics"] if nic["node"] is not None})
    host: list[int] = []
    pmd: list[int] = []
    nova: list[int] = []
    for node in nodes:
        cores = sorted((core["cpus"] for core in body["cores"] if core["node"] == node), key=min)
        for index, cpus in enumerate(cores):
            (host if index == 0 else pmd if index <= pmd_cores else nova).extend(cpus)
    memory_gib = sum(node["memory_mib"] for node in body["nodes"]) // 1024
    return {
        "OvsPmdCoreList": ",".join(map(str, sorted(pmd))),
        "OvsDpdkCoreList": ",".join(map(str, sorted(host))),
        "NovaVcpuPinSet": ",".join(map(str, sorted(nova))),
        "IsolCpusList": ",".join(map(str, sorted(pmd + nova))),
        "OvsDpdkSocketMemory": ",".join(str(redhat_mib({9000})) for _ in nodes),
        "hugepages": (memory_gib - 4) * huge_pct // 100,
    }


def make_shapes() -> list[HostInventory]:
    """Twenty shapes, from a small edge box to eight nodes."""
    sizes = [(1, 1, 8), (1, 1, 16), (1, 2, 12), (2, 1, 8), (2, 1, 16), (2, 1, 22), (2, 1, 32)]
    sizes += [(2, 2, 10), (2, 2, 16), (2, 4, 14), (2, 4, 16), (4, 1, 18), (8, 1, 10)]
    found = [
        make_host(
            Shape(
                name="shape",
                sockets=sockets,
                nodes_per_socket=per_socket,
                cores_per_node=cores,
                threads=threads,
                memory_mib=(65536,),
                nics=(make_nic("dpdk1", sockets * per_socket - 1),),
            )
        )
        for sockets, per_socket, cores in sizes
        for threads in (1, 2)
    ]
    return found[:SHAPES]


def make_fleet() -> list[str]:
    """A thousand saved inventories: names, MACs and a few MiB of memory differ."""
    texts = []
    shapes = make_shapes()
    for number in range(FLEET):
        host = shapes[number % SHAPES]
        nodes = tuple(
            dataclasses.replace(node, memory_mib=node.memory_mib - number % 11)
            for node in host.nodes
        )
        nics = tuple(
            dataclasses.replace(nic, mac=f"02:00:00:00:{number // 256:02x}:{number % 256:02x}")
            for nic in host.nics
        )
        made = dataclasses.replace(host, name=f"host{number}", nodes=nodes, nics=nics)
        texts.append(json.dumps(to_document(made)))
    return texts


def timed(work: Callable[[], Any]) -> float:
    """CPU seconds of this process: others on the machine do not count."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measure_single() -> None:
    """One plan of each published machine, and of the peer, interleaved."""
    names, ours, theirs = [], [], []
    for one in PUBLISHED:
        demand = parse_demand(one.demand)
        body = to_document(one.inventory)
        mine, peers = [], []
        for _ in range(ROUNDS):
            mine.append(timed(lambda one=one, demand=demand: plan_host(one.inventory, demand)))
            peers.append(timed(lambda body=body: derive(body)))
        names.append(one.inventory.name)
        ours.append(statistics.median(mine) * 1000)
        theirs.append(statistics.median(peers) * 1000)
    worst = max(range(len(ours)), key=ours.__getitem__)
    print(
        f"one plan of {len(ours)} published machines, CPU ms (median of {ROUNDS}): "
        f"median {statistics.median(ours):.2f}, worst {ours[worst]:.2f} ({names[worst]}), "
        f"target 50; derive {statistics.median(theirs):.3f}; "
        f"ratio {statistics.median(ours) / statistics.median(theirs):.0f}"
    )


def measure_fleet() -> None:
    """A thousand inventories: parsed, grouped, each group planned; each planned alone; the peer."""
    texts = make_fleet()
    document.parse_inventory(texts[0], name="warm")
    hosts: list[HostInventory] = []
    parse = timed(lambda: hosts.extend(document.parse_inventory(text, name="h") for text in texts))
    planned: list[Any] = []
    group = timed(lambda: planned.extend(plan_fleet(hosts, DEMAND)))
    assert len(planned) == SHAPES
    assert all(isinstance(one.outcome, HostPlan) for one in planned)
    assert sum(len(one.group.members) for one in planned) == FLEET
    alone = timed(lambda: [plan_host(host, DEMAND) for host in hosts])
    peer = timed(lambda: [derive(json.loads(text)) for text in texts])
    print(
        f"{FLEET} inventories of {SHAPES} shapes, CPU s: {parse + group:.2f} in all (reading "
        f"{parse:.2f}, grouping and planning {group:.2f}), target 5; every host planned alone "
        f"{parse + alone:.2f}; derive {peer:.2f}; ratio {(parse + group) / peer:.1f}"
    )


def main() -> None:
    measure_single()
    measure_fleet()


if __name__ == "__main__":
    main()
