"""Whatever a person is told to run exists: each `isthmus ...` of the source and of the pages."""

import ast
import functools
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from isthmus.cli.main import SUB_APPS, app

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "isthmus"
#: A command in a text: the name, and words that may be nouns, verbs, options and what is filled in.
COMMAND = re.compile(r"(?<![\w./@-])isthmus ((?:--?)?[a-z][\w-]*(?: [^\s`;:,()|\"']+)*)")
OPTION = re.compile(r"--?[a-z][\w-]*")
#: What stands for something that is filled in, whichever way a text is put together.
FILLED = "X"
#: What begins with the program's name and is no command.
NO_COMMANDS = ("build for this attempt", "host facts 1")


@functools.cache
def load() -> Mapping[str, Any]:
    """Load every noun's command."""
    apps = {
        noun: importlib.import_module(f"isthmus.cli.{module}").app for noun, module, *_ in SUB_APPS
    }
    loaded = {noun: typer.main.get_command(one) for noun, one in apps.items()}
    root: Any = typer.main.get_command(app)
    return {**loaded, **root.commands}


def check(text: str) -> str:
    """Return what is wrong with a command as it is written; nothing where it can be run."""
    words = text.split(" -- ", maxsplit=1)[0].split()  # what follows is another program's
    options = {"--os-cloud", "--help", "--install-completion"}
    names: list[str] = []
    below: Mapping[str, Any] | None = load()
    while below is not None and words and words[0].rstrip(".?!") in below:
        names.append(words.pop(0).rstrip(".?!"))
        at = below[names[-1]]
        options |= {one for option in at.params for one in (*option.opts, *option.secondary_opts)}
        below = getattr(at, "commands", None)
    # A noun may stand alone, and the program with its own options; else a verb follows, which may
    # be filled in.
    if below is not None and words and words[0] != FILLED and not words[0].startswith("-"):
        return f"there is no command isthmus {' '.join([*names, words[0]])}"
    unknown = [one for one in words if OPTION.fullmatch(one) and one not in options]
    return f"isthmus {' '.join(names)} has no {unknown[0]}" if unknown else ""


def commands(text: str) -> Iterator[str]:
    plain = re.sub(r" +", " ", re.sub(r"\{[^{}]*\}", f" {FILLED}", text))
    for match in COMMAND.finditer(plain):
        if not match[1].startswith(NO_COMMANDS):
            yield match[1]


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Give every text but docstrings."""
    skipped = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for one in body if isinstance(body, list) else ():
            if isinstance(one, ast.Expr):
                skipped.add(one.value)
        if isinstance(node, ast.JoinedStr):
            skipped |= set(node.values)
            parts = [one.value if isinstance(one, ast.Constant) else "{}" for one in node.values]
            yield node.lineno, "".join(str(one) for one in parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node.lineno, node.value


def test_every_command_that_the_program_names_can_be_run() -> None:
    named, wrong = 0, []
    for path in sorted(SOURCE.rglob("*.py")):
        for line, text in texts(ast.parse(path.read_text())):
            for one in commands(text):
                named += 1
                reason = check(one)
                if reason:
                    wrong.append(f"{path.relative_to(ROOT)}:{line}: {reason}")
    assert wrong == []
    assert named > 40, "they are found"


def test_every_command_that_the_pages_name_can_be_run() -> None:
    named, wrong = 0, []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        if "adr" in path.parts:
            continue  # a decision stays what it was
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for one in commands(line):
                named += 1
                reason = check(one)
                if reason:
                    wrong.append(f"{path.relative_to(ROOT)}:{number}: {reason}")
    assert wrong == []
    assert named > 40, "they are found"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("isthmus site resync X --network N --wait 60", ""),
        ("see `isthmus job list --site X --state parked`", ""),
        ("`isthmus status` says who is waited for", ""),
        ("isthmus lab start site1-h1.vswitchd", ""),
        ("isthmus site heal X", "no command"),
        ("isthmus heal X", "no command"),
        ("isthmus lease take ID", "no command"),
        ("isthmus site resync X --everything", "no --everything"),
        ("isthmus job list --direction up", "no --direction"),
    ],
)
def test_a_command_that_was_made_up_is_found(text: str, wrong: str) -> None:
    (one,) = commands(text)
    found = check(one)
    assert wrong in found
    assert bool(found) is bool(wrong)
