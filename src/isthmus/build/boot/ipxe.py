"""iPXE scripts: the first one, the one that installs, and the one that boots what is there."""

from isthmus.build.boot.attempt import Attempt
from isthmus.build.boot.place import KERNEL, RAMDISK, Place
from isthmus.model.rack.fleet import Firmware, Install
from isthmus.model.rack.machine import Machine

#: The names that installers know an initrd by; under UEFI the kernel's line must say it too, or it
#: panics with "Unable to mount root fs" (seen).
_INITRD = "initrd.img"


def render_start(place: Place) -> str:
    """Write the script that every iPXE reads first; it asks until it is answered."""
    return f"""\
#!ipxe
:ask
chain --replace {place.url}/api/boot?mac=${{netX/mac:hexhyp}} || goto again
:again
echo isthmus: no answer from {place.url}; trying again
sleep 5
goto ask
"""


def render_local(machine: Machine | None) -> str:
    """Write the script that boots what is on the disk."""
    if machine is not None and machine.firmware is Firmware.BIOS:
        return "#!ipxe\nsanboot --no-describe --drive 0x80 || exit\n"
    # Firmware goes on with the next entry of its boot order.
    return "#!ipxe\nexit\n"


def render_unknown(mac: str) -> str:
    """Write the script for a machine that no plan names: it says so, and boots its disk."""
    return (
        f"#!ipxe\necho isthmus: {mac} is in no fleet file; booting from the disk\nsleep 10\nexit\n"
    )


def render_install(attempt: Attempt) -> str:
    """Write the script that starts a machine's ramdisk or installer."""
    place, machine = attempt.place, attempt.machine
    if machine.install is Install.IMAGE:
        kernel, initrd = f"{place.url}/boot/{KERNEL}", f"{place.url}/boot/{RAMDISK}"
    else:
        kernel = place.image_url(machine.image.kernel)
        initrd = place.image_url(machine.image.initrd)
    words = " ".join(kernel_words(attempt))
    return f"""\
#!ipxe
kernel {kernel} initrd={_INITRD} {words} || goto failed
initrd --name {_INITRD} {initrd} || goto failed
boot || goto failed
:failed
echo isthmus: the kernel or the ramdisk of {machine.name} could not be loaded; starting over
sleep 10
reboot
"""


def kernel_words(attempt: Attempt) -> list[str]:
    """Return the kernel line of a machine's ramdisk or installer, beside its initrd."""
    place, machine = attempt.place, attempt.machine
    seed, token = attempt.seed, attempt.token
    console = place.builder.console
    words = {
        Install.IMAGE: [f"isthmus.url={place.url}", f"isthmus.token={token}", "quiet", "panic=30"],
        Install.KICKSTART: [
            f"inst.ks={seed}/ks.cfg",
            f"inst.repo={machine.image.tree}",
            "ip=dhcp",
            "inst.text",
        ],
        Install.PRESEED: [
            "auto=true",
            "priority=critical",
            f"url={seed}/preseed.cfg",
            "interface=auto",
            f"hostname={machine.name}",
            "domain=",
        ],
        Install.AUTOINSTALL: [
            "ip=dhcp",
            f"url={machine.image.tree}",
            "autoinstall",
            f"ds=nocloud-net;s={seed}/",
            "cloud-config-url=/dev/null",
        ],
    }[machine.install]
    # The boot port by its MAC (01: Ethernet): the first that is found may be another one.
    words.append(f"BOOTIF=01-{machine.mac.replace(':', '-')}")
    return [*words, *([f"console={console}"] if console else [])]
