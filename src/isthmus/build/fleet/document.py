"""YAML with the place of every value.

Read from the node graph of PyYAML, since its values alone have lost where they stood. YAML 1.1's
surprises are kept out: an unquoted MAC of digits alone is no number in base 60, `no` is no flag,
a date is a text, and so is a long number or one with a zero in front (a checksum, a serial number).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from isthmus import errors

#: A file of 100,000 machines has fewer values; a graph of aliases may stand for any number.
MOST_VALUES = 2_000_000
_DEEPEST = 64
_STR, _NULL = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"
#: What a plain scalar's style is: the C parser and the Python one differ.
_PLAIN = frozenset({None, ""})
_FLAGS = {"true": True, "false": False}
#: Up to 15 digits, which a float holds exactly; no zero in front but that of 0.5.
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d{0,14})(\.\d{1,15})?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: line and column, from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong, and where."""

    line: int
    column: int
    message: str

    def say(self, source: str) -> str:
        """Write it as compilers do."""
        return f"{source}:{self.line}:{self.column}: {self.message}"


@dataclass(slots=True)
class Document:
    """A file's values, and the place of each by its path."""

    values: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    key_places: dict[Path, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    count: int = 0

    def place(self, path: Path, *, of_key: bool = False) -> Place:
        """Return the place of a value, or of the nearest that stands around it."""
        if of_key and path in self.key_places:
            return self.key_places[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return Place(1, 1)


def read_document(text: str) -> Document:
    """Read YAML; what is wrong with it as YAML becomes a fault with its place."""
    document = Document()
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        document.faults.append(Fault(line, column, f"this is not YAML: {exc.problem}"))
        return document
    except (yaml.YAMLError, RecursionError) as exc:
        document.faults.append(Fault(1, 1, f"this is not YAML: {str(exc).splitlines()[0]}"))
        return document
    if root is None:
        document.faults.append(Fault(1, 1, "the file is empty"))
        return document
    try:
        document.values = _build(root, (), document)
    except errors.Exhausted as exc:
        document.faults.append(Fault(1, 1, exc.message))
    return document


def _build(node: yaml.Node, path: Path, document: Document) -> Any:
    document.count += 1
    if document.count > MOST_VALUES or len(path) > _DEEPEST:
        raise errors.Exhausted(
            f"it has more than {MOST_VALUES} values or nests deeper than {_DEEPEST}: an alias that "
            "holds itself?"
        )
    document.places.setdefault(path, _place(node))
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_build(one, (*path, index), document) for index, one in enumerate(node.value)]
    return _scalar(node)


def _build_mapping(node: yaml.MappingNode, path: Path, document: Document) -> dict[str, Any]:
    own: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            document.faults.append(_fault(key_node, "a key must be a word"))
            continue
        key = str(key_node.value)
        if key == "<<" and key_node.style in _PLAIN:
            merged = {**_merge(value_node, path, document), **merged}
            continue
        if key in own:
            document.faults.append(_fault(key_node, f"the key {key} is given twice"))
            continue
        here = (*path, key)
        document.key_places[here] = _place(key_node)
        document.places[here] = _place(value_node)
        own[key] = _build(value_node, here, document)
    return {**merged, **own}


def _merge(node: yaml.Node, path: Path, document: Document) -> dict[str, Any]:
    parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
    found: dict[str, Any] = {}
    for part in reversed(parts):
        if not isinstance(part, yaml.MappingNode):
            document.faults.append(_fault(part, "<< takes a mapping, or a list of them"))
            continue
        found |= _build_mapping(part, path, document)
    return found


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    style = getattr(node, "style", None)
    if style not in _PLAIN or node.tag == _STR:
        return text
    if node.tag == _NULL or text in _NULLS:
        return None
    if text in _FLAGS:
        return _FLAGS[text]
    for kind in (int, float):
        if _NUMBER.fullmatch(text):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _place(node: yaml.Node) -> Place:
    mark = node.start_mark
    return Place(mark.line + 1, mark.column + 1)


def _fault(node: yaml.Node, message: str) -> Fault:
    place = _place(node)
    return Fault(place.line, place.column, message)


def names_in(values: Any, *path: str) -> frozenset[str]:
    """Collect the names that a list of mappings declares, however wrong the rest of it is."""
    found = values
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    rows = found if isinstance(found, list) else []
    return frozenset(
        row["name"] for row in rows if isinstance(row, Mapping) and isinstance(row.get("name"), str)
    )
