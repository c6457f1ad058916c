"""A diagnosis as plain mappings and lists: what `-o json` prints, and what a table is made of."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from isthmus.diagnose.check.look import Hop
from isthmus.diagnose.course import Kind
from isthmus.diagnose.judge import Diagnosis, State
from isthmus.diagnose.lab_repair import render_in_lab
from isthmus.diagnose.probe.outcome import describe_last
from isthmus.diagnose.probe.run import Outcome
from isthmus.diagnose.question import Direction, End, EndKind, Packet, Way
from isthmus.diagnose.route.fabric import Fabric
from isthmus.diagnose.route.legs import Legs
from isthmus.diagnose.stations import describe
from isthmus.model.verdict import to_row


def to_document(found: Diagnosis, lab: str = "", outcome: Outcome | None = None) -> dict[str, Any]:
    """Return the JSON form of a diagnosis.

    Args:
        found: what was found.
        lab: name of the lab in which all that was looked at runs; empty for a real cloud.
        outcome: of the packets that were sent; None where none was asked for.
    """
    there, back = found.legs
    return {
        "verdict": found.word.value,
        "source": _end(found.ways[0].sender),
        "target": _end(found.ways[0].receiver),
        "service": str(found.service),
        "packet": _packet(there),
        "reply": _packet(back),
        "path": list(_path(found)),
        "blockers": [
            {
                "rank": rank,
                **to_row(one.verdict),
                **({"remedy": render_in_lab(one.verdict.remedy, lab)} if lab else {}),
                "behind": one.behind,
                "hops": [{"way": way.value, "hop": hop.value} for way, hop in one.hops],
            }
            for rank, one in enumerate(found.blockers, start=1)
        ],
        "not_looked_at": [
            {"source": one.source.value, "place": one.place, "reason": one.reason}
            for one in found.unseen
        ],
        "checks": found.report.answers,
        "not_seen": list(found.report.unseen),
        **(_probed(outcome) if outcome is not None else {}),
    }


def _probed(outcome: Outcome) -> dict[str, Any]:
    """Return what was sent and what came of it, and where the packet was seen."""
    found: dict[str, Any] = {
        "probes": [
            {
                "probe": one.probe.to,
                "from": one.probe.place.label or one.probe.place.name,
                "state": one.state,
                "said": one.said,
            }
            for one in outcome.results
        ],
        "not_sent": outcome.not_sent,
    }
    if outcome.sightings:
        found["seen"] = [
            {
                "where": one.station.label,
                "requests": one.requests,
                "replies": one.replies,
                "reason": one.reason,
            }
            for one in outcome.sightings
        ]
        found["last_seen"] = describe_last(outcome.sightings)
    return found


def list_hops(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the path with a row a hop, both ways beside each other, for a table."""
    rows: dict[str, dict[str, str]] = {}
    order = list(Hop)
    for step in sorted(document["path"], key=lambda one: order.index(Hop(one["hop"]))):
        row = rows.setdefault(
            step["hop"], {"hop": step["hop"], "there": "", "back": "", "where": step["at"]}
        )
        codes = f": {', '.join(step['codes'])}" if step["codes"] else ""
        row[step["way"]] = f"{step['state']}{codes}"
    return list(rows.values())


def shorten_hops(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return short lines, one a hop: codes are said below, and ports go by their names."""
    ends = [document[one] for one in ("source", "target")]
    names = {one["port_id"]: one["label"].partition(" (")[0] for one in ends if one["port_id"]}
    return [
        {
            "there": one["there"].partition(":")[0],
            "back": one["back"].partition(":")[0],
            "hop": f"{one['hop']}: {names.get(one['where'], one['where'])}".removesuffix(": "),
        }
        for one in list_hops(document)
    ]


def _end(end: End) -> dict[str, Any]:
    label = f"{end.label} {end.address}"
    if end.kind is EndKind.PORT:
        where = f" of {end.site}" if end.site else ""
        label += f" at {end.host or 'no hypervisor'}{where}"
    if end.floating is not None and end.is_port:
        label += f", by floating IP {end.floating.get('floating_ip_address')}"
    return {
        "asked": end.asked,
        "kind": end.kind.value,
        "label": label,
        "port_id": end.id,
        "network_id": end.network_id,
        "mac_address": end.mac_address,
        "address": end.address,
        "site": end.site,
        "host": end.host,
    }


def _packet(legs: Legs) -> str:
    """Write the packet as it is sent, and as it arrives where that is another form of it."""
    sent, arrives = str(_as_sent(legs[0])), str(legs[-1].packet)
    return sent if sent == arrives else f"{sent}, arrives as {arrives}"


def _as_sent(leg: Way) -> Packet:
    """Return the packet of a leg that comes in, before its target is translated."""
    translated = leg.course.translated
    if leg.course.kind is not Kind.IN or not translated:
        return leg.packet
    return replace(leg.packet, target=translated)


def _path(found: Diagnosis) -> Iterator[dict[str, Any]]:
    legs = dict(zip(Direction, found.legs, strict=True))
    fabric = Fabric(found.world)
    stopped: set[Direction] = set()
    for step in found.path:
        if step.state is State.NOT_APPLICABLE:
            continue
        state = step.state.value
        if step.direction in stopped and step.state is State.PASSES:
            state = "not reached"
        if step.state is State.STOPS:
            stopped.add(step.direction)
        yield {
            "way": step.direction.value,
            "hop": step.hop.value,
            "at": describe(step.hop, legs[step.direction], fabric),
            "state": state,
            "codes": list(step.codes),
        }
