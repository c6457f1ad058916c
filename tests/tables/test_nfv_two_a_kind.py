"""Further hosts of kinds in `nfv/cases` of which one alone was tried beside the case itself."""

from dataclasses import replace

import pytest
from tests.tables.test_nfv_called_clean import BARE, BOTH, PLAN, PMD, STATE, booted, changed, polled

from isthmus import errors
from isthmus.facts.host.ovs import Interface
from isthmus.facts.source.document import parse_inventory
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import is_clean
from isthmus.nfv.check import host as checks
from isthmus.nfv.check.state import HostState
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.refusal import plan_or_refuse
from isthmus.nfv.render.whole import render_plan
from isthmus.testing.nfv.nfv_host import TWO_NODES, make_host, make_nic

MASK = hex(1 << PMD)


def with_error(kind: str, error: str) -> HostState:
    port = Interface("x1", kind, {}, {}, 1500, error, {}, {}, link_state="up")
    return changed(interfaces=(*STATE.interfaces, port))


def switch(**values: str) -> HostState:
    keys = {key.replace("_", "-"): value for key, value in values.items()}
    return changed(other_config={**STATE.other_config, **keys})


def with_mtu(mtu: int, **keys: str) -> HostState:
    ports = tuple(replace(one, mtu=mtu) for one in STATE.interfaces)
    return replace(switch(**keys), interfaces=ports)


#: what is wrong: (the host, code, part of the sentence, with a plan or without)
WRONG: dict[str, tuple[HostState, str, str, tuple[HostPlan | None, ...]]] = {
    "c13: a tunnel's port": (
        with_error("vxlan", "could not add network device x1 to ofproto (File exists)"),
        "port.error",
        "x1 does not work",
        BOTH,
    ),
    "c13: a second port of DPDK's": (
        with_error("dpdk", "Error attaching device '0000:11:00.0' to DPDK"),
        "port.error",
        "x1 does not work",
        BOTH,
    ),
    "c16: lcores over a PMD and the host's": (
        switch(dpdk_lcore_mask=hex(1 << PMD | 1)),
        "cpu.overlap",
        f"CPU {PMD} is in dpdk-lcore-mask and in PMD threads",
        BOTH,
    ),
    "c16: lcores over CPUs of an old set": (
        replace(switch(dpdk_lcore_mask="0x4"), nova={"DEFAULT/vcpu_pin_set": ("2-4",)}),
        "cpu.overlap",
        "CPU 2 is in dpdk-lcore-mask and in vcpu_pin_set",
        BARE,
    ),
    "c18: jumbo frames later": (
        with_mtu(9000, dpdk_socket_mem="1024", dpdk_socket_limit="1024"),
        "ovs.dpdk-socket-mem",
        "that MTU 9000 needs",
        BARE,
    ),
    "c18: none on the port's node": (
        with_mtu(1500, dpdk_socket_mem="0,2048", dpdk_socket_limit="0,2048"),
        "ovs.dpdk-socket-mem",
        "0 MiB of socket memory on node 0",
        BARE,
    ),
    "c19: pages of no node": (
        booted("hugepagesz=1G hugepages=1000"),
        "pages.total",
        "the kernel line asks for 1000",
        BARE,
    ),
    "c19: pages of a size that the kernel does not have": (
        booted("hugepagesz=512M hugepages=1:4"),
        "pages.total",
        "node 1 has 0 pages of 524288 KiB",
        BARE,
    ),
    "c19: fewer than Open vSwitch wants": (
        switch(dpdk_socket_mem="99328"),
        "pages.short",
        "Open vSwitch wants 99328 MiB",
        BARE,
    ),
    "c20: an old set that leaves out the wrong one": (
        changed(nova={"DEFAULT/vcpu_pin_set": (f"0-{PMD + 1},^0",)}),
        "cpu.overlap",
        f"CPU {PMD} is in PMD threads and in vcpu_pin_set",
        BARE,
    ),
    "c20: an old set over PMDs that do not run yet": (
        replace(switch(pmd_cpu_mask=MASK), pmds={}, nova={"DEFAULT/vcpu_pin_set": (str(PMD),)}),
        "cpu.overlap",
        f"CPU {PMD} is in PMD threads and in vcpu_pin_set",
        BARE,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str) -> None:
    state, code, said, plans = WRONG[name]
    for plan in plans:
        report = checks.check_host(state, plan)
        mine = [one.message for one in report.findings if one.code == code]
        assert any(said in one for one in mine), report.findings
        assert not is_clean(report.findings)


def test_the_host_is_clean_before() -> None:
    assert is_clean(checks.check_host(polled(), PLAN).findings)


@pytest.mark.parametrize("path", ["sriov, vfs: 1", "switchdev, vfs: 1", "ovs-dpdk"])
def test_p04_a_port_without_an_address_is_refused(path: str) -> None:
    host = make_host(replace(TWO_NODES, nics=(replace(make_nic("p0", 0), pci_address=""),)))
    demand = parse_demand(f"physical_networks: [{{name: a, nics: [p0], by: {path}}}]")
    with pytest.raises(errors.Exhausted, match="p0 has no PCI address"):
        plan_or_refuse(host, demand)


TEXT = """\
# CPU,Core,Socket,Node
0,0,0,0
1,1,0,0
2,2,0,0
3,3,0,0

node 0 size: 32768 MB

Slot:	0000:01:00.0
Class:	Ethernet controller [0200]
Vendor:	Intel Corporation [8086]
Device:	XL710 [1583]
NUMANode:	0

"""


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (TEXT, {"vendor-unknown", "pages-unknown", "iommu-unknown"}),
        # A virtual machine's text has no port's node; its host has one node, so nothing is lost.
        (TEXT.replace("NUMANode:\t0\n", ""), {"vendor-unknown", "pages-unknown", "iommu-unknown"}),
    ],
)
def test_p08_what_a_text_does_not_say_is_said(text: str, codes: set[str]) -> None:
    demand = parse_demand('physical_networks: [{name: a, by: ovs-dpdk, nics: ["0000:01:00.0"]}]')
    plan = plan_or_refuse(parse_inventory(text, name="x"), demand)
    assert codes <= {note.code for note in plan.notes}
    assert "intel_iommu=on" in plan.kernel_args


@pytest.mark.parametrize(
    ("default", "other", "unit", "size"),
    [("2MiB", "1GiB", "dev-hugepages1G", "1G"), ("1GiB", "2MiB", "dev-hugepages2M", "2M")],
)
def test_p09_each_size_beside_the_default_has_a_mount(
    default: str, other: str, unit: str, size: str
) -> None:
    demand = parse_demand(
        f"page_size: {default}\nphysical_networks: [{{name: a, by: ovs-dpdk, nics: [a0]}}]\n"
        f"flavors: [{{name: f, vcpus: 2, ram_mib: 2048, count: 2, page_size: {other}}}]\n"
    )
    rendered = render_plan(plan_or_refuse(make_host(TWO_NODES), demand))
    assert f"Options=pagesize={size}" in rendered[f"host/etc/systemd/system/{unit}.mount"]
    assert f"{unit}.mount" in rendered["apply.sh"]
