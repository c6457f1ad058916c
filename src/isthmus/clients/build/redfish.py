"""Power and boot device by Redfish, through sushy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sushy

from isthmus import errors
from isthmus.clients.http.status import find_meaning
from isthmus.model.rack.fleet import Bmc, Firmware
from isthmus.model.rack.machine import Machine

#: A controller that is reached answers a connection at once; its answers may take their time.
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 30.0
#: sushy asks again by itself where a controller says that it is busy.
RETRIES, RETRY_DELAY_S = 3, 1.0


def _url(bmc: Bmc) -> str:
    return bmc.address if "://" in bmc.address else f"https://{bmc.address}"


@contextmanager
def _translated(bmc: Bmc) -> Iterator[None]:
    try:
        yield
    except sushy.exceptions.AccessError as exc:
        raise errors.Refused(
            f"the Redfish controller {bmc.address} refuses user {bmc.user or '(none)'}: check the "
            f"user, and the secret {bmc.secret or '(none)'}"
        ) from exc
    except sushy.exceptions.ConnectionError as exc:
        raise errors.Unreachable(
            f"the Redfish controller {bmc.address} does not answer: check its address and cable"
        ) from exc
    except sushy.exceptions.ResourceNotFoundError as exc:
        raise errors.NotFound(
            f"the Redfish controller {bmc.address} has no system {bmc.system or '(any)'}"
        ) from exc
    except sushy.exceptions.HTTPError as exc:
        meaning = find_meaning(exc.status_code)
        raise meaning.error(
            f"the Redfish controller {bmc.address} answered {exc.status_code}: {_first_line(exc)}"
        ) from exc
    except sushy.exceptions.SushyError as exc:
        raise errors.ProtocolError(
            f"the Redfish controller {bmc.address} says: {_first_line(exc)}"
        ) from exc


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0][:200]


def _open(bmc: Bmc, password: str) -> Any:
    """Return the system that a controller controls.

    Raises:
        Conflict: it controls several, and none is named.
    """
    root = sushy.Sushy(
        _url(bmc),
        username=bmc.user,
        password=password,
        verify=bmc.verify_tls,
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        server_side_retries=RETRIES,
        server_side_retries_delay=RETRY_DELAY_S,
    )
    if bmc.system:
        return root.get_system(bmc.system)
    systems = root.get_system_collection().get_members()
    if len(systems) != 1:
        raise errors.Conflict(
            f"the Redfish controller {bmc.address} has {len(systems)} systems: name one in "
            "bmc.system"
        )
    return systems[0]


def boot_from_network(machine: Machine, password: str) -> None:
    """Boot a machine from the network once, whatever it does now.

    Raises:
        Unreachable: its controller does not answer.
        Refused: it refuses the user, or has no such system.
        ProtocolError: it answers nonsense.
    """
    with _translated(machine.bmc):
        system = _open(machine.bmc, password)
        mode = (
            sushy.BootSourceOverrideMode.UEFI
            if machine.firmware is Firmware.UEFI
            else sushy.BootSourceOverrideMode.LEGACY
        )
        # Controllers of one firmware only refuse to be told which.
        known = system.boot.get("mode") if system.boot else None
        system.set_system_boot_options(
            target=sushy.BootSource.PXE,
            enabled=sushy.BootSourceOverrideEnabled.ONCE,
            mode=mode if known is not None and known is not mode else None,
        )
        allowed = system.get_allowed_reset_system_values()
        if system.power_state is sushy.PowerState.OFF:
            system.reset_system(sushy.ResetType.ON)
        elif sushy.ResetType.FORCE_RESTART in allowed:
            system.reset_system(sushy.ResetType.FORCE_RESTART)
        else:
            system.reset_system(sushy.ResetType.POWER_CYCLE)
