"""Power and boot device by IPMI 2.0, through ipmitool, which every distribution has."""

from isthmus import errors
from isthmus.clients.machine import shell
from isthmus.model.rack.fleet import Bmc, Firmware
from isthmus.model.rack.machine import Machine

TIMEOUT_S = 30.0


def _run(bmc: Bmc, password: str, *words: str) -> str:
    """Run one command; the password goes by the environment, which no list of processes shows."""
    host, _, port = bmc.address.partition(":")
    argv = ["ipmitool", "-I", "lanplus", "-H", host, "-p", port or "623", "-E"]
    argv += ["-U", bmc.user] if bmc.user else []
    output = shell.run(
        [*argv, *words],
        env={"IPMI_PASSWORD": password},
        timeout_s=TIMEOUT_S,
        check=False,
    )
    if output.exit_code == 0:
        return output.stdout
    said = (output.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if "Unable to establish" in output.stderr:
        raise errors.Unreachable(
            f"the IPMI controller {bmc.address} does not let us in: check its address, the user, "
            f"and the secret {bmc.secret or '(none)'} ({said})"
        )
    raise errors.StepFailed(f"the IPMI controller {bmc.address} says: {said}")


def boot_from_network(machine: Machine, password: str) -> None:
    """Boot a machine from the network once, whatever it does now.

    Raises:
        Unreachable: its controller does not answer.
        StepFailed: it does not do as told.
        Unsupported: ipmitool is not installed.
    """
    bmc = machine.bmc
    options = ["options=efiboot"] if machine.firmware is Firmware.UEFI else []
    _run(bmc, password, "chassis", "bootdev", "pxe", *options)
    status = _run(bmc, password, "chassis", "power", "status")
    # A cycle of a machine that is off is refused (IPMI 2.0, 28.3).
    _run(bmc, password, "chassis", "power", "on" if "is off" in status else "cycle")
