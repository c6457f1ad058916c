"""Hosts that were once called clean, or planned wrongly: the smallest input that shows each fault.

`nfv/cases/cNN-*.facts` each have one thing wrong and were made from public reports; what is wrong
must be named with its plan (`check.plan.json`), and without one where that is enough to tell.
"""

from pathlib import Path

import pytest

from isthmus import errors
from isthmus.facts import dump
from isthmus.facts.host import sysfs
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Answer, Report, is_clean
from isthmus.nfv.check.live import check_facts
from isthmus.nfv.plan.refusal import plan_or_refuse
from isthmus.nfv.render.whole import render_plan
from isthmus.testing.nfv.nfv_state import complete
from isthmus.wiring import nfv as wiring

CASES = Path(__file__).with_name("nfv") / "cases"
#: case: (code, part of the sentence, is told without a plan too)
WRONG: dict[str, tuple[str, str, bool]] = {
    "c01-emulator-on-pmd": ("instance.emulator", "the emulator of i1 may run on CPU 1", True),
    "c02-helper-threads": ("instance.helper", "thread IO mon_iothread of i1 may run on", True),
    "c03-vhost-remote": ("pmd.remote", "vhui10 sits on node 1 but CPU 1 of another", True),
    "c04-vhost-unpolled": ("rxq.unpolled", "nobody polls vhui10", True),
    "c05-vcpu-pin-set": ("nova.vcpu_pin_set", "nova-compute does not start", True),
    "c06-reserved-host-cpus": ("nova.reserved_host_cpus", "nova-compute does not start", True),
    "c07-memory-on-other-node": ("instance.memory", "memory of i1 is on node 1", True),
    "c10-kernel-port-on-no-bridge": ("port.missing", "k0 is not on br-mgmt", False),
    "c11-sriov-port-moved": ("nic.node", "s0 sits on node 0, planned was 1", False),
    "c13-port-error": ("port.error", "dpdk0 does not work", True),
    "c14-dpdk-not-up": ("ovs.dpdk", "Open vSwitch runs without DPDK", True),
    "c15-nothing-seen": ("host.unseen", "nothing can be said of this host", True),
    "c16-lcore-over-pmd": ("cpu.overlap", "CPU 1 is in dpdk-lcore-mask and in PMD threads", True),
    "c18-socket-mem-under-mtu": ("ovs.dpdk-socket-mem", "1024", True),
    "c19-too-few-pages": ("pages.total", "node 0 has 1 pages of 1048576 KiB", True),
    "c20-old-set-over-pmd": ("cpu.overlap", "CPU 1 is in PMD threads and in vcpu_pin_set", True),
    "c21-no-nohz": ("kernel.nohz_full", "its tick goes on on CPU 1-4,6-9", True),
    "c22-log-says-why": ("port.error", "dpdk0 does not work", True),
}


def check(name: str, *, planned: bool) -> Report:
    plan = None
    if planned:
        plan = wiring.read_plan(CASES / f"{'c22' if name.startswith('c22') else 'check'}.plan.json")
    return check_facts(complete((CASES / f"{name}.facts").read_text()), plan)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_its_plan(name: str) -> None:
    code, said, _ = WRONG[name]
    report = check(name, planned=True)
    assert not is_clean(report.findings)
    assert any(one.code == code and said in one.message for one in report.findings), report.findings


@pytest.mark.parametrize("name", [name for name, (*_, bare) in WRONG.items() if bare])
def test_what_is_wrong_is_named_without_one(name: str) -> None:
    code, said, _ = WRONG[name]
    report = check(name, planned=False)
    assert not is_clean(report.findings)
    assert any(one.code == code and said in one.message for one in report.findings), report.findings


@pytest.mark.parametrize("name", [name for name, (*_, bare) in WRONG.items() if bare])
def test_nothing_else_is_found_there_without_a_plan(name: str) -> None:
    """Each has one thing wrong; what that brings about may be named with it."""
    codes = {one.code for one in check(name, planned=False).findings}
    assert "instance.pages" not in codes
    assert len(codes) <= 4, codes


def test_the_clean_one_is_clean_and_says_what_it_did_not_see() -> None:
    report = check("c00-clean", planned=False)
    assert report.findings == ()
    # The facts are older than what tells of bridges, of links and of interrupts.
    assert set(report.unseen) == {
        *("services", "ports, bonds", "ports", "interfaces", "mounts", "interrupts")
    }
    assert report.count(Answer.NOT_SEEN) == 6
    # No instance runs there; whether it has bonds is not in facts of that age.
    assert report.count(Answer.NOT_APPLICABLE) == 5
    assert report.count(Answer.FINE) == len(report.rulings) - 11


def test_its_kernel_port_alone_is_not_as_planned() -> None:
    """The facts of the clean case are from a host without the plan's kernel port."""
    report = check("c00-clean", planned=True)
    codes = [one.code for one in report.findings]
    assert codes == ["port.missing", "check.unseen"]


def test_the_cause_is_shown_and_the_remedy_fits() -> None:
    (one,) = check("c22-log-says-why", planned=False).findings
    assert "0000:10:00.0 VFIO group is not viable" in one.evidence
    assert "IOMMU group" in one.remedy


def test_nothing_seen_is_not_fine() -> None:
    report = check("c15-nothing-seen", planned=False)
    assert report.count(Answer.NOT_SEEN) >= 3
    assert set(report.unseen) >= {"nova, switch", "interfaces"}


def plan(name: str) -> HostPlan:
    (path,) = [*CASES.glob(f"{name}-*.inventory.json"), *CASES.glob(f"{name}-*.txt")]
    (demand,) = CASES.glob(f"{name}-*.demand.yaml")
    return plan_or_refuse(wiring.read_inventory(path), wiring.read_demand(demand))


def codes_of(planned: HostPlan) -> set[str]:
    return {note.code for note in planned.notes}


def test_p01_functions_of_an_unknown_node_are_legacy_and_said() -> None:
    planned = plan("p01")
    (flavor,) = planned.flavors
    assert flavor.extra_specs["hw:pci_numa_affinity_policy"] == "legacy"
    assert flavor.fits_alone == 1
    assert {"node-unknown", "affinity-legacy"} <= codes_of(planned)


def test_p02_a_node_without_cpus_has_no_pages_and_no_reserve() -> None:
    planned = plan("p02")
    assert [[page.total for page in node.pages] for node in planned.nodes] == [[60], [0]]
    assert planned.nodes[0].host_memory_mib == 4096
    assert "hugepages=0:60" in planned.kernel_args
    assert "memory-only" in codes_of(planned)


def test_p03_socket_memory_ends_at_the_last_node_with_buffers() -> None:
    assert plan("p03").other_config["dpdk-socket-mem"] == "2048"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("p04", "p0 has no PCI address"),
        ("p05", r"tells them apart by MAC \(class=eth,mac=\)"),
        ("p07", "p0 is in IOMMU group 30 with s0"),
    ],
)
def test_what_dpdk_or_the_kernel_would_refuse_is_refused(name: str, said: str) -> None:
    with pytest.raises(errors.Exhausted, match=said) as refused:
        plan(name)
    assert "What would work" in str(refused.value)


def test_p05b_both_ports_of_one_function_are_seen() -> None:
    text = (CASES / "p05b-two-ports-live.facts").read_text()
    host = sysfs.parse_host(dump.parse_facts(text))
    assert [nic.name for nic in host.nics] == ["ens1", "ens1d1"]


def test_p08_what_a_text_does_not_say_is_said() -> None:
    planned = plan("p08")
    assert "intel_iommu=on" in planned.kernel_args
    assert {"vendor-unknown", "pages-unknown", "iommu-unknown"} <= codes_of(planned)


def test_p09_the_second_page_size_has_a_mount_and_vhost_user_its_folder() -> None:
    rendered = render_plan(plan("p09"))
    mount = rendered["host/etc/systemd/system/dev-hugepages2M.mount"]
    assert "Options=pagesize=2M" in mount
    assert "Where=/dev/hugepages2M" in mount
    assert (
        "sockets /var/lib/vhost_sockets" in rendered["host/usr/local/libexec/isthmus-nfv-devices"]
    )
    assert "dev-hugepages2M.mount" in rendered["apply.sh"]
