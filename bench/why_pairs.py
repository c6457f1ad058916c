"""`isthmus pairs` of 1,000 ports on a dump of them: all pairs, and some one by one.

The dump is that of `why_dump`: networks of 100 ports at two sites, ten networks on ten hypervisors.
"""

import argparse
import os
import random
import time

from bench.ground import say_machine
from bench.why_dump import Cloud, make_dump
from isthmus.diagnose.collect.world import collect_scene
from isthmus.diagnose.dump.recorded import Recorded
from isthmus.diagnose.judge import judge
from isthmus.diagnose.question import PING
from isthmus.diagnose.sweep.pairs import ask_pairs

TARGET_S = 60.0


def main() -> int:
    words = argparse.ArgumentParser(description="All pairs of many ports.")
    words.add_argument("--hosts", type=int, default=20)
    words.add_argument("--ports", type=int, default=1000)
    words.add_argument("--some", type=int, default=200, help="pairs that are asked for one by one")
    words.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = words.parse_args()
    cloud = Cloud(asked.hosts, asked.ports)
    dump, ports = make_dump(cloud), [cloud.port_id(one) for one in range(cloud.ports)]
    say_machine("before")
    began = time.perf_counter()
    found = ask_pairs(dump, ports, workers=asked.workers)
    took = time.perf_counter() - began
    dice, ways = random.Random(7), Recorded(dump)
    began = time.perf_counter()
    for _ in range(asked.some):
        one, other = dice.sample(ports, 2)
        scene = collect_scene(ways, one, other, timeout_s=600, now=ways.now)
        word = judge(scene.world, scene.source, scene.target, PING, scene.family).word
        assert found.find(one, other).word == word.value, (one, other)
    each = (time.perf_counter() - began) / asked.some
    total = sum(found.count().values())
    print(f"all {total} pairs of {cloud.ports} ports, in {len(found.groups)} groups: {took:.1f} s "
          f"by {asked.workers} processes (target {TARGET_S:g}); {dict(found.count())}")  # fmt: skip
    print(f"one by one: {each * 1000:.1f} ms each, {each * total / 3600:.1f} h in all; "
          f"{asked.some} of them agree")  # fmt: skip
    say_machine("after")
    return 0 if took <= TARGET_S else 1
