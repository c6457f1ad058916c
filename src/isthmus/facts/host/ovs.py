"""Facts of Open vSwitch as it runs, from its database and its own commands.

Source: ovs-vswitchd.conf.db(5), ovs-vswitchd(8), RFC 7047.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.facts.dump import HostFacts
from isthmus.facts.fact import Fact, Requires, command, rows

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
    link_state: str = ""  #: up or down; empty where the facts do not have it


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
    """Read `ovs-vsctl --format=json` as one mapping a row.

    Raises:
        ValueError: it is not that: a table that cannot be read is not an empty one.
    """
    try:
        table = json.loads(text)
        return [
            {heading: _value(cell) for heading, cell in zip(table["headings"], row, strict=True)}
            for row in table["data"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ValueError(f"no table of Open vSwitch's: {text.strip()[:40]!r}") from exc


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
    """Read `ovs-vsctl --format=json list Interface`.

    Raises:
        ValueError: it is not that.
    """
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
            key: value
            for key, value in (statistics.items() if isinstance(statistics, Mapping) else ())
            if isinstance(value, int)
        },
        status=strings(row.get("status")),
        uuid=str(row.get("_uuid", "")),
        link_state="".join(names(row.get("link_state"))),
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


@dataclass(frozen=True, slots=True)
class Switch:
    """The row of Open vSwitch's database about itself, and whether its daemon answers."""

    runs: bool
    says: str  #: what went wrong where it does not
    dpdk_initialized: bool
    other_config: Mapping[str, str]
    external_ids: Mapping[str, str]


def parse_switch(seen: HostFacts) -> Switch:
    """Read `ovs-vsctl list Open_vSwitch` and the answer of ovs-vswitchd."""
    row = parse_rows(seen.commands["ovs-vsctl"]) if "ovs-vsctl" in seen.commands else []
    own = row[0] if row else {}
    failed = seen.failures.get("ovs-vsctl", "") or seen.failures.get("vswitchd-version", "")
    return Switch(
        # pmd-rxq-show fails where there is no user-space datapath yet; version tells a dead daemon.
        runs=bool(row) and "vswitchd-version" in seen.commands,
        says=failed.strip().splitlines()[-1] if failed.strip() else "",
        dpdk_initialized=bool(own.get("dpdk_initialized")),
        other_config=strings(own.get("other_config")),
        external_ids=strings(own.get("external_ids")),
    )


@dataclass(frozen=True, slots=True)
class Polling:
    """The PMD threads and what they poll."""

    pmds: Mapping[int, int]  #: CPU of each PMD thread -> NUMA node
    queues: tuple[Queue, ...]
    shut: tuple[int, ...]  #: CPUs of those that take no further queue


def parse_polling(seen: HostFacts) -> Polling:
    """Read `dpif-netdev/pmd-rxq-show`."""
    shown = seen.commands["pmd-rxq-show"]
    return Polling(*parse_rxqs(shown), parse_shut(shown))


@dataclass(frozen=True, slots=True)
class Bridges:
    """The ports of bridges, and the datapath of each bridge."""

    ports: tuple[Port, ...]
    datapaths: Mapping[str, str]  #: bridge -> system or netdev


def read_bridges(seen: HostFacts) -> Bridges:
    """Read the tables Port, Bridge and Interface."""
    bridges = seen.commands.get("ovs-bridges", "")
    interfaces = parse_interfaces(seen.commands.get("ovs-interfaces", ""))
    ports = parse_ports(seen.commands["ovs-ports"], bridges, interfaces)
    return Bridges(ports, parse_datapaths(bridges))


def parse_given(text: str) -> dict[str, int]:
    """Read what the script took of `dpif/show`: port -> receive queues that its device gave."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


_REQUIRES = Requires(package="Open vSwitch", daemon="ovs-vswitchd", privilege="root")
_INTERFACES = rows(
    "ovs-interfaces",
    "Interface",
    "_uuid,name,type,options,other_config,mtu,mtu_request,error,statistics,status,link_state",
)
_LOG = "/var/log/openvswitch/ovs-vswitchd.log"
_KOLLA_LOG = "/var/log/kolla/openvswitch/ovs-vswitchd.log"
#: Of the switch's log: errors and warnings of the modules that have to do with DPDK.
_LOG_LINES = "[|](dpdk|netdev_dpdk|dpif_netdev|netdev_vport)[^|]*[|](WARN|ERR|EMER)[|]|[|]EMER[|]"

SWITCH = Fact(
    "switch",
    parse_switch,
    (
        rows("ovs-vsctl", "Open_vSwitch", "_uuid,dpdk_initialized,other_config,external_ids"),
        command("vswitchd-version", "$X ovs-appctl --timeout=5 version"),
    ),
    _REQUIRES,
    failure_tells=True,
)
INTERFACES = Fact(
    "interfaces",
    lambda seen: parse_interfaces(seen.commands["ovs-interfaces"]),
    (_INTERFACES,),
    _REQUIRES,
)
PORTS = Fact(
    "ports",
    read_bridges,
    (
        rows("ovs-ports", "Port", "_uuid,name,interfaces,bond_mode,lacp"),
        rows("ovs-bridges", "Bridge", "_uuid,name,ports,datapath_type"),
        _INTERFACES,
    ),
    _REQUIRES,
)
PMDS = Fact(
    "pmds",
    parse_polling,
    (command("pmd-rxq-show", "$X ovs-appctl --timeout=5 dpif-netdev/pmd-rxq-show"),),
    _REQUIRES,
)
#: Of `dpif/show` the number alone: what else it shows of a port may be the key of a tunnel.
QUEUES_GIVEN = Fact(
    "queues_given",
    lambda seen: parse_given(seen.commands["queues-given"]),
    (
        command(
            "queues-given",
            "$X ovs-appctl --timeout=5 dpif/show | sed -n "
            r"'s/^ *\([^ ]*\) .*(dpdk: .*configured_rx_queues=\([0-9]*\).*/\1 \2/p'",
        ),
    ),
    _REQUIRES,
    sample="dpdk7 2\n",
)
PMD_STATS = Fact(
    "pmd_stats",
    lambda seen: seen.commands["pmd-stats-show"],
    (command("pmd-stats-show", "$X ovs-appctl --timeout=5 dpif-netdev/pmd-stats-show"),),
    _REQUIRES,
)
LOG = Fact(
    "log",
    lambda seen: seen.commands["ovs-log"],
    (
        command(
            "ovs-log", f"$X grep -hE '{_LOG_LINES}' {_LOG} {_KOLLA_LOG} 2>/dev/null | tail -n 40"
        ),
    ),
    _REQUIRES,
)
BONDS = Fact(
    "bonds",
    lambda seen: parse_bonds(seen.commands["bonds"]),
    (command("bonds", "$X ovs-appctl --timeout=5 bond/show"),),
    _REQUIRES,
)
FACTS = (SWITCH, INTERFACES, PORTS, PMDS, QUEUES_GIVEN, PMD_STATS, LOG, BONDS)
