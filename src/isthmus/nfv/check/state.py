"""How a host is set up and what it does right now, read from its facts.

Only what checks need; a part that the host does not have (no Open vSwitch, no instances) is empty,
and the checks say what that means.
"""

import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isthmus.model import host_inventory
from isthmus.nfv import cpuset
from isthmus.nfv.inspect import facts, sysfs

_PMD = re.compile(r"^pmd thread numa_id (\d+) core_id (\d+):")
_QUEUE = re.compile(
    r"^\s+port:\s+(\S+)\s+queue-id:\s+(\d+)\s+\((\w+)\)(?:\s+pmd usage:\s+(\d+|NOT AVAIL))?"
)


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
class Thread:
    """One thread of the host."""

    pid: int
    tid: int
    is_kernel: bool
    allowed: tuple[int, ...]
    process: str
    name: str


@dataclass(frozen=True, slots=True)
class Domain:
    """One instance as libvirt runs it."""

    name: str
    pins: Mapping[int, tuple[int, ...]]  #: vCPU -> host CPUs
    emulator: tuple[int, ...]
    vhost_user: int  #: interfaces by vhost-user
    hugepages: bool
    tids: Mapping[int, int] = field(default_factory=dict)  #: vCPU -> thread, where it is told


@dataclass(frozen=True, slots=True)
class HostState:
    """Everything that checks look at."""

    inventory: host_inventory.HostInventory
    files: Mapping[str, str]
    isolated: tuple[int, ...]
    nohz_full: tuple[int, ...]
    online: tuple[int, ...]
    ovs_runs: bool
    ovs_says: str  #: what went wrong where it does not
    dpdk_initialized: bool
    other_config: Mapping[str, str]
    external_ids: Mapping[str, str]
    interfaces: tuple[Interface, ...]
    pmds: Mapping[int, int]  #: CPU of each PMD thread -> NUMA node
    queues: tuple[Queue, ...]
    nova: Mapping[str, tuple[str, ...]]
    tuned_profile: str
    threads: tuple[Thread, ...]
    shut_pmds: tuple[int, ...]  #: PMD CPUs that take no further queue
    switch_log: str  #: its last errors
    irqs: Mapping[str, tuple[int, ...]]  #: IRQ -> CPUs that really get it
    interrupts: Mapping[str, tuple[int, ...]]  #: IRQ -> how often, by CPU
    domains: tuple[Domain, ...]

    @property
    def kernel_args(self) -> tuple[str, ...]:
        """Words of the running kernel's line."""
        return tuple(self.inventory.kernel_line.split())


def parse_state(seen: facts.HostFacts) -> HostState:
    """Read the state from facts that were gathered with settings.

    Raises:
        ProtocolError: the facts are garbled or were gathered without settings.
        Invalid: they cannot be.
    """
    row = _rows(seen.commands.get("ovs-vsctl", ""))
    switch = row[0] if row else {}
    pmds, queues = parse_rxqs(seen.commands.get("pmd-rxq-show", ""))
    return HostState(
        inventory=sysfs.parse_host(seen),
        files=seen.files,
        isolated=cpuset.parse_list(seen.text("/sys/devices/system/cpu/isolated")),
        nohz_full=_nohz(seen.text("/sys/devices/system/cpu/nohz_full")),
        online=cpuset.parse_list(seen.text("/sys/devices/system/cpu/online")),
        ovs_runs=bool(row) and "vswitchd-version" in seen.commands,
        ovs_says=_first_line(
            seen.failures.get("ovs-vsctl", "") or seen.failures.get("vswitchd-version", "")
        ),
        dpdk_initialized=bool(switch.get("dpdk_initialized")),
        other_config=_strings(switch.get("other_config")),
        external_ids=_strings(switch.get("external_ids")),
        interfaces=parse_interfaces(seen.commands.get("ovs-interfaces", "")),
        pmds=pmds,
        queues=queues,
        nova=parse_ini(_joined(seen, "/etc/nova/")),
        tuned_profile=seen.text("/etc/tuned/active_profile"),
        threads=parse_threads(seen.commands.get("threads", "")),
        shut_pmds=parse_shut(seen.commands.get("pmd-rxq-show", "")),
        switch_log=seen.commands.get("ovs-log", ""),
        interrupts=parse_interrupts(seen.files.get("/proc/interrupts", "")),
        irqs={
            irq: cpuset.parse_list(text)
            for irq, text in seen.matching("/proc/irq/", "/effective_affinity_list")
        },
        domains=tuple(
            domain
            for _, text in seen.matching("/run/libvirt/qemu/", ".xml")
            if (domain := parse_domain(text)) is not None
        ),
    )


def _nohz(text: str) -> tuple[int, ...]:
    return () if "null" in text else cpuset.parse_list(text)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else ""


def _joined(seen: facts.HostFacts, prefix: str) -> str:
    """Join configuration files in the order in which oslo.config reads them."""
    paths = sorted(path for path in seen.files if path.startswith(prefix))
    paths.sort(key=lambda path: path.count("/"))
    return "\n".join(seen.files[path] for path in paths)


def parse_ini(text: str) -> dict[str, tuple[str, ...]]:
    """Read oslo.config text as `section/option` -> values, in their order."""
    found: dict[str, tuple[str, ...]] = {}
    section = "DEFAULT"
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1].strip()
        elif stripped and stripped[0] not in "#;" and "=" in stripped:
            option, _, value = stripped.partition("=")
            key = f"{section}/{option.strip()}"
            found[key] = (*found.get(key, ()), value.strip())
    return found


def _rows(text: str) -> list[dict[str, Any]]:
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
            return {str(key): value for key, value in body}
        if kind == "set":
            return [_value(one) for one in body]
        return body
    return cell


def _strings(value: Any) -> dict[str, str]:
    items = value.items() if isinstance(value, Mapping) else ()
    return {str(key): str(one) for key, one in items}


def parse_interfaces(text: str) -> tuple[Interface, ...]:
    """Read `ovs-vsctl --format=json list Interface`; empty where it is not that."""
    return tuple(_interface(one) for one in _rows(text))


def _interface(row: Mapping[str, Any]) -> Interface:
    statistics = row.get("statistics")
    mtu = row.get("mtu")
    return Interface(
        name=str(row.get("name", "")),
        type=str(row.get("type", "")),
        options=_strings(row.get("options")),
        other_config=_strings(row.get("other_config")),
        mtu=mtu if isinstance(mtu, int) else None,
        error=str(row.get("error") or ""),
        statistics={
            key: int(value)
            for key, value in (statistics.items() if isinstance(statistics, Mapping) else ())
        },
        status=_strings(row.get("status")),
    )


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


def parse_interrupts(text: str) -> dict[str, tuple[int, ...]]:
    """Read /proc/interrupts: numbered IRQ -> deliveries, in order of the CPUs that run."""
    found: dict[str, tuple[int, ...]] = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(":")
        if name.strip().isdigit():
            counts = itertools.takewhile(str.isdigit, rest.split())
            found[name.strip()] = tuple(map(int, counts))
    return found


def parse_threads(text: str) -> tuple[Thread, ...]:
    """Read the table of threads that the facts script wrote; a garbled line is left out."""
    found: list[Thread] = []
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) == 6 and parts[0].isdigit() and parts[1].isdigit():
            found.append(
                Thread(
                    pid=int(parts[0]),
                    tid=int(parts[1]),
                    is_kernel=parts[2] == "1",
                    allowed=cpuset.parse_list(parts[3]),
                    process=parts[4],
                    name=parts[5],
                )
            )
    return tuple(found)


def parse_domain(text: str) -> Domain | None:
    """Read one libvirt domain; None where it is not one."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - libvirt's own files, read as root's
    except ET.ParseError:
        return None
    domain = root if root.tag == "domain" else root.find("domain")
    if domain is None:
        return None
    emulator = domain.find("cputune/emulatorpin")
    return Domain(
        name=domain.findtext("name", ""),
        pins={
            int(pin.get("vcpu", "0")): cpuset.parse_list(pin.get("cpuset", ""))
            for pin in domain.iterfind("cputune/vcpupin")
        },
        emulator=cpuset.parse_list(emulator.get("cpuset", "") if emulator is not None else ""),
        vhost_user=len(domain.findall("devices/interface[@type='vhostuser']")),
        hugepages=domain.find("memoryBacking/hugepages") is not None,
        tids={
            int(one.get("id", "0")): int(one.get("pid", "0")) for one in root.iterfind("vcpus/vcpu")
        },
    )


def parse_nova_cpus(nova: Mapping[str, Sequence[str]], key: str) -> tuple[int, ...]:
    """Read a set of CPUs of `[compute]`; empty where it is not set, the last one where it is twice.

    Args:
        nova: `section/option` -> values, of a host or of a plan.
        key: such as `cpu_dedicated_set`.
    """
    values = nova.get(f"compute/{key}", ())
    return cpuset.parse_list(values[-1]) if values else ()
