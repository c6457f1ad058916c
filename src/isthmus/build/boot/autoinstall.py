"""Autoinstall, for Ubuntu's server installer: cloud-init data with an `autoinstall` part.

Source:
    Canonical, "Autoinstall configuration reference manual"; storage in curtin's actions.
"""

from typing import Any

import yaml

from isthmus.build.boot import first_boot
from isthmus.build.boot.attempt import Attempt
from isthmus.build.boot.guard import CURL, render_guard
from isthmus.model.rack.fleet import Disks, Firmware, Raid


def render_user_data(attempt: Attempt) -> str:
    """Write a machine's user-data."""
    machine, report = attempt.machine, attempt.report
    guard = [] if attempt.may_wipe else [render_guard(machine, report, CURL)]
    files = first_boot.render_files(attempt)
    config: dict[str, Any] = {
        "version": 1,
        "locale": "en_US.UTF-8",
        "keyboard": {"layout": "us"},
        "identity": {
            "hostname": machine.name,
            "username": "isthmus",
            # A hash that no password has.
            "password": "!",
        },
        "ssh": {
            "install-server": True,
            "allow-pw": False,
            "authorized-keys": list(attempt.authorized_keys),
        },
        "network": {
            "version": 2,
            "ethernets": {
                "boot": {
                    "match": {"macaddress": machine.mac},
                    "dhcp4": True,
                    "dhcp-identifier": "mac",
                }
            },
        },
        "storage": {"config": _storage(machine.disks, machine.firmware)},
        "packages": ["python3", "chrony"],
        "early-commands": [*guard, f"curl -fsS -m 20 -d '' {report}/writing"],
        "error-commands": [
            f"curl -fsS -m 20 --data-urlencode 'detail=the installer stopped' {report}/failed"
        ],
        "late-commands": [
            first_boot.render_shell(files, "/target"),
            f"curl -fsS -m 20 -d '' {report}/written",
        ],
        "shutdown": "reboot",
    }
    text = yaml.safe_dump({"autoinstall": config}, sort_keys=False, width=1000)
    return "#cloud-config\n" + text


def render_meta_data(attempt: Attempt) -> str:
    """Write a machine's meta-data; a new attempt is a new instance."""
    machine, token = attempt.machine, attempt.token
    return yaml.safe_dump(
        {"instance-id": f"{machine.name}-{token[:12]}", "local-hostname": machine.name}
    )


def _storage(layout: Disks, firmware: Firmware) -> list[dict[str, Any]]:
    """Write curtin's actions: disks, partitions, arrays where asked for, file systems, mounts."""
    disks = [layout.device, *([layout.mirror] if layout.raid is Raid.MIRROR else [])]
    parts = [("boot", "1G", "ext4", "/boot"), ("root", f"{layout.root_gib}G", "ext4", "/")]
    if layout.swap_gib:
        parts.append(("swap", f"{layout.swap_gib}G", "swap", ""))
    actions: list[dict[str, Any]] = []
    for number, path in enumerate(disks):
        disk = f"disk{number}"
        is_uefi = firmware is Firmware.UEFI
        actions += [
            {
                "type": "disk",
                "id": disk,
                "path": path,
                "ptable": "gpt",
                "wipe": "superblock",
                "grub_device": not is_uefi,
            },
            {
                "type": "partition",
                "id": f"{disk}-firmware",
                "device": disk,
                "size": "600M" if is_uefi else "1M",
                "flag": "boot" if is_uefi else "bios_grub",
                "grub_device": is_uefi,
            },
        ]
        actions += [
            {"type": "partition", "id": f"{disk}-{name}", "device": disk, "size": size}
            for name, size, _, _ in parts
        ]
    for name, _, fstype, where in parts:
        volume = f"disk0-{name}"
        if len(disks) > 1:
            volume = f"md-{name}"
            members = [f"disk{number}-{name}" for number in range(len(disks))]
            actions.append(
                {"type": "raid", "id": volume, "name": volume, "raidlevel": 1, "devices": members}
            )
        actions.append({"type": "format", "id": f"{name}-fs", "volume": volume, "fstype": fstype})
        if where:
            actions.append(
                {"type": "mount", "id": f"{name}-mount", "device": f"{name}-fs", "path": where}
            )
        else:
            actions.append({"type": "mount", "id": f"{name}-mount", "device": f"{name}-fs"})
    if firmware is Firmware.UEFI:
        actions += [
            {"type": "format", "id": "efi-fs", "volume": "disk0-firmware", "fstype": "fat32"},
            {"type": "mount", "id": "efi-mount", "device": "efi-fs", "path": "/boot/efi"},
        ]
    return actions
