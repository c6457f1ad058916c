"""The form of a fleet file: types, known keys, patterns. What is left of a faulty file is kept.

A file is checked in two passes, and both must speak at once: what has the wrong form is told and
cut out, so that the rules of `rules` can be held against the rest. A path in what is left is
translated back to the path in the file.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import pydantic

from isthmus.build.fleet.document import Document, Fault, Path
from isthmus.model.rack.fleet import Fleet

_UNKNOWN = frozenset({"unexpected_keyword_argument", "extra_forbidden"})
_MISSING = frozenset({"missing", "missing_argument"})
#: Each pass cuts one level more; the form is six levels deep.
_MOST_PASSES = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Salvage:
    """What of a file has the right form."""

    fleet: Fleet | None  #: None where too little is left
    indices: Mapping[Path, tuple[int, ...]]  #: list in what is left -> indices in the file

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing was cut out."""
        return not self.indices and self.fleet is not None

    def original(self, path: Path) -> Path:
        """Translate a path in what is left to the path in the file."""
        found: list[str | int] = []
        for length, part in enumerate(path):
            kept = self.indices.get(path[:length])
            found.append(kept[part] if kept is not None and isinstance(part, int) else part)
        return tuple(found)


@cache
def adapter() -> pydantic.TypeAdapter[Fleet]:
    """Return the validator; building it costs 100 ms."""
    return pydantic.TypeAdapter(Fleet)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a fleet file, for editors."""
    schema = adapter().json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Isthmus fleet",
    }


def check_form(document: Document) -> tuple[Salvage, list[Fault]]:
    """Validate a document against the schema.

    Returns:
        What of it can be checked further, and every fault of form.
    """
    if not isinstance(document.values, dict):
        place = document.place(())
        return Salvage(None, {}), [
            Fault(place.line, place.column, "a fleet is a mapping: builder, images, sites, ...")
        ]
    faults: list[Fault] = []
    values: Any = document.values
    salvage = Salvage(None, {})
    for attempt in range(_MOST_PASSES):
        try:
            return Salvage(adapter().validate_python(values), salvage.indices), faults
        except pydantic.ValidationError as exc:
            rows = exc.errors(include_url=False)
        if attempt == 0:
            faults = [_fault(row, document) for row in rows]
        bad = {salvage.original(_cut(row)) for row in rows}
        if () in bad:
            break
        indices: dict[Path, tuple[int, ...]] = {}
        values = _prune(values, (), (), bad, salvage, indices)
        salvage = Salvage(None, indices)
    return Salvage(None, {}), faults


def _cut(row: Any) -> Path:
    """Return the path to prune: of the value, or of the parent of a missing value."""
    path = _path(row["loc"])
    return path[:-1] if row["type"] in _MISSING else path


def _path(loc: Iterable[str | int]) -> Path:
    """Reduce pydantic's location to a path in the document; it marks keys of mappings."""
    return tuple(part for part in loc if part != "[key]")


def _prune(
    value: Any,
    here: Path,
    old: Path,
    bad: set[Path],
    salvage: Salvage,
    indices: dict[Path, tuple[int, ...]],
) -> Any:
    if isinstance(value, dict):
        return {
            key: _prune(one, (*here, key), (*old, key), bad, salvage, indices)
            for key, one in value.items()
            if (*old, key) not in bad
        }
    if isinstance(value, list):
        before = old
        known = salvage.indices.get(_current(before, salvage), tuple(range(len(value))))
        kept = [number for number in range(len(value)) if (*old, known[number]) not in bad]
        if len(kept) < len(value) or known != tuple(range(len(value))):
            indices[here] = tuple(known[number] for number in kept)
        return [
            _prune(value[number], (*here, new), (*old, known[number]), bad, salvage, indices)
            for new, number in enumerate(kept)
        ]
    return value


def _current(old: Path, salvage: Salvage) -> Path:
    """Translate a path of the file to one in the last pass's remains."""
    found: list[str | int] = []
    for length, part in enumerate(old):
        kept = salvage.indices.get(tuple(found[:length]))
        found.append(kept.index(part) if kept is not None and isinstance(part, int) else part)
    return tuple(found)


def _fault(row: Any, document: Document) -> Fault:
    path = _path(row["loc"])
    kind = row["type"]
    place = document.place(path, of_key=kind in _UNKNOWN)
    return Fault(place.line, place.column, _say(row, path, kind))


def _say(row: Any, path: Path, kind: str) -> str:
    name = str(path[-1]) if path else "the file"
    if kind in _UNKNOWN:
        near = suggest(name, _fields_at(path[:-1]))
        return f"there is no key {name} here{near}"
    if kind in _MISSING:
        return f"{name} is missing"
    value = _short(row.get("input"))
    if kind == "string_pattern_mismatch":
        wanted = _description_at(path) or f"of the form {row['ctx']['pattern']}"
        return f"{_where(path)}: {value} is not {wanted}"
    message = str(row["msg"]).replace("Input should be", "must be")
    return f"{_where(path)}: {message[:1].lower()}{message[1:]}, not {value}"


def _where(path: Path) -> str:
    return next((str(part) for part in reversed(path) if isinstance(part, str)), "the file")


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def suggest(word: str, known: Iterable[str]) -> str:
    """Offer what was probably meant: the nearest word, or all where they are few."""
    words = sorted(known)
    near = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there is {', '.join(words)}" if 0 < len(words) <= 12 else ""


def _fields_at(path: Path) -> list[str]:
    kind = _kind_at(path)
    return [one.name for one in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _description_at(path: Path) -> str:
    """Find the description that stands at a field's type."""
    kind: Any = Fleet
    said = ""
    for part in path:
        kind, said = _step(kind, part)
    return said


def _kind_at(path: Path) -> Any:
    kind: Any = Fleet
    for part in path:
        kind, _ = _step(kind, part)
    return kind


def _step(kind: Any, part: str | int) -> tuple[Any, str]:
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return _bare(hints.get(str(part)))
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return _bare(arguments[1])
    return _bare(arguments[0]) if arguments else (None, "")


def _bare(hint: Any) -> tuple[Any, str]:
    """Unwrap Annotated and Optional; return the description found on the way."""
    said = ""
    while True:
        if get_origin(hint) is Annotated:
            said = next((str(one.description) for one in get_args(hint)[1:] if one.description), "")
            hint = get_args(hint)[0]
        elif isinstance(hint, types.UnionType) or get_origin(hint) is typing.Union:
            hint = next(one for one in get_args(hint) if one is not type(None))
        else:
            return hint, said
