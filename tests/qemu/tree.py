"""The files of the guest: Debian's packages, and Nova in a folder of its own. Nothing of ours.

Built by the test itself in about two minutes; `ISTHMUS_CACHE` names a folder that keeps the built
tree between runs.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

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
    "librte-net-virtio23",
    # Only recommended by Debian's package, yet no port works without it.
    "librte-mempool-ring23",
    "libvirt-daemon-system",
    "qemu-system-x86",
    "python3-libvirt",
    "python3-openvswitch",
    # Containers, for the layout in which most clouds run Nova and Open vSwitch.
    "podman",
    "crun",
    # All of what the two instances that send each other packets are made of.
    "busybox-static",
)
#: Not needed, and slow: libvirt asks every emulator that it finds what it can.
LEFT_OUT = (
    *(f"/usr/share/{part}/*" for part in ("doc", "locale", "man")),
    "/usr/bin/qemu-system-i386",
    "/usr/bin/qemu-system-x86_64-microvm",
)
#: Nova 34.0.0 and what it needs, for Debian's own Python.
NOVA_LOCK = Path(__file__).with_name("nova.lock")
NOVA = "/opt/nova"
#: What an operator's own nova.conf says here; the plan's file comes after it.
NOVA_CONF = """\
[DEFAULT]
state_path = /var/lib/nova
[libvirt]
virt_type = qemu
cpu_mode = none
images_type = raw
[os_vif_ovs]
ovsdb_connection = unix:/run/openvswitch/db.sock
"""
MANAGEMENT_MAC = "52:54:00:00:00:01"
GRUB_MODULES = (
    "biosdisk ext2 linux normal configfile search search_fs_uuid search_label test echo serial "
    "terminal ls gzio part_msdos part_gpt minicmd halt reboot loadenv all_video gfxterm font sleep"
)
#: What costs an emulated machine most: page tables that change with each call, and zeroed pages.
#: And a loaded one may be too slow for the kernel's test of its timer, which then panics.
LINE = "console=ttyS0 quiet mitigations=off init_on_alloc=0 no_timer_check"
#: What a bare image is booted with, until the guest has a configuration of its own.
FIRST_BOOT = f"""\
serial --unit=0 --speed=115200
terminal_output serial
set root=(hd0)
if [ -f /boot/grub/grub.cfg ]; then
  configfile /boot/grub/grub.cfg
fi
linux /vmlinuz root=/dev/vda rw {LINE}
initrd /initrd.img
boot
"""
GRUB_DEFAULTS = f"""\
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX="{LINE}"
GRUB_DISABLE_LINUX_UUID=true
GRUB_TERMINAL=serial
"""


def run(*argv: str | Path, timeout_s: float = 900) -> None:
    """Run a command to its end, which must be a good one."""
    done = subprocess.run(
        list(map(str, argv)), capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"{argv}: {done.stdout[-1000:]}{done.stderr[-2000:]}"


def build_tree(folder: Path) -> Path:
    """Build the guest's files; a cached tree of the same packages is taken as it is."""
    wanted = " ".join((*PACKAGES, *LEFT_OUT)) + NOVA_LOCK.read_text()
    key = hashlib.sha256(wanted.encode()).hexdigest()[:12]
    cache = Path(os.environ["ISTHMUS_CACHE"]) if "ISTHMUS_CACHE" in os.environ else folder
    tree = cache / f"nfv-guest-{key}"
    if not (tree / "complete").exists():
        shutil.rmtree(tree, ignore_errors=True)
        tree.parent.mkdir(parents=True, exist_ok=True)
        run(
            *("nice", "mmdebstrap", "--variant=minbase", "--mode=root"),
            f"--include={','.join(PACKAGES)}",
            *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
            *("bookworm", tree),
            timeout_s=1800,
        )
        # Compiled here, since an emulated machine would take minutes for it.
        run(
            *("nice", sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps"),
            *("--python-version", "3.11", "--only-binary", ":all:", "--target", f"{tree}{NOVA}"),
            *("-r", NOVA_LOCK),
        )
        shutil.rmtree(tree / NOVA[1:] / "nova/tests")
        run("chroot", tree, *("nice", "python3", "-m", "compileall", "-q", NOVA))
        (tree / "complete").touch()
    return tree


def dress_tree(tree: Path, public_key: str) -> None:
    """Add what makes the tree a machine that boots and lets us in."""
    files = {
        "root/.ssh/authorized_keys": public_key,
        "etc/systemd/network/10-management.network": f"[Match]\nMACAddress={MANAGEMENT_MAC}\n"
        "[Network]\nDHCP=yes\n",
        "etc/hostname": "nfv-guest\n",
        "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
        "etc/default/grub": GRUB_DEFAULTS,
        "etc/nova/nova.conf": NOVA_CONF,
        # A session of systemd's for each command takes seconds here.
        "etc/ssh/sshd_config.d/quick.conf": "UsePAM no\nKexAlgorithms curve25519-sha256\n",
        "boot/first.cfg": FIRST_BOOT,
    }
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tree / "root/.ssh").chmod(0o700)
    (tree / "boot/grub").mkdir(exist_ok=True)
    (tree / "var/lib/nova/instances").mkdir(parents=True, exist_ok=True)
    run("chroot", tree, "systemctl", "enable", "-q", "systemd-networkd", "ssh")
    # libvirt starts when it is first asked, not at every boot.
    run("chroot", tree, "systemctl", "disable", "-q", "libvirtd.service", "libvirt-guests.service")
    run("chroot", tree, "systemctl", "enable", "-q", "libvirtd.socket", "virtlogd.socket")
    run(
        *("chroot", tree, "grub-mkimage", "-O", "i386-pc", "-c", "/boot/first.cfg"),
        *("-p", "/boot/grub", "-o", "/boot/core.img", *GRUB_MODULES.split()),
    )
