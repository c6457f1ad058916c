"""Ports of which a dump says the same, but for who they are. Pure.

Two ports are alike if nothing in the dump changes, but names and the order of rows, where each is
put in the place of the other. What is asked of one is answered for all that are alike.
"""

import ipaddress
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isthmus.diagnose.dump.form import Dump
from isthmus.diagnose.world import Row

#: Columns by which nothing is decided: what it is called, whose it is, when it was changed.
_IDLE = frozenset({
    "name", "description", "device_id", "created_at", "updated_at", "revision_number", "statistics",
})  # fmt: skip
#: Tables in which a port's name is what OVN finds it by.
_NAMED = frozenset({"Logical_Switch_Port", "Logical_Router_Port", "Port_Group", "Address_Set"})
#: Columns that hold numbers of a port's own: whether they agree is what counts.
_KEYS = frozenset({"tunnel_key", "port_key", "requested-tnl-key", "ofport"})
_WORDS = re.compile(r"[^\s,;=\"'()\[\]{}]+")
_PREFIX = re.compile(r"[0-9a-fA-F:.]*[:.][0-9a-fA-F:.]*/\d{1,3}")


@dataclass(slots=True)
class _Marks:
    """What stands for ports in rows."""

    ports: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    keys: dict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, word: object, port: int, role: str) -> None:
        if word:
            self.ports[str(word)].setdefault(port, role)

    def key(self, port: int, value: object) -> str:
        """Return what stands for a number of a port: which of its numbers it is."""
        if isinstance(value, int) and value < 0:
            return str(value)
        known = self.keys[port]
        return f"<key {known.setdefault(str(value), len(known))}>"

    def find(self, text: str) -> Iterator[tuple[str, Mapping[int, str]]]:
        """Yield the words of a text that stand for ports."""
        whole = self.ports.get(text)
        if whole is not None:
            yield text, whole
            return
        for word in _WORDS.findall(text):
            found = self.ports.get(word)
            if found is not None:
                yield word, found


def group_alike(dump: Dump, ports: Sequence[str]) -> list[list[str]]:
    """Put ports together that are alike.

    Args:
        dump: all that was seen.
        ports: ids.

    Returns:
        The groups, each in the order in which it was given.
    """
    marks = _mark(dump, ports)
    _mark_rows(dump, marks)
    said: list[list[str]] = [[] for _ in ports]
    prefixes: set[str] = set()
    for (source, place), tables in sorted(dump.tables.items()):
        for table, rows in sorted(tables.items()):
            where = f"{source} {place} {table}"
            for row in rows:
                _read(row, where, table, marks, said)
                prefixes.update(_PREFIX.findall(json.dumps(row, default=str)))
    nets = [net for one in sorted(prefixes) if (net := _network(one)) is not None]
    held = _list_addresses(dump, ports)
    groups: dict[tuple[object, ...], list[str]] = {}
    for at, port in enumerate(ports):
        inside = tuple(
            number for number, net in enumerate(nets)
            if any(one.version == net.version and one in net for one in held[at])
        )  # fmt: skip
        groups.setdefault((tuple(sorted(said[at])), inside), []).append(port)
    return [*groups.values()]


def _network(text: str) -> Any:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _list_addresses(dump: Dump, ports: Sequence[str]) -> list[list[Any]]:
    known = {port: at for at, port in enumerate(ports)}
    found: list[list[Any]] = [[] for _ in ports]
    for tables in dump.tables.values():
        for row in tables.get("port", ()):
            at = known.get(str(row.get("id")))
            for one in (row.get("fixed_ips") or ()) if at is not None else ():
                address = _network(str(one.get("ip_address")))
                if address is not None and at is not None:
                    found[at].append(address.network_address)
    return found


def _mark(dump: Dump, ports: Sequence[str]) -> _Marks:
    """Collect what stands for each port: ids, addresses, rows of OVN, and matches of flows."""
    marks, known = _Marks(), {port: at for at, port in enumerate(ports)}
    for port, at in known.items():
        marks.add(port, at, "port")
    for (source, place), tables in dump.tables.items():
        for row in tables.get("port", ()):
            at = known.get(str(row.get("id")), -1)
            if at >= 0:
                _mark_port(marks, at, row)
        _mark_ovn(marks, known, tables, f"{source} {place}")
    return marks


def _mark_port(marks: _Marks, at: int, row: Row) -> None:
    marks.add(row.get("mac_address"), at, "mac")
    for number, one in enumerate(row.get("fixed_ips") or ()):
        marks.add(one.get("ip_address"), at, f"address {number}")


def _mark_ovn(
    marks: _Marks, known: Mapping[str, int], tables: Mapping[str, Sequence[Row]], where: str
) -> None:
    for row in tables.get("Logical_Switch_Port", ()):
        at = known.get(str(row.get("name")), -1)
        if at >= 0:
            marks.add(row.get("_uuid"), at, f"{where} switch port")
    paths = {row.get("_uuid"): row.get("tunnel_key") for row in tables.get("Datapath_Binding", ())}
    for row in tables.get("Port_Binding", ()):
        at = known.get(str(row.get("logical_port")), -1)
        if at >= 0:
            marks.add(row.get("_uuid"), at, f"{where} binding")
            path, key = paths.get(row.get("datapath")), row.get("tunnel_key")
            if path is not None and key is not None:
                match = f"metadata={int(path):#x},reg15={int(key):#x}"
                marks.add(match, at, f"{where} flow")


def _mark_rows(dump: Dump, marks: _Marks) -> None:
    """Let rows that are of one port alone stand for it where other rows name them."""
    found: list[tuple[object, int, str]] = []
    for (source, place), tables in dump.tables.items():
        for table, rows in tables.items():
            for row in rows:
                hits = _find(row, marks)
                if len(hits) == 1:
                    role = f"{source} {place} {table}"
                    found += [(row.get(key), next(iter(hits)), role) for key in ("_uuid", "id")]
    for ident, port, role in found:
        marks.add(ident, port, role)


def _find(row: Row, marks: _Marks) -> dict[int, list[str]]:
    """Return which ports a row names, and how."""
    hits: dict[int, list[str]] = {}
    for path, text in _walk(row, ""):
        for _, found in marks.find(text):
            for port, role in found.items():
                hits.setdefault(port, []).append(f"{path}: {role}")
    return hits


def _read(row: Row, where: str, table: str, marks: _Marks, said: list[list[str]]) -> None:
    """Note what a row says of ports: all of it where it is of one alone, else how it names each."""
    hits = _find(row, marks)
    if len(hits) == 1:
        ((port, roles),) = hits.items()
        said[port].append(f"{where}: {_write(row, table, port, marks)} {sorted(roles)}")
        return
    ident = row.get("_uuid") or row.get("id") or row.get("name") or repr(row)
    for port, roles in hits.items():
        said[port].append(f"{where} {ident}: {sorted(roles)}")


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _walk(one, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _walk(one, path)


def _write(row: Row, table: str, port: int, marks: _Marks) -> str:
    """Write a row that is of one port alone, with words for what is the port's own."""
    idle = _IDLE - {"name"} if table in _NAMED else _IDLE
    kept = {key: value for key, value in row.items() if key not in idle}
    return json.dumps(_rename(kept, port, marks), sort_keys=True, default=str)


def _rename(value: Any, port: int, marks: _Marks) -> Any:
    if isinstance(value, str):
        for word, found in [*marks.find(value)]:
            value = value.replace(word, f"<{found[port]}>") if port in found else value
        return value
    if isinstance(value, Mapping):
        return {
            key: marks.key(port, one)
            if key in _KEYS and isinstance(one, int | str)
            else _rename(one, port, marks)
            for key, one in sorted(value.items())
        }
    if isinstance(value, list | tuple):
        return [_rename(one, port, marks) for one in value]
    return value
