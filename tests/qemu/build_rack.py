"""A rack of virtual machines in a namespace: a switch, disks, and a Redfish controller for each."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isthmus.clients.machine import shell
from isthmus.testing.until import until

EMULATOR = Path(__file__).parents[1] / "redfish_bmc.py"
ADDRESS, PREFIX = "192.0.2.1", "fd69:7374:686d::"
BMC_PORT = 8000
MEMORY_MIB, DISK_MIB = 512, 640


@dataclass
class Rack:
    """The namespace, and the machines in it."""

    netns: str
    folder: Path
    machines: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, *, plugged: bool = True, disk: bytes = b"") -> None:
        """Add a machine with an empty disk, or one that begins with something."""
        number = len(self.machines) + 1
        mac = f"52:54:00:00:0b:{number:02x}"
        path = self.folder / f"{name}.disk"
        path.write_bytes(disk)
        os.truncate(path, DISK_MIB << 20)
        tap = f"tap{number}"
        shell.run(["ip", "tuntap", "add", tap, "mode", "tap"], netns=self.netns)
        # Without its cable it boots, and nobody hears of it.
        master = ["master", "br0"] if plugged else ["nomaster"]
        shell.run(["ip", "link", "set", tap, *master, "up"], netns=self.netns)
        self.machines.append(
            {
                "name": name,
                "uuid": f"00000000-0000-4000-8000-0000000000{number:02x}",
                "mac": mac,
                "command": self._qemu(name, mac, tap, path),
            }
        )

    def _qemu(self, name: str, mac: str, tap: str, disk: Path) -> list[str]:
        return [
            # tb-size: the default lets a machine of 512 MiB grow to 1.2 GiB of memory.
            *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,tb-size=64"),
            *("-cpu", "max", "-m", str(MEMORY_MIB), "-nodefaults", "-nographic"),
            *("-serial", f"file:{self.folder / name}.serial"),
            *("-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=n0,mac={mac},bootindex=1"),
            *("-drive", f"file={disk},if=none,id=d0,format=raw,cache=unsafe"),
            *("-device", "virtio-blk-pci,drive=d0,bootindex=2"),
        ]

    @contextlib.contextmanager
    def controlled(self) -> Iterator[None]:
        """Run the controllers; all machines end with them."""
        config = {
            "systems": self.machines,
            "state": str(self.folder),
            "address": ADDRESS,
            "port": BMC_PORT,
        }
        (self.folder / "bmc.json").write_text(json.dumps(config))
        argv = shell.inside(self.netns, [sys.executable, EMULATOR, self.folder / "bmc.json"])
        with (self.folder / "bmc.log").open("w") as log:
            child = subprocess.Popen(argv, stdout=log, stderr=log)
        look = [
            *(sys.executable, "-c"),
            f"import urllib.request; urllib.request.urlopen('{self.bmc_url}/redfish/v1/')",
        ]

        def answers() -> bool:
            assert child.poll() is None, (self.folder / "bmc.log").read_text()
            return shell.run(look, netns=self.netns, check=False).exit_code == 0

        try:
            until(answers, timeout_s=120, every_s=0.5)
            yield
        finally:
            child.terminate()
            child.wait(timeout=30)

    @property
    def bmc_url(self) -> str:
        """Give the URL of the controllers."""
        return f"http://{ADDRESS}:{BMC_PORT}"

    def serial(self, name: str) -> str:
        """Give what a machine wrote to its console."""
        path = self.folder / f"{name}.serial"
        return path.read_text(errors="replace") if path.exists() else ""

    def isthmus(self, *words: str | Path) -> subprocess.Popen[str]:
        """Start the command in the namespace."""
        argv = [sys.executable, "-c", "from isthmus.cli.main import run; run()", *map(str, words)]
        return subprocess.Popen(
            shell.inside(self.netns, argv),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextlib.contextmanager
def make_rack(folder: Path) -> Iterator[Rack]:
    """Make the namespace with the builder's address, and take all of it away."""
    netns = f"buildtest{os.getpid()}"
    shell.run(["ip", "netns", "add", netns])
    try:
        shell.run(["sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0"], netns=netns)
        lines = (
            "link set lo up\nlink add br0 type bridge\nlink set br0 up\n"
            f"addr add {ADDRESS}/24 dev br0\naddr add {PREFIX}1/64 dev br0 nodad\n"
        )
        shell.run(["ip", "-batch", "-"], netns=netns, stdin=lines)
        yield Rack(netns, folder)
    finally:
        shell.run(["ip", "netns", "delete", netns], check=False)


def need(programs: Sequence[str]) -> list[str]:
    """List what is missing."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    missing = [one for one in programs if shutil.which(one, path=path) is None]
    return [*missing, *(["root"] if os.geteuid() != 0 else [])]
