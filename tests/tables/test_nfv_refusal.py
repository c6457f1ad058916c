"""Demands that contradict themselves, and demands that a host cannot meet."""

import pytest

from isthmus import errors
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import HostPlan, Refusal
from isthmus.nfv.plan.alternatives import plan_or_alternatives
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.host import plan_host
from isthmus.nfv.plan.refusal import say_refusal
from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic

NETWORK = "physical_networks: [{name: fast, by: ovs-dpdk, nics: [dpdk1]}]\n"


def flavor(text: str) -> str:
    return f"{NETWORK}flavors: [{{name: f, vcpus: 4, ram_mib: 4096, {text}}}]\n"


CONTRADICTIONS = {
    "nothing at all": ("", "empty or no mapping"),
    "a list": ("[1]", "empty or no mapping"),
    "nothing wanted": ("physical_networks: []", "asks for nothing"),
    "no YAML": ("a: [", "neither JSON nor YAML"),
    "an unknown key": (NETWORK + "pmds: {}", "pmds: nothing is called so here"),
    "an unknown path": (
        "physical_networks: [{name: a, by: magic, nics: [x]}]",
        r"physical_networks\.0\.by: it must be 'ovs-dpdk'",
    ),
    "two networks of one name": (
        "physical_networks: [{name: a, by: kernel, nics: [x]}, {name: a, by: kernel, nics: [y]}]",
        "two physical networks are called a",
    ),
    "one port for two networks": (
        "physical_networks: [{name: a, by: kernel, nics: [x]}, {name: b, by: sriov, nics: [x]}]",
        "the port x is given to two physical networks",
    ),
    "a name that no tool takes": (
        "physical_networks: [{name: 'a b:c', by: kernel, nics: [x]}]",
        "must be plain words",
    ),
    "a bridge too long": (
        "physical_networks: [{name: datacentre-left, by: kernel, nics: [x]}]",
        "longer than the 15 characters",
    ),
    "no port": ("physical_networks: [{name: a, by: kernel, nics: []}]", "has no port"),
    "an MTU of nothing": (
        "physical_networks: [{name: a, by: kernel, nics: [x], mtu: 20}]",
        "MTU 20, outside 68 to 9710",
    ),
    "an endless rate": (
        "physical_networks: [{name: a, by: kernel, nics: [x], packet_rate_mpps: .inf}]",
        "packet rate inf",
    ),
    "functions of a switch": (
        "physical_networks: [{name: a, by: ovs-dpdk, nics: [x], vfs: 4}]",
        "goes by ovs-dpdk, so it has no virtual functions",
    ),
    "a bond of one": (
        "physical_networks: [{name: a, by: ovs-dpdk, nics: [x], bond: true}]",
        "bond of 1 port",
    ),
    "a tunnel to nowhere": (NETWORK + "tunnel_network: slow", "tunnel_network slow is none"),
    "no core for the host": (NETWORK + "host: {cores_per_node: 0}", "must be at least 1"),
    "less than nothing": (NETWORK + "host: {memory_mib: -1}", "host.memory_mib is negative"),
    "a page of another size": (NETWORK + "page_size: 4MiB", "is the size of no huge page"),
    "a flavor of nothing": (flavor("count: -1"), "-1 wanted"),
    "small pages on vhost-user": (
        flavor("page_size: small, networks: [fast]"),
        "has small pages but uses fast by ovs-dpdk",
    ),
    "isolate and shared": (
        flavor("cpu_policy: shared, thread_policy: isolate"),
        "shares CPUs, so thread policy isolate means nothing",
    ),
    "isolated emulator and shared": (
        flavor("cpu_policy: shared, emulator_threads: isolate"),
        "its emulator threads cannot be isolated",
    ),
    "an odd split": (flavor("numa_nodes: 3"), "cannot split 4 vCPUs and 4096 MiB evenly over 3"),
    "memory that fills no page": (
        flavor("page_size: 1GiB, numa_nodes: 1").replace("4096", "4100"),
        "4100 MiB, no multiple of its 1GiB pages",
    ),
    "a network from nowhere": (flavor("networks: [slow]"), "uses slow, which is none"),
    "a tunnel that is not there": (flavor("networks: [tunnel]"), "tunnel_network is not given"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions(name: str) -> None:
    text, said = CONTRADICTIONS[name]
    with pytest.raises(errors.Invalid, match=said) as caught:
        parse_demand(text)
    assert "\n" not in caught.value.message


def test_every_contradiction_is_told_at_once() -> None:
    with pytest.raises(errors.Invalid) as caught:
        parse_demand(flavor("networks: [slow], numa_nodes: 3") + "page_size: 4MiB\n")
    for said in ("uses slow", "evenly over 3", "page_size '4MiB'"):
        assert said in caught.value.message


def host(**changes: object) -> HostInventory:
    shape: dict[str, object] = {
        "name": "h",
        "cores_per_node": 4,
        "memory_mib": (16384,),
        "nics": (make_nic("dpdk1", 0, vfs=8), make_nic("nic2", 1, bus=0xAF, vfs=0)),
    }
    return make_host(Shape(**(shape | changes)))  # type: ignore[arg-type]


#: name: (demand, the code of a constraint, what is said, an alternative that must be named)
REFUSALS = {
    "a port that is not there": (
        NETWORK.replace("dpdk1", "ens9"),
        "nic",
        "wants ens9, which h does not have (it has: dpdk1, nic2)",
        "nic2 (node 1) instead of ens9 for fast",
    ),
    "more PMDs than cores": (
        NETWORK.replace("nics", "packet_rate_mpps: 20, nics"),
        "cpus",
        "NUMA node 0 has 4 cores, but 1 for the host, 0 shared and 7 for PMDs are 8",
        "one PMD core on each node with a port",
    ),
    "PMDs on a node that is not there": (
        NETWORK + "pmd: {cores: {5: 1}}",
        "node",
        "pmd.cores names NUMA node 5; h has nodes 0, 1",
        "",
    ),
    "too many instances": (
        flavor("count: 9, networks: [fast]"),
        "capacity",
        "1 of 9 wanted f (4 vCPUs, 4096 MiB) fit on h: limited by CPUs",
        "1 instead of 9 instances of f",
    ),
    "an instance larger than a node": (
        flavor("count: 1, networks: [fast]").replace("vcpus: 4", "vcpus: 8"),
        "capacity",
        "0 of 1 wanted f",
        "two NUMA nodes for f",
    ),
    "too few virtual functions": (
        "physical_networks: [{name: d, by: sriov, nics: [dpdk1], vfs: 20}]\n",
        "vfs",
        "needs 20 virtual functions of dpdk1, which can have at most 8",
        "8 virtual functions on d",
    ),
    "no virtual functions at all": (
        "physical_networks: [{name: d, by: sriov, nics: [nic2]}]\n",
        "vfs",
        "which can have no virtual functions",
        "",
    ),
    "siblings that Nova will not give": (
        flavor("count: 1, thread_policy: isolate"),
        "flavor",
        "only on hosts without hyper-threading",
        "thread policy prefer for f",
    ),
    "two networks on two nodes for one": (
        "physical_networks:\n- {name: fast, by: ovs-dpdk, nics: [dpdk1]}\n"
        "- {name: other, by: ovs-dpdk, nics: [nic2]}\n"
        "flavors: [{name: f, vcpus: 2, ram_mib: 2048, count: 1, networks: [fast, other]}]\n",
        "capacity",
        "limited by NUMA affinity",
        "two NUMA nodes for f",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_host_that_cannot(name: str) -> None:
    text, code, said, near = REFUSALS[name]
    demand = parse_demand(text)
    outcome = plan_or_alternatives(host(), demand)
    assert isinstance(outcome, Refusal)
    assert code in {fault.code for fault in outcome.constraints}
    sentence = say_refusal(outcome)
    assert said in sentence
    assert "\n" not in sentence
    if near:
        assert any(near in one for one in outcome.alternatives), outcome.alternatives


def test_one_thread_a_core_has_no_siblings_to_require() -> None:
    outcome = plan_or_alternatives(
        host(threads=1, cores_per_node=8), parse_demand(flavor("count: 1, thread_policy: require"))
    )
    assert isinstance(outcome, Refusal)
    assert "one thread a core" in outcome.constraints[0].message
    assert "thread policy prefer for f" in outcome.alternatives


def test_no_large_pages() -> None:
    outcome = plan_or_alternatives(host(page_sizes_kib=(2048,)), parse_demand(NETWORK))
    assert isinstance(outcome, Refusal)
    assert "has no 1GiB pages" in outcome.constraints[0].message
    assert outcome.alternatives == ("2 MiB pages instead of 1 GiB",)


def test_no_memory_for_the_switch() -> None:
    outcome = plan_or_alternatives(host(memory_mib=(3072,)), parse_demand(NETWORK))
    assert isinstance(outcome, Refusal)
    assert "NUMA node 0 needs 2048 MiB of socket memory" in outcome.constraints[0].message
    assert "2048 MiB for the host" in outcome.alternatives


def test_two_changes_where_one_is_not_enough() -> None:
    demand = parse_demand(
        flavor("count: 9, networks: [fast]").replace("nics: [dpdk1]", "nics: [ens9]")
    )
    outcome = plan_or_alternatives(host(), demand)
    assert isinstance(outcome, Refusal)
    assert outcome.alternatives
    assert all(", and " in one for one in outcome.alternatives)


def test_what_is_suggested_works() -> None:
    demand = parse_demand(flavor("count: 9, networks: [fast]"))
    assert isinstance(plan_or_alternatives(host(), demand), Refusal)
    fewer = parse_demand(flavor("count: 1, networks: [fast]"))
    assert isinstance(plan_or_alternatives(host(), fewer), HostPlan)


def test_one_port_by_its_name_and_by_its_address_is_one() -> None:
    host = make_host(
        Shape(name="h", cores_per_node=8, memory_mib=(65536,), nics=(make_nic("a0", 0, bus=0x10),))
    )
    text = (
        "physical_networks:\n- {name: left, by: ovs-dpdk, nics: [a0]}\n"
        "- {name: direct, by: sriov, nics: ['0000:10:00.0'], vfs: 2}\n"
    )
    outcome = plan_host(host, parse_demand(text))
    assert isinstance(outcome, Refusal)
    assert any(
        "a0 is wanted 2 times, by left and direct" in one.message for one in outcome.constraints
    )


@pytest.mark.parametrize(
    ("networks", "said"),
    [
        ("{name: tunnel, by: ovs-dpdk, nics: [a]}", "can be called tunnel"),
        ("{name: a, by: ovs-dpdk, nics: [a], bridge: br-int}", "br-int is Neutron's own bridge"),
        ("{name: a, by: kernel, nics: [a], bridge: 'br x;y'}", "is no name of a bridge"),
        (
            "{name: a, by: ovs-dpdk, nics: [a], bridge: br-x}, "
            "{name: b, by: ovs-dpdk, nics: [b], bridge: br-x}",
            "two physical networks have the bridge br-x",
        ),
    ],
)
def test_names_that_neutron_would_stumble_over(networks: str, said: str) -> None:
    with pytest.raises(errors.Invalid, match=said):
        parse_demand(f"physical_networks: [{networks}]")
