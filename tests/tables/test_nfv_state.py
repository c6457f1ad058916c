"""What switch, libvirt, kernel and configuration files say, read into the state that checks see."""

import pytest

from isthmus.facts.host import libvirt, oslo_conf, ovs, procfs
from isthmus.facts.host.libvirt import Domain
from isthmus.facts.host.ovs import Queue

RXQS = """\
Displaying last 60 seconds pmd usage %
pmd thread numa_id 0 core_id 2:
  isolated : true
  port: dpdk0             queue-id:  0 (enabled)   pmd usage: NOT AVAIL
  overhead: NOT AVAIL
pmd thread numa_id 1 core_id 8:
  isolated : false
  port: dpdk1             queue-id:  0 (enabled)   pmd usage: 12 %
  port: vhu1              queue-id:  1 (disabled)  pmd usage:  0 %
  overhead:  3 %
"""


def test_queues_as_the_switch_shows_them() -> None:
    pmds, queues = ovs.parse_rxqs(RXQS)
    assert pmds == {2: 0, 8: 1}
    assert queues == (
        Queue("dpdk0", 0, 2, 0, enabled=True, usage_pct=None),
        Queue("dpdk1", 0, 8, 1, enabled=True, usage_pct=12),
        Queue("vhu1", 1, 8, 1, enabled=False, usage_pct=0),
    )
    assert ovs.parse_shut(RXQS) == (2,)


def test_interfaces_as_ovs_vsctl_gives_them() -> None:
    text = (
        '{"headings":["name","type","options","other_config","mtu","error","statistics","status"],'
        '"data":[["dpdk0","dpdk",["map",[["n_rxq","2"]]],["map",[]],1500,["set",[]],'
        '["map",[["rx_packets",5]]],["map",[["numa_id","1"]]]]]}'
    )
    (one,) = ovs.parse_interfaces(text)
    assert (one.name, one.options, one.mtu, one.error) == ("dpdk0", {"n_rxq": "2"}, 1500, "")
    assert (one.statistics, one.status) == ({"rx_packets": 5}, {"numa_id": "1"})
    for garbled in (
        "not JSON",
        "[]",
        '{"headings": 5, "data": [[1]]}',
        '{"headings": [], "data": [[1]]}',
    ):
        with pytest.raises(ValueError, match="no table"):
            ovs.parse_interfaces(garbled)


def test_a_domain_as_libvirt_keeps_it() -> None:
    domain = libvirt.parse_domain(
        "<domstatus pid='90'><vcpus><vcpu id='0' pid='97'/><vcpu id='1' pid='98'/></vcpus>"
        "<domain type='kvm'><name>instance-2</name>"
        "<memoryBacking><hugepages/></memoryBacking>"
        "<cputune><vcpupin vcpu='0' cpuset='4'/><vcpupin vcpu='1' cpuset='16'/>"
        "<emulatorpin cpuset='0-1'/></cputune>"
        "<devices><interface type='vhostuser'><target dev='vhu1'/></interface></devices>"
        "</domain></domstatus>"
    )
    pins = {0: (4,), 1: (16,)}
    tids = {0: 97, 1: 98}
    assert domain == Domain("instance-2", pins, (0, 1), ("vhu1",), True, tids, pid=90)
    assert libvirt.parse_domain("<network/>") is None
    with pytest.raises(ValueError, match="no XML"):
        libvirt.parse_domain("<half")


def test_options_repeat_and_the_last_counts() -> None:
    text = "[DEFAULT]\na = 1\n# a = 9\na=2\n[pci]\nb = x=y \n"
    assert oslo_conf.parse_ini(text) == {"DEFAULT/a": ("1", "2"), "pci/b": ("x=y",)}


def test_options_as_oslo_config_reads_them() -> None:
    """A blank goes on with the line above, a colon is an equals sign, quotes come off."""
    text = "[DEFAULT]\na: 1,\n  2\n# c\n  3\n\n b = 9\nc = 'x'\n;d = 1\n"
    assert oslo_conf.parse_ini(text) == {"DEFAULT/a": ("1,\n2\n3",), "DEFAULT/c": ("x",)}


def test_interrupts_by_cpu() -> None:
    text = (
        "     CPU0  CPU1\n  0:   110   3  IR-IO-APIC  2-edge timer\nNMI:  1 2\n 28: 0 7 PCI-MSI x\n"
    )
    assert procfs.parse_interrupts(text) == {"0": (110, 3), "28": (0, 7)}


@pytest.mark.parametrize(
    ("inside", "shared"),
    [
        ("", None),
        ("<cpu><numa><cell id='0' memAccess='shared'/></numa></cpu>", True),
        ("<cpu><numa><cell id='0'/></numa></cpu>", False),
        ("<memoryBacking><access mode='shared'/></memoryBacking>", True),
        ("<memoryBacking><access mode='private'/></memoryBacking>", False),
    ],
)
def test_whether_the_memory_of_a_domain_is_shared(inside: str, shared: bool | None) -> None:
    domain = libvirt.parse_domain(f"<domain><name>i</name>{inside}</domain>")
    assert domain is not None
    assert domain.shared_memory is shared
