"""Last, since the machine is not as planned after it: another kernel line, and the way back."""

import json

import pytest
from tests.qemu.tuned import Tuned

from isthmus.nfv.apply import reboot, roll_back
from isthmus.nfv.render import files

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(2400)]


def test_a_kernel_line_that_is_not_the_planned_one(tuned: Tuned) -> None:
    """Booted by hand with another isolation; the file for the next boot is as planned.

    `nohz_full` is on the line as planned, and yet the kernel takes it for half of its CPUs only:
    that of `isolcpus` came first and names fewer (Linux, kernel/sched/isolation.c).
    """
    tuned.run("sed -i 's/ isolcpus=[^ ]*/ isolcpus=nohz,domain,2-5/' /boot/grub/grub.cfg")
    reboot(tuned.client, lambda _: None)
    assert tuned.run("cat /sys/devices/system/cpu/nohz_full").strip() == "2-5"
    found = tuned.until_found(
        {"kernel.arg": ["isolcpus"], "kernel.nohz_full": ["CPU 8-11"]}, ("kernel.nohz_full",)
    )
    assert found["kernel.arg"] == ["isolcpus"]


def test_rolling_back_leaves_nothing(tuned: Tuned) -> None:
    while tuned.run("ls /var/lib/isthmus/nfv | grep -c '^[0-9]' || true").strip() != "0":
        roll_back(tuned.client)
    written = " ".join(file.path for file in files.render_files(tuned.plan))
    assert tuned.run(f"ls {written} 2>/dev/null | cat") == ""
    config = json.loads(
        tuned.run("ovs-vsctl --format=json --columns=other_config list Open_vSwitch")
    )
    assert config["data"][0][0] == ["map", []]
    assert "isolcpus" not in tuned.run("cat /boot/grub/grub.cfg")
