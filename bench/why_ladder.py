"""`isthmus why` against the ladder by hand (scripted) and against `ovn-trace`: classes, and time.

Faults are brought about one by one in a lab, between two servers of one network at two sites. Each
way of looking is asked once packets have stopped: `isthmus why` finds a class if it names its code
first; the ladder if one of its rungs says what is wrong; `ovn-trace`, at the sender's site, if the
packet does not come out at the receiver's port and the last lines name the stage or the port.
The rungs are those that Neutron's sessions teach: the port and its binding, the agents, the rules,
the processes, the tap, the tunnels of both hypervisors, and a capture at the receiver at last. A
rung is typed as a person types it. The clock runs until the first rung that says something.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.lab.person import Person
from tests.lab.test_why_fix import FAULTS, Pair

from bench.ground import open_lab, say_machine
from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

TOPOLOGY = """
sites:
- {name: site1, hosts: 2, gateways: 1}
- {name: site2, hosts: 2, gateways: 1}
"""
#: How long a fault may take to show, in seconds.
_SHOWS_S = 180
#: As many characters of an id `ovn-trace` prints.
_SHORT = 6
#: What a rung says where it has met what a fault is, by code.
_SAYS = {
    "port.admin_down": "the port is down",
    "policy.ingress.family": "no rule lets it in",
    "lsp.missing": "the port is not active",
    "host.tap_down": "the tap is down",
    "host.vswitchd_dead": "ovs-vswitchd does not answer",
    "host.vswitchd_hung": "ovs-vswitchd does not answer",
    "host.not_interconn": "no tunnel to the other hypervisor",
    "remote_chassis.encap_ip": "no tunnel to the other hypervisor",
}


class Ladder:
    """What a person types, rung by rung, and what is seen there."""

    def __init__(self, pair: Pair) -> None:
        self.pair, self.ids = pair, pair.ids

    def climb(self) -> Iterator[str]:
        """Yield what each rung says is wrong."""
        for rung in (self._ports, self._agents, self._rules, self._processes, self._taps,
                     self._tunnels, self._capture):  # fmt: skip
            yield from rung()

    def _openstack(self, cloud: str, *words: str) -> Any:
        argv = [Path(sys.executable).with_name("openstack"), "--os-cloud", cloud, *words]
        done = subprocess.run([*map(str, argv), "-f", "json"], capture_output=True, text=True,
                              check=False, env=self.pair.person.environment())  # fmt: skip
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def _host(self, host: str, *words: str) -> str:
        argv = ("lab", "shell", self.ids[host], "--", *words)
        done = self.pair.person.run(*argv, check=False)
        return f"{done.stdout}{done.stderr}"

    def _ports(self) -> Iterator[str]:
        for cloud, port in (("site1", "a"), ("site2", "b")):
            row = self._openstack(cloud, "port", "show", self.ids[port])
            if row.get("admin_state_up") is False:
                yield "the port is down"
            elif row.get("status") not in ("ACTIVE", None):
                yield "the port is not active"

    def _agents(self) -> Iterator[str]:
        for cloud in ("site1", "site2"):
            rows = self._openstack(cloud, "network", "agent", "list")
            if any(row.get("Alive") in (False, "XXX") for row in rows or ()):
                yield f"an agent of {cloud} is dead"

    def _rules(self) -> Iterator[str]:
        rows = self._openstack("central", "security", "group", "rule", "list", "--long",
                               self.ids["group"])  # fmt: skip
        lets = [row for row in rows or () if row.get("Direction") == "ingress"
                and row.get("Ethertype") == "IPv4"]  # fmt: skip
        if not lets:
            yield "no rule lets it in"

    def _processes(self) -> Iterator[str]:
        for host in ("host_a", "host_b"):
            said = self._host(host, "sh", "-c", "timeout 5 ovs-appctl -t $OVS_RUNDIR/vswitchd.ctl "
                              "version || echo dead")  # fmt: skip
            if "dead" in said:
                yield "ovs-vswitchd does not answer"

    def _taps(self) -> Iterator[str]:
        said = self._host("host_b", "ip", "link", "show", self.ids["tap_b"])
        if "state DOWN" in said or "does not exist" in said:
            yield "the tap is down"

    def _tunnels(self) -> Iterator[str]:
        said = self._host("host_a", "ovs-vsctl", "--bare", "--columns=options", "find", "Interface",
                          "type=geneve")  # fmt: skip
        address = self._host("host_b", "ovs-vsctl", "get", "Open_vSwitch", ".",
                             "external_ids:ovn-encap-ip").strip().strip('"')  # fmt: skip
        if address not in said:
            yield "no tunnel to the other hypervisor"

    def _capture(self) -> Iterator[str]:
        argv = ("lab", "shell", self.ids["host_b"], "--", "timeout", "4", "tcpdump", "-c", "1",
                "-ni", self.ids["tap_b"], "icmp")  # fmt: skip
        env = self.pair.person.environment()
        command = [str(Path(sys.executable).with_name("isthmus")), *argv]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True) as running:  # fmt: skip
            self.pair.person.ping("fix-a", self.pair.address, count=3)
            said = running.communicate()[0]
        yield "it arrives at the tap" if "1 packet captured" in said else "it does not arrive"


def by_ladder(pair: Pair, code: str) -> tuple[bool, str]:
    """Climb until a rung says what is wrong; gives whether that is it, and the words."""
    for said in Ladder(pair).climb():
        return said == _SAYS.get(code), said
    return False, "nothing"


def by_why(pair: Pair, code: str) -> tuple[bool, str]:
    """Ask `isthmus why`."""
    found, _ = pair.why()
    codes = [one["code"] for one in found["blockers"]]
    return codes[:1] == [code], codes[0] if codes else str(found["verdict"])


def by_trace(pair: Pair, code: str) -> tuple[bool, str]:
    """Ask `ovn-trace` for the packet, at the sender's site and at the receiver's.

    It finds the fault of which it names the row at fault: what drops, or that nothing is put out.
    """
    del code
    ids = pair.ids
    sender = pair.central.get_port(ids["a"])
    source = sender.fixed_ips[0]["ip_address"]
    flow = (
        f'inport == "{ids["a"]}" && eth.src == {sender.mac_address} && eth.dst == '
        f"{ids['mac_b']} && ip4 && ip4.src == {source} && ip4.dst == {ids['ip_b']} "
        "&& ip.ttl == 64 && icmp4.type == 8"
    )
    # At the receiver's site the sender is a port of another site: the same question, from there.
    for site in ("site1", "site2"):
        argv = ("lab", "shell", site, "--", "ovn-trace", "--ct=new", f"neutron-{ids['network']}",
                flow)  # fmt: skip
        said = pair.person.run(*argv, check=False).stdout
        if f'output to "{ids["b"][:_SHORT]}' not in said:
            lines = [one.strip() for one in said.splitlines() if one.strip()]
            return True, f"{site}: {lines[-1][:60] if lines else 'nothing'}"
    return False, "it passes"


WAYS: dict[str, Callable[[Pair, str], tuple[bool, str]]] = {
    "why": by_why, "ladder": by_ladder, "ovn-trace": by_trace,
}  # fmt: skip


def measure(pair: Pair) -> dict[str, dict[str, tuple[bool, float, str]]]:
    """Bring about each fault, ask each way, and have it repaired."""
    found: dict[str, dict[str, tuple[bool, float, str]]] = {}
    for fault in FAULTS:
        fault.cause(pair)
        until(lambda: not pair.passes(), what=f"{fault.code} shows", timeout_s=_SHOWS_S)
        until(lambda: by_why(pair, fault.code)[0], what=fault.code, timeout_s=_SHOWS_S)  # noqa: B023
        row = found.setdefault(fault.code, {})
        for name, way in WAYS.items():
            began = time.perf_counter()
            named, said = way(pair, fault.code)
            row[name] = (named, time.perf_counter() - began, said)
            print(f"{fault.code}: {name}: {'found' if named else 'not found'} in "
                  f"{row[name][1]:.1f} s: {said}", flush=True)  # fmt: skip
        pair.why("--fix", "--yes")
        until(pair.passes, what="packets pass", timeout_s=_SHOWS_S)
        until(lambda: pair.why()[0]["verdict"] == "reachable", what="all is well",
              timeout_s=_SHOWS_S)  # fmt: skip
    return found


def tell(found: dict[str, dict[str, tuple[bool, float, str]]]) -> None:
    """Print the table."""
    print(f"| fault | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}")
    for code, row in found.items():
        cells = [f"{'yes' if named else 'no'}, {took:.1f} s" for named, took, _ in row.values()]
        print(f"| {code} | {' | '.join(cells)} |")
    for name in WAYS:
        times = sorted(row[name][1] for row in found.values())
        count = sum(row[name][0] for row in found.values())
        print(f"{name}: {count} of {len(found)} found, median {times[len(times) // 2]:.1f} s, "
              f"at most {times[-1]:.1f} s")  # fmt: skip


def run(lab: OpenLab) -> dict[str, dict[str, tuple[bool, float, str]]]:
    """Measure in a lab."""
    pair = Pair(Person(lab.plan))
    pair.make()
    until(pair.passes, what="packets pass", timeout_s=_SHOWS_S)
    return measure(pair)


def main() -> int:
    parser = argparse.ArgumentParser(description="why against the ladder and ovn-trace.")
    parser.add_argument("--name", default="whyld", help="of the lab")
    options = parser.parse_args()
    say_machine("before")
    with open_lab(options.name, TOPOLOGY) as lab:
        tell(run(lab))
    say_machine("after")
    return 0
