"""A diagnosis as plain mappings and lists: what `-o json` prints, and what a table is made of."""

from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.diagnose.check.look import Hop
from isthmus.diagnose.judge import Diagnosis, State
from isthmus.diagnose.lab_repair import render_in_lab
from isthmus.diagnose.question import Direction, End, Way
from isthmus.model.verdict import to_row


def to_document(found: Diagnosis, lab: str = "") -> dict[str, Any]:
    """Return the JSON form of a diagnosis.

    Args:
        found: what was found.
        lab: name of the lab in which all that was looked at runs; empty for a real cloud.
    """
    there, back = found.ways
    return {
        "verdict": found.word.value,
        "source": _end(there.sender),
        "target": _end(there.receiver),
        "service": str(found.service),
        "packet": str(there.packet),
        "reply": str(back.packet),
        "path": list(_path(found)),
        "blockers": [
            {
                "rank": rank,
                **to_row(one.verdict),
                **({"remedy": render_in_lab(one.verdict.remedy, lab)} if lab else {}),
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
    }


def list_hops(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the path with a row a hop, both ways beside each other, for a table."""
    rows: dict[str, dict[str, str]] = {}
    for step in document["path"]:
        row = rows.setdefault(step["hop"], {"hop": step["hop"], "there": "", "back": ""})
        codes = f": {', '.join(step['codes'])}" if step["codes"] else ""
        row[step["way"]] = f"{step['state']}{codes}"
    return list(rows.values())


def _end(end: End) -> dict[str, Any]:
    return {
        "asked": end.asked,
        "label": f"{end.label} {end.address} at {end.host or 'no hypervisor'}"
        f"{f' of {end.site}' if end.site else ''}",
        "port_id": end.id,
        "network_id": end.network_id,
        "mac_address": end.mac_address,
        "address": end.address,
        "site": end.site,
        "host": end.host,
    }


def _path(found: Diagnosis) -> Iterator[dict[str, Any]]:
    ways = {way.direction: way for way in found.ways}
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
            "at": _place(ways[step.direction], step.hop),
            "state": state,
            "codes": list(step.codes),
        }


def _place(way: Way, hop: Hop) -> str:
    """Return where a hop is."""
    one, other = way.sender, way.receiver
    places = {
        Hop.SENDER_TAP: one.host,
        Hop.SENDER_PORT: one.id,
        Hop.SENDER_SWITCH: one.site,
        Hop.EGRESS: one.site,
        Hop.SHADOW: one.site,
        Hop.TUNNEL: f"{one.host} -> {other.host}",
        Hop.INGRESS: other.site,
        Hop.RECEIVER_SWITCH: other.site,
        Hop.RECEIVER_PORT: other.id,
        Hop.RECEIVER_TAP: other.host,
    }
    return places[hop]
