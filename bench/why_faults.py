"""Faults in a lab, one by one and two at once: which of them `isthmus why` names.

A cloud is drawn from a seed: networks at one site or both, a router with an exit, servers on
hypervisors, floating IPs. For each fault a question is drawn whose packets meet it; it is asked
before (a healthy question: whatever is told then is a false alarm), with the fault, until the
fault's class is named first or the patience ends, and after it was undone.
"""

import argparse
import contextlib
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tables.catalogue import BETWEEN, WITHIN

from bench.flow_cloud import Guest
from bench.ground import open_lab, say_machine
from bench.injected import exits, hosts, more, ports, rows
from bench.injected.scene import FAULTS, Injected, Scene
from bench.injected.stage import KINDS, Stage, on_stage
from isthmus.clients.machine import shell
from isthmus.clients.machine.hypervisor import SshTargets
from isthmus.diagnose.collect.world import collect_scene
from isthmus.diagnose.judge import Diagnosis, Word, judge
from isthmus.diagnose.question import parse_service
from isthmus.lab.opened import OpenLab
from isthmus.wiring.diagnose.ways import Ways

TOPOLOGY = """
sites:
- {name: site1, hosts: 2, gateways: 1}
- {name: site2, hosts: 2, gateways: 1}
"""
#: How long a fault may take to be told, and how long a lab to be well again; seconds.
_PATIENCE_S, _WELL_S = 45.0, 150.0
_READ_S = 60.0
CLASSES = {one.name: frozenset(one.codes.split()) for one in (*WITHIN, *BETWEEN)}
TOPICS = (ports, rows, hosts, exits, more)


@dataclass(slots=True)
class Tally:
    """What came of it."""

    healthy: int = 0
    alarms: list[str] = field(default_factory=list)
    asked: int = 0
    first: int = 0  #: faults of which the class was named first
    named: int = 0  #: faults, or pairs, that were named, in whichever place
    undetermined: int = 0
    wrong: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    sick: list[str] = field(default_factory=list)  #: after which the lab did not get well
    took: list[float] = field(default_factory=list)  #: seconds of the last question
    rows: dict[str, str] = field(default_factory=dict)


def ask(ways: Ways, scene: Scene) -> Diagnosis:
    """Ask `why`."""
    service = parse_service(scene.service)
    found = collect_scene(
        ways, *scene.asked, timeout_s=_READ_S, now=lambda: "now", service=service,
        family=scene.family,
    )  # fmt: skip
    return judge(found.world, found.source, found.target, service, found.family)


def passes(scene: Scene) -> bool:
    """Tell whether a ping passes."""
    target = scene.b.address if scene.a.port else scene.b.public
    words = ["ping", "-c", "2", "-i", "0.3", "-W", "2", target]
    return shell.run(words, netns=scene.a.netns, check=False).exit_code == 0


def list_codes(found: Diagnosis) -> list[str]:
    """List the codes of a diagnosis, the cause first."""
    return [one.verdict.code for one in found.blockers]


class Runner:
    """Brings faults about, and asks."""

    def __init__(self, stage: Stage, ways: Ways, dice: random.Random, tally: Tally) -> None:
        self.stage, self.ways, self.dice, self.tally = stage, ways, dice, tally

    def _is_well(self, scene: Scene) -> bool:
        found = ask(self.ways, scene)
        return found.word is Word.REACHABLE and not found.blockers

    def _draw(self, kind: str, service: str, family: int, *more: Injected) -> Scene | None:
        """Draw a question that is well: one that is told to be ill is a false alarm."""
        for one, other in self.stage.list_ends(kind)[:3]:
            if any(not KINDS[each.kind](self.stage, one, other) for each in more):
                continue
            named = self.stage.name_ends(one, other)
            scene = Scene(self.stage, one, other, named, service, family)
            found = self._ask_patiently(scene)
            if found.word is Word.REACHABLE and not found.blockers:
                self.tally.healthy += 1
                return scene
            if found.word is Word.BLOCKED and not passes(scene):
                self.tally.sick.append(f"{kind}: {list_codes(found)}, and no packet passes")
                continue
            self.tally.healthy += 1
            said = f"{kind} {_say(one)} {_say(other)}: {found.word} {list_codes(found)}"
            self.tally.alarms.append(said)
            print(f"  false alarm: {said} {found.report.unseen}", flush=True)
        return None

    def _ask_patiently(self, scene: Scene) -> Diagnosis:
        """Ask, and for a while anew where it is not well: what was there before may last."""
        end = time.monotonic() + _PATIENCE_S
        while True:
            found = ask(self.ways, scene)
            if found.word is Word.REACHABLE or time.monotonic() > end:
                return found
            time.sleep(1)

    @contextlib.contextmanager
    def _brought(self, scene: Scene, faults: Sequence[Injected]) -> Iterator[None]:
        """Have faults, and wait until they are gone behind it."""
        before = scene.asked, scene.service
        try:
            with contextlib.ExitStack() as undo:
                for one in faults:
                    undo.enter_context(contextlib.contextmanager(one.run)(scene))
                yield
        finally:
            scene.asked, scene.service = before
            end = time.monotonic() + _WELL_S
            while not faults[0].lasting and not self._is_well(scene):
                if time.monotonic() > end:
                    said = f"{[one.code for one in faults]}: {list_codes(ask(self.ways, scene))}"
                    self.tally.sick.append(said)
                    print(f"  not well after {said}", flush=True)
                    break
                time.sleep(0.5)

    def _await_named(self, scene: Scene, faults: Sequence[Injected]) -> tuple[Diagnosis, float]:
        """Ask until all are named, and the first of them first; or until patience ends."""
        end = time.monotonic() + _PATIENCE_S
        while True:
            began = time.perf_counter()
            found = ask(self.ways, scene)
            took = time.perf_counter() - began
            codes = list_codes(found)
            wanted = [CLASSES[one.cause] for one in faults]
            all_named = all(one & {*codes} for one in wanted)
            leads = bool(codes) and any(codes[0] in one for one in wanted)
            if (all_named and leads) or time.monotonic() > end:
                return found, took
            time.sleep(0.3)

    def run(self, *faults: Injected) -> None:
        """Bring faults about at once, and note what is told."""
        one = faults[0]
        label = " + ".join(each.code for each in faults)
        scene = self._draw(one.kind, one.service, one.family, *faults[1:])
        if scene is None:
            self.tally.skipped.append(f"{label}: no such question")
            return
        try:
            with self._brought(scene, faults):
                found, took = self._await_named(scene, faults)
                self._note(label, faults, found, took)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others can be asked for
            said = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
            self.tally.skipped.append(f"{label}: {said}")
            print(f"{label}: not brought about: {said}", flush=True)

    def _note(self, label: str, faults: Sequence[Injected], found: Diagnosis, took: float) -> None:
        codes = list_codes(found)
        wanted = [CLASSES[each.cause] for each in faults]
        named = all(one & {*codes} for one in wanted)
        first = bool(codes) and any(codes[0] in one for one in wanted)
        self.tally.asked += 1
        self.tally.named += named
        self.tally.first += first
        self.tally.took.append(took)
        if found.word is Word.UNDETERMINED:
            self.tally.undetermined += 1
        elif not (first and (named or len(faults) == 1)):
            self.tally.wrong.append(f"{label}: {found.word} {codes[:4]}")
        word = "first" if first and named else "named" if named else "not named"
        self.tally.rows[label] = word
        print(f"{label}: {word}: {found.word} {codes[:4]} in {took:.1f} s", flush=True)


def _say(guest: Guest) -> str:
    return f"{guest.name}@{guest.host or 'outside'}"


def draw_pair(dice: random.Random) -> tuple[Injected, Injected]:
    """Draw two faults that one question may meet, and that do not touch the same."""
    while True:
        one, other = dice.sample(FAULTS, 2)
        apart = one.cause != other.cause and (one.touches != other.touches or not one.touches)
        same = (one.service, one.family) == (other.service, other.family)
        if apart and same and not _is_alone(one, other) and _meet(one.kind, other.kind):
            return one, other


def _is_alone(*faults: Injected) -> bool:
    return any(one.alone or one.lasting or one.rough for one in faults)


_MET = {
    "pair": {"pair", "far", "near", "across"},
    "out": {"out", "out over", "out here"},
    "in": {"in", "in plain"},
    "across": {"across", "far", "near"},
}


def _meet(one: str, other: str) -> bool:
    return one == other or other in _MET.get(one, ()) or one in _MET.get(other, ())


def run(lab: OpenLab, options: argparse.Namespace, tally: Tally) -> None:
    """Run the faults, or the pairs, of a part in the cloud of a seed."""
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(lab.plan.clouds_file)
    ways = Ways("central", {}, lab.plan.name, SshTargets())
    end = time.monotonic() + options.minutes * 60
    with on_stage(lab, options.seed) as stage:
        print(f"seed {options.seed} is laid: {len(stage.servers)} servers", flush=True)
        dice = random.Random(options.seed)
        runner = Runner(stage, ways, dice, tally)
        chosen: list[tuple[Injected, ...]]
        if options.pairs:
            chosen = [draw_pair(dice) for _ in range(options.pairs)]
        else:
            found = [one for one in FAULTS if options.only in one.code]
            chosen = [(one,) for one in sorted(found, key=lambda one: (one.lasting, one.rough))]
        part, parts = map(int, options.part.split("/"))
        for faults in chosen[part - 1 :: parts]:
            if time.monotonic() > end:
                tally.skipped.append(f"{[one.code for one in faults]}: the time was up")
                continue
            runner.run(*_ordered(faults))


def _ordered(faults: Sequence[Injected]) -> Sequence[Injected]:
    """Put the one with the narrower question first: its ends are drawn."""
    return sorted(faults, key=lambda one: len(_MET.get(one.kind, ())))


def tell(tally: Tally, options: argparse.Namespace) -> None:
    """Print the rates, and write them where that is asked for."""
    times = sorted(tally.took) or [0.0]
    print(f"seed {options.seed}: {tally.asked} {'pairs' if options.pairs else 'faults'}: first "
          f"{tally.first}, all named {tally.named}, undetermined {tally.undetermined}, wrong "
          f"{len(tally.wrong)}; healthy {tally.healthy}, false alarms {len(tally.alarms)}; a "
          f"question took a median of {times[len(times) // 2]:.1f} s, at most "
          f"{times[-1]:.1f} s")  # fmt: skip
    for word in ("wrong", "alarms", "skipped", "sick"):
        for one in getattr(tally, word):
            print(f"  {word}: {one}")
    if options.json:
        held: dict[str, Any] = {name: getattr(tally, name) for name in Tally.__slots__}
        Path(options.json).write_text(json.dumps(held, indent=1))


def main() -> int:
    parser = argparse.ArgumentParser(description="Faults in a lab, and what why tells of them.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=0, help="so many pairs, not one by one")
    parser.add_argument("--part", default="1/1", help="such as 2/3")
    parser.add_argument("--only", default="", help="faults whose code has this in it")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", default="", help="write the numbers there")
    parser.add_argument("--name", default="whyft", help="of the lab")
    options = parser.parse_args()
    tally = Tally()
    say_machine("before")
    with open_lab(options.name, TOPOLOGY) as lab:
        try:
            run(lab, options, tally)
        finally:
            tell(tally, options)
    say_machine("after")
    return 0
