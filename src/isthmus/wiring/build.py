"""The build engine joined to files: `isthmus build plan`, `check`, `schema` and `import`."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from isthmus import errors
from isthmus.build.fleet import check, form, resolve
from isthmus.build.fleet.document import Document, Fault
from isthmus.build.plan.plan import make_plan
from isthmus.build.run.standing import fold_events
from isthmus.build.source import imported, ironic, netbox, sheet
from isthmus.model.rack.build import BuildPlan, Standing
from isthmus.model.rack.fleet import Fleet
from isthmus.model.rack.machine import Machine
from isthmus.nfv.plan.demand import parse_demand
from isthmus.store.build_log import BuildLogReader
from isthmus.wiring.named_file import read_text


@dataclass(frozen=True, slots=True)
class Loaded:
    """A sound fleet file."""

    path: Path
    fleet: Fleet
    document: Document


def find_faults(path: Path) -> tuple[Fault, ...]:
    """Find everything that is wrong with a fleet file, its NFV demands included.

    Raises:
        NotFound: it is not there.
    """
    reading = check.check_fleet(read_text(path))
    return tuple(sorted({*reading.faults, *_demand_faults(reading.document)}))


def load_fleet(path: Path) -> Loaded:
    """Read a fleet file that must be sound.

    Raises:
        NotFound: it is not there.
        Invalid: it has faults; the message has every one with its place.
    """
    text = read_text(path)
    reading = check.check_fleet(text)
    faults = sorted({*reading.faults, *_demand_faults(reading.document)})
    if reading.fleet is None or faults:
        raise check.refuse(faults, source=str(path))
    return Loaded(path, reading.fleet, reading.document)


def _demand_faults(document: Document) -> list[Fault]:
    """Hold the NFV demands of a file against what the NFV engine takes."""
    found: list[Fault] = []
    sites = document.values.get("sites") if isinstance(document.values, dict) else None
    for s, site in enumerate(sites if isinstance(sites, list) else []):
        rows = site.get("nfv") if isinstance(site, dict) else None
        for d, row in enumerate(rows if isinstance(rows, list) else []):
            demand = row.get("demand") if isinstance(row, dict) else None
            if not isinstance(demand, dict):
                continue
            try:
                parse_demand(json.dumps(demand), name="the NFV demand")
            except errors.Invalid as exc:
                place = document.place(("sites", s, "nfv", d, "demand"))
                found.append(Fault(place.line, place.column, exc.message))
    return found


def read_standings(folder: Path | None) -> dict[str, Standing]:
    """Return where every machine of a state folder stands; nothing where there is none.

    Raises:
        Inconsistent: its log is garbled.
    """
    return fold_events(BuildLogReader(folder).read_new()) if folder else {}


def resolve_machines(fleet: Fleet, standings: Mapping[str, Standing]) -> tuple[Machine, ...]:
    """Settle every machine; addresses that were given before stay."""
    known = {one.mac: one.address for one in standings.values() if one.mac and one.address}
    return resolve.resolve_fleet(fleet, known)


def plan_build(
    path: Path,
    state: Path | None = None,
    *,
    rebuild: Collection[str] = (),
    only: Collection[str] = (),
) -> BuildPlan:
    """Plan what a fleet file asks for, against what a state folder says was done.

    Raises:
        NotFound: the file is not there, or a name stands for nothing.
        Invalid: the file has faults.
    """
    loaded = load_fleet(path)
    standings = read_standings(state)
    machines = resolve_machines(loaded.fleet, standings)
    return make_plan(loaded.fleet, machines, standings, rebuild=rebuild, only=only)


def _read_json(paths: Sequence[Path]) -> list[Any]:
    found = []
    for path in paths:
        try:
            found.append(json.loads(read_text(path)))
        except json.JSONDecodeError as exc:
            raise errors.Invalid(f"{path}:{exc.lineno}:{exc.colno}: {exc.msg}") from exc
    return found


#: kind of source -> what reads its files
SOURCES: Mapping[str, Callable[[Sequence[Path]], list[imported.Imported]]] = {
    "csv": lambda paths: [row for path in paths for row in sheet.parse_sheet(read_text(path))],
    "ironic": lambda paths: ironic.parse_inspected(_read_json(paths)),
    "netbox": lambda paths: netbox.parse_devices(_read_json(paths)),
}


def import_machines(kind: str, paths: Sequence[Path]) -> tuple[str, list[str]]:
    """Make the `sites` of a fleet file out of what another tool lists.

    Returns:
        YAML, and one sentence for each thing that the source does not tell.

    Raises:
        Invalid: the source is not of this kind.
    """
    sites, notes = imported.to_sites(SOURCES[kind](paths))
    return yaml.safe_dump({"sites": sites}, sort_keys=False, width=100), notes


def schema_text() -> str:
    """Return the JSON schema of a fleet file."""
    return json.dumps(form.json_schema(), indent=2) + "\n"
