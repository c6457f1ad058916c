"""A virtual machine with two NUMA nodes, real GRUB, and a real DPDK port on each node.

QEMU runs without acceleration, since nested KVM is not to be had everywhere; a boot takes one to
three minutes. The two ports are taps in network namespaces of the test's own: `near` is where a
generator sits and from where the machine is managed, `far` is what lies behind its data path.
"""

import contextlib
import dataclasses
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.qemu.tree import MANAGEMENT_MAC, build_tree, dress_tree, run

from isthmus import errors
from isthmus.clients.machine import host, shell

BOOT_TIMEOUT_S = 900
SSH_OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
NO_SCRIPT = "script=no,downscript=no"
NEAR_ADDRESS, FAR_ADDRESS = "192.0.2.1", "192.0.2.2"


@dataclasses.dataclass(frozen=True)
class Wires:
    """Two namespaces, each with one of the machine's ports as `tap`."""

    near: str
    far: str

    @classmethod
    @contextlib.contextmanager
    def made(cls) -> Iterator["Wires"]:
        wires = cls(f"nfvtest{os.getpid()}-near", f"nfvtest{os.getpid()}-far")
        with contextlib.ExitStack() as stack:
            for name in (wires.near, wires.far):
                shell.run(["ip", "netns", "add", name])
                stack.callback(shell.run, ["ip", "netns", "delete", name], check=False)
                shell.run(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"], netns=name)
                shell.run(["ip", "link", "set", "lo", "up"], netns=name)
            yield wires

    def connect(self) -> None:
        """Put the taps, which QEMU made in `near`, in their places."""
        move = ["ip", "link", "set", "tap1", "netns", self.far]
        shell.run(move, netns=self.near)
        ends = ((self.near, "tap0", NEAR_ADDRESS), (self.far, "tap1", FAR_ADDRESS))
        for netns, tap, address in ends:
            lines = f"addr add {address}/24 dev {tap}\nlink set {tap} up\n"
            shell.run(["ip", "-batch", "-"], netns=netns, stdin=lines)


class Guest:
    """The running machine."""

    def __init__(self, folder: Path, wires: Wires) -> None:
        self.folder = folder
        self.wires = wires
        self.port = _free_port()
        self.key = folder / "key"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        tree = build_tree(folder)
        dress_tree(tree, (folder / "key.pub").read_text())
        lnx = (tree / "usr/lib/grub/i386-pc/lnxboot.img").read_bytes()
        (folder / "grub.lnx").write_bytes(lnx + (tree / "boot/core.img").read_bytes())
        run("mke2fs", "-q", "-t", "ext4", "-d", tree, folder / "disk.img", "4G")
        self.target = f"root@127.0.0.1:{self.port}"
        client = host.open_host(self.target, identity=str(self.key), options=SSH_OPTIONS)
        assert isinstance(client, host.SshHost)
        self.client = dataclasses.replace(client, argv=shell.inside(wires.near, client.argv))

    def argv(self) -> list[str]:
        """QEMU with two sockets of 3 cores of 2 threads, a DPDK port on each node, an IOMMU.

        The first node has room for no page of 1 GiB: two of its 3 GiB lie below the hole for
        devices, with the firmware's tables at their end, and the kernel's own are at that of the
        third.
        """
        nodes = [
            word
            for node in (0, 1)
            for word in (
                *("-object", f"memory-backend-ram,id=m{node},size=3G"),
                *("-numa", f"node,nodeid={node},cpus={6 * node}-{6 * node + 5},memdev=m{node}"),
                *(
                    "-device",
                    f"pxb-pcie,id=pxb{node},bus=pcie.0,bus_nr={64 * (node + 1)},numa_node={node}",
                ),
                *("-device", f"pcie-root-port,id=rp{node},bus=pxb{node},chassis={node + 1}"),
                *("-netdev", f"tap,id=d{node},ifname=tap{node},queues=2,vnet_hdr=off,{NO_SCRIPT}"),
                # Not e1000e: Open vSwitch lets DPDK keep the frames' CRC and cut it off, QEMU's
                # card has none, and every frame comes in four bytes short.
                "-device",
                f"virtio-net-pci,bus=rp{node},netdev=d{node},mac=52:54:00:00:01:0{node},"
                "mq=on,vectors=6,disable-legacy=on,iommu_platform=on",
            )
        ]
        return [
            *("qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=512", "-machine", "q35"),
            # Only Intel's models show siblings to the guest.
            *("-cpu", "Skylake-Server-v5", "-m", "6G", "-smp", "12,sockets=2,cores=3,threads=2"),
            *("-device", "intel-iommu"),
            *nodes,
            *("-numa", "dist,src=0,dst=1,val=21"),
            *("-drive", f"file={self.folder}/disk.img,if=none,id=root,format=raw,cache=unsafe"),
            *("-device", "virtio-blk-pci,drive=root,bus=pcie.0"),
            *("-netdev", f"user,id=mgmt,hostfwd=tcp:127.0.0.1:{self.port}-:22"),
            *("-device", f"virtio-net-pci,netdev=mgmt,bus=pcie.0,mac={MANAGEMENT_MAC}"),
            *("-kernel", f"{self.folder}/grub.lnx", "-display", "none", "-monitor", "none"),
            *("-serial", f"file:{self.folder}/serial.log"),
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator["Guest"]:
        """Boot, wait until it lets us in, and end it at the end."""
        argv = shell.inside(self.wires.near, ["nice", *self.argv()])
        with (self.folder / "qemu.log").open("w") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log)
            try:
                self._wait(process)
                self.wires.connect()
                yield self
            finally:
                process.terminate()
                process.wait(timeout=30)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while time.monotonic() < deadline:
            assert process.poll() is None, (self.folder / "qemu.log").read_text()[-2000:]
            with contextlib.suppress(errors.Transient):
                if self.client.run_script("true", timeout_s=20).exit_code == 0:
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2)
        pytest.fail(f"no ssh: {(self.folder / 'serial.log').read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
