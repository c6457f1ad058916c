"""A build of played machines: limits hold at every moment, and a killed builder goes on."""

import dataclasses
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.build.fleet.check import check_fleet
from isthmus.build.fleet.resolve import resolve_fleet
from isthmus.build.plan.spec import digest
from isthmus.build.run.builder import Builder
from isthmus.build.run.decide import BURST_S, decide
from isthmus.build.run.standing import fold_events
from isthmus.model.rack.build import Happening, Stage, Standing
from isthmus.model.rack.fleet import Limits
from isthmus.model.rack.machine import Machine
from isthmus.testing.build.build_fleet import make_fleet
from isthmus.testing.build.build_run import DirectPool, MemoryLog, PlayedPower, pick_failing

TICK_S = 0.1


def machines(count: int) -> tuple[Machine, ...]:
    fleet = check_fleet(make_fleet(count - 3, per_rack=10)).fleet
    assert fleet is not None
    return resolve_fleet(fleet)


SMALL_FLEET = machines(30)


class World:
    """Played machines: each takes its reports in turn, or stops at one for good."""

    def __init__(self, queue: tuple[Machine, ...], limits: Limits, failing: dict[str, str]) -> None:
        self.queue = queue
        self.limits = limits
        self.failing = failing
        self.now = 1000.0
        self.log = MemoryLog()
        self.power = PlayedPower(name for name, how in failing.items() if how == "power")
        self.kills = 0

    def open(self) -> Builder:
        return Builder(
            self.queue,
            list(self.log.events),
            log=self.log,
            power=self.power,
            pool=DirectPool(),
            limits=self.limits,
            key=b"key",
            specs={one.name: digest(one) for one in self.queue},
            clock=lambda: self.now,
        )

    def play(self, builder: Builder) -> None:
        """Let every machine under way say its next word."""
        by_name = {one.name: one for one in self.queue}
        for name, one in builder.standings.items():
            how = self.failing.get(name, "")
            machine = by_name[name]
            match one.stage:
                case Stage.PROVISION if how != "boot":
                    builder.note_asked(machine)
                case Stage.INSPECT if how == "loop":
                    builder.note_asked(machine)
                case Stage.INSPECT if how != "ramdisk":
                    builder.report(machine, Happening.WRITING, {})
                case Stage.DEPLOY if how == "sum":
                    builder.report(machine, Happening.FAILED, {}, "the checksum is wrong")
                case Stage.DEPLOY if how == "restart":
                    builder.note_asked(machine)
                case Stage.DEPLOY:
                    builder.report(machine, Happening.WRITTEN, {"written_bytes": "1"})
                case Stage.VERIFY if how != "silent":
                    builder.report(machine, Happening.REPORTED, {})
                case _:
                    pass

    def run(self, watch: Callable[[dict[str, Standing]], None], kill_at: list[int]) -> Builder:
        """Build to the end; the builder is killed whenever the log has so many lines."""
        kills = sorted(set(kill_at))
        builder: Builder | None = None
        for _ in range(20_000):
            self.log.killed_after = kills[0] if kills else None
            try:
                if builder is None:
                    builder = self.open()
                    builder.resume()
                found = builder.step()
                watch(builder.standings)
                if found.is_over:
                    return builder
                self.play(builder)
            except KeyboardInterrupt:
                kills = [one for one in kills if one > len(self.log.events)]
                self.kills += 1
                builder = None
            self.now += TICK_S
        pytest.fail(
            f"not over: {Counter(one.stage for one in fold_events(self.log.events).values())}"
        )


QUICK = Limits(
    parallel=12, per_rack=5, power_ons_per_s=20, attempts=2, retry_after_s=0.5, halt_share=1.0,
    power_timeout_s=2, boot_timeout_s=2, deploy_timeout_s=2, verify_timeout_s=2,
)  # fmt: skip
HOW = ("power", "boot", "loop", "ramdisk", "sum", "restart", "silent")


@given(
    failing=st.dictionaries(
        st.sampled_from([one.name for one in SMALL_FLEET]), st.sampled_from(HOW), max_size=6
    ),
    kill_at=st.lists(st.integers(1, 260), max_size=4),
    parallel=st.integers(1, 30),
    per_rack=st.integers(1, 10),
)
@settings(deadline=None, max_examples=15)
def test_exactly_the_failing_are_given_up(
    failing: dict[str, str], kill_at: list[int], parallel: int, per_rack: int
) -> None:
    limits = dataclasses.replace(QUICK, parallel=parallel, per_rack=per_rack)
    world = World(SMALL_FLEET, limits, failing)
    rack = {one.name: one.rack for one in SMALL_FLEET}

    def watch(standings: dict[str, Standing]) -> None:
        busy = [name for name, one in standings.items() if one.stage.is_underway]
        assert len(busy) <= parallel
        assert max(Counter(rack[name] for name in busy).values(), default=0) <= per_rack

    builder = world.run(watch, kill_at)
    standings = builder.standings
    lost = {name for name, one in standings.items() if one.stage is Stage.QUARANTINED}
    assert lost == set(failing)
    assert all(one.stage in {Stage.ACTIVE, Stage.QUARANTINED} for one in standings.values())
    assert len(standings) == len(SMALL_FLEET)
    assert all(standings[name].why for name in lost)
    assert all(one.attempt <= limits.attempts for one in standings.values())
    # What a reader of the log sees is what the builder knows.
    assert fold_events(world.log.events) == standings
    starts = [one.at for one in world.log.events if one.kind is Happening.STARTED]
    for at in starts:
        within = sum(1 for other in starts if at <= other < at + 1)
        assert within <= limits.power_ons_per_s * (1 + BURST_S) + 1


def test_800_machines_with_3_percent_failing_and_two_kills() -> None:
    queue = machines(800)
    names = [one.name for one in queue]
    failing = {
        name: HOW[number % len(HOW)]
        for number, name in enumerate(sorted(pick_failing(names, 0.03, seed=13)))
    }
    world = World(queue, dataclasses.replace(QUICK, parallel=400, per_rack=10), failing)
    builder = world.run(lambda _: None, [1000, 3000])
    lost = {n: one for n, one in builder.standings.items() if one.stage is Stage.QUARANTINED}
    assert len(failing) == 24
    assert set(lost) == set(failing)
    assert world.kills == 2
    assert {one.stage for n, one in builder.standings.items() if n not in failing} == {Stage.ACTIVE}
    said = {how: lost[name].why for name, how in failing.items()}
    for how, words in (
        ("power", "does not answer"),
        ("boot", "no network boot came from"),
        ("loop", "reboots for ever"),
        ("ramdisk", "its ramdisk did not report within 2 s: look at its console"),
        ("sum", "the checksum is wrong"),
        ("restart", "it started over while its disk was being written"),
        ("silent", "it did not report from /dev/vda"),
    ):
        assert words in said[how]


def test_a_build_that_goes_wrong_everywhere_halts() -> None:
    """A wrong image is no reason to burn a whole fleet."""
    failing = {one.name: "sum" for one in SMALL_FLEET}
    limits = dataclasses.replace(QUICK, halt_share=0.25, parallel=5)
    world = World(SMALL_FLEET, limits, failing)
    builder = world.run(lambda _: None, [])
    stages = Counter(one.stage for one in builder.standings.values())
    # Those that had begun get all their attempts; nobody begins any more.
    assert stages[Stage.QUARANTINED] == len(builder.standings) >= 8
    assert len(SMALL_FLEET) - len(builder.standings) >= 10
    found = decide(world.now, SMALL_FLEET, builder.standings, limits)
    assert "machines are quarantined, so no more are started" in found.halted


def test_an_old_attempt_is_not_heard() -> None:
    world = World(SMALL_FLEET[:1], QUICK, {})
    builder = world.open()
    builder.step()
    name = SMALL_FLEET[0].name
    first = builder.token_of(name)
    assert builder.find_by_token(first) is SMALL_FLEET[0]
    while builder.standings[name].attempt < 2:
        world.now += TICK_S
        builder.step()
    assert builder.find_by_token(first) is None
    assert builder.find_by_token(builder.token_of(name)) is SMALL_FLEET[0]


def test_another_machine_of_the_same_name_has_another_disk() -> None:
    """What this build began to write may be written again; a machine that was swapped was not."""
    world = World(SMALL_FLEET[:1], QUICK, {SMALL_FLEET[0].name: "restart"})
    builder = world.open()
    while not builder.may_wipe(SMALL_FLEET[0].name):
        builder.step()
        world.play(builder)
        world.now += TICK_S
    world.queue = (dataclasses.replace(SMALL_FLEET[0], mac="52:54:00:99:99:99"),)
    again = world.open()
    assert again.may_wipe(SMALL_FLEET[0].name)  # the attempt under way is still the old one's
    while again.standings[SMALL_FLEET[0].name].mac != "52:54:00:99:99:99":
        world.now += TICK_S
        again.step()
    assert not again.may_wipe(SMALL_FLEET[0].name)
