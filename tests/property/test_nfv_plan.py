"""What holds for every plan of every machine and demand."""

import itertools
from collections import Counter
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.facts import cpuset, validity
from isthmus.facts.document import to_document
from isthmus.facts.source import document
from isthmus.model.host.host_demand import (
    Affinity,
    DataPath,
    FlavorDemand,
    HostDemand,
    HostReserve,
    PhysicalNetwork,
    PmdDemand,
    SiblingUse,
)
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import HostPlan, Refusal
from isthmus.nfv.plan.alternatives import plan_or_alternatives
from isthmus.nfv.plan.demand import check_demand
from isthmus.nfv.plan.fit.capacity import NodeSpace, Ties, fill
from isthmus.nfv.plan.host import plan_host
from isthmus.nfv.render import script
from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic


@st.composite
def hosts(draw: st.DrawFn) -> HostInventory:
    sockets = draw(st.integers(1, 3))
    per_socket = draw(st.sampled_from([1, 1, 2, 4]))
    count = sockets * per_socket
    return make_host(
        Shape(
            name="h",
            sockets=sockets,
            nodes_per_socket=per_socket,
            cores_per_node=draw(st.integers(1, 12)),
            threads=draw(st.sampled_from([1, 2, 2, 4])),
            numbering=draw(st.sampled_from(["halves", "pairs", "alternate"])),
            memory_mib=draw(
                st.lists(
                    st.sampled_from([0, 2048, 16384, 65536]), min_size=count, max_size=count
                ).filter(any)
            ),
            nics=tuple(
                make_nic(
                    f"n{number}",
                    draw(st.one_of(st.none(), st.integers(0, count - 1))),
                    bus=0x10 + number,
                    vfs=draw(st.sampled_from([0, 8, 64])),
                )
                for number in range(draw(st.integers(1, 4)))
            ),
            vendor=draw(st.sampled_from(["GenuineIntel", "AuthenticAMD", "ARM"])),
            kernel=draw(st.sampled_from(["4.18.0", "6.8.0"])),
        )
    )


@st.composite
def demands(draw: st.DrawFn) -> HostDemand:
    ports = draw(st.permutations([f"n{number}" for number in range(4)]))
    cuts = sorted(draw(st.sets(st.integers(1, 3), max_size=2)))
    # One switch has its bridges in user space or in the kernel, not both.
    without = draw(st.sampled_from([DataPath.OVS_DPDK, DataPath.SWITCHDEV]))
    paths = [path for path in DataPath if path is not without]
    networks = tuple(
        PhysicalNetwork(
            name=f"net{number}",
            by=draw(st.sampled_from(paths)),
            nics=tuple(ports[low:high]),
            mtu=draw(st.sampled_from([1400, 1500, 2000, 9000])),
            packet_rate_mpps=draw(st.sampled_from([0.0, 1.0, 5.5])),
            affinity=draw(st.sampled_from(Affinity)),
        )
        for number, (low, high) in enumerate(itertools.pairwise([0, *cuts, 4]))
    )
    flavors = tuple(
        FlavorDemand(
            name=f"f{number}",
            vcpus=2 * draw(st.integers(1, 4)),
            ram_mib=2048 * draw(st.integers(1, 4)),
            count=draw(st.integers(0, 3)),
            numa_nodes=draw(st.sampled_from([1, 1, 2])),
            networks=tuple(draw(st.sets(st.sampled_from([one.name for one in networks])))),
        )
        for number in range(draw(st.integers(0, 2)))
    )
    return HostDemand(
        physical_networks=networks,
        tunnel_network=draw(st.sampled_from(["", networks[0].name])),
        host=HostReserve(
            cores_per_node=draw(st.sampled_from([1, 1, 2])),
            shared_cores_per_node=draw(st.sampled_from([0, 0, 1])),
            memory_mib=draw(st.sampled_from([1024, 4096])),
        ),
        pmd=PmdDemand(
            on_every_node=draw(st.booleans()),
            siblings=draw(st.sampled_from(SiblingUse)),
            per_port_memory=draw(st.booleans()),
        ),
        page_size=draw(st.sampled_from(["2MiB", "1GiB"])),
        flavors=flavors,
    )


def check_cpus(host: HostInventory, plan: HostPlan) -> None:
    counts = Counter(
        cpu
        for node in plan.nodes
        for part in (
            node.host_cpus,
            node.shared_cpus,
            node.pmd_cpus,
            node.idle_cpus,
            node.dedicated_cpus,
        )
        for cpu in part
    )
    assert set(counts) == set(host.cpus), "every CPU has a use, and none is made up"
    assert set(counts.values()) <= {1}, "no CPU has two"
    by_id = {node.id: node for node in plan.nodes}
    for core in host.cores:
        node = by_id[core.node]
        uses = [
            node.host_cpus,
            node.shared_cpus,
            (*node.pmd_cpus, *node.idle_cpus),
            node.dedicated_cpus,
        ]
        assert any(set(core.cpus) <= set(use) for use in uses), "siblings stay together"


def check_memory(host: HostInventory, plan: HostPlan) -> None:
    for seen, node in zip(host.nodes, plan.nodes, strict=True):
        huge = sum(page.total * page.size_kib // 1024 for page in node.pages)
        assert huge + node.host_memory_mib == seen.memory_mib
        assert node.host_memory_mib >= 0
        for page in node.pages:
            assert 0 <= page.for_ovs <= page.total
        pools = sum(pool.memory_mib for pool in node.mempools)
        assert node.socket_memory_mib >= pools
        reserved = sum(page.for_ovs * page.size_kib // 1024 for page in node.pages)
        assert reserved == node.socket_memory_mib or not plan.dpdk_ports


def check_ports(host: HostInventory, plan: HostPlan) -> None:
    by_name = {nic.name: nic for nic in host.nics}
    unsure = {
        word for note in plan.notes if note.code == "node-unknown" for word in note.text.split()
    }
    node_of = {cpu: core.node for core in host.cores for cpu in core.cpus}
    for port in plan.dpdk_ports:
        nic = by_name[port.nic]
        assert nic.node in {None, port.node}
        assert nic.node is not None or nic.name in unsure or len(host.nodes) == 1
        assert set(port.rxq_affinity) == set(range(port.rx_queues))
        polled_on = {node_of[cpu] for cpu in port.rxq_affinity.values()}
        assert set(port.rxq_affinity.values()) <= set(plan.pmd_cpus)
        crossed = any(one.flow == f"{port.nic} to its PMD" for one in plan.crossings)
        assert port.is_local == (polled_on == {port.node})
        assert port.is_local or crossed, "a PMD is local to its port, or it is said"
    for one in plan.sriov:
        assert one.vfs <= by_name[one.nic].max_vfs


def check_words(plan: HostPlan) -> None:
    isolated = cpuset.parse_list(plan.tuned_variables.get("isolated_cores", ""))
    assert isolated == plan.isolated_cpus
    assert not set(isolated) & {*plan.host_cpus, *plan.shared_cpus}
    dedicated = plan.nova.get("compute/cpu_dedicated_set", ("",))[0]
    assert cpuset.parse_list(dedicated) == plan.dedicated_cpus
    assert cpuset.parse_mask(plan.other_config.get("pmd-cpu-mask", "")) == (
        plan.pmd_cpus if plan.dpdk_ports else ()
    )
    for flavor in plan.flavors:
        assert flavor.fits_alone >= flavor.wanted or len(plan.flavors) > 1
        assert flavor.fits_more + flavor.wanted <= flavor.fits_alone or len(plan.flavors) > 1


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(hosts(), demands())
def test_a_plan_is_sound_or_refused_with_a_reason(host: HostInventory, demand: HostDemand) -> None:
    assert validity.check_inventory(host) == ()
    assert check_demand(demand) == ()
    outcome = plan_host(host, demand)
    assert outcome == plan_host(host, demand), "the same for the same"
    if isinstance(outcome, Refusal):
        assert outcome.constraints
        assert all(fault.message for fault in outcome.constraints)
        return
    check_cpus(host, outcome)
    check_memory(host, outcome)
    check_ports(host, outcome)
    check_words(outcome)
    assert document.parse_noun(HostPlan, to_document(outcome), what="it") == outcome
    assert script.render_apply(outcome)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(hosts(), demands())
def test_looking_for_alternatives_never_fails(host: HostInventory, demand: HostDemand) -> None:
    outcome = plan_or_alternatives(host, demand)
    assert isinstance(outcome, HostPlan) == isinstance(plan_host(host, demand), HostPlan)


def closed_form(per_node: Sequence[int], guest_nodes: int) -> int:
    """Return the largest n with sum of min(c_i, n) >= k * n; c_i is what one node alone holds."""
    low, high = 0, sum(per_node) // max(guest_nodes, 1)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(one, middle) for one in per_node) >= guest_nodes * middle:
            low = middle
        else:
            high = middle - 1
    return low


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 20)), min_size=1, max_size=5),
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([1, 2]),
)
def test_placing_one_by_one_and_the_closed_form(
    nodes: list[tuple[int, int]], guest_nodes: int, vcpus: int, pages: int, threads: int
) -> None:
    spaces = [
        NodeSpace(number, [threads] * cores, {4: 0, 1048576: free})
        for number, (cores, free) in enumerate(nodes)
    ]
    flavor = FlavorDemand(
        name="f",
        vcpus=vcpus * guest_nodes,
        ram_mib=1024 * pages * guest_nodes,
        numa_nodes=guest_nodes,
        page_size="1GiB",
    )
    per_node = [min(cores * threads // vcpus, free // pages) for cores, free in nodes]
    placed = fill(spaces, flavor, Ties())[0]
    best = closed_form(per_node, guest_nodes)
    assert placed == best if guest_nodes == 1 else best / 2 <= placed <= best


def test_nova_strands_what_an_optimum_would_use() -> None:
    """Nova 34 places one here too (asked): it fills the two nodes with the most CPUs first."""
    spaces = [
        NodeSpace(number, [2] * cores, {4: 0, 1048576: pages})
        for number, (cores, pages) in enumerate([(1, 2), (2, 1), (2, 1)])
    ]
    flavor = FlavorDemand(name="f", vcpus=2, ram_mib=2048, numa_nodes=2, page_size="1GiB")
    assert closed_form([2, 1, 1], 2) == 2
    assert fill(spaces, flavor, Ties())[0] == 1


@given(st.sets(st.integers(0, 600)))
def test_cpu_sets_read_back(cpus: set[int]) -> None:
    assert cpuset.parse_list(cpuset.render_list(cpus)) == tuple(sorted(cpus))
    assert cpuset.parse_mask(cpuset.render_mask(cpus)) == tuple(sorted(cpus))
