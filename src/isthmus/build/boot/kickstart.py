"""Kickstart, for Red Hat's family; pykickstart validates it in the tests."""

from isthmus.build.boot import first_boot
from isthmus.build.boot.attempt import Attempt
from isthmus.build.boot.guard import CURL, render_guard
from isthmus.model.rack.fleet import Raid
from isthmus.model.rack.machine import Machine

_ESP_MIB, _BOOT_MIB, _MIB = 600, 1024, 1024


def render_kickstart(attempt: Attempt) -> str:
    """Write a machine's Kickstart file."""
    machine, report = attempt.machine, attempt.report
    guard = [] if attempt.may_wipe else [render_guard(machine, report, CURL)]
    files = first_boot.render_files(attempt)
    lines = [
        "# Written by isthmus build for this attempt alone.",
        "text",
        "reboot",
        f"url --url={machine.image.tree}",
        "lang en_US.UTF-8",
        "keyboard us",
        "timezone UTC --utc",
        "rootpw --lock",
        "selinux --enforcing",
        "firewall --enabled --ssh",
        "services --enabled=sshd,chronyd",
        f"network --bootproto=dhcp --device={machine.mac} --hostname={machine.name} --activate",
        *_render_disks(machine),
        "",
        "%packages",
        "@^minimal-environment",
        "chrony",
        "openssh-server",
        "python3",
        "%end",
        "",
        "%pre",
        *guard,
        f"curl -fsS -m 20 -d '' {report}/writing",
        "%end",
        "",
        "%onerror",
        f"curl -fsS -m 20 --data-urlencode 'detail=the installer stopped' {report}/failed",
        "%end",
        "",
        "%post",
        first_boot.render_shell(files).rstrip(),
        f"curl -fsS -m 20 -d '' {report}/written",
        "%end",
    ]
    return "\n".join(lines) + "\n"


def _render_disks(machine: Machine) -> list[str]:
    layout = machine.disks
    disks = [layout.device, *([layout.mirror] if layout.mirror else [])]
    names = ",".join(one.removeprefix("/dev/") for one in disks)
    head = [
        f"ignoredisk --only-use={names}",
        "zerombr",
        f"clearpart --all --initlabel --drives={names}",
        f"bootloader --location=mbr --boot-drive={names.partition(',')[0]}",
        "reqpart",
    ]
    root, swap = layout.root_gib * _MIB, layout.swap_gib * _MIB
    if layout.raid is Raid.NONE:
        return [
            *head,
            f"part /boot --fstype=ext4 --size={_BOOT_MIB}",
            f"part / --fstype=xfs --size={root}",
            *([f"part swap --size={swap}"] if swap else []),
        ]
    parts = [("boot", "/boot", "ext4", _BOOT_MIB), ("root", "/", "xfs", root)]
    parts += [("swap", "swap", "swap", swap)] if swap else []
    lines = list(head)
    for name, where, fstype, size in parts:
        for number, disk in enumerate(disks):
            on = disk.removeprefix("/dev/")
            lines.append(f"part raid.{name}{number} --size={size} --ondisk={on}")
        members = " ".join(f"raid.{name}{number}" for number in range(len(disks)))
        kind = "" if fstype == "swap" else f" --fstype={fstype}"
        lines.append(f"raid {where} --level=1 --device={name}{kind} {members}")
    return lines
