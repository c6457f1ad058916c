"""Images of Debian for streaming to disks, made by mmdebstrap: no loop device, no mount.

A raw disk of one ext4 partition and GRUB for BIOS, whose core stands between the partition table
and the first partition. GRUB finds its system by the file system's label, and boots whatever kernel
Debian's own links name, so that kernels may be upgraded. Times and identifiers are fixed: the same
packages give the same bytes.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from isthmus import errors
from isthmus.clients.build.ramdisk import build_ramdisk
from isthmus.clients.machine import shell

PACKAGES = (
    *("linux-image-cloud-amd64", "initramfs-tools", "systemd-sysv", "udev", "kmod", "dbus"),
    *("iproute2", "openssh-server", "python3-minimal", "grub-pc-bin", "grub-common"),
    *("busybox-static", "zstd", "ca-certificates"),
)
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*", "/usr/share/info/*")
LABEL = "isthmus-root"
#: 2026-01-01: before nothing, so that no clock of a fresh machine is behind its files.
EPOCH = 1767225600
_UUID = "69737468-6d75-4973-8001-726f6f740001"
_SECTOR, _MIB = 512, 1 << 20
#: Where the boot sector's code ends and the disk's own fields begin (MBR).
_MBR_CODE = 440
_GRUB_MODULES = (
    "biosdisk ext2 part_msdos linux normal search search_label serial terminal echo test"
)
#: Of a boot sector: the partition table is at 446, its mark at 510.
_MARK = b"\x55\xaa"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an image is made of."""

    name: str
    suite: str = "bookworm"
    size_mib: int = 2048
    packages: Sequence[str] = field(default=())
    kernel_line: str = "console=tty0 console=ttyS0,115200"


def build_image(
    recipe: Recipe,
    to: Path,
    *,
    ramdisk: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, object]:
    """Build an image and its manifest; the deploy ramdisk out of the same packages, if wanted.

    Args:
        recipe: what it is made of.
        to: folder for NAME.raw and NAME.json.
        ramdisk: folder for vmlinuz and initrd.img.
        say: told what happens.

    Returns:
        The manifest.

    Raises:
        Unsupported: a program is missing.
        StepFailed: a step failed, with what it said.
    """
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="isthmus-image-", dir=to) as name:
        folder = Path(name)
        tree = folder / "tree"
        say(f"unpacking Debian {recipe.suite}")
        _unpack(recipe, tree)
        _dress(tree)
        core = _make_core(recipe, tree)
        packages = _list_packages(tree)
        if ramdisk is not None:
            say("making the ramdisk")
            build_ramdisk(tree, ramdisk)
        say("writing the disk")
        part = folder / "disk.raw"
        _write_disk(recipe, tree, core, folder, part)
        manifest: dict[str, object] = {
            "name": recipe.name,
            "file": f"{recipe.name}.raw",
            "sha256": _digest(part),
            "size_mib": recipe.size_mib,
            "suite": recipe.suite,
            "packages": packages,
        }
        part.chmod(0o644)
        part.replace(to / f"{recipe.name}.raw")
        (to / f"{recipe.name}.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def _unpack(recipe: Recipe, tree: Path) -> None:
    names = ",".join(sorted({*PACKAGES, *recipe.packages}))
    shell.run(
        [
            *("mmdebstrap", "--variant=minbase", "--quiet", f"--include={names}"),
            *(f"--dpkgopt=path-exclude={one}" for one in LEFT_OUT),
            *(recipe.suite, tree),
        ],
        env={"SOURCE_DATE_EPOCH": str(EPOCH)},
        timeout_s=3600,
    )


def _dress(tree: Path) -> None:
    """Make a system of the packages: any machine's until a ramdisk makes it one's own."""
    files = {
        "etc/fstab": f"LABEL={LABEL} / ext4 errors=remount-ro 0 1\n",
        "etc/hostname": "localhost\n",
        # Empty: made anew at the first boot (machine-id(5)).
        "etc/machine-id": "",
        # For ports that the builder's own file does not name.
        "etc/systemd/network/80-any.network": "[Match]\nType=ether\n\n[Network]\nDHCP=ipv4\n",
        # Host keys are each machine's own.
        "etc/systemd/system/ssh.service.d/keys.conf": "[Service]\n"
        "ExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n",
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    shell.run(["chroot", tree, "systemctl", "enable", "-q", "systemd-networkd", "ssh"])
    for junk in ("var/log/dpkg.log", "var/log/bootstrap.log", "var/log/alternatives.log",
                 "var/cache/ldconfig/aux-cache", "var/log/apt"):  # fmt: skip
        path = tree / junk
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _make_core(recipe: Recipe, tree: Path) -> bytes:
    """Make GRUB's core, with the configuration inside."""
    config = f"""\
serial --unit=0 --speed=115200
terminal_output console serial
search --no-floppy --label {LABEL} --set root
linux /vmlinuz root=LABEL={LABEL} ro {recipe.kernel_line}
initrd /initrd.img
boot
"""
    (tree / "boot/core.cfg").write_text(config)
    shell.run(
        [
            *("chroot", tree, "grub-mkimage", "-O", "i386-pc", "-p", "/boot/grub"),
            *("-c", "/boot/core.cfg", "-o", "/boot/core.img", *_GRUB_MODULES.split()),
        ]
    )
    core = (tree / "boot/core.img").read_bytes()
    for name in ("core.img", "core.cfg"):
        (tree / "boot" / name).unlink()
    if len(core) > _MIB - _SECTOR:
        raise errors.StepFailed(f"GRUB's core has {len(core)} bytes: no room before the partition")
    return core


def _list_packages(tree: Path) -> dict[str, str]:
    output = shell.run(
        ["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "-W", "-f=${Package} ${Version}\n"]
    )
    return dict(line.split(" ", 1) for line in output.stdout.splitlines())


def _write_disk(recipe: Recipe, tree: Path, core: bytes, folder: Path, disk: Path) -> None:
    system = folder / "root.ext4"
    # Times within the tree that are later than its packages are this run's.
    shell.run(
        [
            "find",
            tree,
            "-newermt",
            f"@{EPOCH}",
            "-exec",
            "touch",
            "-h",
            "-d",
            f"@{EPOCH}",
            "{}",
            "+",
        ],
        timeout_s=600,
    )
    blocks = recipe.size_mib - 1
    shell.run(
        [
            *("mke2fs", "-q", "-t", "ext4", "-L", LABEL, "-U", _UUID, "-d", tree),
            *("-E", f"hash_seed={_UUID},lazy_itable_init=0,lazy_journal_init=0"),
            *(system, f"{blocks}M"),
        ],
        env={"E2FSPROGS_FAKE_TIME": str(EPOCH)},
        timeout_s=1200,
    )
    boot = (tree / "usr/lib/grub/i386-pc/boot.img").read_bytes()[:_MBR_CODE]
    with disk.open("wb") as sink:
        sink.write(boot.ljust(_MBR_CODE, b"\0") + b"ISTH\0\0" + _table(blocks) + _MARK)
        sink.write(core)
        sink.truncate(recipe.size_mib * _MIB)
    shell.run(
        ["dd", f"if={system}", f"of={disk}", "bs=1M", "seek=1", "conv=sparse,notrunc"],
        timeout_s=600,
    )


def _table(blocks: int) -> bytes:
    """Write a partition table of one bootable Linux partition that begins at 1 MiB."""
    start, count = _MIB // _SECTOR, blocks * _MIB // _SECTOR
    # Cylinders and heads mean nothing any more: the largest values say so.
    entry = bytes([0x80, 0xFE, 0xFF, 0xFF, 0x83, 0xFE, 0xFF, 0xFF])
    entry += start.to_bytes(4, "little") + count.to_bytes(4, "little")
    return entry.ljust(64, b"\0")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_MIB):
            digest.update(chunk)
    return digest.hexdigest()
