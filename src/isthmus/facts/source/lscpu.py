"""`lscpu -J` and `lscpu -J -e` as they stand in a text, for `inspect.commands` to go on from.

`lscpu -J` tells which CPU is on which node and how many threads a core has, but not which of them
are siblings: with hyper-threading that takes `lscpu -J -e=CPU,CORE,SOCKET,NODE`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.facts import cpuset

_PAGES = {"pse": 2048, "pdpe1gb": 1048576}


@dataclass(frozen=True, slots=True)
class Said:
    """What lscpu's JSON says; empty where it does not."""

    rows: tuple[tuple[int, int, int, int], ...] = ()  #: CPU, core, socket, node
    vendor: str = ""
    model: str = ""
    page_sizes_kib: tuple[int, ...] = ()


def find_documents(text: str) -> Iterator[Mapping[str, Any]]:
    """Find JSON of lscpu's in a text, whatever stands around it."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            document, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end, document = at + 1, None
        if isinstance(document, Mapping) and {"lscpu", "cpus"} & set(document):
            yield document
        at = text.find("{", end)


def is_lscpu(text: str) -> bool:
    """Tell whether a text holds JSON of lscpu's."""
    if '"lscpu"' not in text and '"cpus"' not in text:
        return False
    return any(_is_own(one) for one in find_documents(text))


def _is_own(document: Mapping[str, Any]) -> bool:
    table = document.get("cpus")
    first = table[0] if isinstance(table, list) and table else None
    listed = isinstance(first, Mapping) and "cpu" in first
    return isinstance(document.get("lscpu"), list) or listed


def parse_lscpu(text: str) -> Said:
    """Read all of lscpu's JSON in a text.

    Raises:
        ProtocolError: a table lacks a column.
        Invalid: only the summary is there, and it does not tell siblings.
    """
    rows: tuple[tuple[int, int, int, int], ...] = ()
    fields: dict[str, str] = {}
    for document in find_documents(text):
        if isinstance(document.get("lscpu"), list):
            fields |= dict(_fields(document["lscpu"]))
        elif _is_own(document):
            rows = tuple(_row(one) for one in document["cpus"] if _is_online(one))
    if not rows and fields:
        rows = _rows_of(fields)
    flags = set(fields.get("Flags", "").split())
    return Said(
        rows=rows,
        vendor=fields.get("Vendor ID", ""),
        model=fields.get("Model name", ""),
        page_sizes_kib=tuple(size for flag, size in _PAGES.items() if flag in flags),
    )


def _fields(listed: Any) -> Iterator[tuple[str, str]]:
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, Mapping):
            yield str(one.get("field", "")).strip().rstrip(":"), str(one.get("data") or "")
            yield from _fields(one.get("children"))


def _is_online(row: Mapping[str, Any]) -> bool:
    return str(row.get("online", "yes")).lower() in {"yes", "true", "1"}


def _row(row: Mapping[str, Any]) -> tuple[int, int, int, int]:
    try:
        node = row.get("node")
        numbers = (row["cpu"], row["core"], row["socket"], 0 if node in (None, "-", "") else node)
        cpu, core, socket, place = (int(one) for one in numbers)
    except (KeyError, TypeError, ValueError) as exc:
        raise errors.ProtocolError(
            f"lscpu's table lacks CPU, CORE, SOCKET or NODE near {exc}: take lscpu -J "
            "-e=CPU,CORE,SOCKET,NODE"
        ) from exc
    return cpu, core, socket, place


def _rows_of(fields: Mapping[str, str]) -> tuple[tuple[int, int, int, int], ...]:
    threads = fields.get("Thread(s) per core", "")
    if threads != "1":
        raise errors.Invalid(
            f"lscpu -J says that a core has {threads or 'some'} threads, but not which CPUs are "
            "siblings: take lscpu -J -e=CPU,CORE,SOCKET,NODE"
        )
    nodes = {
        int(key.split("node")[1].split()[0]): cpuset.parse_list(value)
        for key, value in fields.items()
        if key.startswith("NUMA node") and key.endswith("CPU(s)") and key != "NUMA node(s)"
    }
    if not nodes:
        nodes = {0: cpuset.parse_list(fields.get("On-line CPU(s) list", ""))}
    sockets = int(fields.get("Socket(s)", "1") or 1)
    each = max(1, -(-len(nodes) // sockets))
    return tuple(
        (cpu, cpu, index // each, node)
        for index, (node, cpus) in enumerate(sorted(nodes.items()))
        for cpu in cpus
    )
