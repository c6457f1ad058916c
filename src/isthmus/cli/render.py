"""How the CLI prints: tables for people, JSON and YAML for programs; errors to stderr.

The column names are the API's field names, in every format.
"""

import datetime
import enum
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from isthmus.model.form import format_age

#: Longer than any name, path or address is; and how much of it is shown.
_WORD = 300
_ENDLESS = re.compile(rf"\S{{{2 * _WORD},}}")

#: Wide enough that no row of a table is cut where a program reads it.
_PIPE_WIDTH = 1000
#: Where nobody looks, what is waited for is said again after this time, in seconds.
_SAY_AGAIN_S = 30.0
#: Blanks between the name and the value of a record.
_GAP = 2

Row = Mapping[str, Any]

#: Words that a table shows in colour on a terminal.
_STYLES = {
    "reachable": "green",
    "unreachable": "red",
    "parked": "red",
    "running": "cyan",
    "draining": "yellow",
    "disabled": "yellow",
    "broken": "red",
    "degraded": "yellow",
}


class Format(enum.StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def open_console(*, stderr: bool = False) -> Console:
    """Return a console; where nobody looks it neither wraps nor cuts lines."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def print_rows(
    rows: Iterable[Row],
    columns: Sequence[str],
    output: Format,
    *,
    empty: str = "",
    show: Mapping[str, Callable[[Row], object]] | None = None,
    wraps: str = "",
) -> None:
    """Print a list.

    Args:
        rows: in the words of the API.
        columns: which of them a table has; JSON and YAML have all.
        output: the format.
        empty: what is said on stderr where a table would have no rows.
        show: how a table shows a column, where that is not the plain value.
        wraps: the column that may be broken between words before rows become records.
    """
    found = [dict(row) for row in rows]
    if output is not Format.TABLE:
        _print_data(found, output)
        return
    if not found:
        if empty:
            note(empty)
        return
    console = open_console()
    if console.is_terminal:
        console.print(lay_out(console, found, columns, show=show, wraps=wraps))
    else:
        _print_plain(console, lay_out(console, found, columns, show=show))


def print_stream(
    rows: Iterable[Row], columns: Sequence[str], output: Format, *, empty: str = ""
) -> None:
    """Print a list of any length: JSON and YAML row by row, so that none is kept.

    A table is as wide as its widest row, so that its rows are.

    Args:
        rows: in the words of the API.
        columns: which of them a table has.
        output: the format.
        empty: what is said on stderr where a table would have no rows.
    """
    if output is Format.TABLE:
        print_rows(rows, columns, output, empty=empty)
        return
    count = 0
    for count, row in enumerate(rows, 1):
        if output is Format.YAML:
            _print_data([dict(row)], output)
            continue
        text = json.dumps(dict(row), indent=2, default=str).replace("\n", "\n  ")
        sys.stdout.write(f"{'[' if count == 1 else ','}\n  {text}")
    if output is Format.JSON:
        sys.stdout.write("\n]\n" if count else "[]\n")
    elif not count:
        sys.stdout.write("[]\n")


def lay_out(
    console: Console,
    rows: Iterable[Row],
    columns: Sequence[str],
    *,
    show: Mapping[str, Callable[[Row], object]] | None = None,
    wraps: str = "",
) -> RenderableType:
    """Return a table; where a terminal is too narrow for it, each row as lines of its own.

    Args:
        console: on which it is to be printed.
        rows: in the words of the API.
        columns: of the table.
        show: how a column is shown, where that is not the plain value.
        wraps: the column that may be broken between words.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        whole = column == "id" or bool(wraps and column != wraps)
        table.add_column(column, no_wrap=whole, overflow="fold")
    for row in rows:
        cells = [
            (show or {}).get(column, lambda one, name=column: one.get(name))(row)
            for column in columns
        ]
        table.add_row(*(_cell(cell) for cell in cells))
    least, most = _measure(console, table)
    if console.is_terminal and (least if wraps else most) > console.width:
        return _list_records(console, columns, table)
    return table


def fits(rows: Sequence[Row], columns: Sequence[str]) -> bool:
    """Tell whether a table has room on the terminal; where nobody looks there is room for all."""
    return isinstance(lay_out(open_console(), rows, columns), Table)


def print_row(row: Row, output: Format) -> None:
    """Print one object; a table has ages instead of times."""
    if output is not Format.TABLE:
        _print_data(dict(row), output)
        return
    console = open_console()
    record = _draw_record(console, [(name, _show_value(row, name)) for name in row])
    if console.is_terminal:
        console.print(record)
    else:
        _print_plain(console, record)


def _show_value(row: Row, name: str) -> Text:
    """Write a value of a record: a time as an age, and counts by their names."""
    value = row[name]
    if name.endswith("_at") and isinstance(value, str):
        return _cell(show_since(name)(row))
    if isinstance(value, Mapping) and all(isinstance(one, int) for one in value.values()):
        return _cell([f"{key} {_cell(one)}" for key, one in value.items()])
    return _cell(value)


def _draw_record(console: Console, pairs: Sequence[tuple[str, Text]]) -> RenderableType:
    """Draw names with values beside them.

    A value with a word for which there is no room there (a URL) stands below its name, where it has
    the whole width.
    """
    names = max((len(name) for name, _ in pairs), default=0)
    room = console.width - names - _GAP
    parts: list[RenderableType] = []
    record = _open_record(names)
    for name, value in pairs:
        longest = max(map(len, value.plain.split()), default=0)
        if longest <= room:
            record.add_row(name, value)
            continue
        record.add_row(name, "")
        parts += [record, Padding(value, (0, 0, 0, _GAP))]
        record = _open_record(names)
    return Group(*parts, record) if record.row_count or not parts else Group(*parts)


def _open_record(names: int) -> Table:
    record = Table(box=None, pad_edge=False, show_header=False)
    record.add_column(style="bold", no_wrap=True, min_width=names)
    record.add_column(overflow="fold")
    return record


def _measure(console: Console, table: Table) -> Measurement:
    """Return how wide a table is if all of it is broken between words, and if nothing is."""
    wide = console.options.update(width=_PIPE_WIDTH)
    return Measurement.get(console, wide, table)


def _list_records(console: Console, columns: Sequence[str], table: Table) -> Group:
    """Turn each row into lines of its own: a table that is broken into words nobody can read."""
    cells = [[*column.cells] for column in table.columns]
    parts: list[RenderableType] = []
    for number in range(table.row_count):
        values = [(name, _to_text(each[number])) for name, each in zip(columns, cells, strict=True)]
        record = _draw_record(console, [pair for pair in values if pair[1].plain])
        parts += [Text(), record] if number else [record]
    return Group(*parts)


def _to_text(cell: RenderableType) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def _print_plain(console: Console, what: RenderableType) -> None:
    """Print where nobody looks: without blanks at the ends of lines."""
    with console.capture() as captured:
        console.print(what)
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def print_line(text: str) -> None:
    """Print a line that is meant to be copied: neither broken nor cut."""
    sys.stdout.write(f"{_make_safe(text)}\n")


def note(sentence: str) -> None:
    """Print a note to stderr; it is not part of the answer."""
    open_console(stderr=True).print(Text(_make_safe(sentence)))


def fail(sentence: str) -> None:
    """Print an error to stderr; of what no person wrote as a word, its beginning."""
    short = _ENDLESS.sub(lambda found: f"{found[0][:_WORD]}...", _make_safe(sentence))
    open_console(stderr=True).print(Text.assemble(("error: ", "bold red"), short))


class Waiting:
    """Shows on stderr what a command waits for.

    On a terminal it is one line that changes, and goes when the command is done. Elsewhere it is a
    line each time that something else is waited for, and now and then the same.
    """

    def __init__(
        self, begins: str, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Show nothing yet.

        Args:
            begins: what a terminal shows first.
            quiet: whether to show nothing at all.
            clock: gives seconds that only grow.
        """
        self._console = open_console(stderr=True)
        self._quiet = quiet
        self._clock = clock
        self._said = ""
        self._said_at = 0.0
        self._spinner: Any = None
        if self._console.is_terminal and not quiet:
            self._spinner = self._console.status(Text(begins))

    def __enter__(self) -> "Waiting":
        """Begin."""
        if self._spinner is not None:
            self._spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the line of a terminal."""
        if self._spinner is not None:
            self._spinner.stop()

    def say(self, what: str) -> None:
        """Show what is done now."""
        if self._quiet:
            return
        if self._spinner is not None:
            self._spinner.update(Text(_make_safe(what)))
        else:
            self._console.print(Text(_make_safe(f"{what} ...")))

    def tell(self, what: str, left_s: float) -> None:
        """Show what is waited for, and for how long at most."""
        if self._quiet:
            return
        line = Text(_make_safe(f"{what}; looking again, for {format_age(left_s)} at most"))
        if self._spinner is not None:
            self._spinner.update(line)
        elif what != self._said or self._clock() - self._said_at >= _SAY_AGAIN_S:
            self._said, self._said_at = what, self._clock()
            self._console.print(line)


def show_since(name: str) -> Callable[[Row], str]:
    """Return how a table shows a time of the API: as how long ago it was."""

    def show(row: Row) -> str:
        if not row[name]:
            return ""
        try:
            then = datetime.datetime.fromisoformat(str(row[name]))
        except ValueError:
            return str(row[name])
        now = datetime.datetime.now(datetime.UTC)
        seconds = (now - then.replace(tzinfo=then.tzinfo or datetime.UTC)).total_seconds()
        return f"{format_age(max(0.0, seconds))} ago"

    return show


def _print_data(data: Any, output: Format) -> None:
    if output is Format.JSON:
        sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")
        return
    import yaml

    text = json.dumps(data, default=str, ensure_ascii=False)
    # YAML would show marks that turn the direction of writing as they are.
    is_safe = _make_safe(text) == text
    sys.stdout.write(yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=is_safe))


def _cell(value: object) -> Text:
    """Write a value into a cell; never as markup, since names come from tenants."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case list() | tuple() if all(isinstance(one, str | int) for one in value):
            text = ", ".join(str(one) for one in value)
        case list() | tuple() | dict():
            text = json.dumps(value, default=str)
        case _:
            text = str(value)
    safe = _make_safe(text)
    return Text(safe, style=_STYLES.get(safe, ""))


def _make_safe(text: str) -> str:
    """Return a text without what could move the cursor of whoever reads, or turn what they read."""
    return "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in text)
