"""A Redfish controller for machines that are commands: OpenStack's own emulator, without libvirt.

Run as a process: it reads a JSON file of systems, each with a name, a uuid and perhaps the command
that is the machine. Switching a system on starts its command, switching it off ends it. Without a
command power is only a word, which is enough to hold our client against the protocol.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from sushy_tools.emulator import main
from sushy_tools.emulator.resources.systems import fakedriver

CONFIG: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
#: What was asked, one line a call, for tests to read.
JOURNAL = Path(sys.argv[1]).with_suffix(".calls")


class CommandDriver(fakedriver.FakeDriver):  # type: ignore[misc]
    """Switches commands on and off, at once."""

    running: dict[str, subprocess.Popen[bytes]] = {}  # noqa: RUF012 - one process, one table

    def _note(self, identity: str, what: str) -> None:
        with JOURNAL.open("a") as sink:
            sink.write(f"{self._get(identity)['name']} {what}\n")

    def set_power_state(self, identity: str, state: str) -> None:
        system = self._get(identity)
        name = system["name"]
        self._note(identity, state)
        on = "Off" not in state and "Shutdown" not in state
        child = self.running.pop(name, None)
        if child is not None:
            child.kill()
            child.wait()
        if on and system.get("command"):
            self.running[name] = subprocess.Popen(system["command"], stdin=subprocess.DEVNULL)
        self._update(system, power_state="On" if on else "Off", pending_power=None)

    def set_boot_device(self, identity: str, boot_source: str) -> None:
        self._note(identity, f"boot {boot_source}")
        super().set_boot_device(identity, boot_source)


def run() -> None:
    # Its machines end with it, also where a test says stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    fakedriver.FakeDriver = CommandDriver
    main.app.configure(
        extra_config={
            "SUSHY_EMULATOR_FAKE_DRIVER": True,
            "SUSHY_EMULATOR_FAKE_SYSTEMS": [
                {"power_state": "Off", "nics": [], **one} for one in CONFIG["systems"]
            ],
            "SUSHY_EMULATOR_STATE_DIR": CONFIG["state"],
            **({"SUSHY_EMULATOR_AUTH_FILE": CONFIG["passwords"]} if "passwords" in CONFIG else {}),
        }
    )
    try:
        main.app.run(host=CONFIG["address"], port=CONFIG["port"], threaded=False)
    finally:
        for child in CommandDriver.running.values():
            child.kill()


if __name__ == "__main__":
    run()
