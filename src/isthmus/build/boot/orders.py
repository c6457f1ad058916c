"""What a machine's ramdisk or installer may ask for by name, below its own token."""

import shlex
from collections.abc import Callable, Mapping

from isthmus.build.boot import autoinstall, first_boot, kickstart, preseed
from isthmus.build.boot.attempt import Attempt

_MIB = 1048576


def render_orders(attempt: Attempt) -> str:
    """Write what the ramdisk is to do, as shell variables."""
    machine = attempt.machine
    orders = {
        "NODE": machine.name,
        "DEVICE": machine.disks.device,
        "IMAGE": attempt.place.image_url(machine.image.file),
        "SHA256": machine.image.sha256 or "",
        "SIZE": str((machine.image.size_mib or 0) * _MIB),
        "COMPRESSION": machine.image.compression.value,
        "WIPE": "yes" if attempt.may_wipe else "no",
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in orders.items())


def _files(attempt: Attempt) -> str:
    return "set -e\n" + first_boot.render_shell(first_boot.render_files(attempt), "$ROOT")


#: file -> what writes it
SEEDS: Mapping[str, Callable[[Attempt], str]] = {
    "files.sh": _files,
    "ks.cfg": kickstart.render_kickstart,
    "preseed.cfg": preseed.render_preseed,
    "late.sh": preseed.render_late,
    "user-data": autoinstall.render_user_data,
    "meta-data": autoinstall.render_meta_data,
    "vendor-data": lambda _: "",
}
