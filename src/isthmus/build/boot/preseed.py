"""Preseed, for Debian's installer; debconf itself reads it in the tests."""

from urllib.parse import urlsplit

from isthmus.build.boot import first_boot
from isthmus.build.boot.attempt import Attempt
from isthmus.build.boot.guard import WGET, render_guard
from isthmus.model.rack.fleet import Firmware, Raid
from isthmus.model.rack.machine import Machine

_MIB_TO_MB = 1.048576
_BOOT_MB = 1024


def render_preseed(attempt: Attempt) -> str:
    """Write a machine's preseed file."""
    machine, report = attempt.machine, attempt.report
    tree = urlsplit(machine.image.tree)
    answers = [
        ("debian-installer/locale", "string", "en_US.UTF-8"),
        ("keyboard-configuration/xkb-keymap", "select", "us"),
        ("netcfg/choose_interface", "select", "auto"),
        ("netcfg/get_hostname", "string", machine.name),
        ("netcfg/get_domain", "string", ""),
        ("mirror/country", "string", "manual"),
        ("mirror/protocol", "select", tree.scheme),
        (f"mirror/{tree.scheme}/hostname", "string", tree.netloc),
        (f"mirror/{tree.scheme}/directory", "string", tree.path or "/debian"),
        (f"mirror/{tree.scheme}/proxy", "string", ""),
        ("mirror/suite", "string", machine.image.release),
        ("clock-setup/utc", "boolean", "true"),
        ("time/zone", "string", "Etc/UTC"),
        # A lost packet of NTP must not hold an installation up.
        ("clock-setup/ntp", "boolean", "false"),
        ("passwd/root-login", "boolean", "true"),
        # No password at all: keys alone let one in.
        ("passwd/root-password-crypted", "password", "!"),
        ("passwd/make-user", "boolean", "false"),
        *_disks(attempt),
        ("apt-setup/cdrom/set-first", "boolean", "false"),
        ("tasksel/first", "multiselect", "standard"),
        ("pkgsel/include", "string", "openssh-server python3 chrony"),
        ("pkgsel/upgrade", "select", "none"),
        ("popularity-contest/participate", "boolean", "false"),
        ("grub-installer/only_debian", "boolean", "true"),
        ("grub-installer/with_other_os", "boolean", "false"),
        ("grub-installer/bootdev", "string", machine.disks.device),
        ("finish-install/reboot_in_progress", "note", ""),
        ("cdrom-detect/eject", "boolean", "false"),
        ("preseed/early_command", "string", f"wget -q -O - --post-data '' {report}/writing"),
        (
            "preseed/late_command",
            "string",
            f"wget -q -O /tmp/late {attempt.seed}/late.sh && sh /tmp/late",
        ),
    ]
    lines = [f"d-i {name} {kind} {value}".rstrip() for name, kind, value in answers]
    return "# Written by isthmus build for this attempt alone.\n" + "\n".join(lines) + "\n"


def render_late(attempt: Attempt) -> str:
    """Write the script that the installer runs last, with the new system below /target."""
    files = first_boot.render_files(attempt)
    return (
        "set -e\n"
        + first_boot.render_shell(files, "/target")
        + f"wget -q -O - --post-data '' {attempt.report}/written\n"
    )


def _disks(attempt: Attempt) -> list[tuple[str, str, str]]:
    machine = attempt.machine
    layout = machine.disks
    guard = "" if attempt.may_wipe else render_guard(machine, attempt.report, WGET)
    common = [
        ("partman/early_command", "string", guard),
        ("partman-lvm/device_remove_lvm", "boolean", "true"),
        ("partman-md/device_remove_md", "boolean", "true"),
        ("partman-md/confirm", "boolean", "true"),
        ("partman-md/confirm_nooverwrite", "boolean", "true"),
        ("partman-partitioning/confirm_write_new_label", "boolean", "true"),
        ("partman/choose_partition", "select", "finish"),
        ("partman/confirm", "boolean", "true"),
        ("partman/confirm_nooverwrite", "boolean", "true"),
    ]
    if machine.firmware is Firmware.UEFI:
        common.append(("partman-efi/non_efi_system", "boolean", "true"))
    if layout.raid is Raid.NONE:
        return [
            ("partman-auto/disk", "string", layout.device),
            ("partman-auto/method", "string", "regular"),
            ("partman-auto/expert_recipe", "string", _recipe(machine)),
            *common,
        ]
    disks = [layout.device, layout.mirror or ""]
    swap = [f"1 2 0 swap - {'#'.join(f'{one}3' for one in disks)} ."] if layout.swap_gib else []
    arrays = [
        f"1 2 0 ext4 /boot {'#'.join(f'{one}1' for one in disks)} .",
        f"1 2 0 ext4 / {'#'.join(f'{one}2' for one in disks)} .",
        *swap,
    ]
    return [
        ("partman-auto/disk", "string", " ".join(disks)),
        ("partman-auto/method", "string", "raid"),
        ("partman-auto/expert_recipe", "string", _recipe(machine, member=True)),
        ("partman-auto-raid/recipe", "string", " ".join(arrays)),
        *common,
    ]


def _recipe(machine: Machine, *, member: bool = False) -> str:
    """Write partman's recipe: smallest size, priority, largest size and kind, in MB."""
    layout = machine.disks
    root = round(layout.root_gib * 1024 * _MIB_TO_MB)
    swap = round(layout.swap_gib * 1024 * _MIB_TO_MB)

    def part(size: int, where: str) -> str:
        if member:
            return f"{size} {size} {size} raid $primary{{ }} method{{ raid }} ."
        kind = (
            "linux-swap method{ swap } format{ }"
            if where == "swap"
            else "ext4 method{ format } format{ } use_filesystem{ } filesystem{ ext4 } "
            f"mountpoint{{ {where} }}"
        )
        return f"{size} {size} {size} {kind} ."

    boot_first = (
        ["600 600 600 free $iflabel{ gpt } $reusemethod{ } method{ efi } format{ } ."]
        if machine.firmware is Firmware.UEFI
        else ["1 1 1 free $iflabel{ gpt } method{ biosgrub } ."]
    )
    parts = [*boot_first, part(_BOOT_MB, "/boot"), part(root, "/")]
    if swap:
        parts.append(part(swap, "swap"))
    return "isthmus :: " + " ".join(parts)
