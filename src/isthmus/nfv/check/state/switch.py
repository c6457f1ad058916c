"""Open vSwitch as it runs, read from its database and its own commands."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PMD = re.compile(r"^pmd thread numa_id (\d+) core_id (\d+):")
_QUEUE = re.compile(
    r"^\s+port:\s+(\S+)\s+queue-id:\s+(\d+)\s+\((\w+)\)(?:\s+pmd usage:\s+(\d+|NOT AVAIL))?"
)
_BOND = re.compile(r"^---- (\S+) ----")


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of Open vSwitch."""

    name: str
    type: str
    options: Mapping[str, str]
    other_config: Mapping[str, str]
    mtu: int | None
    error: str
    statistics: Mapping[str, int]
    status: Mapping[str, str]
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Port:
    """One port of a bridge: an interface, or a bond of several."""

    name: str
    interfaces: tuple[str, ...]  #: by name
    bridge: str = ""
    bond_mode: str = ""
    lacp: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """One receive queue and who polls it."""

    port: str
    queue: int
    cpu: int
    numa: int
    enabled: bool
    usage_pct: int | None


@dataclass(frozen=True, slots=True)
class Bond:
    """One bond as it runs."""

    mode: str
    lacp: str  #: negotiated, configured, off
    enabled: tuple[str, ...] = field(default=())  #: members that carry packets


def parse_rows(text: str) -> list[dict[str, Any]]:
    """Read `ovs-vsctl --format=json` as one mapping a row; empty where it is not that."""
    try:
        table = json.loads(text)
        return [
            {heading: _value(cell) for heading, cell in zip(table["headings"], row, strict=True)}
            for row in table["data"]
        ]
    except (ValueError, KeyError, TypeError):
        return []


def _value(cell: Any) -> Any:
    """Unwrap OVSDB's JSON notation (RFC 7047, 5.1)."""
    if isinstance(cell, list) and len(cell) == 2:
        kind, body = cell
        if kind == "map":
            return {str(key): value for key, value in body if key}
        if kind == "set":
            return [_value(one) for one in body]
        return body
    return cell


def strings(value: Any) -> dict[str, str]:
    """Return a map of OVSDB's as strings; empty where it is none."""
    items = value.items() if isinstance(value, Mapping) else ()
    return {str(key): str(one) for key, one in items}


def names(value: Any) -> tuple[str, ...]:
    """Return a set of OVSDB's, which is a bare value where it has one, as strings."""
    if isinstance(value, list):
        return tuple(map(str, value))
    return (str(value),) if value not in (None, "") else ()


def parse_interfaces(text: str) -> tuple[Interface, ...]:
    """Read `ovs-vsctl --format=json list Interface`; empty where it is not that."""
    return tuple(_interface(one) for one in parse_rows(text))


def _interface(row: Mapping[str, Any]) -> Interface:
    statistics = row.get("statistics")
    mtu = row.get("mtu")
    return Interface(
        name=str(row.get("name", "")),
        type=str(row.get("type", "")),
        options=strings(row.get("options")),
        other_config=strings(row.get("other_config")),
        mtu=mtu if isinstance(mtu, int) else None,
        error=str(row.get("error") or ""),
        statistics={
            key: int(value)
            for key, value in (statistics.items() if isinstance(statistics, Mapping) else ())
        },
        status=strings(row.get("status")),
        uuid=str(row.get("_uuid", "")),
    )


def parse_ports(ports: str, bridges: str, interfaces: tuple[Interface, ...]) -> tuple[Port, ...]:
    """Read the tables Port and Bridge; interfaces are told by name."""
    name_of = {one.uuid: one.name for one in interfaces}
    bridge_of = {
        uuid: str(row.get("name", ""))
        for row in parse_rows(bridges)
        for uuid in names(row.get("ports"))
    }
    return tuple(
        Port(
            name=str(row.get("name", "")),
            interfaces=tuple(sorted(name_of.get(one, "") for one in names(row.get("interfaces")))),
            bridge=bridge_of.get(str(row.get("_uuid", "")), ""),
            bond_mode=next(iter(names(row.get("bond_mode"))), ""),
            lacp=next(iter(names(row.get("lacp"))), ""),
        )
        for row in parse_rows(ports)
    )


def parse_datapaths(bridges: str) -> dict[str, str]:
    """Read the table Bridge: name -> type of datapath."""
    return {
        str(row.get("name", "")): str(row.get("datapath_type") or "system")
        for row in parse_rows(bridges)
    }


def parse_bonds(text: str) -> dict[str, Bond]:
    """Read `bond/show`."""
    found: dict[str, Bond] = {}
    name, mode, lacp = "", "", ""
    enabled: list[str] = []
    for line in [*text.splitlines(), "---- end ----"]:
        if match := _BOND.match(line):
            if name:
                found[name] = Bond(mode, lacp, tuple(enabled))
            name, mode, lacp, enabled = match[1], "", "", []
        elif line.startswith("bond_mode:"):
            mode = line.partition(":")[2].strip()
        elif line.startswith("lacp_status:"):
            lacp = line.partition(":")[2].strip()
        elif member := re.match(r"^(?:member|slave) (\S+): enabled", line):
            enabled.append(member[1])
    return found


def parse_rxqs(text: str) -> tuple[dict[int, int], tuple[Queue, ...]]:
    """Read `dpif-netdev/pmd-rxq-show`: PMD CPU -> NUMA node, and the queues."""
    pmds: dict[int, int] = {}
    queues: list[Queue] = []
    numa = cpu = -1
    for line in text.splitlines():
        if head := _PMD.match(line):
            numa, cpu = int(head[1]), int(head[2])
            pmds[cpu] = numa
        elif (match := _QUEUE.match(line)) and cpu >= 0:
            usage = int(match[4]) if match[4] and match[4].isdigit() else None
            queues.append(Queue(match[1], int(match[2]), cpu, numa, match[3] == "enabled", usage))
    return pmds, tuple(queues)


def parse_shut(text: str) -> tuple[int, ...]:
    """Read which PMDs poll their pinned queues and nothing else."""
    found: list[int] = []
    cpu = -1
    for line in text.splitlines():
        if head := _PMD.match(line):
            cpu = int(head[2])
        elif cpu >= 0 and re.match(r"^\s+isolated\s*:\s*true", line):
            found.append(cpu)
    return tuple(found)
