"""Facts of instances as libvirt runs them, read from its own record of each.

Source: libvirt's domain XML, and the status files that it keeps in /run/libvirt/qemu.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field

from isthmus.facts import cpuset
from isthmus.facts.dump import HostFacts
from isthmus.facts.fact import Elsewhere, Fact, How, Requires, Source
from isthmus.facts.host.procfs import is_emulator


@dataclass(frozen=True, slots=True)
class Domain:
    """One instance as libvirt runs it."""

    name: str
    pins: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  #: vCPU -> host CPUs
    emulator: tuple[int, ...] = ()
    vhost_user: tuple[str, ...] = ()  #: ports by vhost-user, as Open vSwitch calls them
    hugepages: bool = False
    tids: Mapping[int, int] = field(default_factory=dict)  #: vCPU -> thread, where it is told
    io_threads: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  #: number -> host CPUs
    memory_nodes: tuple[int, ...] = ()  #: host nodes its memory is bound to; empty: not bound
    memory_mode: str = ""  #: strict, preferred, interleave
    page_kib: tuple[int, ...] = ()  #: sizes of its huge pages; empty: the host's default
    #: vhost-user can only reach memory that is shared; None where the record has no word of it.
    shared_memory: bool | None = None
    pid: int = 0  #: of its emulator, 0 where it is not told


def parse_domain(text: str) -> Domain | None:
    """Read one libvirt domain; None where it is not one.

    Raises:
        ValueError: it is no XML: an instance that cannot be read is not one that is not there.
    """
    try:
        root = ET.fromstring(text)  # noqa: S314 - libvirt's own files, read as root's
    except ET.ParseError as exc:
        raise ValueError(f"no XML: {exc}") from exc
    domain = root if root.tag == "domain" else root.find("domain")
    if domain is None:
        return None
    emulator = domain.find("cputune/emulatorpin")
    memory = domain.find("numatune/memory")
    nodes = {
        node
        for one in (*domain.iterfind("numatune/memnode"), *domain.iterfind("numatune/memory"))
        for node in cpuset.parse_list(one.get("nodeset", ""))
    }
    said = {one.get("memAccess", "private") for one in domain.iterfind("cpu/numa/cell")}
    said |= {one.get("mode", "") for one in domain.iterfind("memoryBacking/access")}
    return Domain(
        name=domain.findtext("name", ""),
        pins={
            int(pin.get("vcpu", "0")): cpuset.parse_list(pin.get("cpuset", ""))
            for pin in domain.iterfind("cputune/vcpupin")
        },
        emulator=cpuset.parse_list(emulator.get("cpuset", "") if emulator is not None else ""),
        vhost_user=tuple(
            _socket_name(one) for one in domain.findall("devices/interface[@type='vhostuser']")
        ),
        hugepages=domain.find("memoryBacking/hugepages") is not None,
        tids={
            int(one.get("id", "0")): int(one.get("pid", "0")) for one in root.iterfind("vcpus/vcpu")
        },
        io_threads={
            int(one.get("iothread", "0")): cpuset.parse_list(one.get("cpuset", ""))
            for one in domain.iterfind("cputune/iothreadpin")
        },
        memory_nodes=tuple(sorted(nodes)),
        memory_mode=memory.get("mode", "") if memory is not None else "",
        page_kib=tuple(
            sorted(
                {
                    _kib(one.get("size", ""), one.get("unit", "KiB"))
                    for one in domain.iterfind("memoryBacking/hugepages/page")
                }
            )
        ),
        shared_memory="shared" in said if said else None,
        pid=int(root.get("pid", "0") or 0),
    )


def _socket_name(interface: ET.Element) -> str:
    source = interface.find("source")
    target = interface.find("target")
    if source is not None and source.get("path"):
        return source.get("path", "").rpartition("/")[2]
    return target.get("dev", "") if target is not None else ""


#: libvirt writes KiB; the others are allowed in what people define.
_UNITS = {"b": 1, "bytes": 1, "kib": 1 << 10, "k": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def _kib(size: str, unit: str) -> int:
    return int(size or 0) * _UNITS.get(unit.lower(), 1 << 10) >> 10


def parse_domains(seen: HostFacts) -> tuple[Domain, ...]:
    """Read the records that libvirt keeps of what it runs.

    Raises:
        Elsewhere: instances run, and no record of any was seen.
    """
    found = (parse_domain(text) for _, text in seen.matching("/run/libvirt/qemu/", ".xml"))
    domains = tuple(domain for domain in found if domain is not None)
    if not domains and any(map(is_emulator, seen.processes)):
        raise Elsewhere("instances run, but libvirt's records of them are not in /run/libvirt/qemu")
    return domains


DOMAINS = Fact(
    "domains",
    parse_domains,
    (Source(How.DOMAIN, "/run/libvirt/qemu/*.xml"),),
    Requires(package="libvirt", privilege="root"),
)
FACTS = (DOMAINS,)
