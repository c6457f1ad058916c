"""The other way to join two OVNs: a router in each, and an OVN-IC transit switch between them.

Built from Debian's `ovn-ic` in namespaces of its own, in the shape that OVN's own tutorial gives
it: per site one gateway hypervisor that carries the transit switch's port, and one hypervisor with
a guest. Open vSwitch, tunnels and WAN router are of the same kind as the lab's.
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from isthmus import errors
from isthmus.clients.machine import shell

_PREFIX = "benchic-"
_SCHEMAS = Path("/usr/share/ovn")
_VSWITCH = Path("/usr/share/openvswitch/vswitch.ovsschema")
_SITES = (1, 2)
_HOSTS = (1, 2)  #: the first is the gateway, the second has the guest
_GUEST_MTU = 1442  #: 1500 less Geneve over IPv4
_PATIENCE_S = 60


def guest_netns(site: int) -> str:
    """Name the namespace of a site's guest."""
    return f"{_PREFIX}vm{site}"


def guest_address(site: int) -> str:
    """Give the address of a site's guest."""
    return f"10.{site}.0.10"


@contextlib.contextmanager
def open_transit(folder: Path) -> Iterator[None]:
    """Build it, with packets passing; take it away whatever happens.

    Raises:
        StepFailed: a part did not come up.
        TimedOut: no packet passed.
    """
    with contextlib.ExitStack() as stack:
        made = _Transit(folder, stack)
        made.build()
        yield


class _Transit:
    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack

    def build(self) -> None:
        self._netns("wan", "net.ipv4.ip_forward=1")
        for name in ("ic-nb", "ic-sb"):
            self._database(name, _SCHEMAS / f"ovn-{name}.ovsschema")
        self._ic("ts-add", "ts1")
        for site in _SITES:
            self._site(site)
        for site in _SITES:
            self._transit_port(site)
        self._await_packets()

    def _site(self, site: int) -> None:
        wan = f"{_PREFIX}wan"
        lines = f"link add br{site} type bridge\naddr add 172.31.{site}.1/24 dev br{site}\n"
        self._ip(wan, lines + f"link set br{site} up")
        for name in ("nb", "sb"):
            self._database(f"{name}{site}", _SCHEMAS / f"ovn-{name}.ovsschema")
        nb, sb = self._socket(f"nb{site}"), self._socket(f"sb{site}")
        self._start("ovn-northd", f"northd{site}", f"--ovnnb-db={nb}", f"--ovnsb-db={sb}")
        settings = ["options:ic-route-adv=true", "options:ic-route-learn=true"]
        self._nb(site, "set", "NB_Global", ".", f"name=az{site}", *settings)
        for host in _HOSTS:
            self._hypervisor(site, host, sb)
        self._network(site)
        ic = [f"--ic-nb-db={self._socket('ic-nb')}", f"--ic-sb-db={self._socket('ic-sb')}"]
        self._start("ovn-ic", f"ic{site}", f"--ovnnb-db={nb}", f"--ovnsb-db={sb}", *ic)

    def _hypervisor(self, site: int, host: int, southbound: str) -> None:
        name = f"s{site}h{host}"
        netns = self._netns(name)
        self._veth(netns, "eth0", f"{_PREFIX}wan", name, 1500)
        self._ip(f"{_PREFIX}wan", f"link set {name} master br{site} up")
        database = self._database(name, _VSWITCH)
        self._vsctl(name, "--no-wait", "init")
        self._start("ovs-vswitchd", f"{name}-vswitchd", database, netns=netns, runs_in=name)
        ids = {
            "system-id": name,
            "ovn-remote": southbound,
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": f"172.31.{site}.1{host}",
            "ovn-bridge-datapath-type": "netdev",
            "ovn-is-interconn": "true" if host == 1 else "false",
        }
        words = ["set", "Open_vSwitch", ".", *(f"external_ids:{k}={v}" for k, v in ids.items())]
        for bridge in ("br-int", "br-phys"):
            words += ["--", "add-br", bridge]
            words += ["--", "set", "Bridge", bridge, "datapath_type=netdev"]
        self._vsctl(name, *words, "--", "add-port", "br-phys", "eth0")
        lines = f"addr add 172.31.{site}.1{host}/24 dev br-phys\nlink set br-phys up\n"
        self._ip(netns, f"{lines}link set eth0 up\nroute add default via 172.31.{site}.1")
        self._start("ovn-controller", f"{name}-controller", database, netns=netns, runs_in=name)

    def _network(self, site: int) -> None:
        mac, gateway = f"0a:00:00:00:0{site}:10", f"10.{site}.0.1"
        self._nb(site, "ls-add", "sw", "--", "lr-add", "lr")
        self._nb(site, "lrp-add", "lr", "lr-sw", f"0a:00:00:00:0{site}:01", f"{gateway}/24")
        self._router_port(site, "sw", "sw-lr", "lr-sw")
        address = guest_address(site)
        self._nb(site, "lsp-add", "sw", "vm", "--", "lsp-set-addresses", "vm", f"{mac} {address}")
        netns = self._netns(f"vm{site}")
        home = f"{_PREFIX}s{site}h2"
        self._veth(netns, "eth0", home, "vm", _GUEST_MTU)
        lines = f"link set eth0 address {mac}\naddr add {address}/24 dev eth0\nlink set eth0 up\n"
        self._ip(netns, f"{lines}route add default via {gateway}")
        self._ip(home, "link set vm up")
        plug = ["add-port", "br-int", "vm", "--", "set", "Interface", "vm"]
        self._vsctl(f"s{site}h2", *plug, "external_ids:iface-id=vm")

    def _transit_port(self, site: int) -> None:
        self._await(lambda: "ts1" in self._nb(site, "ls-list"), f"the transit switch in az{site}")
        mac, port = f"0a:00:00:00:ff:0{site}", f"lr{site}-ts"
        self._nb(site, "lrp-add", "lr", port, mac, f"169.254.100.{site}/24")
        self._nb(site, "lrp-set-gateway-chassis", port, f"s{site}h1", "1")
        self._router_port(site, "ts1", f"ts-lr{site}", port)

    def _router_port(self, site: int, switch: str, port: str, router_port: str) -> None:
        words = ["lsp-add", switch, port, "--", "lsp-set-type", port, "router"]
        words += ["--", "lsp-set-addresses", port, "router"]
        self._nb(site, *words, "--", "lsp-set-options", port, f"router-port={router_port}")

    def _await_packets(self) -> None:
        words = ["ping", "-n", "-c", "1", "-W", "1", guest_address(2)]

        def passes() -> bool:
            return shell.run(words, netns=guest_netns(1), check=False).exit_code == 0

        self._await(passes, "packets over the transit switch")

    def _await(self, ready: object, what: str) -> None:
        assert callable(ready)
        deadline = time.monotonic() + _PATIENCE_S
        while not ready():
            if time.monotonic() > deadline:
                raise errors.TimedOut(f"{what}: not there after {_PATIENCE_S} s")
            time.sleep(0.2)

    def _netns(self, name: str, *settings: str) -> str:
        netns = _PREFIX + name
        shell.run(["ip", "netns", "add", netns])
        self._stack.callback(shell.run, ["ip", "netns", "delete", netns], check=False)
        still = "net.ipv6.conf.default.disable_ipv6=1"
        shell.run(["sysctl", "-qw", still, *settings], netns=netns)
        self._ip(netns, "link set lo up")
        return netns

    def _veth(self, netns: str, name: str, other: str, other_name: str, mtu: int) -> None:
        made = f"link add {name} netns {netns} mtu {mtu} type veth "
        self._ip(None, f"{made} peer name {other_name} netns {other} mtu {mtu}")
        for place, link in ((netns, name), (other, other_name)):
            shell.run(["ethtool", "-K", link, "tx", "off"], netns=place)

    @staticmethod
    def _ip(netns: str | None, lines: str) -> None:
        shell.run(["ip", "-batch", "-"], netns=netns, stdin=lines + "\n")

    def _socket(self, name: str) -> str:
        return f"unix:{self._folder}/{name}.sock"

    def _database(self, name: str, schema: Path) -> str:
        file, sock = self._folder / f"{name}.db", self._folder / f"{name}.sock"
        shell.run(["ovsdb-tool", "create", file, schema])
        self._start("ovsdb-server", f"{name}-db", f"--remote=punix:{sock}", str(file))
        self._await(sock.exists, str(sock))
        return self._socket(name)

    def _start(
        self, program: str, name: str, *words: str, netns: str | None = None, runs_in: str = ""
    ) -> None:
        rundir = self._folder / (runs_in or name)
        rundir.mkdir(exist_ok=True)
        env = {"OVS_RUNDIR": str(rundir), "OVN_RUNDIR": str(rundir)}
        log = self._stack.enter_context((self._folder / f"{name}.log").open("w"))
        # ovn-controller makes its control socket in its run folder, and takes no other.
        control = [f"--unixctl={self._folder}/{name}.ctl"] if program != "ovn-controller" else []
        one = subprocess.Popen(
            shell.inside(netns, [program, *control, *words]),
            env=shell.clean_environment(env),
            stdout=log,
            stderr=log,
        )
        self._stack.callback(one.wait)
        self._stack.callback(one.terminate)

    def _nb(self, site: int, *words: str) -> str:
        command = ["ovn-nbctl", f"--db={self._socket(f'nb{site}')}", "--timeout=30", *words]
        return shell.run(command).stdout

    def _ic(self, *words: str) -> None:
        shell.run(["ovn-ic-nbctl", f"--db={self._socket('ic-nb')}", "--timeout=30", *words])

    def _vsctl(self, host: str, *words: str) -> None:
        shell.run(["ovs-vsctl", f"--db={self._socket(host)}", "--timeout=30", *words])
