"""A fleet file as the build uses it: read, checked, its NFV demands included."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isthmus.build.fleet import check
from isthmus.build.fleet.document import Document, Fault
from isthmus.model.rack.fleet import Fleet

#: What is wrong with an NFV demand in JSON, in one sentence; empty where nothing is.
CheckDemand = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A sound fleet file."""

    path: Path
    fleet: Fleet
    document: Document


def find_faults(text: str, check_demand: CheckDemand) -> tuple[Fault, ...]:
    """Find everything that is wrong with a fleet file, its NFV demands included."""
    reading = check.check_fleet(text)
    return tuple(sorted({*reading.faults, *_find_demand_faults(reading.document, check_demand)}))


def load_fleet(text: str, path: Path, check_demand: CheckDemand) -> Loaded:
    """Read a fleet file that must be sound.

    Args:
        text: its content.
        path: how to call it in messages.
        check_demand: checks one NFV demand.

    Raises:
        Invalid: it has faults; the message has every one with its place.
    """
    reading = check.check_fleet(text)
    faults = sorted({*reading.faults, *_find_demand_faults(reading.document, check_demand)})
    if reading.fleet is None or faults:
        raise check.refuse(faults, source=str(path))
    return Loaded(path, reading.fleet, reading.document)


def _find_demand_faults(document: Document, check_demand: CheckDemand) -> list[Fault]:
    """Check the NFV demands of a file with the NFV engine."""
    found: list[Fault] = []
    sites = document.values.get("sites") if isinstance(document.values, dict) else None
    for s, site in enumerate(sites if isinstance(sites, list) else []):
        rows = site.get("nfv") if isinstance(site, dict) else None
        for d, row in enumerate(rows if isinstance(rows, list) else []):
            demand = row.get("demand") if isinstance(row, dict) else None
            if isinstance(demand, dict) and (fault := check_demand(json.dumps(demand))):
                place = document.place(("sites", s, "nfv", d, "demand"))
                found.append(Fault(place.line, place.column, fault))
    return found
