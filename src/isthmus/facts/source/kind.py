"""What a file is that was given in the place of another, and what to take in its place.

People mix up files that look alike: a plan and its inventory, `lscpu` with and without `-p`. What
is found here only makes a refusal say more; nothing is read because of it.
"""

import re
from collections.abc import Mapping
from typing import Any

from isthmus import errors
from isthmus.facts import dump

#: What a document is, by keys that it has and no other kind has together.
_KEYS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"kernel_args", "nodes"}), "a plan"),
    (frozenset({"cores", "nodes"}), "an inventory"),
    (frozenset({"constraints", "alternatives"}), "a refusal: it says why there is no plan"),
    (frozenset({"findings", "rulings"}), "what nfv check found"),
    (frozenset({"physical_networks"}), "a demand"),
    (frozenset({"flavors"}), "a demand"),
)
#: How each kind that is asked for comes about.
_MADE_BY = {
    "a plan": "isthmus nfv plan INVENTORY --demand DEMAND -o json writes one",
    "an inventory": "isthmus nfv inspect HOST -o json writes one",
    "a demand": "docs/howto/nfv.md has one",
}
#: What describes no host yet, by a pattern of its lines, and what is lacking.
_NEARLY = (
    (r"^Architecture:\s", "take lscpu -p=CPU,CORE,SOCKET,NODE in the place of lscpu alone"),
    (
        r"^(Slot:\s|node \d+ size:|available: \d+ nodes)",
        "the output of lscpu -p=CPU,CORE,SOCKET,NODE is missing",
    ),
    (r"^\s*<device>", "the output of virsh capabilities is missing before its devices"),
    (r"^Machine \(", "take lstopo --of xml in the place of its drawing"),
    (
        r"\A\ufeff?[\w ]+([,;][\w ]*)+$",
        "a sheet needs the columns name, sockets, cores_per_socket, threads_per_core, numbering "
        "and memory_gib, with commas between them",
    ),
)


def find_kind(body: Any) -> str:
    """Return what a document is, with its article; empty where it is none that we know."""
    if not isinstance(body, Mapping):
        return ""
    return next((kind for keys, kind in _KEYS if keys <= set(map(str, body))), "")


def refuse_other(body: Any, wanted: str, *, what: str) -> None:
    """Refuse a document of another kind than the wanted one; any that may be meant for it passes.

    Args:
        body: what JSON or YAML gave.
        wanted: such as `a plan`.
        what: how to call the file in the message.

    Raises:
        Invalid: it is empty, or of another kind.
    """
    if body is None:
        raise errors.Invalid(f"{what} is empty; {_MADE_BY[wanted]}")
    kind = find_kind(body)
    if kind and kind != wanted:
        raise errors.Invalid(f"{what} is {kind}, not {wanted}; {_MADE_BY[wanted]}")


def refuse_facts(text: str, wanted: str, *, what: str) -> None:
    """Refuse the facts of a host where a document is wanted.

    Raises:
        Invalid: they are facts.
    """
    if text.startswith(dump.MAGIC):
        raise errors.Invalid(f"{what} has the facts of a host, not {wanted}; {_MADE_BY[wanted]}")


def say_nearly(text: str) -> str:
    """Return what a text lacks to describe a host; empty where nothing comes near."""
    head = text[:4000]
    found = (said for pattern, said in _NEARLY if re.search(pattern, head, re.MULTILINE))
    return next(found, "")
