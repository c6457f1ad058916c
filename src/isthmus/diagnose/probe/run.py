"""Sending the packets of a plan, and looking out for them; nothing is left running."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus import errors
from isthmus.diagnose.probe import packets
from isthmus.diagnose.probe.plan import LIMIT_S, Plan, Probe, Station, list_places
from isthmus.diagnose.probe.protocols import Begun, Place, Places

#: How long a process may take to start and to end, beyond what it does; seconds.
_GRACE_S = 30.0
#: How long somebody looks out if nobody says that it is enough; seconds.
_WATCH_S = LIMIT_S + _GRACE_S
_SCRIPT = Path(packets.__file__)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a probe."""

    probe: Probe
    state: str  #: answered, refused, silent, unreachable, too large, or failed
    said: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a station has seen; None for both where nobody could look out."""

    station: Station
    requests: int | None
    replies: int | None
    reason: str = ""  #: why nobody could
    macs: tuple[str, ...] = ()  #: that requests were sent to there


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan."""

    results: tuple[Result, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    not_sent: str = ""


def apply_probes(places: Places, plan: Plan, *, capture: bool) -> Outcome:
    """Send what is planned, and look out for it if that is wanted.

    Whoever looks out has begun before the first packet is sent, and ends when the last answer is
    there or given up; a process that is left alone ends by its own limit.
    """
    if plan.not_sent:
        return Outcome(not_sent=plan.not_sent)
    watchers = _begin_watching(places, plan) if capture else {}
    try:
        with ThreadPoolExecutor(max_workers=max(1, len(plan.probes))) as threads:
            results = tuple(threads.map(lambda one: _send(places, one), plan.probes))
    finally:
        seen = {place: _end_watching(one) for place, one in watchers.items()}
    sightings = tuple(_sight(one, seen, plan) for one in plan.stations) if capture else ()
    return Outcome(results, sightings)


def _send(places: Places, probe: Probe) -> Result:
    try:
        begun = places.begin(probe.place, _SCRIPT, [probe.kind, json.dumps(dict(probe.words))])
        found = _read(begun, LIMIT_S + _GRACE_S)
    except errors.IsthmusError as error:
        return Result(probe, "failed", error.message)
    return Result(probe, str(found.get("state")), str(found.get("said")))


def _read(begun: Begun, timeout_s: float) -> Mapping[str, Any]:
    done = begun.finish(timeout_s)
    lines = done.stdout.strip().splitlines()
    if done.exit_code != 0 or not lines:
        said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise errors.StepFailed(f"the probe ended with {done.exit_code}: {said[:200]}")
    row: Mapping[str, Any] = json.loads(lines[-1])
    return row


def _begin_watching(places: Places, plan: Plan) -> dict[Place, Begun | errors.IsthmusError]:
    found: dict[Place, Begun | errors.IsthmusError] = {}
    words = json.dumps({**plan.words, "limit_s": _WATCH_S})
    for place in list_places(plan.stations):
        try:
            found[place] = places.begin(place, _SCRIPT, ["watch", words])
        except errors.IsthmusError as error:
            found[place] = error
    for one in found.values():
        if not isinstance(one, errors.IsthmusError):
            one.read_line()  # it is ready; or it has ended, which is told at its end
    return found


def _end_watching(one: Begun | errors.IsthmusError) -> Sequence[Mapping[str, Any]] | str:
    """Return what was seen, or why nothing was."""
    if isinstance(one, errors.IsthmusError):
        return one.message
    try:
        found = _read(one, _GRACE_S)
    except errors.IsthmusError as error:
        return error.message
    rows: Sequence[Mapping[str, Any]] | None = found.get("seen")
    return str(found.get("said")) if rows is None else rows


def _sight(
    station: Station, seen: Mapping[Place, Sequence[Mapping[str, Any]] | str], plan: Plan
) -> Sighting:
    rows = seen.get(Place(station.place.kind, station.place.name), "nobody looked out")
    if isinstance(rows, str):
        return Sighting(station, None, None, rows)
    taps = {one.link for one in plan.stations if one.link}
    back = tuple({"in": "out", "out": "in"}[way] for way in station.ways)

    def pick(kind: str, ways: Sequence[str]) -> list[Mapping[str, Any]]:
        return [
            row
            for row in rows
            if row["kind"] == kind
            and row["way"] in ways
            and row["wrap"] == station.wrap
            and (row["link"] == station.link if station.link else row["link"] not in taps)
        ]

    def count(kind: str, ways: Sequence[str]) -> int:
        return sum(int(row["count"]) for row in pick(kind, ways))

    macs = tuple(sorted({str(row.get("to") or "") for row in pick("request", station.ways)} - {""}))
    return Sighting(station, count("request", station.ways), count("reply", back), macs=macs)
