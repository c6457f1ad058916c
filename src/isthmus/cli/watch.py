"""Looking again and again: until Ctrl-C, or until something is done."""

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from isthmus import errors
from isthmus.cli import render
from isthmus.cli.render import Format
from isthmus.model.form import format_age

Found = TypeVar("Found")

Watched = Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until Ctrl-C.")]
Interval = Annotated[
    float | None,
    typer.Option(
        "--interval",
        min=0.5,
        metavar="SECONDS",
        help="With --watch: pause between two looks; 2 if not said.",
        show_default=False,
    ),
]

_EVERY_S = 2.0


def check_interval(interval: float | None, *, watched: bool) -> float:
    """Return the pause between two looks, in seconds.

    Args:
        interval: as it was given.
        watched: whether `--watch` was.

    Raises:
        BadParameter: an interval was given, and nothing to repeat.
    """
    if interval is not None and not watched:
        raise typer.BadParameter("--interval is for --watch")
    return _EVERY_S if interval is None else interval


def see_through(begins: str, look: Callable[[], str], wait_s: float) -> None:
    """Wait until something is done, and say on stderr what it waits for.

    Args:
        begins: what a terminal shows first.
        look: says what is waited for; nothing where it is done.
        wait_s: how long; 0 waits for nothing.

    Raises:
        TimedOut: the time was too short; it goes on all the same.
        IsthmusError: of the look, unless it is transient.
    """
    if not wait_s:
        return
    from isthmus.operate.cloud import wait_until_done

    with render.Waiting(begins) as waiting:
        wait_until_done(look, wait_s=wait_s, tell=waiting.tell)


def follow(
    look: Callable[[], Found],
    *,
    draw: Callable[[Console, Found], RenderableType],
    show: Callable[[Found], object],
    output: Format,
    every_s: float,
    pause: Callable[[float], None] = time.sleep,
) -> NoReturn:
    """Look again and again, until Ctrl-C.

    A table on a terminal is drawn over the one before. Elsewhere each look is a block of its own: a
    table with the time above it, a document of JSON, a document of YAML behind `---`. A tier that
    does not answer now is said, and asked again.

    Args:
        look: reads what is to be shown.
        draw: makes a picture of it for a terminal.
        show: prints it as the command without `--watch` does.
        output: the form of the answer.
        every_s: pause between two looks, in seconds.
        pause: waits for some seconds.

    Raises:
        IsthmusError: it is refused, or the answer is wrong.
        KeyboardInterrupt: at Ctrl-C.
    """
    console = render.open_console()
    if console.is_terminal and output is Format.TABLE:
        _redraw(console, look, draw, every_s, pause)
    while True:
        try:
            found = look()
        except errors.Transient as error:
            render.note(f"{_tell_time()} {error.message}; looking again")
        else:
            if output is not Format.JSON:
                sys.stdout.write(f"{_tell_time()}\n" if output is Format.TABLE else "---\n")
            show(found)
            if output is Format.TABLE:
                sys.stdout.write("\n")
        sys.stdout.flush()
        pause(every_s)


def _redraw(
    console: Console,
    look: Callable[[], Found],
    draw: Callable[[Console, Found], RenderableType],
    every_s: float,
    pause: Callable[[float], None],
) -> NoReturn:
    picture: RenderableType = Text("no answer yet")
    seen_at = time.monotonic()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            head = Text(f"{_tell_time()}, every {every_s:g} s; Ctrl-C ends", style="dim")
            try:
                picture = draw(console, look())
                seen_at = time.monotonic()
            except errors.Transient as error:
                age = format_age(time.monotonic() - seen_at)
                said = Text.assemble(("error: ", "bold red"), error.message)
                live.update(Group(head, said, Text(f"as it was {age} ago:"), picture), refresh=True)
            else:
                live.update(Group(head, picture), refresh=True)
            pause(every_s)


def _tell_time() -> str:
    return datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
