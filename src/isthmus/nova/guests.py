"""The guests of one hypervisor: makes, starts, stops, plugs and removes them."""

import dataclasses
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from isthmus import errors
from isthmus.clients.machine import process, shell
from isthmus.lab.network import plug
from isthmus.lab.process.ledger import Ledger
from isthmus.lab.tier.maker import MARKER
from isthmus.nova import firmware
from isthmus.nova.record import Arrival, Guest, Interface, find_guest, record_guest

#: A killed process is gone at once, save where it hangs in the kernel; seconds.
KILL_TIMEOUT_S = 20
_POLL_S = 0.05
CONSOLE = "console.log"
#: How long OVN may take to let a guest's packets through where it has arrived, in seconds. Later
#: than that the guest is moved all the same, and its packets come when they come.
INSTALL_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The hypervisor, as its guests have to know it."""

    lab: Path
    site: str
    host: str
    netns: str
    switch_socket: str


class Guests:
    """The guests of one hypervisor. Their folders are the lab's, as on storage that hosts share."""

    def __init__(self, place: Place) -> None:
        """Bind them."""
        self._place = place
        self._ledger = Ledger(place.lab)

    def folder(self, uuid: str) -> Path:
        """Return a guest's folder."""
        return self._place.lab / "guests" / uuid

    def find(self, uuid: str) -> Guest | None:
        """Return a guest of this hypervisor; None where there is none."""
        guest = find_guest(self.folder(uuid))
        return guest if guest is not None and guest.host == self._place.host else None

    def get(self, uuid: str) -> Guest:
        """Return a guest of this hypervisor.

        Raises:
            NotFound: there is none.
        """
        guest = self.find(uuid)
        if guest is None:
            raise errors.NotFound(f"{self._place.host} has no guest {uuid}")
        return guest

    def list_guests(self) -> list[Guest]:
        """List the guests of this hypervisor."""
        folders = (self._place.lab / "guests").glob("*")
        found = (self.find(folder.name) for folder in folders)
        return [guest for guest in found if guest is not None]

    def is_running(self, guest: Guest) -> bool:
        """Tell whether a guest's first process lives."""
        return guest.process is not None and process.is_alive(guest.process)

    def make(self, guest: Guest) -> None:
        """Make a guest's namespace and plug its interfaces; it is off then."""
        record_guest(self.folder(guest.uuid), guest)
        if not (shell.NETNS_DIR / guest.netns).exists():
            self._ledger.add(
                "guest",
                uuid=guest.uuid,
                name=guest.name,
                netns=guest.netns,
                site=self._place.site,
                host=guest.host,
            )
            shell.run(["ip", "netns", "add", guest.netns])
            shell.run(["sysctl", "-qw", *plug.SYSCTLS], netns=guest.netns)
        for interface in guest.interfaces:
            self.plug(guest, interface)

    def plug(self, guest: Guest, interface: Interface) -> None:
        """Make a guest's link, if it is not there, and plug it into `br-int`."""
        tap, netns = plug.tap(interface.port_id), self._place.netns
        if not self._has_link(tap):
            link = plug.render_link(
                interface.port_id,
                name=interface.name,
                mac=interface.mac,
                mtu=interface.mtu,
                guest=guest.netns,
                host=netns,
            )
            shell.run(["ip", "-batch", "-"], stdin=link)
            # Open vSwitch in user space takes packets as they are: checksums must be whole.
            shell.run(["ethtool", "-K", interface.name, "tx", "off"], netns=guest.netns)
        shell.run(["ip", "link", "set", tap, "up"], netns=netns)
        self._vsctl(plug.attach_words(interface.port_id, mac=interface.mac, guest=guest.uuid))

    def unplug(self, port_id: str) -> None:
        """Unplug a link and remove it, if it is there."""
        self._vsctl(plug.detach_words(port_id))
        tap = plug.tap(port_id)
        shell.run(["ip", "link", "delete", tap], netns=self._place.netns, check=False)

    @property
    def arrival(self) -> Arrival:
        """Return this hypervisor, as one that a guest may come to."""
        place = self._place
        return Arrival(host=place.host, netns=place.netns, switch_socket=place.switch_socket)

    def hand_over(self, guest: Guest, to: Arrival) -> None:
        """Move a guest's links to another hypervisor, while it runs.

        Raises:
            StepFailed, TimedOut: one could not be moved; `take_back` puts all back.
        """
        for interface in guest.interfaces:
            self._vsctl(plug.detach_words(interface.port_id))
            self._move_link(interface.port_id, self._place.netns, to.netns)
            words = plug.attach_words(interface.port_id, mac=interface.mac, guest=guest.uuid)
            _vsctl(to.switch_socket, words)
        record_guest(
            self.folder(guest.uuid),
            dataclasses.replace(guest, host=to.host, host_netns=to.netns),
        )
        for interface in guest.interfaces:
            self._wait(partial(_is_installed, to, interface.port_id), INSTALL_TIMEOUT_S)
            announce = [sys.executable, "-m", "isthmus.nova.announce"]
            shell.run([*announce, interface.name, interface.mac], netns=guest.netns)

    def take_back(self, guest: Guest, gone_to: Arrival) -> None:
        """Undo a `hand_over` that failed half way."""
        record_guest(self.folder(guest.uuid), guest)
        for interface in guest.interfaces:
            _vsctl(gone_to.switch_socket, plug.detach_words(interface.port_id))
            if not self._has_link(plug.tap(interface.port_id)):
                self._move_link(interface.port_id, gone_to.netns, self._place.netns)
            self.plug(guest, interface)

    def set_interfaces(self, guest: Guest, interfaces: Sequence[Interface]) -> Guest:
        """Write down which interfaces a guest has; gives the guest as it is then."""
        changed = dataclasses.replace(guest, interfaces=tuple(interfaces))
        record_guest(self.folder(guest.uuid), changed)
        return changed

    def start(self, guest: Guest) -> None:
        """Start a guest that is off; one that runs is left alone."""
        if self.is_running(guest):
            return
        folder = self.folder(guest.uuid)
        hostname = guest.name.lower().replace("_", "-")[:63] or "guest"
        begun = process.spawn(
            firmware.boot_words(folder, self._place.lab, hostname),
            netns=guest.netns,
            log=folder / CONSOLE,
            env={MARKER: str(self._place.lab)},
        )
        record_guest(folder, dataclasses.replace(guest, process=begun))

    def stop(self, guest: Guest, timeout_s: float = 0) -> None:
        """Stop a guest: ask it, and end it where it does not end in time.

        Args:
            guest: which.
            timeout_s: how long it may take by itself; 0 to pull the plug.

        Raises:
            StepFailed: it does not die.
        """
        if guest.process is not None and self.is_running(guest):
            if timeout_s:
                self._ask_to_stop(guest.process.pid)
                self._wait(lambda: not self.is_running(guest), timeout_s)
            process.send(guest.process, signal.SIGKILL)
            if not self._wait(lambda: not self.is_running(guest), KILL_TIMEOUT_S):
                raise errors.StepFailed(f"the first process of guest {guest.uuid} does not die")
        record_guest(self.folder(guest.uuid), dataclasses.replace(guest, process=None))

    def unplug_all(self, guest: Guest) -> None:
        """Unplug and remove a guest's links: a kernel that goes on would answer for it."""
        for interface in guest.interfaces:
            self.unplug(interface.port_id)

    def leave(self, guest: Guest) -> None:
        """Take a guest's links off this hypervisor, and its namespace; its folder stays."""
        self.unplug_all(guest)
        if (shell.NETNS_DIR / guest.netns).exists():
            shell.run(["ip", "netns", "delete", guest.netns])
        self._ledger.add("guest-gone", uuid=guest.uuid)

    def remove(self, uuid: str) -> None:
        """Remove a guest's folder, one half made too; not that of another hypervisor's guest."""
        guest = find_guest(self.folder(uuid))
        if guest is None or guest.host == self._place.host:
            shutil.rmtree(self.folder(uuid), ignore_errors=True)

    def read_console(self, uuid: str, most: int) -> bytes:
        """Return the end of what a guest wrote on its console."""
        try:
            return (self.folder(uuid) / CONSOLE).read_bytes()[-most:]
        except FileNotFoundError:
            return b""

    def read_uptime(self) -> str:
        """Return for how long the machine has run, in the words of `uptime`."""
        return shell.run(["uptime"]).stdout

    def sees(self, folder: str) -> bool:
        """Tell whether this hypervisor sees a guest's folder."""
        return Path(folder).exists()

    def _has_link(self, name: str) -> bool:
        shown = shell.run(["ip", "link", "show", name], netns=self._place.netns, check=False)
        return shown.exit_code == 0

    def _vsctl(self, words: Sequence[str]) -> None:
        _vsctl(self._place.switch_socket, words)

    @staticmethod
    def _move_link(port_id: str, old: str, new: str) -> None:
        tap = plug.tap(port_id)
        shell.run(["ip", "link", "set", tap, "netns", new], netns=old)
        shell.run(["ip", "link", "set", tap, "up"], netns=new)

    @staticmethod
    def _ask_to_stop(pid: int) -> None:
        """Signal the first process in the guest, which is the child of what made its namespaces."""
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            found = process.find(int(child))
            if found is not None:
                process.send(found, signal.SIGTERM)

    @staticmethod
    def _wait(done: Callable[[], bool], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def _vsctl(switch_socket: str, words: Sequence[str]) -> str:
    database = f"--db=unix:{switch_socket}"
    return shell.run(["ovs-vsctl", database, "--timeout=30", *words]).stdout


def _is_installed(place: Arrival, port_id: str) -> bool:
    """Tell whether OVN has said that a port's flows are there."""
    words = ["--if-exists", "get", "Interface", plug.tap(port_id), "external_ids:ovn-installed"]
    return "true" in _vsctl(place.switch_socket, words)
