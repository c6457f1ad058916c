"""A how-to page as a person reads it: its commands, what they print, and a shell that runs them.

CONTRIBUTING.md says how such a page is written.
"""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.testing.until import until

PROMPT = "# "
CLEAN_UP = "Clean up"
#: Any lines where it stands alone, any text within a line.
ANYTHING = "..."
#: How long one command may take, and how long one is repeated, on a busy machine; in seconds.
COMMAND_S, REPEAT_S = 240, 240
#: What commands end with whose answer may be another in a moment (errors.Transient).
NOT_NOW = 3
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_DOTS = re.compile(r"\.{3}(?!\.)")  # `2....` is `2.` and anything
_COMMENT = re.compile(r"\s+# (fails|repeat until it fails|repeat until)\b[^'\"]*$")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a page."""

    line: int
    section: str
    command: str
    fails: bool = False  #: a failure is what is to be seen
    repeat: bool = False  #: until it is as expected
    printed: tuple[str, ...] = ()  #: nothing: whatever it prints

    def is_met(self, code: int, output: str) -> bool:
        """Tell whether a run of the command went as the page says."""
        return bool(code) == self.fails and (not self.printed or match(self.printed, output))


def parse_page(text: str) -> list[Step]:
    """Read the commands of a page, in their order."""
    steps: list[Step] = []
    for block in _BLOCK.finditer(text):
        number = text.count("\n", 0, block.start(1)) + 1
        before = _HEADING.findall(_FENCED.sub("", text[: block.start()]))
        steps += _parse_block(block[1].splitlines(), number, before[-1] if before else "")
    return steps


def _parse_block(lines: list[str], number: int, section: str) -> Iterator[Step]:
    at = 0
    while at < len(lines):
        began = at
        assert lines[at].startswith(PROMPT), f"line {number + at}: no command: {lines[at]!r}"
        words = [lines[at].removeprefix(PROMPT)]
        while words[-1].endswith("\\"):
            at += 1
            words.append(lines[at])
        at += 1
        printed = []
        while at < len(lines) and not lines[at].startswith(PROMPT):
            printed.append(lines[at])
            at += 1
        command = "\n".join(words)
        said = _COMMENT.search(command)
        word = said[1] if said else ""
        yield Step(
            line=number + began,
            section=section,
            command=command[: said.start()] if said else command,
            fails=word.endswith("fails"),
            repeat=word.startswith("repeat"),
            printed=tuple(printed),
        )


def match(printed: tuple[str, ...], output: str) -> bool:
    """Compare what a page says is printed with what was; blank lines and widths are no matter."""
    pattern = "".join(map(_render_pattern, printed))
    lines = "".join(_mark_words(line) for line in output.splitlines())
    return re.fullmatch(pattern, lines) is not None


def _mark_words(line: str) -> str:
    """Write a line with a blank before each word."""
    return "".join(f" {word}" for word in line.split()) + "\n" * bool(line.split())


def _render_pattern(line: str) -> str:
    words = line.split()
    if words == [ANYTHING]:
        return r"(?:.*\n)*?"
    pattern = "".join(
        r"(?: \S+)*?" if word == ANYTHING else " " + r"\S*?".join(map(re.escape, _DOTS.split(word)))
        for word in words
    )
    return pattern + r"\n" * bool(words)


class Shell:
    """One shell for all commands of a page, so that variables and jobs stay."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """Start it; its files are in the folder."""
        self._folder = folder
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, **env},
            start_new_session=True,
            text=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """Run a command; give its exit code and what it printed."""
        assert self._process.stdin
        assert self._process.stdout
        handle, name = tempfile.mkstemp(dir=self._folder)
        os.close(handle)
        # The words stand in the shell itself: what they set is there for the next ones.
        self._process.stdin.write(f"{{ {command}\n}} </dev/null >{name} 2>&1; echo $?\n")
        self._process.stdin.flush()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            code = self._process.stdout.readline() if waiting.select(COMMAND_S) else "still runs"
        output = Path(name).read_text(errors="replace")
        assert code.strip().isdigit(), f"{command}: {code or 'the shell ended'}\n{output}"
        return int(code), output

    def close(self) -> None:
        """End the shell, and what it has in the background."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.communicate(timeout=60)


def run_step(shell: Shell, step: Step, page: str) -> float:
    """Run a command as a page says, and see that it goes so; give the seconds that it took."""
    began, seen, code, met = time.monotonic(), "", 0, False

    def went() -> bool:
        nonlocal seen, code, met
        code, output = shell.run(step.command)
        seen = f"exit code {code}, printed:\n{output}"
        met = step.is_met(code, output)
        return met

    def is_over() -> bool:
        """Run it; a person runs again what ends with "not now", as a busy site may say."""
        over = went() or not (step.command.startswith("isthmus ") and code == NOT_NOW)
        if not over:
            print(f"{what} is run again: {seen}")  # noqa: T201
        return over

    what = f"{page}:{step.line}: {step.command}"
    if step.repeat:
        try:
            until(went, what=what, timeout_s=REPEAT_S)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{seen}") from failure
    else:
        wanted = "\n".join(step.printed)
        until(is_over, what=f"{what} is heard", timeout_s=REPEAT_S)
        assert met, f"{what}\n{seen}\nthe page says{' it fails' * step.fails}:\n{wanted}"
    return time.monotonic() - began
