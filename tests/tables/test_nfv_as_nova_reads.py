"""Options as Nova and Neutron's agents themselves read them: order, old names, forms, units."""

from dataclasses import replace

import pytest
from tests.tables.test_nfv_called_clean import BOTH, PLAN, STATE

from isthmus.facts.dump import HostFacts
from isthmus.facts.host import oslo_conf
from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv.check import host as checks
from isthmus.nfv.check.state import HostState
from isthmus.nfv.check.topic.memory import parse_reserved

ETC = "/etc/neutron"
OURS = f"{ETC}/neutron-openvswitch-agent.conf.d/60-isthmus-nfv.conf"


def nova(**values: str | tuple[str, ...]) -> HostState:
    given = {
        name.replace("__", "/"): (one,) if isinstance(one, str) else one
        for name, one in values.items()
    }
    return replace(STATE, nova={**STATE.nova, **given})


def found(state: HostState, plan: HostPlan | None) -> dict[str, str]:
    return {one.code: one.message for one in checks.check_host(state, plan).findings}


@pytest.mark.parametrize("ours", ["fast:br-fast", "fast:br-other"])
def test_an_agents_folder_counts_and_not_its_plugins_file(ours: str) -> None:
    """`--config-file` of the plugin comes first, folders of further files after it."""
    seen = HostFacts(
        files={
            OURS: f"[ovs]\nbridge_mappings = {ours}\n",
            f"{ETC}/plugins/ml2/openvswitch_agent.ini": "[ovs]\nbridge_mappings = old:br-old\n",
        }
    )
    options = oslo_conf.read_neutron(seen)
    assert options is not None
    assert options["ovs/bridge_mappings"][-1] == ours


def test_the_folder_of_nova_compute_alone_counts_most() -> None:
    text = "[compute]\ncpu_dedicated_set = {}\n"
    folder = "/etc/nova/nova-compute.conf.d/90-own.conf"
    assert any(
        one.what.startswith("/etc/nova/nova-compute.conf.d/") for one in oslo_conf.NOVA.sources
    )
    seen = HostFacts(
        files={
            "/etc/nova/nova.conf.d/60-isthmus-nfv.conf": text.format("2-7"),
            folder: text.format("0-7"),
        }
    )
    options = oslo_conf.read_nova(seen)
    assert options is not None
    assert oslo_conf.parse_nova_cpus(options, "cpu_dedicated_set") == tuple(range(8))


def test_a_file_without_any_of_our_options_is_one_that_was_seen() -> None:
    assert oslo_conf.read_nova(HostFacts(files={"/etc/nova/nova.conf": "[DEFAULT]\n"})) == {}
    assert oslo_conf.read_nova(HostFacts()) is None


@pytest.mark.parametrize(
    "old", ["[pci]\npassthrough_whitelist", "[DEFAULT]\npci_passthrough_whitelist"]
)
def test_devices_by_an_old_name_are_nova_s_too(old: str) -> None:
    """Options of several values are joined over their names (oslo.config, `_get_file_value`)."""
    options = oslo_conf.parse_ini(f'{old} = {{"address": "0000:10:00.0"}}\n')
    strange = options["pci/device_spec"]
    both = (*STATE.nova["pci/device_spec"], *strange)
    assert "nova.device_spec" in found(nova(pci__device_spec=both), PLAN)
    moved = oslo_conf.parse_ini(f"{old} = {STATE.nova['pci/device_spec'][0]}\n")
    assert found(nova(pci__device_spec=moved["pci/device_spec"]), PLAN) == {}


SAME: dict[str, dict[str, str | tuple[str, ...]]] = {
    "a list of devices": {"pci__device_spec": f"[{STATE.nova['pci/device_spec'][0]}]"},
    "a ratio without its point": {"DEFAULT__cpu_allocation_ratio": "4"},
    "pages by their unit, in another order": {
        "DEFAULT__reserved_huge_pages": "node:0, count:2, size:1GB"
    },
    "ranges split": {
        "compute__cpu_dedicated_set": ",".join(map(str, reversed(PLAN.dedicated_cpus)))
    },
}


@pytest.mark.parametrize("plan", BOTH, ids=["planned", "bare"])
@pytest.mark.parametrize("name", SAME)
def test_other_spellings_are_no_fault(name: str, plan: HostPlan | None) -> None:
    assert found(nova(**SAME[name]), plan) == {}


RESERVED = "DEFAULT__reserved_huge_pages"
#: what is wrong: (options, code, part of the sentence)
WRONG: dict[str, tuple[dict[str, str | tuple[str, ...]], str, str]] = {
    "small pages are kept, and Open vSwitch takes huge ones": (
        {RESERVED: "node:0,size:4,count:9000000"},
        "nova.reserved_huge_pages",
        "of which Nova keeps 0 MiB",
    ),
    "pages are kept of a size that is not there": (
        {RESERVED: "node:0,size:2048,count:9000"},
        "nova.reserved_huge_pages",
        "of which Nova keeps 0 MiB",
    ),
    "gigabits are no gigabytes": (
        {RESERVED: "node:0,size:1Gb,count:2"},
        "nova.reserved_huge_pages",
        "of which Nova keeps 0 MiB",
    ),
    "the last of two counts": (
        {RESERVED: ("node:0,size:1048576,count:2", "node:0,size:1048576,count:1")},
        "nova.reserved_huge_pages",
        "of which Nova keeps 1024 MiB",
    ),
    "a unit that Nova does not read": (
        {RESERVED: "node:0,size:1G,count:2"},
        "nova.reserved_huge_pages",
        "nova-compute does not start",
    ),
    "a reserve of no node": (
        {RESERVED: "size:1048576,count:2"},
        "nova.reserved_huge_pages",
        "nova-compute does not start",
    ),
    "a set of CPUs with a stride": (
        {"compute__cpu_dedicated_set": "2-7:1/2"},
        "nova.cpu_dedicated_set",
        "nova-compute does not start",
    ),
    "a set of CPUs that leaves out all": (
        {"compute__cpu_shared_set": "0,^0"},
        "nova.cpu_shared_set",
        "nova-compute does not start",
    ),
    "words": (
        {"compute__cpu_dedicated_set": "all but 0"},
        "nova.cpu_dedicated_set",
        "nova-compute does not start",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_nova_reads_otherwise_is_named_without_a_plan(name: str) -> None:
    options, code, said = WRONG[name]
    codes = found(nova(**options), None)
    assert said in codes.get(code, ""), codes
    assert code in found(nova(**options), PLAN)
    assert "check.crashed" not in {*codes, *found(nova(**options), PLAN)}


def test_sizes_are_nova_s() -> None:
    sizes = {"1048576": 1048576, "1GB": 1048576, "1GiB": 1048576, "2MB": 2048, "1Gb": 131072}
    for text, kib in sizes.items():
        assert parse_reserved([f"node:1,size:{text},count:3"]) == {(1, kib): 3}


@pytest.mark.parametrize("key", ["pmd-cpu-mask", "dpdk-lcore-mask"])
@pytest.mark.parametrize("mask", ["0xzz", "f" * 20_000, "-1"])
def test_a_mask_that_is_none_is_named(key: str, mask: str) -> None:
    state = replace(STATE, other_config={**STATE.other_config, key: mask}, pmds={})
    for plan in BOTH:
        codes = found(state, plan)
        assert f"ovs.{key}" in codes
        assert "check.crashed" not in codes


def test_socket_memory_of_a_node_is_not_that_of_the_next() -> None:
    """What is no number counts as none there, and does not move the numbers behind it."""
    config = {**STATE.other_config, "dpdk-socket-mem": "x,2048", "dpdk-socket-limit": "x,2048"}
    codes = found(replace(STATE, other_config=config), None)
    assert "ovs.dpdk-socket-mem" in codes
