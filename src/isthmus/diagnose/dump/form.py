"""The form of a dump: lines of JSON, compressed; a header, pieces of tables, an end.

Nothing of it is executed, and only so much of it is read. The end says how many pieces there are,
so that half a file is known for one.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from isthmus import errors
from isthmus.diagnose.dump.allow import TABLES, keep_rows
from isthmus.diagnose.dump.keep import said, text, word
from isthmus.diagnose.world import Row, Source

#: What stands in the header; another number is another form.
FORM = 1
_MARK = "isthmus_dump"
#: Rows in one line.
_ROWS = 500
#: Bytes that are read of a dump when it is unpacked, and of one line.
MOST_BYTES = 2 << 30
MOST_IN_LINE = 32 << 20
#: Values in all of it, since each takes many times the memory that it takes in a file; a mapping
#: is as large as several.
MOST_VALUES = 64_000_000
_MAPPING = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What could not be read when the dump was made, and how that was said."""

    source: Source
    place: str
    table: str  #: empty where nothing of the place could be read
    error: str  #: code of the class of the error
    reason: str


@dataclass(slots=True, kw_only=True)
class Dump:
    """All that one has."""

    at: str = ""  #: when it was made, as ISO 8601 in UTC
    made_by: str = ""  #: version of Isthmus
    lab: str = ""  #: name of the lab that it is of; empty for a real cloud
    tables: dict[tuple[Source, str], dict[str, list[Row]]] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)

    def add(self, source: Source, place: str, table: str, rows: list[Any]) -> None:
        """Add rows of a table, as far as a dump may hold them.

        Args:
            source: who was asked.
            place: the site, or the hypervisor.
            table: what was asked for; one of `TABLES`.
            rows: the answer.
        """
        kept = keep_rows(source, table, rows)
        self.tables.setdefault((source, place), {}).setdefault(table, []).extend(kept)


def write_dump(dump: Dump, into: IO[bytes]) -> None:
    """Write a dump."""
    with gzip.GzipFile(fileobj=into, mode="wb", filename="", mtime=0) as packed:
        pieces = 0
        for line in (line for one in _render(dump) for line in _encode(one)):
            packed.write(line + b"\n")
            pieces += 1
        packed.write(json.dumps({"end": pieces - 1}).encode() + b"\n")


def _encode(piece: dict[str, Any]) -> Iterator[bytes]:
    """Yield a piece as a line; as several where that would be longer than a line may be."""
    line = json.dumps(piece, separators=(",", ":")).encode()
    rows = piece.get("rows", ())
    if len(line) < MOST_IN_LINE or len(rows) < 2:
        yield line
        return
    half = len(rows) // 2
    for some in (rows[:half], rows[half:]):
        yield from _encode({**piece, "rows": some})


def _render(dump: Dump) -> Iterator[dict[str, Any]]:
    yield {_MARK: FORM, "at": dump.at, "made_by": dump.made_by, "lab": dump.lab}
    for (source, place), tables in dump.tables.items():
        for table, rows in tables.items():
            for at in range(0, len(rows) or 1, _ROWS):
                yield {"source": source.value, "place": place, "table": table,
                       "rows": rows[at : at + _ROWS]}  # fmt: skip
    for one in dump.missing:
        yield {"source": one.source.value, "place": one.place, "table": one.table,
               "error": one.error, "reason": said(one.reason)}  # fmt: skip


def parse_dump(name: str, packed: IO[bytes], most_bytes: int = MOST_BYTES) -> Dump:
    """Read a dump; what it may not hold is left out.

    Args:
        name: what the person calls it.
        packed: its bytes, compressed or not.
        most_bytes: of it, unpacked.

    Raises:
        Invalid: it is none, is of another form, is not whole, or is too large.
    """
    try:
        lines = _read_lines(name, packed, most_bytes)
        dump = _parse_header(name, next(lines, b""))
        for pieces, line in enumerate(lines):
            found = _parse_line(line)
            if "end" not in found:
                _take(dump, found)
                continue
            if found["end"] != pieces or next(lines, b""):
                raise errors.Invalid(f"{name} has lost some of its lines: gather anew")
            return dump
    except EOFError:
        pass
    except MemoryError as error:
        raise errors.Invalid(f"{name} holds more than this machine has memory for") from error
    except (ValueError, KeyError, TypeError, RecursionError, OSError, zlib.error) as error:
        raise errors.Invalid(
            f"{name} is damaged, or no dump of isthmus gather: {str(error)[:120]!r}"
        ) from error
    raise errors.Invalid(f"{name} ends in the middle: copy it once more, or gather anew")


def _read_lines(name: str, packed: IO[bytes], most_bytes: int) -> Iterator[bytes]:
    raw: Any = packed
    plain: Any = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw)
    is_packed = plain.peek(2)[:2] == b"\x1f\x8b"  # a pipe cannot be rewound
    stream: Any = gzip.GzipFile(fileobj=plain) if is_packed else plain
    left, values = most_bytes, MOST_VALUES
    while line := stream.readline(MOST_IN_LINE + 1):
        left -= len(line)
        values -= line.count(b",") + line.count(b"[") + _MAPPING * line.count(b"{")
        if values < 0:
            raise errors.Invalid(
                f"{name} holds more than dumps do: more than {MOST_VALUES:,} values"
            )
        if left < 0 or len(line) > MOST_IN_LINE:
            raise errors.Invalid(
                f"{name} is larger than dumps are: more than {most_bytes >> 20} MiB, or "
                f"{MOST_IN_LINE >> 20} MiB in a line"
            )
        yield line


def _parse_line(line: bytes) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise TypeError("a line is no object")
    return found


def _parse_header(name: str, line: bytes) -> Dump:
    if not line:
        raise errors.Invalid(f"{name} is empty")
    found = _parse_line(line)
    if _MARK not in found:
        raise errors.Invalid(f"{name} is no dump of isthmus gather")
    if found[_MARK] != FORM:
        raise errors.Invalid(
            f"{name} is a dump of form {str(found[_MARK])[:20]!r}, and this Isthmus reads form "
            f"{FORM}: read it with the Isthmus that made it, "
            f"{(word(found.get('made_by')) or 'unknown')[:40]}"
        )
    return Dump(
        at=word(found.get("at")) or "",
        made_by=word(found.get("made_by")) or "",
        lab=word(found.get("lab")) or "",
    )


def _take(dump: Dump, found: dict[str, Any]) -> None:
    source, place, table = Source(found["source"]), word(found["place"]), found["table"]
    if place is None or not isinstance(table, str):
        raise TypeError("a place or a table has no name")
    if "rows" in found:
        if table in TABLES[source]:  # a newer Isthmus may know more of them
            dump.add(source, place, table, list(found["rows"]))
        return
    dump.missing.append(
        Missing(
            source=source,
            place=place,
            table=text(table) or "",
            error=word(found["error"]) or "",
            reason=said(found["reason"]) or "",
        )
    )
