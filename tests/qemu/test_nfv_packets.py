"""Two instances on vhost-user ports of the planned machine send each other packets.

Nova's libvirt driver makes the domains and os-vif the ports, as on a compute node under OVN; the
instances are a kernel, busybox and its ping. Each pings the other, so packets are counted by both.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.qemu import instances
from tests.qemu.tuned import Tuned

from isthmus import errors
from isthmus.nfv.apply import apply_plan
from isthmus.nfv.plan.settings import VHOST_SOCKETS
from isthmus.testing.until import until

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(5400)]

#: An emulated machine on an emulated machine: its boot takes minutes.
ECHO_TIMEOUT_S = 3600
PINGS = 20
MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"),
    *("failover", "net_failover", "virtio_net"),
)
#: What is not needed to send packets, left out of a start that is slow enough: interpreted ACPI
#: tables run into their own time limits here. Not for speed is `pci=nomsi`: QEMU 7.2 crashes when a
#: virtio-net of vhost-user is started with MSI-X and without KVM.
LINE = (
    "console=ttyS0 quiet nosmp nokaslr mitigations=off init_on_alloc=0 tsc=reliable lpj=4000000 "
    "acpi=off pci=nomsi no_timer_check nosoftlockup audit=0 cryptomgr.notests 8250.nr_uarts=1 "
    "panic=-1"
)
#: Each process takes seconds here, so there are few.
INIT = f"""#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
for m in {" ".join(MODULES)}; do $b insmod /$m.ko; done
$b ip addr add $me/24 dev eth0
$b ip link set eth0 up
echo "started $me"
until $b ping -c 1 -W 60 $peer >/dev/null; do :; done
$b ping -c {PINGS} -W 60 $peer
echo "finished $me"
while :; do $b sleep 3600; done
"""
BUILD = f"""
set -e
rm -rf /root/tiny; mkdir -p /root/tiny/bin /root/tiny/dev /root/tiny/proc; cd /root/tiny
mknod dev/console c 5 1; mknod dev/null c 1 3
cp /bin/busybox bin/
for m in {" ".join(MODULES)}; do
  find /lib/modules -name "$m.ko" -exec cp {{}} . \\;
done
cat >init <<'END'
{INIT}
END
chmod +x init
find . | cpio -o -H newc --quiet >/root/tiny.img
cp /boot/vmlinuz-* /root/tiny.kernel
rm -rf /root/tiny
"""
ENDS = {
    "vnf.left": {
        "id": "1ef70000-0000-4000-8000-000000000001",
        "mac": "fa:16:3e:00:00:01",
        "address": "198.51.100.1",
        "peer": "198.51.100.2",
    },
    "vnf.right": {
        "id": "51940000-0000-4000-8000-000000000002",
        "mac": "fa:16:3e:00:00:02",
        "address": "198.51.100.2",
        "peer": "198.51.100.1",
    },
}


@pytest.fixture(scope="module")
def domains(tuned: Tuned) -> Iterator[dict[str, Any]]:
    """Start them, and wait until both have pinged the other."""
    tuned.run(BUILD)
    said = instances.start(
        tuned,
        {
            flavor: {
                "port": {"id": end["id"], "mac": end["mac"], "folder": VHOST_SOCKETS},
                "boot": {
                    "kernel": "/root/tiny.kernel",
                    "ramdisk": "/root/tiny.img",
                    "line": f"{LINE} me={end['address']} peer={end['peer']}",
                },
            }
            for flavor, end in ENDS.items()
        },
    )
    found = {one["flavor"]: one for one in said["domains"]}
    try:
        until(
            lambda: have_finished(tuned, found),
            timeout_s=ECHO_TIMEOUT_S,
            what="both instances have pinged the other",
            every_s=10,
        )
        yield found
    finally:
        instances.end_all(tuned)
    assert tuned.until_clean() == {}


def have_finished(tuned: Tuned, domains: dict[str, Any]) -> bool:
    """Tell whether both have pinged; the machine is busy then, and may not answer at once."""
    with contextlib.suppress(errors.Transient):
        return all(
            f"finished {ENDS[flavor]['address']}" in read_console(tuned, one)
            for flavor, one in domains.items()
        )
    return False


def read_console(tuned: Tuned, domain: dict[str, Any]) -> str:
    """Read what an instance has written to its serial console."""
    return tuned.run(f"cat {domain['console']} 2>/dev/null || true")


def count_packets(tuned: Tuned, port: str) -> tuple[int, int]:
    """Read how many packets a port has received from its instance, and sent to it."""
    shown = tuned.run(f"ovs-appctl dpctl/show -s netdev@ovs-netdev | grep -A 8 ': {port} '")
    received = re.search(r"RX packets:(\d+)", shown)
    sent = re.search(r"TX packets:(\d+)", shown)
    assert received, shown
    assert sent, shown
    return int(received[1]), int(sent[1])


def test_each_pings_the_other(tuned: Tuned, domains: dict[str, Any]) -> None:
    for one in domains.values():
        said = re.search(
            r"(\d+) packets transmitted, (\d+) packets received", read_console(tuned, one)
        )
        assert said
        assert (int(said[1]), int(said[2])) == (PINGS, PINGS)
        (port,) = one["ports"]
        received, sent = count_packets(tuned, port)
        # Its own requests and its answers to the other's.
        assert received >= 2 * PINGS
        assert sent >= 2 * PINGS


def test_they_are_made_as_the_plan_says(tuned: Tuned, domains: dict[str, Any]) -> None:
    for one in domains.values():
        xml = tuned.run(f"virsh dumpxml {one['name']}")
        assert "<hugepages>" in xml
        assert "memAccess='shared'" in xml
        queue = tuned.plan.nova["libvirt/rx_queue_size"][0]
        assert f"rx_queue_size='{queue}'" in xml
        assert f"path='{VHOST_SOCKETS}/{one['ports'][0]}' mode='server'" in xml


def test_the_host_is_clean_with_them(tuned: Tuned, domains: dict[str, Any]) -> None:
    assert domains
    assert tuned.until_clean() == {}
    assert tuned.check_both() == ({}, {})


def test_a_port_polled_from_the_other_node_is_named(tuned: Tuned, domains: dict[str, Any]) -> None:
    (port,) = domains["vnf.right"]["ports"]
    left = next(node for node in tuned.plan.nodes if node.id == 0)
    mask = hex(sum(1 << cpu for cpu in left.pmd_cpus))
    tuned.run(f"ovs-vsctl --no-wait set Open_vSwitch . other_config:pmd-cpu-mask={mask}")
    try:
        found = tuned.until_found(
            {"ovs.pmd-cpu-mask": ["other_config"], "pmd.remote": [port]}, ("pmd.remote",)
        )
        assert domains["vnf.left"]["ports"][0] not in found["pmd.remote"]
    finally:
        apply_plan(tuned.client, tuned.plan)
    assert tuned.until_clean() == {}
