"""From events to where every machine stands.

The log is all there is: a builder that was killed reads it and goes on. An event that comes twice,
or for a stage that is over, changes nothing.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from isthmus.model.rack.build import BuildEvent, Happening, Stage, Standing

#: (event, stages in which it counts, the stage that it leads to)
STEPS: Mapping[Happening, tuple[frozenset[Stage], Stage]] = {
    Happening.POWERED: (frozenset({Stage.ENROLL}), Stage.PROVISION),
    # A machine may be quicker than the answer of its power control, and may ask again.
    Happening.ASKED: (frozenset({Stage.ENROLL, Stage.PROVISION}), Stage.INSPECT),
    Happening.INSPECTED: (
        frozenset({Stage.ENROLL, Stage.PROVISION, Stage.INSPECT}),
        Stage.INSPECT,
    ),
    Happening.WRITING: (
        frozenset({Stage.ENROLL, Stage.PROVISION, Stage.INSPECT}),
        Stage.DEPLOY,
    ),
    Happening.WRITTEN: (frozenset({Stage.INSPECT, Stage.DEPLOY}), Stage.VERIFY),
    Happening.REPORTED: (frozenset({Stage.DEPLOY, Stage.VERIFY}), Stage.ACTIVE),
}


def fold_events(events: Iterable[BuildEvent]) -> dict[str, Standing]:
    """Return the status of every machine of a log."""
    found: dict[str, Standing] = {}
    for event in events:
        apply_event(found, event)
    return found


def apply_event(standings: dict[str, Standing], event: BuildEvent) -> bool:
    """Apply one event in place; False where it changed nothing."""
    if event.kind is Happening.BEGUN:
        _restart_clocks(standings, event.at)
        return True
    if not event.node or event.kind in {Happening.ENDED, Happening.UNKNOWN}:
        return False
    before = standings.get(event.node, Standing(node=event.node))
    after = _next(before, event)
    standings[event.node] = after
    return after != before


def _restart_clocks(standings: dict[str, Standing], at: float) -> None:
    """While nobody built, no machine could answer: its time runs from when a builder is back."""
    for name, one in standings.items():
        if one.stage.is_underway:
            standings[name] = dataclasses.replace(one, since=at)


def _next(before: Standing, event: BuildEvent) -> Standing:  # noqa: PLR0911 - one answer a kind
    match event.kind:
        case Happening.STARTED:
            return Standing(
                node=event.node,
                stage=Stage.ENROLL,
                attempt=int(event.fields.get("attempt", before.attempt + 1)),
                since=event.at,
                why=before.why,
                failed_in=before.failed_in,
                spec=event.fields.get("spec", ""),
                # Another MAC is another machine, whatever it is called: its disk is not ours.
                wrote=before.wrote and event.fields.get("mac", before.mac) == before.mac,
                starts=before.starts + 1,
                entered=((Stage.ENROLL, event.at),),
                facts=before.facts,
                address=event.fields.get("address", before.address),
                mac=event.fields.get("mac", before.mac),
            )
        case Happening.FAILED:
            if not before.stage.is_underway:
                return before
            return _enter(before, Stage.FAILED, event.at, why=event.detail)
        case Happening.QUARANTINED:
            return _enter(before, Stage.QUARANTINED, event.at, why=event.detail or before.why)
        case Happening.RELEASED:
            if before.stage is not Stage.QUARANTINED:
                return before
            return dataclasses.replace(before, stage=Stage.WAITING, attempt=0, since=event.at)
        case _:
            return _step(before, event)


def _step(before: Standing, event: BuildEvent) -> Standing:
    stages, target = STEPS[event.kind]
    if before.stage not in stages:
        return before
    facts = {**before.facts, **event.fields} if event.fields else before.facts
    wrote = before.wrote or event.kind is Happening.WRITING
    if before.stage is target:
        return dataclasses.replace(before, facts=facts, wrote=wrote)
    return dataclasses.replace(_enter(before, target, event.at), facts=facts, wrote=wrote)


def _enter(before: Standing, stage: Stage, at: float, *, why: str | None = None) -> Standing:
    failed = before.stage if stage is Stage.FAILED else before.failed_in
    return dataclasses.replace(
        before,
        stage=stage,
        since=at,
        why=before.why if why is None else why,
        failed_in=failed,
        entered=(*before.entered, (stage, at)),
    )
