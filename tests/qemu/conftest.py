"""A virtual machine with two NUMA nodes, real GRUB, real DPDK ports and nothing of ours in it.

The disk is built from Debian's packages by the test itself (about a minute), and booted by QEMU
without acceleration, since nested KVM is not to be had everywhere; a boot takes one to three
minutes. `ISTHMUS_CACHE` names a folder that keeps the built tree between runs.
"""

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus import errors
from isthmus.nfv.ports import HostDoor
from isthmus.wiring import nfv as wiring

PROGRAMS = ("qemu-system-x86_64", "mmdebstrap", "mke2fs", "ssh", "ssh-keygen", "chroot")
PACKAGES = (
    "linux-image-cloud-amd64",
    "systemd-sysv",
    "udev",
    "kmod",
    "dbus",
    "openssh-server",
    "iproute2",
    "procps",
    "initramfs-tools",
    "grub-pc-bin",
    "grub2-common",
    "openvswitch-switch-dpdk",
    "librte-net-e1000-23",
    # Only recommended by Debian's package, yet no port works without it.
    "librte-mempool-ring23",
)
GRUB_MODULES = (
    "biosdisk ext2 linux normal configfile search search_fs_uuid search_label test echo serial "
    "terminal ls gzio part_msdos part_gpt minicmd halt reboot loadenv all_video gfxterm font sleep"
)
#: What a bare image is booted with, until the guest has a configuration of its own.
FIRST_BOOT = """\
serial --unit=0 --speed=115200
terminal_output serial
set root=(hd0)
if [ -f /boot/grub/grub.cfg ]; then
  configfile /boot/grub/grub.cfg
fi
linux /vmlinuz root=/dev/vda rw console=ttyS0
initrd /initrd.img
boot
"""
GRUB_DEFAULTS = """\
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX="console=ttyS0"
GRUB_DISABLE_LINUX_UUID=true
GRUB_TERMINAL=serial
"""
BOOT_TIMEOUT_S = 900
SSH_OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")


def _need() -> None:
    missing = [
        name
        for name in PROGRAMS
        if shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin") is None
    ]
    if os.geteuid() != 0:
        missing.append("root")
    if missing:
        reason = f"missing: {', '.join(missing)} (apt-get install qemu-system-x86 mmdebstrap)"
        if os.environ.get("ISTHMUS_REQUIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def _run(*argv: str | Path, timeout_s: float = 900) -> None:
    done = subprocess.run(
        list(map(str, argv)), capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"{argv}: {done.stdout[-1000:]}{done.stderr[-2000:]}"


def build_tree(folder: Path) -> Path:
    """Build the guest's files; a cached tree of the same packages is taken as it is."""
    key = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    cache = Path(os.environ["ISTHMUS_CACHE"]) if "ISTHMUS_CACHE" in os.environ else folder
    tree = cache / f"nfv-guest-{key}"
    if not (tree / "complete").exists():
        shutil.rmtree(tree, ignore_errors=True)
        tree.parent.mkdir(parents=True, exist_ok=True)
        _run(
            *("nice", "mmdebstrap", "--variant=minbase", "--mode=root"),
            f"--include={','.join(PACKAGES)}",
            *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "locale", "man")),
            *("bookworm", tree),
            timeout_s=1800,
        )
        (tree / "complete").touch()
    return tree


def dress_tree(tree: Path, public_key: str) -> None:
    """Add what makes the tree a machine that boots and lets us in."""
    files = {
        "root/.ssh/authorized_keys": public_key,
        "etc/systemd/network/10-management.network": "[Match]\nDriver=virtio_net\n"
        "[Network]\nDHCP=yes\n",
        "etc/hostname": "nfv-guest\n",
        "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
        "etc/default/grub": GRUB_DEFAULTS,
        "boot/first.cfg": FIRST_BOOT,
    }
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tree / "root/.ssh").chmod(0o700)
    (tree / "boot/grub").mkdir(exist_ok=True)
    _run("chroot", tree, "systemctl", "enable", "systemd-networkd", "ssh")
    _run(
        *("chroot", tree, "grub-mkimage", "-O", "i386-pc", "-c", "/boot/first.cfg"),
        *("-p", "/boot/grub", "-o", "/boot/core.img", *GRUB_MODULES.split()),
    )


class Guest:
    """The running machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        key = folder / "key"
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        tree = build_tree(folder)
        dress_tree(tree, (folder / "key.pub").read_text())
        lnx = (tree / "usr/lib/grub/i386-pc/lnxboot.img").read_bytes()
        (folder / "grub.lnx").write_bytes(lnx + (tree / "boot/core.img").read_bytes())
        _run("mke2fs", "-q", "-t", "ext4", "-d", tree, folder / "disk.img", "2G")
        self.door: HostDoor = wiring.open_door(
            f"root@127.0.0.1:{self.port}", identity=str(key), options=SSH_OPTIONS
        )

    def argv(self) -> list[str]:
        """QEMU with two sockets of 3 cores of 2 threads, a DPDK port on each node, an IOMMU."""
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
                *("-netdev", f"hubport,id=d{node},hubid=1"),
                *("-device", f"e1000e,bus=rp{node},netdev=d{node},mac=52:54:00:00:01:0{node}"),
            )
        ]
        return [
            *("qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=64", "-machine", "q35"),
            # Only Intel's models show siblings to the guest.
            *("-cpu", "Skylake-Server-v5", "-m", "6G", "-smp", "12,sockets=2,cores=3,threads=2"),
            *("-device", "intel-iommu"),
            *nodes,
            *("-numa", "dist,src=0,dst=1,val=21"),
            *("-drive", f"file={self.folder}/disk.img,if=none,id=root,format=raw,cache=unsafe"),
            *("-device", "virtio-blk-pci,drive=root,bus=pcie.0"),
            *("-netdev", f"user,id=mgmt,hostfwd=tcp:127.0.0.1:{self.port}-:22"),
            *("-device", "virtio-net-pci,netdev=mgmt,bus=pcie.0"),
            *("-kernel", f"{self.folder}/grub.lnx", "-display", "none", "-monitor", "none"),
            *("-serial", f"file:{self.folder}/serial.log"),
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator["Guest"]:
        """Boot, wait until it lets us in, and end it at the end."""
        with (self.folder / "qemu.log").open("w") as log:
            process = subprocess.Popen(["nice", *self.argv()], stdout=log, stderr=log)
            try:
                self._wait(process)
                yield self
            finally:
                process.terminate()
                process.wait(timeout=30)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while time.monotonic() < deadline:
            assert process.poll() is None, (self.folder / "qemu.log").read_text()[-2000:]
            with contextlib.suppress(errors.Transient):
                if self.door.run_script("true", timeout_s=20).exit_code == 0:
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2)
        pytest.fail(f"no ssh: {(self.folder / 'serial.log').read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    _need()
    with Guest(tmp_path_factory.mktemp("nfv-guest")).running() as running:
        yield running
