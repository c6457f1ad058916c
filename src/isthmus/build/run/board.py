"""How a build stands, for people and programs: counts, rates, who is slow, who failed and why."""

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from isthmus.model.rack.build import BuildEvent, Happening, Stage, Standing

#: A machine is slow where it takes this many times as long for a stage as others did.
SLOW_FACTOR = 2.0
#: Of a stage, before others' times say anything.
FEWEST = 3
#: In which time the rate is counted.
RATE_WINDOW_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A machine that a person should look at."""

    node: str
    stage: Stage
    attempt: int
    for_s: float
    why: str
    next: str  #: the command that comes next, or what happens by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long machines took for a stage."""

    stage: Stage
    count: int
    median_s: float
    p95_s: float
    longest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """How a build stands at one moment."""

    at: float
    is_running: bool
    total: int
    stages: Mapping[str, int]
    active_per_min: float
    left_s: float | None  #: until all are done, at the present rate; None where nobody knows
    timings: tuple[Timing, ...]
    troubles: tuple[Trouble, ...]
    unknown: tuple[str, ...]  #: machines that asked and are in no plan
    last: str  #: what happened last


def make_board(
    events: Sequence[BuildEvent],
    standings: Mapping[str, Standing],
    now: float,
    *,
    fleet: Collection[str] = (),
) -> Board:
    """Summarise the state of a build.

    Args:
        events: all of them.
        standings: of `fold_events`.
        now: seconds since 1970.
        fleet: the names of all machines; those without events are waiting.
    """
    stages = Counter(one.stage.value for one in standings.values())
    stages[Stage.WAITING.value] += sum(1 for name in fleet if name not in standings)
    timings = _timings(standings.values())
    finished = [
        event.at
        for event in events
        if event.kind is Happening.REPORTED and now - event.at <= RATE_WINDOW_S
    ]
    span = max(now - min(finished), 1.0) if finished else 0.0
    per_min = len(finished) / span * 60 if finished else 0.0
    left = sum(stages.values()) - stages["active"] - stages["quarantined"]
    begun = [event for event in events if event.kind in {Happening.BEGUN, Happening.ENDED}]
    return Board(
        at=now,
        is_running=bool(begun) and begun[-1].kind is Happening.BEGUN,
        total=sum(stages.values()),
        stages={stage.value: stages[stage.value] for stage in Stage if stages[stage.value]},
        active_per_min=round(per_min, 1),
        left_s=round(left / per_min * 60, 1) if per_min and left else 0.0 if not left else None,
        timings=timings,
        troubles=tuple(_troubles(standings.values(), timings, now)),
        unknown=tuple(one.detail for one in events if one.kind is Happening.UNKNOWN),
        last=_say(events[-1]) if events else "nothing happened yet",
    )


def _say(event: BuildEvent) -> str:
    return " ".join(filter(None, (event.node, event.kind.value, event.detail)))


def stage_times(standings: Iterable[Standing]) -> dict[Stage, list[float]]:
    """Return how long machines were in each stage that they left for the next."""
    found: dict[Stage, list[float]] = {}
    for one in standings:
        for (stage, began), (after, ended) in zip(one.entered, one.entered[1:], strict=False):
            if after is not Stage.FAILED and stage.is_underway:
                found.setdefault(stage, []).append(ended - began)
    return found


def _timings(standings: Iterable[Standing]) -> tuple[Timing, ...]:
    return tuple(
        Timing(
            stage=stage,
            count=len(times),
            median_s=round(statistics.median(times), 1),
            p95_s=round(sorted(times)[min(len(times) - 1, int(len(times) * 0.95))], 1),
            longest_s=round(max(times), 1),
        )
        for stage, times in stage_times(standings).items()
    )


def _troubles(
    standings: Iterable[Standing], timings: Sequence[Timing], now: float
) -> Iterable[Trouble]:
    usual = {one.stage: one for one in timings}
    for one in standings:
        since = round(now - one.since, 1)
        if one.stage is Stage.QUARANTINED:
            why, then = one.why, f"isthmus build release {one.node}, when it is mended"
        elif one.stage is Stage.FAILED:
            why, then = one.why, "it is tried again by itself"
        elif (
            one.stage in usual
            and usual[one.stage].count >= FEWEST
            and since > SLOW_FACTOR * usual[one.stage].p95_s
        ):
            why = f"slow: others were through after {usual[one.stage].p95_s:g} s"
            then = "look at its console, or wait: it is tried again when its time is over"
        else:
            continue
        yield Trouble(
            node=one.node, stage=one.stage, attempt=one.attempt, for_s=since, why=why, next=then
        )
