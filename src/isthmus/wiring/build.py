"""Joins the build engine with files: `isthmus build plan`, `check`, `schema` and `import`."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from isthmus import errors
from isthmus.build.fleet import form, load
from isthmus.build.fleet.document import Fault
from isthmus.build.fleet.resolve import resolve_machines
from isthmus.build.plan.plan import make_plan
from isthmus.build.run.standing import fold_events
from isthmus.build.source import files
from isthmus.model.rack.build import BuildPlan, Standing
from isthmus.nfv.plan.demand import parse_demand
from isthmus.store.build_log import BuildLogReader
from isthmus.wiring.named_file import read_text


def check_demand(text: str) -> str:
    """Return what is wrong with an NFV demand; empty if it is valid."""
    try:
        parse_demand(text, name="the NFV demand")
    except errors.Invalid as exc:
        return exc.message
    return ""


def find_faults(path: Path) -> tuple[Fault, ...]:
    """Find everything that is wrong with a fleet file, its NFV demands included.

    Raises:
        NotFound: it is not there.
    """
    return load.find_faults(read_text(path), check_demand)


def load_fleet(path: Path) -> load.Loaded:
    """Read a fleet file that must be sound.

    Raises:
        NotFound: it is not there.
        Invalid: it has faults; the message has every one with its place.
    """
    return load.load_fleet(read_text(path), path, check_demand)


def read_standings(folder: Path | None) -> dict[str, Standing]:
    """Return where every machine of a state folder stands; nothing where there is none.

    Raises:
        Inconsistent: its log is garbled.
    """
    return fold_events(BuildLogReader(folder).read_new()) if folder else {}


def plan_build(
    path: Path,
    state: Path | None = None,
    *,
    rebuild: Collection[str] = (),
    only: Collection[str] = (),
) -> BuildPlan:
    """Plan what a fleet file asks for, against what a state folder says was done.

    Args:
        path: the fleet file.
        state: the build's state folder; None where nothing was built yet.
        rebuild: names of machines, racks or sites to build anew.
        only: names of those to which the plan is limited; none: all.

    Raises:
        NotFound: the file is not there, or a name stands for nothing.
        Invalid: the file has faults.
    """
    fleet = load_fleet(path).fleet
    standings = read_standings(state)
    machines = resolve_machines(fleet, standings)
    return make_plan(fleet, machines, standings, rebuild=rebuild, only=only)


def import_machines(kind: str, paths: Sequence[Path]) -> tuple[str, list[str]]:
    """Make the `sites` of a fleet file out of what another tool lists.

    Returns:
        YAML, and one sentence for each thing that the source does not tell.

    Raises:
        NotFound: a file is not there.
        Invalid: the source is not of this kind.
    """
    return files.import_machines(kind, paths, read_text)


def schema_text() -> str:
    """Return the JSON schema of a fleet file."""
    return json.dumps(form.json_schema(), indent=2) + "\n"
