"""A printed repair as commands that can be run: programs and words, no shell. Pure.

A repair is for people first: it may hold sentences, and places that a person fills in. What is run
has neither; of two ways that are told, the first one is taken.
"""

import re
import shlex
from dataclasses import dataclass

from isthmus import errors

_HOST = re.compile(r"on (?P<place>[\w.-]+): (?P<command>.+)", re.DOTALL)
_SITE = re.compile(r"(?P<command>[^#]+?) *# at site (?P<place>[\w.-]+).*", re.DOTALL)
#: What stands between one command and the next.
_NEXT = re.compile(r"; then: | && |; ")
#: What stands between quotes is one word; what a program makes of it is the program's.
_QUOTED = re.compile(r"'[^']*'")
#: A word that a person fills in.
_TO_FILL_IN = re.compile(r"[A-Z][A-Z_]{2,}|\.\.\.|X")
#: Verbs that repair nothing.
_LOOKS = frozenset({"get", "find", "show", "list"})
_SIGNALS = {"CONT", "TERM", "KILL"}
_PROGRAMS = {"isthmus", "openstack"}
_AT_PLACE = re.compile(r"ovn-nbctl|ovn-sbctl|ovs-vsctl|ovs-appctl|ovn-appctl|ip|systemctl")


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    words: tuple[str, ...]
    place: str = ""  #: the hypervisor or site where it is typed; empty for anywhere


def parse_commands(repair: str) -> list[Command]:
    """Read the commands of a repair, as a check wrote it or as a lab has it.

    Raises:
        Unsupported: it is for a person: a sentence, or something to be filled in.
    """
    text = repair.partition("; or: ")[0].strip()
    place = ""
    for form in (_HOST, _SITE):
        match = form.fullmatch(text)
        if match is not None:
            place, text = match["place"], match["command"].strip()
            break
    text = text.partition("   #")[0]
    text = text.partition(", or ")[0]
    parts = [text] if _QUOTED.search(text) else _NEXT.split(text)
    found = [Command(_split(part, repair), place) for part in parts if part.strip()]
    if not found:
        raise errors.Unsupported(f"there is no command in it: {repair}")
    for one in found:
        _require_command(one, repair)
    return found


def _split(text: str, repair: str) -> tuple[str, ...]:
    if any(mark in _QUOTED.sub("", text) for mark in "|$`<>"):
        raise errors.Unsupported(f"it takes a shell: {repair}")
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise errors.Unsupported(f"its quotes do not match: {repair}") from error


def _require_command(one: Command, repair: str) -> None:
    program = one.words[0] if one.words else ""
    if program not in _PROGRAMS and not (one.place and _AT_PLACE.fullmatch(program)):
        raise errors.Unsupported(f"it is for a person to do: {repair}")
    if not _LOOKS.isdisjoint(one.words):
        raise errors.Unsupported(f"it only looks: {repair}")
    empty = [
        word
        for word in one.words
        if _TO_FILL_IN.fullmatch(word.rpartition("=")[2]) and word not in _SIGNALS
    ]
    if empty:
        raise errors.Unsupported(f"{empty[0]} is for a person to fill in: {repair}")
