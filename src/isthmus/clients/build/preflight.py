"""What must hold on the builder before machines are touched; everything that does not, at once."""

import hashlib
import json
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from isthmus.clients.build.processes import find_closed
from isthmus.clients.machine import shell
from isthmus.model.rack.fleet import Builder, Compression, Firmware, Image, Install
from isthmus.model.rack.machine import Machine

#: Where distributions put iPXE's boot programs.
NBP_FOLDERS = (Path("/usr/lib/ipxe"), Path("/usr/share/ipxe"), Path("/usr/share/ipxe/undionly"))
_CHUNK = 1 << 20


def find_faults(
    builder: Builder, machines: Sequence[Machine], images: Path, ramdisk: Path, sums: Path
) -> list[str]:
    """Find all that would make a build fail, one sentence each.

    Args:
        builder: of the fleet file.
        machines: that are to be built.
        images: the folder of images.
        ramdisk: the folder of the deploy ramdisk.
        sums: a file that keeps checksums of files that did not change.
    """
    faults = [*_check_address(builder), *_check_programs()]
    if any(one.install is Install.IMAGE for one in machines):
        faults += [
            f"there is no {ramdisk / name}: make it with isthmus build ramdisk {ramdisk}"
            for name in ("vmlinuz", "initrd.img")
            if not (ramdisk / name).is_file()
        ]
    used = {(one.image.name, one.install): one.image for one in machines}
    for (_, install), image in used.items():
        faults += _check_image(image, install, images, sums)
    if any(one.firmware is Firmware.UEFI for one in machines) and not find_nbp("snponly.efi"):
        faults.append("there is no snponly.efi for UEFI; on Debian: apt install ipxe")
    if not find_nbp("undionly.kpxe"):
        faults.append("there is no undionly.kpxe; on Debian: apt install ipxe")
    return faults


def find_nbp(name: str) -> Path | None:
    """Find a network boot program."""
    return next((one / name for one in NBP_FOLDERS if (one / name).is_file()), None)


def _check_programs() -> Iterator[str]:
    for name, package in (("dnsmasq", "dnsmasq-base"), ("nginx", "nginx-light")):
        if shell.find_program(name) is None:
            yield f"{name} is not installed; on Debian: apt install {package}"


def _check_address(builder: Builder) -> Iterator[str]:
    output = shell.run(["ip", "-j", "addr", "show", "dev", builder.interface], check=False)
    if output.exit_code != 0:
        yield f"builder.interface: this machine has no interface {builder.interface}"
        return
    rows = json.loads(output.stdout or "[]")
    have = [one.get("local") for row in rows for one in row.get("addr_info", [])]
    if builder.address not in have:
        yield (
            f"builder.address: {builder.interface} does not have {builder.address}; it has "
            f"{', '.join(filter(None, have)) or 'none'}"
        )


def _check_image(image: Image, install: Install, images: Path, sums: Path) -> Iterator[str]:
    files = [image.file] if install is Install.IMAGE else [image.kernel, image.initrd]
    for name in files:
        path = images / name
        if images.resolve() not in path.resolve().parents:
            yield f"image {image.name}: {name} leads out of {images}"
        elif not path.is_file():
            yield f"image {image.name}: there is no file {path}"
        elif unreadable := _find_unreadable(path):
            yield f"image {image.name}: others cannot read {unreadable}, so nginx cannot serve it"
        elif install is Install.IMAGE and image.compression is Compression.NONE:
            yield from _check_sum(image, path, sums)


def _check_sum(image: Image, path: Path, sums: Path) -> Iterator[str]:
    size = path.stat().st_size
    if image.size_mib and size != image.size_mib << 20:
        yield (
            f"image {image.name}: {path} has {size} bytes, and size_mib {image.size_mib} means "
            f"{image.size_mib << 20}"
        )
        return
    found = checksum(path, sums)
    if found != image.sha256:
        yield f"image {image.name}: the checksum of {path} is {found}, not {image.sha256}"


def _find_unreadable(path: Path) -> Path | None:
    if not path.stat().st_mode & stat.S_IROTH:
        return path
    return find_closed(path)


def checksum(path: Path, sums: Path) -> str:
    """Return a file's SHA-256; one that did not change since the last time is not read again."""
    try:
        known = json.loads(sums.read_text())
    except (OSError, ValueError):
        known = {}
    state = path.stat()
    key = f"{path.resolve()} {state.st_size} {state.st_mtime_ns} {state.st_ino}"
    if key not in known:
        with path.open("rb") as source:
            digest = hashlib.sha256()
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
        known[key] = digest.hexdigest()
        sums.write_text(json.dumps(known))
    return str(known[key])


def put_files(tftp: Path, boot: Path, ramdisk: Path) -> None:
    """Copy boot programs and ramdisk to the folders that boot services serve."""
    for folder in (tftp, boot):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name in ("undionly.kpxe", "snponly.efi"):
        found = find_nbp(name)
        if found is not None:
            shutil.copyfile(found, tftp / name)
    for name in ("vmlinuz", "initrd.img"):
        if (ramdisk / name).is_file() and (ramdisk / name).resolve() != (boot / name).resolve():
            shutil.copyfile(ramdisk / name, boot / name)
            (boot / name).chmod(0o644)
