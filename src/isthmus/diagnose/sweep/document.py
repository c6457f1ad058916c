"""A sweep as plain mappings and lists: what `-o json` prints, and what a table is made of. Pure."""

from typing import Any

from isthmus.diagnose.lab_repair import render_in_lab
from isthmus.diagnose.question import Service
from isthmus.diagnose.sweep.health import Change, Finding, Health
from isthmus.diagnose.sweep.pairs import Pairs
from isthmus.model.form import counted
from isthmus.model.verdict import to_row

#: Commands that are named of one finding.
_EXAMPLES = 3


def to_document(found: Health, lab: str = "") -> dict[str, Any]:
    """Return the JSON form of a sweep.

    Args:
        found: what it came to.
        lab: name of the lab in which all that was looked at runs; empty for a real cloud.
    """
    plan = found.plan
    return {
        "verdict": found.word.value,
        "as_of": found.at,
        "looked_at": {
            "sites": found.sites,
            "hypervisors": found.hypervisors,
            "ports": len(plan.guests),
            "routers": plan.routers,
            "floating_ips": plan.floating_ips,
            "questions": len(plan.questions),
        },
        "findings": [_to_row(one, lab) for one in found.findings],
        "not_looked_at": [
            {"source": one.source.value, "place": one.place, "table": one.table,
             "reason": one.reason} for one in found.missing
        ],
        "not_asked": [
            {"question": question.command, "reason": why} for question, why in found.not_asked
        ],
        "not_seen": list(found.not_seen),
    }  # fmt: skip


def to_change(change: Change, lab: str = "") -> dict[str, Any]:
    """Return the JSON form of what has changed.

    Args:
        change: what has.
        lab: as of `to_document`.
    """
    return {
        "verdict": change.health.word.value,
        "was": change.was.value,
        "as_of": change.health.at,
        "new": [_to_row(one, lab) for one in change.new],
        "gone": [_to_row(one, lab) for one in change.gone],
    }


def to_matrix(found: Pairs, service: Service, at: str) -> dict[str, Any]:
    """Return the JSON form of all pairs of ports.

    Args:
        found: the answers.
        service: that was asked for.
        at: when all was read.
    """
    rows = [
        {
            "from": list(found.groups[one]),
            "to": list(found.groups[other]),
            "pairs": found.size(one, other),
            "verdict": answer.word,
            "code": answer.code,
            "message": answer.message,
            "ask": f"isthmus why {found.groups[one][0]} {found.groups[other][one == other]} "
            f"{service}",
        }
        for (one, other), answer in found.answers.items() if answer.word != "reachable"
    ]  # fmt: skip
    return {
        "as_of": at,
        "service": str(service),
        "ports": sum(map(len, found.groups)),
        "groups": len(found.groups),
        "verdicts": dict(sorted(found.count().items())),
        "not_reachable": sorted(rows, key=lambda one: (one["code"], one["from"], one["to"])),
    }


def say_looked_at(document: dict[str, Any]) -> str:
    """Return in words what was looked at."""
    counts = document["looked_at"]
    words = {"sites": "site", "hypervisors": "hypervisor", "ports": "port", "routers": "router",
             "floating_ips": "floating IP", "questions": "question"}  # fmt: skip
    return ", ".join(counted(counts[key], word) for key, word in words.items())


def _to_row(one: Finding, lab: str) -> dict[str, Any]:
    row = to_row(one.verdict)
    if lab:
        row["remedy"] = render_in_lab(one.verdict.remedy, lab)
    asked = [question.command for question in one.questions[:_EXAMPLES]]
    return {**row, "questions": len(one.questions), "ask": asked}
