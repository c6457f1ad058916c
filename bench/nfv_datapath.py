"""One data path three ways: Open vSwitch in user space plain, with DPDK left to itself, as planned.

All three are the same binary (Debian's Open vSwitch with DPDK) between the same two veths; DPDK
reaches them by its af_packet driver, since a virtual machine has no card to hand out. `planned` is
what `isthmus nfv plan` says for this very machine: PMD, lcores, socket memory, queue and affinity;
`default` has dpdk-init and the ports, nothing else; `plain` has no DPDK. The switch is started anew
for each turn, so that one that polls takes no CPU from another, and turns are taken in an order
that changes with every round.

What it cannot show: af_packet leaves the kernel in the path, and a machine of two cores has none to
give to a PMD while a generator and a receiver run on the same two.
"""

import argparse
import contextlib
import dataclasses
import json
import re
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.dpdk_ground import (
    ADDRESS,
    LEFT,
    PORTS,
    RIGHT,
    Switch,
    open_packages,
    open_pages,
    open_switch,
    open_wires,
    plugin_folder,
)
from bench.ground import say_machine
from isthmus import errors
from isthmus.clients.machine import shell
from isthmus.facts.gather import inspect_host
from isthmus.model.host.host_inventory import Nic
from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.refusal import plan_or_refuse
from isthmus.nfv.render import ovs
from isthmus.wiring import nfv as wiring

PLAIN, DEFAULT, PLANNED = "plain", "default", "planned"
NAMES = (PLANNED, DEFAULT, PLAIN)
DEMAND = """
physical_networks:
- {name: fast, by: ovs-dpdk, nics: [left, right], af_packet: true}
page_size: 2MiB
backend: ovs
"""
_PAGE_KIB = 2048
_PORT = 5302
_PAYLOAD = 64
_PINGS = 500
_PING = re.compile(r"time=([\d.]+) ms")


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of one data path gave."""

    received_pps: float  #: UDP, 64 bytes of payload
    mbits: float  #: TCP, one stream
    p50_us: float
    p99_us: float


def plan_here() -> HostPlan:
    """Plan this very machine, with the two veths as its only ports."""
    here = inspect_host(wiring.open_client("local"))
    node = here.nodes[0].id
    nics = tuple(
        Nic(name=name, pci_address="", node=node, driver="veth", vendor_id="", product_id="")
        for name in PORTS
    )
    packages = dataclasses.replace(here, nics=nics, ovs_version="3.1.0")
    return plan_or_refuse(packages, parse_demand(DEMAND))


def commands(name: str, plan: HostPlan, plugins: Path) -> tuple[list[Sequence[str]], ...]:
    """Give what sets a switch up before its daemon starts, and after."""
    row = ("ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".")
    # Only because the drivers are unpacked, not installed.
    extra = (*row, f"other_config:dpdk-extra=-d {plugins}")
    if name == PLANNED:
        return [*ovs.render_config(plan), extra], list(ovs.render_ports(plan))
    bridge = plan.dpdk_ports[0].bridge
    kind = ("--", "set", "Bridge", bridge, "datapath_type=netdev")
    ports: list[Sequence[str]] = [("ovs-vsctl", "--timeout=30", "add-br", bridge, *kind)]
    for port in plan.dpdk_ports:
        there = port.name if name == DEFAULT else port.nic
        words = ["ovs-vsctl", "--timeout=30", "add-port", bridge, there]
        if name == DEFAULT:
            options = ("type=dpdk", f"options:dpdk-devargs={ovs.quote(port.devargs)}")
            words += ["--", "set", "Interface", there, *options]
        ports.append(words)
    return ([(*row, "other_config:dpdk-init=true"), extra] if name == DEFAULT else []), ports


@contextlib.contextmanager
def serving() -> Iterator[None]:
    """Run iperf3's server at the right end."""
    quiet = subprocess.DEVNULL
    words = shell.inside(RIGHT, ["iperf3", "-s", "-p", str(_PORT)])
    one = subprocess.Popen(words, stdout=quiet, stderr=quiet)
    try:
        yield
    finally:
        one.terminate()
        one.wait()


def iperf(seconds: int, *words: str) -> dict[str, float]:
    """Run one stream from the left end; gives its sums."""
    argv = ["iperf3", "-J", "-c", ADDRESS, "-p", str(_PORT), "-t", str(seconds), *words]
    done = shell.run(argv, netns=LEFT, timeout_s=seconds + 60, check=False)
    end = json.loads(done.stdout or "{}").get("end", {})
    found = end.get("sum" if "-u" in words else "sum_received")
    if not found:
        raise errors.StepFailed(f"iperf3 gave no result: {(done.stdout + done.stderr)[-300:]}")
    return dict(found)


def measure(seconds: int) -> Turn:
    """Measure the path that is open now: packets, a stream, and the way there and back at rest."""
    argv = ["ping", "-n", "-i", "0.005", "-c", str(_PINGS), ADDRESS]
    said = shell.run(argv, netns=LEFT, timeout_s=60, check=False).stdout
    times = sorted(float(one) * 1000 for one in _PING.findall(said))
    if len(times) < _PINGS // 2:
        raise errors.StepFailed(f"only {len(times)} of {_PINGS} pings came back")
    udp = iperf(seconds, "-u", "-b", "0", "-l", str(_PAYLOAD))
    return Turn(
        received_pps=udp["packets"] * (1 - udp["lost_percent"] / 100) / udp["seconds"],
        mbits=iperf(seconds)["bits_per_second"] / 1e6,
        p50_us=statistics.median(times),
        p99_us=times[len(times) * 99 // 100],
    )


def pollers(switch: Switch) -> str:
    """Say which CPU polls which port, as the switch itself says it."""
    control = str(switch.rundir / "ovs-vswitchd-dpdk.ctl")
    try:
        shown = switch.run("ovs-appctl", "-t", control, "dpif-netdev/pmd-rxq-show")
    except errors.StepFailed:
        return "main thread"
    found, core = [], "?"
    for line in shown.splitlines():
        if match := re.search(r"core_id (\d+)", line):
            core = match[1]
        elif match := re.search(r"port: (\S+)", line):
            found.append(f"{match[1]} on CPU {core}")
    return ", ".join(found) or "main thread"


def compare(root: Path, plan: HostPlan, rounds: int, seconds: int) -> dict[str, list[Turn]]:
    """Take turns."""
    turns: dict[str, list[Turn]] = {name: [] for name in NAMES}
    for number in range(rounds):
        for index in range(len(NAMES)):
            name = NAMES[(number + index) % len(NAMES)]
            before, after = commands(name, plan, plugin_folder(root))
            with open_switch(root, before, after) as switch, serving():
                if not turns[name]:
                    print(f"{name + ':':9} polled: {pollers(switch)}", flush=True)
                turns[name].append(measure(seconds))
            print(f"round {number + 1} {name + ':':9} {turns[name][-1]}", flush=True)
    return turns


def tell(turns: dict[str, list[Turn]]) -> None:
    """Print medians, and the planned path's ratio to each peer, round by round."""
    fields = [field.name for field in dataclasses.fields(Turn)]
    for name, them in turns.items():
        said = (f"{one} {statistics.median(getattr(t, one) for t in them):.0f}" for one in fields)
        print(f"{name + ':':9} medians of {len(them)}: {', '.join(said)}")
    for peer in (DEFAULT, PLAIN):
        for one in fields:
            ratios = sorted(
                getattr(mine, one) / getattr(its, one)
                for mine, its in zip(turns[PLANNED], turns[peer], strict=True)
            )
            print(
                f"planned over {peer}, {one}: median {statistics.median(ratios):.2f}, "
                f"from {ratios[0]:.2f} to {ratios[-1]:.2f}"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description="One data path plain, with DPDK, and planned.")
    parser.add_argument("--rounds", type=int, default=6, help="a multiple of 3: each is first")
    parser.add_argument("--seconds", type=int, default=3, help="a stream")
    options = parser.parse_args()
    plan = plan_here()
    pages = sum(
        page.for_ovs for node in plan.nodes for page in node.pages if page.size_kib == _PAGE_KIB
    )
    print(f"plan: {dict(plan.other_config)}; {pages} huge pages")
    say_machine("before")
    with open_packages() as root, open_pages(pages), open_wires():
        tell(compare(root, plan, options.rounds, options.seconds))
    say_machine("after")
    return 0
