"""The verdict of `isthmus why` against real packets: random flows over random clouds of a lab.

A cloud is drawn from a seed: three networks, each at both sites or one, a router that joins some of
them and leaves by a site or by none, security groups, servers, floating IPs, address pairs. It is
laid in a lab of two sites, and its rules, memberships, floating IPs and pairs are drawn anew for
each round. All flows of a round are sent at once, by one process in each namespace; then one dump
is read, and `why` is asked from it for each. A flow whose packet and verdict differ is sent once
more, and asked for of a dump that is read after that: what was on its way then is there.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.flow_cloud import SITES, Cloud, Flow, inside
from bench.ground import open_lab, say_machine
from isthmus import errors
from isthmus.clients.machine.hypervisor import SshTargets
from isthmus.diagnose.collect.world import collect_scene
from isthmus.diagnose.dump.form import Dump
from isthmus.diagnose.dump.recorded import Recorded
from isthmus.diagnose.dump.whole import collect_dump
from isthmus.diagnose.judge import Diagnosis, Word, judge
from isthmus.diagnose.question import parse_service
from isthmus.lab.opened import OpenLab
from isthmus.wiring.diagnose.ways import Ways

TARGET = 0.999
TOPOLOGY = """
sites:
- {name: site1, hosts: 2, gateways: 1}
- {name: site2, hosts: 2, gateways: 1}
"""
_CALM_S = 120.0
_PASSES = (Word.REACHABLE, Word.DEGRADED)


@dataclass(slots=True)
class Tally:
    """What came of flows."""

    flows: int = 0
    passed: int = 0
    undetermined: int = 0
    hasty: int = 0  #: packet and verdict differed at first, and agreed when asked again
    wrong: list[str] = field(default_factory=list)
    hinders: Counter[str] = field(default_factory=Counter)  #: what is told of flows that pass

    def add(self, found: Diagnosis, came: bool, said: str, *, last: bool) -> bool:
        """Add a flow; tells whether verdict and packet differ.

        Args:
            found: the verdict.
            came: whether the packet was answered.
            said: what stands in the list of those that differ.
            last: whether it was sent before, and they differed.
        """
        self.flows += not last
        self.passed += came and not last
        codes = [each.verdict.code for each in found.blockers]
        if found.word is Word.UNDETERMINED:
            self.undetermined += not last
        elif (found.word in _PASSES) is not came:
            if last:
                self.wrong.append(f"{said}: packet {came}, {found.word} {codes}")
            return True
        elif last:
            self.hasty += 1
        elif found.word is Word.DEGRADED:
            self.hinders.update({*codes})
        return False

    @property
    def share(self) -> float:
        """Return the share of determined flows in which verdict and packet agree."""
        told = self.flows - self.undetermined
        return 1 - len(self.wrong) / told if told else 0.0


def await_calm(cloud: Cloud) -> None:
    """Wait until no job is on its way, and each hypervisor has taken over what its site has."""
    deadline = time.monotonic() + _CALM_S
    quiet = 0
    while quiet < 3 and time.monotonic() < deadline:
        jobs = cloud.side.call("GET", "site-jobs")["site_jobs"]
        quiet = 0 if jobs else quiet + 1
        time.sleep(0.3)
    for site in SITES:
        subprocess.run(
            [Path(sys.executable).with_name("isthmus"), "lab", "shell", "--name",
             cloud.lab.plan.name, site, "--", "ovn-nbctl", "--wait=hv", "--timeout=60", "sync"],
            capture_output=True, check=False,
        )  # fmt: skip


def read_dump(ways: Ways) -> Dump:
    """Read all that `why` may ask for."""
    return collect_dump(ways, timeout_s=120, at="now", made_by="bench")


def ask(ways: Recorded, flow: Flow) -> Diagnosis:
    """Ask `why` for one flow."""
    service = parse_service(flow.service)
    scene = collect_scene(ways, *flow.asked, timeout_s=60, now=ways.now, service=service, family=4)
    return judge(scene.world, scene.source, scene.target, service, scene.family)


def compare(cloud: Cloud, ways: Ways, tally: Tally, said: str) -> None:
    """Send and ask for all flows of a round, and those once more that differ."""
    flows = cloud.list_flows()
    differ: list[Flow] = []
    for last in (False, True):
        asked = differ if last else flows
        if not asked:
            break
        if last:
            await_calm(cloud)
        came = cloud.send(asked)
        recorded = Recorded(read_dump(ways))
        differ = []
        for one in (each for each in asked if each in came):
            if tally.add(ask(recorded, one), came[one], f"{said}: {one}", last=last):
                differ.append(one)
    # So that the next round finds no neighbour that it has taken an address from.
    for guest in cloud.guests:
        inside(guest.netns, "ip", "neigh", "flush", "all")


def _run_cloud(
    lab: OpenLab, ways: Ways, seed: int, tally: Tally, end: float, options: argparse.Namespace
) -> None:
    """Lay the cloud of a seed, and compare in rounds.

    Args:
        lab: in which.
        ways: to what `why` reads.
        seed: of the cloud.
        tally: what came of flows, added to.
        end: on the clock of `time.monotonic`.
        options: flows at most, and rounds.
    """
    with contextlib.ExitStack() as undo:
        cloud = Cloud(lab, seed, undo)
        cloud.lay()
        print(f"seed {seed} is laid: {len(cloud.guests)} guests", flush=True)
        for number in range(options.rounds):
            if tally.flows >= options.flows or time.monotonic() >= end:
                return
            cloud.shuffle(number)
            await_calm(cloud)
            compare(cloud, ways, tally, f"seed {seed} round {number}")
            print(f"seed {seed} round {number}: {tally.flows} flows, {tally.passed} pass, "
                  f"{tally.undetermined} undetermined, {tally.hasty} hasty, "
                  f"{len(tally.wrong)} wrong", flush=True)  # fmt: skip
            for one in tally.wrong[-8:]:
                print(f"  {one}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="The verdict of why against real packets.")
    parser.add_argument("--flows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=6, help="of rules, a cloud")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--name", default="whyfl", help="of the lab")
    options = parser.parse_args()
    end = time.monotonic() + options.minutes * 60
    tally, seed = Tally(), options.seed
    say_machine("before")
    with open_lab(options.name, TOPOLOGY) as lab:
        os.environ["OS_CLIENT_CONFIG_FILE"] = str(lab.plan.clouds_file)
        ways = Ways("central", {}, lab.plan.name, SshTargets())
        while tally.flows < options.flows and time.monotonic() < end:
            try:
                _run_cloud(lab, ways, seed, tally, end, options)
            except errors.Unreachable:
                raise
            except errors.IsthmusError as error:  # the next one may be laid
                print(f"seed {seed}: {error.message}", flush=True)
            seed += 1
    say_machine("after")
    told = tally.flows - tally.undetermined
    print(f"{tally.passed} passed; told of those that did: {dict(tally.hinders)}; undetermined "
          f"{tally.undetermined}, agreed when asked again {tally.hasty}")  # fmt: skip
    print(f"verdict equals packet in {tally.share:.4%} of {told} flows; target {TARGET:.1%}")
    return 0 if tally.share >= TARGET else 1
