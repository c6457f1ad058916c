"""How the help of commands reads on a terminal of 80 columns.

Typer shows types of Python (`<bool>`, `<list[a|b|c]>`) and keeps the line ends of docstrings; here
they become the words of the reference page, and so does what it says of a value that is wrong. A
command is reworded when it is loaded.
"""

import enum
import inspect
from pathlib import Path
from typing import Any, get_args

import typer

from isthmus.model.form import say_fault

#: What a value of a type is called.
WORDS: dict[type, str] = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "FILE"}
#: A list of choices that is longer is said in the text behind the option.
_MOST_CHOICES = 22


def reword(command: Any) -> Any:
    """Have a command, and all below it, say its help in our words; return it."""
    command.help = _join_lines(command.help)
    for one in command.params:
        _reword_parameter(one)
        _reword_fault(one)
    get_help = command.get_help_option

    def get_help_option(ctx: Any) -> Any:
        option = get_help(ctx)
        if option is not None:
            option.metavar = ""
        return option

    command.get_help_option = get_help_option
    for below in getattr(command, "commands", {}).values():
        reword(below)
    return command


def _join_lines(text: str | None) -> str | None:
    """Make each paragraph one line, which a terminal breaks where its own width ends."""
    if text is None:
        return None
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(one.split()) for one in paragraphs)


def _reword_parameter(one: Any) -> None:
    if one.param_type_name == "argument":
        _reword_argument(one)
        return
    if one.metavar is not None:
        return
    if one.is_flag:
        one.metavar = ""
        return
    kind = one.type_descriptor.annotation
    kind = next(iter(get_args(kind)), kind)  # of a list, what it has
    if not (isinstance(kind, type) and issubclass(kind, enum.Enum)):
        one.metavar = WORDS.get(kind, "TEXT")
        return
    choices = [str(each.value) for each in kind]
    one.metavar = "|".join(choices)
    if len(one.metavar) > _MOST_CHOICES:
        one.metavar = "WORD"
        one.help = f"{(one.help or '').rstrip('.')}: {', '.join(choices)}."


def _reword_fault(one: Any) -> None:
    """Have it say of a wrong value what is wanted; Typer hands the validator's words on."""
    process = one.process_value

    def process_value(ctx: Any, value: Any) -> Any:
        try:
            return process(ctx, value)
        except typer.BadParameter as error:
            for fault in getattr(error.__cause__, "errors", list)()[:1]:
                said = say_fault(fault["type"], fault.get("ctx", {}), error.message)
                error.message = f"{said.rstrip('.')}."
            raise

    one.process_value = process_value


def _reword_argument(one: Any) -> None:
    """Have an argument called NAME, with no type beside it, in the usage as on the page."""
    one.metavar = one.metavar or one.name.upper()
    word = one.metavar.strip("[]")
    word = f"{word}..." if one.nargs == -1 else word
    usage = word if one.required else f"[{word}]"
    one.display_type_rich = lambda ctx: ""  # noqa: ARG005 - Typer gives it by that name
    one._usage_display_name = lambda: usage  # noqa: SLF001 - Typer has no public way
