"""A hypervisor as a network namespace: OVS in user space and ovn-controller; needs root.

Servers are namespaces with an internal port of br-int, which in user space is a tap device. Two
hypervisors are joined by a veth pair between their physical bridges.
"""

import contextlib
import os
import signal
from pathlib import Path
from typing import Self

from isthmus.clients.machine import shell

_OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
_PROGRAMS = ("ovs-vswitchd", "ovs-vsctl", "ovn-controller", "ip", "nsenter", "tcpdump")


def missing_programs() -> list[str]:
    """List what is not installed, or that this is not root."""
    missing = [name for name in _PROGRAMS if shell.find_program(name) is None]
    return missing if os.geteuid() == 0 else [*missing, "root"]


def ip(*words: str, netns: str | None = None) -> str:
    """Run iproute2's ip."""
    return shell.run(["ip", *words], netns=netns).stdout


class Hypervisor:
    """One hypervisor; every name it takes starts with `prefix`."""

    def __init__(
        self, folder: Path, prefix: str, chassis: str, sb_remote: str, encap_ip: str
    ) -> None:
        """Choose names; nothing is made before the `with` block.

        Args:
            folder: for databases, sockets and logs; short.
            prefix: of namespaces, unique on the machine, at most 8 characters.
            chassis: its system-id.
            sb_remote: southbound database of its site.
            encap_ip: its tunnel address, with a prefix length.
        """
        self.folder = folder / chassis
        self.chassis = chassis
        self.netns = f"{prefix}-{chassis}"
        self._prefix = prefix
        self._sb_remote = sb_remote
        self._encap_ip = encap_ip
        self._namespaces: list[str] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        self._add_namespace(self.netns)
        database = self.folder / "conf.db"
        shell.run(["ovsdb-tool", "create", database, _OVS_SCHEMA])
        self._run("ovsdb-server", "db", f"--remote=punix:{self.folder}/db.sock", str(database))
        self.vsctl("--no-wait", "init")
        where = f"unix:{self.folder}/db.sock"
        self._run("ovs-vswitchd", "vswitchd", where)
        address, _, _ = self._encap_ip.partition("/")
        self.vsctl(
            *("--", "set", "Open_vSwitch", "."),
            f"external_ids:system-id={self.chassis}",
            f"external_ids:hostname={self.chassis}",
            f"external_ids:ovn-remote={self._sb_remote}",
            "external_ids:ovn-encap-type=geneve",
            f"external_ids:ovn-encap-ip={address}",
            "external_ids:ovn-is-interconn=true",
            *("--", "add-br", "br-int", "--", "set", "bridge", "br-int"),
            *("datapath_type=netdev", "fail_mode=secure"),
            *("--", "add-br", "br-phys", "--", "set", "bridge", "br-phys"),
            "datapath_type=netdev",
        )
        ip("addr", "add", self._encap_ip, "dev", "br-phys", netns=self.netns)
        ip("link", "set", "br-phys", "up", netns=self.netns)
        self._run("ovn-controller", "controller", where)

    def _run(self, program: str, name: str, *words: str) -> None:
        daemon = [
            "--detach",
            "--no-chdir",
            f"--pidfile={self.folder}/{name}.pid",
            f"--log-file={self.folder}/{name}.log",
        ]
        # Where vswitchd makes the bridges' sockets, and ovn-controller looks for them.
        folders = {"OVS_RUNDIR": str(self.folder), "OVN_RUNDIR": str(self.folder)}
        shell.run([program, *daemon, *words], netns=self.netns, env=folders)

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl."""
        db = f"--db=unix:{self.folder}/db.sock"
        return shell.run(["ovs-vsctl", db, "--timeout=20", *words]).stdout.strip()

    def _add_namespace(self, name: str) -> None:
        ip("netns", "add", name)
        self._namespaces.append(name)
        ip("link", "set", "lo", "up", netns=name)

    def join(self, other: "Hypervisor", mtu: int = 1500) -> None:
        """Connect the physical bridges of two hypervisors."""
        ends = ("phys0", "phys1")
        pair = ("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        ip(*pair, "netns", other.netns, netns=self.netns)
        for hypervisor, end in zip((self, other), ends, strict=True):
            ip("link", "set", end, "mtu", str(mtu), "up", netns=hypervisor.netns)
            hypervisor.vsctl("add-port", "br-phys", end)

    def add_server(self, name: str, port_id: str, mac: str, *addresses: str, mtu: int) -> str:
        """Make a server behind a logical port and give the name of its namespace.

        Args:
            name: of its interface; the namespace is named after it.
            port_id: name of the logical port.
            mac: its MAC address.
            *addresses: its addresses, each with its prefix length.
            mtu: of its interface, in bytes.
        """
        netns = f"{self._prefix}-{name}"
        self._add_namespace(netns)
        self.vsctl(
            *("add-port", "br-int", name, "--", "set", "interface", name, "type=internal"),
            f"external_ids:iface-id={port_id}",
        )
        ip("link", "set", "dev", name, "netns", netns, netns=self.netns)
        ip("link", "set", "dev", name, "address", mac, "mtu", str(mtu), netns=netns)
        for address in addresses:
            extra = ("nodad",) if ":" in address else ()
            ip("addr", "add", address, "dev", name, *extra, netns=netns)
        ip("link", "set", "dev", name, "up", netns=netns)
        return netns

    def close(self) -> None:
        """Stop and remove what was made."""
        for name in ("controller", "vswitchd", "db"):
            pidfile = self.folder / f"{name}.pid"
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                os.kill(int(pidfile.read_text()), signal.SIGKILL)
        for namespace in reversed(self._namespaces):
            shell.run(["ip", "netns", "del", namespace], check=False)
        self._namespaces.clear()
