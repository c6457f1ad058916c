"""What a cell's database says of the NUMA nodes of a host: Nova's NUMATopology."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from isthmus import errors
from isthmus.model.compute.cloud import ComputeHost
from isthmus.nfv.compute.device import parse_devices


@dataclass(slots=True)
class Node:
    """One NUMA node, and what of it is free."""

    id: int
    cores: list[int]  #: free dedicated CPUs of each core
    dedicated: int  #: CPUs of cpu_dedicated_set, free or not
    threads: int  #: the most that a core has
    shared: int  #: CPUs of cpu_shared_set
    shared_used: int
    memory_mib: int
    used_mib: int
    pages: dict[int, int] = field(default_factory=dict)  #: size in KiB -> free pages
    total_pages: dict[int, int] = field(default_factory=dict)
    socket: int | None = None

    @property
    def free(self) -> int:
        """Count the free dedicated CPUs."""
        return sum(self.cores)

    def key(self) -> tuple[object, ...]:
        """Return what tells this node from one that takes other instances."""
        pages = tuple(sorted(self.pages.items()))
        small = min(self.total_pages, default=0)
        return (
            self.id,
            tuple(self.cores),
            self.dedicated,
            self.threads,
            self.shared,
            self.shared_used,
            self.memory_mib,
            self.used_mib,
            pages,
            self.total_pages.get(small, 0),
            self.socket,
        )


def parse_topology(text: str, *, host: str) -> list[Node]:
    """Read the nodes of a host; none where its driver reports none.

    Raises:
        ProtocolError: it is not what Nova writes.
    """
    if not text:
        return []
    try:
        cells = _data(json.loads(text))["cells"]
        return [_parse_node(_data(one)) for one in cells]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise errors.ProtocolError(
            f"numa_topology of compute node {host} is not what Nova 18 and later write: {exc!r}"
        ) from exc


def close_unreadable(hosts: Iterable[ComputeHost]) -> tuple[ComputeHost, ...]:
    """Close hosts whose nodes cannot be read: how much fits there nobody knows."""
    return tuple(_close_unreadable(one) for one in hosts)


def _close_unreadable(host: ComputeHost) -> ComputeHost:
    try:
        parse_topology(host.numa, host=host.name)
    except errors.ProtocolError:
        return dataclasses.replace(
            host, numa="", closed=host.closed or "numa_topology is unreadable"
        )
    try:
        parse_devices(host.pci, host=host.name)
    except errors.ProtocolError:
        return dataclasses.replace(host, pci="", closed=host.closed or "pci_stats is unreadable")
    return host


def _data(body: Any) -> Any:
    return body["nova_object.data"]


def _parse_node(body: Any) -> Node:
    dedicated = frozenset(body.get("pcpuset") or ())
    free = dedicated - frozenset(body["pinned_cpus"])
    siblings = [frozenset(one) for one in body["siblings"]]
    alone = free.difference(*siblings) if siblings else free
    pages = [_data(one) for one in body["mempages"]]
    sizes = [_int(one["size_kb"]) for one in pages]
    if min(sizes, default=1) < 1:
        raise ValueError("a page of no size")
    return Node(
        id=_int(body["id"]),
        cores=[len(one & free) for one in siblings if one & dedicated] + [1] * len(alone),
        dedicated=len(dedicated),
        threads=max((len(one) for one in siblings), default=1),
        shared=len(body["cpuset"]),
        shared_used=_int(body["cpu_usage"]),
        memory_mib=_int(body["memory"]),
        used_mib=_int(body["memory_usage"]),
        pages={
            size: _int(one["total"]) - _int(one["used"]) - _int(one.get("reserved") or 0)
            for size, one in zip(sizes, pages, strict=True)
        },
        total_pages={size: _int(one["total"]) for size, one in zip(sizes, pages, strict=True)},
        socket=body.get("socket"),
    )


def _int(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no integer")
    return value
