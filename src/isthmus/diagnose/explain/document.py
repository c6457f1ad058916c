"""An explanation as plain mappings and lists: what `-o json` prints, and its text. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.diagnose.explain.stage import Command, Explanation


def to_document(found: Explanation, lab: str = "") -> dict[str, Any]:
    """Return the JSON form of an explanation.

    Args:
        found: what was followed down.
        lab: name of the lab in which all of it runs; empty for a real cloud.
    """
    return {
        "kind": found.kind,
        "id": found.id,
        "label": found.label,
        "as_of": found.at,
        "stages": [
            {
                "layer": one.layer.value,
                "place": one.place,
                "site": one.site,
                "what": one.what,
                "is_there": one.is_there,
                "facts": {key: value for key, value in one.facts.items() if value},
                "commands": [_to_row(command, lab) for command in one.commands],
            }
            for one in found.stages
        ],
        "by_hand": [
            {"why": why, "commands": [_to_row(command, lab) for command in commands]}
            for why, commands in found.by_hand
        ],
        "not_looked_at": [
            {"source": one.source.value, "place": one.place, "table": one.table,
             "reason": one.reason} for one in found.missing
        ],
    }  # fmt: skip


def render_text(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of an explanation for a person."""
    yield f"{document['label']}, as of {document['as_of']}"
    place = ""
    for one in document["stages"]:
        if one["place"] != place:
            place = one["place"]
            yield ""
            yield _head(one)
        facts = ", ".join(f"{key} {value}" for key, value in one["facts"].items())
        gone = "" if one["is_there"] else "  MISSING"
        yield f"  {one['layer']:<11} {one['what']}{gone}"
        if facts:
            yield f"              {facts}"
        yield from (f"              $ {command['command']}" for command in one["commands"])
    if document["by_hand"]:
        yield ""
        yield "A bare copy by hand"
        for number, step in enumerate(document["by_hand"], start=1):
            yield f"  {number}. {step['why']}"
            yield from (f"     $ {command['command']}" for command in step["commands"])


def _head(stage: Mapping[str, Any]) -> str:
    of_site = f" of {stage['site']}" if stage["site"] not in ("", stage["place"]) else ""
    return f"{stage['place']}{of_site}"


def _to_row(command: Command, lab: str) -> dict[str, str]:
    return {"where": command.where.value, "place": command.place, "command": command.render(lab)}
