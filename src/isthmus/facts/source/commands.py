"""The output of `lscpu -p`, `numactl --hardware` and `lspci -Dvmmnnk` to an inventory.

For hosts that can only be asked by mail: one text file with the three outputs one after the other,
in any order, prompts and other lines between them allowed.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from isthmus import errors
from isthmus.facts import validity
from isthmus.facts.source import lscpu
from isthmus.model.host import host_inventory as model

_LSCPU_HEAD = re.compile(r"^# ?(CPU,.*)$", re.IGNORECASE)
_NODE_SIZE = re.compile(r"^node (\d+) size: (\d+) MB")
_DISTANCE = re.compile(r"^\s+(\d+):((?:\s+\d+)+)\s*$")
_FIELD = re.compile(r"^([A-Z][A-Za-z]+):\s+(.+)$")
_CODE = re.compile(r"\[([0-9a-fA-F]{4})\]\s*$")


def is_output(text: str) -> bool:
    """Tell whether some text holds the output of `lscpu -p`."""
    return any(_LSCPU_HEAD.match(line) for line in text.splitlines()) or lscpu.is_lscpu(text)


def parse_output(text: str, *, name: str = "host") -> model.HostInventory:
    """Make an inventory of what the commands wrote.

    Raises:
        Invalid: the memory of the nodes is missing, or what is there cannot be.
        ProtocolError: no `lscpu -p=CPU,CORE,SOCKET,NODE` is in it.
    """
    said = lscpu.parse_lscpu(text)
    cores = _parse_lscpu(text) or _make_cores(said.rows)
    if not cores:
        raise errors.ProtocolError("there is no output of lscpu -p=CPU,CORE,SOCKET,NODE in it")
    nodes = _parse_numactl(text)
    missing = {core.node for core in cores} - {node.id for node in nodes}
    if missing:
        raise errors.Invalid(
            f"the memory of NUMA node {', '.join(map(str, sorted(missing)))} is not told: add the "
            "output of numactl --hardware"
        )
    return validity.require_valid(
        model.HostInventory(
            name=name,
            source="commands",
            cpu_vendor=said.vendor,
            cpu_model=said.model,
            cores=cores,
            nodes=nodes,
            nics=_parse_lspci(text),
            page_sizes_kib=said.page_sizes_kib,
        )
    )


def _parse_lscpu(text: str) -> tuple[model.Core, ...]:
    columns: list[str] = []
    threads: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for line in text.splitlines():
        if head := _LSCPU_HEAD.match(line):
            columns = [column.strip().lower() for column in head[1].split(",")]
        elif columns and re.fullmatch(r"[\d,-]+", line.strip()):
            row = dict(zip(columns, line.strip().split(","), strict=False))
            try:
                key = (int(row["socket"]), int(row["core"]), int(row.get("node") or 0))
                threads[key].append(int(row["cpu"]))
            except (KeyError, ValueError) as exc:
                raise errors.ProtocolError(f"lscpu's line {line.strip()!r} has no {exc}") from exc
        elif line.strip() and not line.startswith("#"):
            columns = []
    return _sorted_cores(threads)


def _make_cores(rows: Sequence[tuple[int, int, int, int]]) -> tuple[model.Core, ...]:
    threads: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for cpu, core, socket, node in rows:
        threads[socket, core, node].append(cpu)
    return _sorted_cores(threads)


def _sorted_cores(threads: Mapping[tuple[int, int, int], list[int]]) -> tuple[model.Core, ...]:
    cores = (
        model.Core(socket=max(socket, 0), id=core, node=node, cpus=tuple(sorted(cpus)))
        for (socket, core, node), cpus in threads.items()
    )
    return tuple(sorted(cores, key=lambda core: core.cpus))


def _parse_numactl(text: str) -> tuple[model.NumaNode, ...]:
    sizes: dict[int, int] = {}
    rows: dict[int, tuple[int, ...]] = {}
    for line in text.splitlines():
        if match := _NODE_SIZE.match(line):
            sizes[int(match[1])] = int(match[2])
        elif match := _DISTANCE.match(line):
            rows[int(match[1])] = tuple(map(int, match[2].split()))
    return tuple(
        model.NumaNode(id=node, memory_mib=size, distances=rows.get(node, ()))
        for node, size in sorted(sizes.items())
    )


def _parse_lspci(text: str) -> tuple[model.Nic, ...]:
    found: list[model.Nic] = []
    record: dict[str, str] = {}
    for line in [*text.splitlines(), ""]:
        match = _FIELD.match(line)
        if match:
            if match[1] == "Slot":
                record = {}
            record[match[1]] = match[2].strip()
            continue
        if record.get("Slot") and _code(record.get("Class", "")).startswith("02"):
            node = record.get("NUMANode", "-1")
            address = record["Slot"].lower()
            group = record.get("IOMMUGroup", "")
            found.append(
                model.Nic(
                    name=address,
                    pci_address=address if address.count(":") == 2 else f"0000:{address}",
                    node=int(node) if node.isdigit() else None,
                    driver=record.get("Driver", ""),
                    vendor_id=_code(record.get("Vendor", "")),
                    product_id=_code(record.get("Device", "")),
                    iommu_group=int(group) if group.isdigit() else None,
                )
            )
        record = {}
    return tuple(found)


def _code(text: str) -> str:
    match = _CODE.search(text)
    return match[1].lower() if match else ""
