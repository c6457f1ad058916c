"""What is broken on the planned machine is found and named, one thing after the other.

What is broken of instances is in `test_nfv_nova.py` and `test_nfv_packets.py`, where some run; what
the kernel makes of its line is in `test_nfv_undo.py`, which boots with another one. Not shown on
any machine, only in the tables: virtual functions (QEMU 7.2 has no network card with them, and the
machine's kernel no driver that makes some), the switch in a card, and a planned bond, for which
each node would need a second port.
"""

import dataclasses

import pytest
from tests.qemu.tuned import Tuned

from isthmus.nfv.apply import apply_plan
from isthmus.nfv.render import files

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(2400)]

NODE1 = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
VALUE = "ovs-vsctl --no-wait set Open_vSwitch . other_config:"
SYSTEM_SLICE = "/etc/systemd/system/system.slice.d/60-isthmus-nfv.conf"
IRQS = "/proc/irq/default_smp_affinity"
FAILING = "/etc/systemd/system/nova-compute.service"
PORT = "other_config:pmd-rxq-affinity"


@dataclasses.dataclass(frozen=True)
class Break:
    """One thing that is broken: how, how it is put right, and what must be found."""

    broken: str
    remedy: str  #: `apply`, or a script
    found: dict[str, list[str]]  #: code -> subjects
    bare: tuple[str, ...] = ()  #: codes that must be found without the plan too
    before: str = ""  #: a script before `apply`, of what no plan has and so none takes away


BREAKS: dict[str, Break] = {
    "huge pages of one node are gone": Break(
        f"echo 700 >{NODE1}",
        "systemctl restart isthmus-hugepages",
        {"pages.total": ["node 1"]},
        ("pages.total",),
    ),
    "PMDs on the CPUs of instances": Break(
        f"{VALUE}pmd-cpu-mask=0x31c",
        "apply",
        {"ovs.pmd-cpu-mask": ["other_config:pmd-cpu-mask"], "cpu.overlap": ["CPU 4"]},
        ("cpu.overlap",),
    ),
    "Nova gives a PMD's CPU to instances": Break(
        f"sed -i 's/^cpu_dedicated_set.*/cpu_dedicated_set = 3-5,10-11/' {files.NOVA}",
        "apply",
        {"nova.cpu_dedicated_set": ["[compute] cpu_dedicated_set"], "cpu.overlap": ["CPU 3"]},
        ("cpu.overlap",),
    ),
    "Nova forgets the switch's pages": Break(
        f"sed -i '/^reserved_huge_pages = node:1/d' {files.NOVA}",
        "apply",
        {"nova.reserved_huge_pages": ["[DEFAULT] reserved_huge_pages"]},
        ("nova.reserved_huge_pages",),
    ),
    "queues polled from the other node": Break(
        f"ovs-vsctl --no-wait set Interface dpdk0 '{PORT}=\"0:8,1:9\"'",
        "apply",
        {"port.affinity": ["dpdk0"], "pmd.remote": ["dpdk0"]},
        ("pmd.remote",),
    ),
    "a queue less": Break(
        "ovs-vsctl --no-wait set Interface dpdk1 options:n_rxq=1",
        "apply",
        {"port.queues": ["dpdk1"]},
    ),
    "a port is gone": Break(
        "ovs-vsctl --timeout=60 del-port dpdk1",
        "apply",
        {"port.missing": ["dpdk1"]},
    ),
    "the next boot will be another": Break(
        f"rm {files.GRUB}",
        "apply",
        {"file.missing": [files.GRUB]},
    ),
    "somebody else runs on an instance's CPU": Break(
        # Out of the groups that the plan narrowed, where it could not.
        "cp /bin/sleep /tmp/stray; setsid sh -c 'echo $$ >/sys/fs/cgroup/cgroup.procs; "
        "exec taskset -c 4 /tmp/stray 3000' >/dev/null 2>&1 &",
        "kill $(pidof stray)",
        {"cpu.intruder": ["stray"]},
        ("cpu.intruder",),
    ),
    "a CPU is offline": Break(
        "echo 0 >/sys/devices/system/cpu/cpu5/online",
        "echo 1 >/sys/devices/system/cpu/cpu5/online; systemctl restart ovs-vswitchd",
        {"cpu.offline": ["CPU 5"]},
        ("cpu.offline",),
    ),
    "the switch is dead, and a port is taken from DPDK": Break(
        "systemctl stop ovs-vswitchd; echo 0000:81:00.0 >/sys/bus/pci/drivers/vfio-pci/unbind",
        "systemctl restart isthmus-nfv-devices ovs-vswitchd",
        {"ovs.down": ["Open vSwitch"], "nic.driver": ["enp129s0"]},
        ("service.down",),  # its database is down with it, and says of DPDK nothing
    ),
    "an old set of CPUs beside the new ones": Break(
        "sed -i 's/^.DEFAULT.$/&\\nvcpu_pin_set = 4-5/' /etc/nova/nova.conf",
        "apply",
        {"nova.vcpu_pin_set": ["[DEFAULT] vcpu_pin_set"]},
        ("nova.vcpu_pin_set",),
    ),
    "old reserved CPUs beside the new sets": Break(
        "sed -i 's/^.DEFAULT.$/&\\nreserved_host_cpus = 2/' /etc/nova/nova.conf",
        "apply",
        {"nova.reserved_host_cpus": ["[DEFAULT] reserved_host_cpus"]},
        ("nova.reserved_host_cpus",),
    ),
    "the switch's other threads on PMDs' CPUs": Break(
        f"{VALUE}dpdk-lcore-mask=0xc",
        "apply",
        {"ovs.dpdk-lcore-mask": ["other_config"], "cpu.overlap": ["CPU 2-3"]},
        ("cpu.overlap",),
    ),
    "less socket memory than the MTU needs": Break(
        f"{VALUE}dpdk-socket-mem='\"256,256\"'",
        "apply",
        {"ovs.dpdk-socket-mem": ["other_config:dpdk-socket-mem"]},
        ("ovs.dpdk-socket-mem",),
    ),
    "another MTU": Break(
        "ovs-vsctl --no-wait set Interface dpdk1 mtu_request=1400",
        "apply",
        {"port.mtu": ["dpdk1"]},
    ),
    "OVN maps another bridge": Break(
        "ovs-vsctl --no-wait set Open_vSwitch . external_ids:ovn-bridge-mappings=left:br-ex",
        "apply",
        {"ovs.ovn-bridge-mappings": ["external_ids:ovn-bridge-mappings"]},
    ),
    "nothing is mounted for huge pages": Break(
        "umount -l /dev/hugepages",
        "systemctl restart dev-hugepages.mount || mount -t hugetlbfs -o pagesize=2M hugetlbfs "
        "/dev/hugepages",
        {"pages.mount": ["2048 KiB"]},
        ("pages.mount",),
    ),
    "QEMU may not make its sockets": Break(
        "chown root:root /var/lib/vhost_sockets; chmod 755 /var/lib/vhost_sockets",
        "systemctl restart isthmus-nfv-devices",
        {"vhost.folder": ["/var/lib/vhost_sockets"]},
    ),
    "services may run everywhere after the next boot": Break(
        f"echo '[Slice]' >{SYSTEM_SLICE}",
        "apply",
        {"file.drift": [SYSTEM_SLICE]},
    ),
    "nothing binds devices at the next boot": Break(
        f"rm {files.DEVICES}",
        "apply",
        {"file.missing": [files.DEVICES]},
    ),
    "the unit of the pools was stopped": Break(
        "systemctl stop isthmus-hugepages",
        "systemctl start isthmus-hugepages",
        {"service.down": ["isthmus-hugepages"]},
    ),
    "new interrupts go everywhere": Break(
        f"cat {IRQS} >/tmp/irqs; echo fff >{IRQS}",
        f"cat /tmp/irqs >{IRQS}",
        {"kernel.irqaffinity": ["CPU 2-5,8-11"]},
    ),
    "PMDs take no queue of an instance": Break(
        f"{VALUE}pmd-rxq-isolate=true",
        "apply",
        {"ovs.pmd-rxq-isolate": ["other_config"], "pmd.shut": ["node 0", "node 1"]},
        ("pmd.shut",),
    ),
    "a setting that is in no plan": Break(
        f"{VALUE}dpdk-extra='\"-n 4\"'",
        # Not `apply`, which would rightly have it back when all is rolled back in the end.
        "ovs-vsctl --no-wait remove Open_vSwitch . other_config dpdk-extra",
        {"ovs.dpdk-extra": ["other_config:dpdk-extra"]},
    ),
    "a port of a device that is not there": Break(
        "ovs-vsctl --no-wait add-port br-left gone -- set Interface gone type=dpdk "
        "options:dpdk-devargs=0000:99:00.0",
        "ovs-vsctl --timeout=60 del-port gone",
        {"port.error": ["gone"]},
        ("port.error",),
    ),
    "a port on the other bridge": Break(
        "ovs-vsctl --timeout=60 del-port dpdk1 -- add-port br-left dpdk1 -- set Interface dpdk1 "
        "type=dpdk options:dpdk-devargs=0000:81:00.0",
        "apply",
        {"port.bridge": ["dpdk1"]},
    ),
    "a bond whose other side speaks no LACP": Break(
        "ovs-vsctl --timeout=60 del-port dpdk0 -- del-port dpdk1 -- add-bond br-left bond0 dpdk0 "
        "dpdk1 bond_mode=balance-tcp lacp=active -- set Interface dpdk0 type=dpdk "
        "options:dpdk-devargs=0000:41:00.0 -- set Interface dpdk1 type=dpdk "
        "options:dpdk-devargs=0000:81:00.0",
        "apply",
        {"bond.lacp": ["bond0"], "bond.down": ["bond0"], "port.bridge": ["dpdk1"]},
        ("bond.lacp", "bond.down"),
        before="ovs-vsctl --timeout=60 del-port bond0",
    ),
    "nova-compute does not start": Break(
        f"printf '[Service]\\nExecStart=/bin/false\\n[Install]\\nWantedBy=multi-user.target\\n' "
        f">{FAILING}; systemctl daemon-reload; systemctl enable -q nova-compute; "
        "systemctl start nova-compute; true",
        f"systemctl disable -q nova-compute; rm {FAILING}; systemctl daemon-reload; "
        "systemctl reset-failed",
        {"service.down": ["nova-compute"]},
        ("service.down",),
    ),
    "pages that nobody holds": Break(
        "mkdir -p /mnt/leak; mount -t hugetlbfs -o pagesize=2M hugetlbfs /mnt/leak; "
        "fallocate -l 64M /mnt/leak/file",
        "rm /mnt/leak/file; umount /mnt/leak; rmdir /mnt/leak",
        {"pages.leaked": ["node "]},
    ),
    "Nova counts another reserve": Break(
        f"sed -i 's/^reserved_host_memory_mb.*/reserved_host_memory_mb = 512/' {files.NOVA}",
        "apply",
        {"nova.reserved_host_memory_mb": ["[DEFAULT] reserved_host_memory_mb"]},
    ),
}


def test_there_are_thirty_and_more() -> None:
    assert len(BREAKS) >= 30


def test_the_host_is_clean_without_its_plan_too(tuned: Tuned) -> None:
    assert tuned.check_both() == ({}, {})


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_found_and_named(tuned: Tuned, name: str) -> None:
    one = BREAKS[name]
    tuned.run(one.broken)
    try:
        tuned.until_found(one.found, one.bare)
    finally:
        if one.before:
            tuned.run(one.before)
        if one.remedy == "apply":
            apply_plan(tuned.client, tuned.plan)
        else:
            tuned.run(one.remedy)
    assert tuned.until_clean() == {}
