"""The files of other tools, by kind: from their texts to the `sites` of a fleet file."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from isthmus import errors
from isthmus.build.source import imported, ironic, netbox, sheet

Texts = Mapping[Path, str]


def _parse_json(texts: Texts) -> list[Any]:
    found = []
    for path, text in texts.items():
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError as exc:
            raise errors.Invalid(f"{path}:{exc.lineno}:{exc.colno}: {exc.msg}") from exc
    return found


#: kind of source -> what reads its files
SOURCES: Mapping[str, Callable[[Texts], list[imported.Imported]]] = {
    "csv": lambda texts: [row for text in texts.values() for row in sheet.parse_sheet(text)],
    "ironic": lambda texts: ironic.parse_inspected(_parse_json(texts)),
    "netbox": lambda texts: netbox.parse_devices(_parse_json(texts)),
}


def import_machines(
    kind: str, paths: Sequence[Path], read_text: Callable[[Path], str]
) -> tuple[str, list[str]]:
    """Make the `sites` of a fleet file out of what another tool lists.

    Args:
        kind: of the source, one of `SOURCES`.
        paths: its files.
        read_text: reads one.

    Returns:
        YAML, and one sentence for each thing that the source does not tell.

    Raises:
        NotFound: a file is not there.
        Invalid: the source is not of this kind.
    """
    texts = {path: read_text(path) for path in paths}
    sites, notes = imported.to_sites(SOURCES[kind](texts))
    return yaml.safe_dump({"sites": sites}, sort_keys=False, width=100), notes
