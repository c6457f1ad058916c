"""What the data path bench stands on: an unpacked Open vSwitch with DPDK, huge pages, two veths.

Nothing is installed: Debian's packages are unpacked into a folder that only root can write to,
since DPDK loads no drivers from below a folder that everybody can. Everything is taken away again.
"""

import contextlib
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus import errors
from isthmus.clients.machine import shell

PACKAGES = ("openvswitch-switch-dpdk", "librte-net-af-packet23", "librte-mempool-ring23")
PREFIX = "benchdp-"
SWITCH, LEFT, RIGHT = PREFIX + "ovs", PREFIX + "left", PREFIX + "right"
PORTS = ("left", "right")  #: of the switch
ADDRESS = "192.0.2.2"  #: of the right end
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_PAGES = Path("/proc/sys/vm/nr_hugepages")
_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
_PATIENCE_S = 60


@contextlib.contextmanager
def open_packages() -> Iterator[Path]:
    """Unpack the switch with DPDK and the libraries that this machine lacks; gives the folder."""
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-", dir="/var/lib") as name:
        folder = Path(name)
        folder.chmod(0o755)
        lacking = shell.run(
            ["apt-get", "install", "--simulate", "--no-install-recommends", *PACKAGES]
        ).stdout
        names = sorted(set(re.findall(r"^Inst (\S+)", lacking, re.MULTILINE)) | set(PACKAGES))
        debs = folder / "debs"
        debs.mkdir()
        words = ["sh", "-c", 'cd "$0" && apt-get download -qq "$@"', debs, *names]
        shell.run(words, timeout_s=300)
        for deb in sorted(debs.glob("*.deb")):
            shell.run(["dpkg", "-x", deb, folder / "root"])
        yield folder / "root"


@contextlib.contextmanager
def open_pages(count: int) -> Iterator[None]:
    """Have so many 2 MiB pages more.

    Raises:
        StepFailed: the kernel gives fewer: memory is in pieces, or in use.
    """
    before = int(_PAGES.read_text())
    _PAGES.write_text(str(before + count))
    try:
        given = int(_PAGES.read_text()) - before
        if given < count:
            raise errors.StepFailed(f"the kernel gave {given} of {count} huge pages")
        yield
    finally:
        _PAGES.write_text(str(before))


@contextlib.contextmanager
def open_wires() -> Iterator[None]:
    """Make three namespaces: the switch's, with a veth to each of two ends."""
    with contextlib.ExitStack() as stack:
        for netns in (SWITCH, LEFT, RIGHT):
            shell.run(["ip", "netns", "add", netns])
            stack.callback(shell.run, ["ip", "netns", "delete", netns], check=False)
            still = "net.ipv6.conf.default.disable_ipv6=1"
            shell.run(["sysctl", "-qw", still], netns=netns)
            _ip(netns, "link set lo up")
        for netns, port, address in ((LEFT, PORTS[0], "192.0.2.1"), (RIGHT, PORTS[1], ADDRESS)):
            made = f"link add eth0 netns {netns} type veth peer name {port} netns {SWITCH}"
            shell.run(["ip", *made.split()])
            # No switch here fills in a checksum that a veth left out.
            shell.run(["ethtool", "-K", "eth0", "tx", "off"], netns=netns)
            shell.run(["ethtool", "-K", port, "tx", "off"], netns=SWITCH)
            _ip(netns, f"addr add {address}/24 dev eth0\nlink set eth0 up")
            _ip(SWITCH, f"link set {port} up")
        yield


def _ip(netns: str, lines: str) -> None:
    shell.run(["ip", "-batch", "-"], netns=netns, stdin=lines + "\n")


@dataclass(frozen=True, slots=True)
class Switch:
    """A running Open vSwitch of its own."""

    rundir: Path

    def run(self, *words: str) -> str:
        """Run one of its commands."""
        env = {"OVS_RUNDIR": str(self.rundir)}
        return shell.run([*words], env=env, timeout_s=90).stdout


@contextlib.contextmanager
def open_switch(
    root: Path, settings: Sequence[Sequence[str]], ports: Sequence[Sequence[str]]
) -> Iterator[Switch]:
    """Start the unpacked switch on an empty database, set it up, and wait until packets pass.

    Args:
        root: where the packages are unpacked.
        settings: commands that are run before the daemon starts.
        ports: commands that are run after it.

    Raises:
        StepFailed: a part did not come up.
        TimedOut: no packet passed.
    """
    with contextlib.ExitStack() as stack:
        rundir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchdp-")))
        switch = Switch(rundir)
        shell.run(["ovsdb-tool", "create", rundir / "conf.db", _SCHEMA])
        server = ["ovsdb-server", f"--remote=punix:{rundir}/db.sock", str(rundir / "conf.db")]
        _start(stack, rundir, server, {})
        _await((rundir / "db.sock").exists, "ovsdb-server")
        switch.run("ovs-vsctl", "--no-wait", "init")
        for words in settings:
            switch.run(*words)
        daemon = root / "usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
        argv = [str(daemon), f"unix:{rundir}/db.sock", "--pidfile"]
        _start(stack, rundir, argv, {"LD_LIBRARY_PATH": str(root / _LIBRARIES)})
        for words in ports:
            switch.run(*words)
        ping = ["ping", "-n", "-c", "1", "-W", "1", ADDRESS]

        def passes() -> bool:
            return shell.run(ping, netns=LEFT, check=False).exit_code == 0

        _await(passes, f"packets through the switch (log: {(rundir / 'log').read_text()[-800:]})")
        yield switch


def _start(
    stack: contextlib.ExitStack, rundir: Path, argv: Sequence[str], env: dict[str, str]
) -> None:
    log = stack.enter_context((rundir / "log").open("a"))
    one = subprocess.Popen(
        shell.inside(SWITCH, [argv[0], f"--unixctl={rundir}/{Path(argv[0]).name}.ctl", *argv[1:]]),
        env=shell.clean_environment({"OVS_RUNDIR": str(rundir), **env}),
        stdout=log,
        stderr=log,
    )
    stack.callback(one.wait)
    stack.callback(one.terminate)


def _await(ready: object, what: str) -> None:
    assert callable(ready)
    deadline = time.monotonic() + _PATIENCE_S
    while not ready():
        if time.monotonic() > deadline:
            raise errors.TimedOut(f"{what}: not there after {_PATIENCE_S} s")
        time.sleep(0.1)


def plugin_folder(root: Path) -> Path:
    """Find where the unpacked DPDK has its drivers."""
    return next((root / _LIBRARIES / "dpdk").glob("pmds-*"))
