"""Golden plans of published machines, and what their publishers would have done with them.

`ISTHMUS_GOLDEN=write` writes the files anew; read the difference before it is committed.
"""

import json
import os
from pathlib import Path

import pytest

from isthmus.facts import validity
from isthmus.facts.cpuset import parse_list
from isthmus.facts.document import to_document
from isthmus.facts.source import document
from isthmus.model.host.host_plan import HostPlan, Refusal
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.host import plan_host
from isthmus.nfv.plan.resource import memory
from isthmus.testing.nfv.nfv_shapes import PUBLISHED, Published, by_name

FOLDER = Path(__file__).parent / "nfv" / "plans"


def plan_of(one: Published, demand: str | None = None) -> HostPlan:
    outcome = plan_host(one.inventory, parse_demand(demand or one.demand))
    assert isinstance(outcome, HostPlan), outcome
    return outcome


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.inventory.name)
def test_published_machines(one: Published) -> None:
    assert validity.check_inventory(one.inventory) == ()
    got = to_document(plan_of(one))
    path = FOLDER / f"{one.inventory.name}.json"
    if os.environ.get("ISTHMUS_GOLDEN") == "write":
        FOLDER.mkdir(exist_ok=True)
        path.write_text(json.dumps(got, indent=1) + "\n")
    assert got == json.loads(path.read_text())


def test_every_kind_of_machine_is_among_them() -> None:
    hosts = [one.inventory for one in PUBLISHED]
    assert len(hosts) >= 12
    assert {1, 2, 4, 8} <= {len(host.nodes) for host in hosts}
    assert {1, 2, 4} <= {host.threads_per_core for host in hosts}
    assert {path.stem for path in FOLDER.glob("*.json")} == {host.name for host in hosts}


def test_a_saved_plan_reads_back() -> None:
    plan = plan_of(by_name("epyc-7742-nps4"))
    again = document.parse_noun(HostPlan, to_document(plan), what="the plan")
    assert again == plan


@pytest.mark.parametrize(
    ("port", "cores", "polling", "dedicated"),
    [
        # The page's four cases: which NIC is for DPDK, and how many cores its PMDs get.
        ("dpdk1", {0: 1}, "2,3,10,11", "4,5,6,7,12,13,14,15"),
        ("dpdk1", {0: 2}, "2,3,4,5,10,11", "6,7,12,13,14,15"),
        ("nic2", {1: 1}, "2,3,10,11", "4,5,6,7,12,13,14,15"),
        ("nic2", {1: 2}, "2,3,10,11,12,13", "4,5,6,7,14,15"),
    ],
)
def test_red_hats_two_nodes(port: str, cores: dict[int, int], polling: str, dedicated: str) -> None:
    """CPU for CPU the same; memory is not, and must not be.

    The page gives 1024 MiB of socket memory a node for MTU 1500. Open vSwitch's own document gives
    a pool of 262144 buffers of 3008 bytes for that MTU, 752 MiB; with the 512 MiB that the same
    guide adds elsewhere this is more than one page of 1 GiB.
    """
    one = by_name("redhat-two-nodes")
    demand = (
        f"physical_networks: [{{name: fast, by: ovs-dpdk, nics: [{port}]}}]\n"
        f"pmd: {{on_every_node: true, cores: {json.dumps(cores)}}}\n"
    )
    plan = plan_of(one, demand)
    assert plan.pmd_cpus == parse_list(polling)
    assert plan.dedicated_cpus == parse_list(dedicated)
    assert plan.host_cpus == (0, 1, 8, 9)
    node = plan.nodes[0 if port == "dpdk1" else 1]
    assert node.mempools[0].memory_mib == 752
    assert node.socket_memory_mib == 2048
    assert (
        memory.redhat_mib({1500}) == 2048
    )  # their own formula, which their example does not follow


def test_openstack_ansibles_example() -> None:
    """Masks and host CPUs the same.

    The page leaves the second node to nobody, since its playbooks know one NIC; here the node goes
    to instances that need no fast network, and affinity keeps the others away. It has 32 pages of
    1 GiB on each node, by eye; here it is all that the reserve of 2 GiB a node leaves.
    """
    plan = plan_of(by_name("osa-xeon-2450l"))
    assert plan.other_config["dpdk-lcore-mask"] == "0x1010101"
    assert plan.other_config["pmd-cpu-mask"] == "0x2020202"
    assert plan.host_cpus == (0, 8, 16, 24)
    assert set(parse_list("2-7,18-23")) < set(plan.dedicated_cpus)
    assert set(plan.dedicated_cpus) - set(parse_list("2-7,18-23")) == set(parse_list("10-15,26-31"))
    assert [node.pages[0].total for node in plan.nodes] == [45, 45]
    assert plan.nova["neutron_physnet_fast/numa_nodes"] == ("0",)


def test_red_hats_hyper_converged_example() -> None:
    """Host and PMD CPUs and the number of pages the same.

    The page keeps node 0's other cores for Ceph, which is no business of this planner; it gives
    4096 MiB of socket memory where MTU 9000 needs 2544 + 512 MiB, three pages.
    """
    plan = plan_of(by_name("redhat-hci-88"))
    assert plan.host_cpus == tuple(sorted((0, 44, 1, 45)))
    assert plan.pmd_cpus == tuple(sorted((2, 46, 3, 47)))
    assert sum(page.total for node in plan.nodes for page in node.pages) == 240
    assert plan.other_config["dpdk-socket-mem"] == "3072,3072"
    isolated_there = parse_list(
        "2,46,3,47,5,7,9,11,13,15,17,19,21,23,25,27,29,31,33,35,37,39,41,43,49,51,53,55,57,59,61,63,"
        "65,67,69,71,73,75,77,79,81,83,85,87"
    )
    assert set(isolated_there) < set(plan.isolated_cpus)
    assert all(cpu % 2 == 0 for cpu in set(plan.isolated_cpus) - set(isolated_there))


@pytest.mark.parametrize(
    ("mtu", "mbufs", "size", "megabytes"),
    [  # Open vSwitch, Documentation/topics/dpdk/memory.rst, shared memory
        (1500, 262144, 3008, 788),
        (1800, 262144, 3008, 788),
        (6000, 262144, 7104, 1862),
        (9000, 262144, 10176, 2667),
    ],
)
def test_open_vswitchs_shared_pools(mtu: int, mbufs: int, size: int, megabytes: int) -> None:
    assert (memory.shared_mbufs(mtu), memory.mbuf_bytes(mtu)) == (mbufs, size)
    assert mbufs * size // 10**6 == megabytes


@pytest.mark.parametrize(
    ("queues", "pmds", "mtu", "mbufs", "megabytes"),
    [  # the same document, per port memory
        (1, 1, 1500, 22560, 67),
        (1, 2, 6000, 24608, 174),
        (2, 2, 9000, 26656 + 32, 271),
    ],
)
def test_open_vswitchs_pools_per_port(
    queues: int, pmds: int, mtu: int, mbufs: int, megabytes: int
) -> None:
    """The document rounds its second result up to 175, and its third takes one queue's burst of 32
    where its own formula (and lib/netdev-dpdk.c) takes two.
    """
    assert memory.per_port_mbufs(queues, pmds) == mbufs
    assert mbufs * memory.mbuf_bytes(mtu) // 10**6 == megabytes


def test_red_hats_formula_on_its_own_example() -> None:
    """MTU 9000 and 2000 on one node: 4096 MiB there; two pools, 3314 + 512 MiB here."""
    assert memory.redhat_mib({9000, 2000}) == 4096
    pools = memory.plan_mempools([memory.PortMemory("a", 9000), memory.PortMemory("b", 2000)])
    assert [pool.memory_mib for pool in pools] == [752, 2544]
    assert memory.socket_memory_mib(pools, 1024) == 4096


def test_ports_of_one_buffer_size_share_a_pool() -> None:
    pools = memory.plan_mempools([memory.PortMemory("a", 1500), memory.PortMemory("b", 1800)])
    assert [(pool.mtu, pool.used_by) for pool in pools] == [(1800, ("a", "b"))]
    apart = memory.plan_mempools([memory.PortMemory("a", 1400), memory.PortMemory("b", 1500)])
    assert [pool.mbufs for pool in apart] == [16384, 262144]


def test_nothing_polls_nothing_reserves() -> None:
    host = by_name("xeon-no-hyperthreading").inventory
    plan = plan_host(
        host, parse_demand("flavors: [{name: a, vcpus: 2, ram_mib: 2048}]\nphysical_networks: []")
    )
    assert isinstance(plan, HostPlan)
    assert plan.pmd_cpus == ()
    assert plan.other_config == {}
    assert "DEFAULT/reserved_huge_pages" not in plan.nova


def test_a_port_on_a_node_without_memory_is_refused() -> None:
    one = by_name("power8-s822lc")
    demand = one.demand.replace("nics: [dpdk1]", "nics: [dpdk2]")
    outcome = plan_host(one.inventory, parse_demand(demand))
    assert isinstance(outcome, Refusal)
    assert "has no memory" in " ".join(fault.message for fault in outcome.constraints)
