"""Checks of huge pages: made, kept for Open vSwitch, enough for its buffers, and not lost."""

import re
from collections.abc import Iterator, Sequence

from isthmus.facts.host import oslo_conf, ovs, procfs
from isthmus.facts.host.procfs import is_emulator
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import (
    Rule,
    both,
    is_hidden,
    where_planned,
    with_switch,
    without_plan,
)
from isthmus.nfv.check.state import HostState
from isthmus.nfv.check.topic.ports import node_of
from isthmus.nfv.plan.resource import memory
from isthmus.nfv.plan.settings import is_at_least

#: What oslo.utils takes for a size (string_to_bytes): a unit ends in B, or in b or bit for bits.
_SIZE = re.compile(r"^(\d*\.?\d+)([KMGT]?)i?(b|bit|B)$")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
#: First Open vSwitch whose DPDK may grow without end where dpdk-socket-limit is not set.
NO_LIMIT = (2, 14)


def check_pages(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each node has its huge pages: the kernel gives fewer without a word."""
    assert plan is not None
    have = {
        (node.id, pool.size_kib): pool for node in state.inventory.nodes for pool in node.hugepages
    }
    for node in plan.nodes:
        for page in node.pages:
            pool = have.get((node.id, page.size_kib))
            total = pool.total if pool else 0
            where = (
                f"/sys/devices/system/node/node{node.id}/hugepages/hugepages-{page.size_kib}kB/"
                "nr_hugepages"
            )
            if total != page.total:
                yield Verdict(
                    code="pages.total",
                    severity=Severity.BROKEN if total < page.total else Severity.DEGRADED,
                    subject=Subject(f"node {node.id}"),
                    message=f"node {node.id} has {total} pages of {page.size_kib} KiB, planned are "
                    f"{page.total}",
                    evidence=f"{where}: {total}",
                    remedy="systemctl restart isthmus-hugepages; where memory is in pieces, reboot",
                )
    planned = {(node.id, page.size_kib) for node in plan.nodes for page in node.pages}
    for (node_id, size), pool in have.items():
        if pool.total and (node_id, size) not in planned:
            yield Verdict(
                code="pages.unplanned",
                severity=Severity.DEGRADED,
                subject=Subject(f"node {node_id}"),
                message=f"node {node_id} has {pool.total} pages of {size} KiB that are in no plan: "
                f"{pool.total * size // 1024} MiB less for what is",
                evidence=f"/sys/devices/system/node/node{node_id}/hugepages/hugepages-{size}kB/"
                f"nr_hugepages: {pool.total}",
                remedy="find out who makes them (vm.nr_hugepages in sysctl.d, the kernel line), or "
                "plan them",
            )


def check_pages_in_use(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """The switch has taken its pages, and nobody unknown has taken others."""
    assert plan is not None
    has_guests = (
        bool(state.domains)
        or is_hidden(state, procfs.THREADS)
        or any(is_emulator(one.process) for one in state.threads)
    )
    by_id = {node.id: node for node in plan.nodes}
    for seen in state.inventory.nodes:
        for page in by_id[seen.id].pages if seen.id in by_id else ():
            pool = next((one for one in seen.hugepages if one.size_kib == page.size_kib), None)
            if pool is None or pool.free is None or pool.total != page.total:
                continue  # said already
            used = pool.total - pool.free
            short = used < page.for_ovs
            if not short and (has_guests or used == page.for_ovs):
                continue
            yield Verdict(
                code="pages.short" if short else "pages.leaked",
                severity=Severity.DEGRADED,
                subject=Subject(f"node {seen.id}"),
                message=f"{used} pages of {page.size_kib} KiB are in use on node {seen.id}, where "
                f"Open vSwitch should have {page.for_ovs}"
                + ("" if short else " and no instance runs"),
                evidence=f"node{seen.id} hugepages-{page.size_kib}kB: {pool.free} of {pool.total} "
                "free",
                remedy="restart Open vSwitch once the pages are there"
                if short
                else "look for files left in /dev/hugepages (fuser -v shows who holds them)",
            )


def socket_mib(state: HostState, key: str) -> list[int]:
    """Read dpdk-socket-mem or -limit: MiB of each node, by id; what is no number counts as none."""
    words = [word.strip() for word in state.other_config.get(key, "").split(",")]
    return [int(word) if word.isdecimal() else 0 for word in words] if any(words) else []


def parse_reserved(values: Sequence[str]) -> dict[tuple[int, int], int]:
    """Read reserved_huge_pages: (node, size in KiB) -> pages, as Nova reads it.

    Raises:
        ValueError: Nova does not read it, and nova-compute does not start.

    Source:
        nova.virt.hardware, `numa_get_reserved_huge_pages`; the last of a node and size counts.
    """
    found: dict[tuple[int, int], int] = {}
    for value in values:
        parts = {
            key.strip(): one.strip()
            for key, _, one in (part.partition(":") for part in value.split(","))
        }
        try:
            node, size, count = parts["node"], parts["size"], parts["count"]
        except KeyError as exc:
            raise ValueError(f"{value!r} has no {exc}") from exc
        found[int(node), _page_kib(size)] = int(count)
    return found


def _page_kib(size: str) -> int:
    """Read the size of a page as Nova does: KiB, or with a unit.

    Raises:
        ValueError: it is no size.
    """
    if size.isdecimal():
        return int(size)
    match = _SIZE.match(size)
    if match is None:
        raise ValueError(f"{size!r} is no size: write 1048576 (KiB) or 1GB")
    amount = float(match[1]) * _UNITS[match[2]] / (1 if match[3] == "B" else 8)
    return int(amount) // 1024


def check_reserved_form(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Nova reads reserved_huge_pages: where it does not, nova-compute does not start."""
    del plan
    given = state.nova.get("DEFAULT/reserved_huge_pages", ())
    try:
        parse_reserved(given)
    except ValueError as exc:
        yield _reserved(
            f"nova-compute does not start: it cannot read reserved_huge_pages ({exc})",
            f"reserved_huge_pages is {' and '.join(given)}",
        )


def check_reserved(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Open vSwitch's pages are kept from Nova, on the nodes where it takes them, and are there."""
    del plan
    given = state.nova.get("DEFAULT/reserved_huge_pages", ())
    sockets = state.other_config.get("dpdk-socket-mem", "")
    try:
        reserved = parse_reserved(given)
    except ValueError:
        return  # said already
    if not reserved:
        yield _reserved(
            "Nova may give the huge pages of Open vSwitch to instances",
            f"dpdk-socket-mem is {sockets or 'not set'}, reserved_huge_pages is not set",
        )
        return
    pools = {
        (node.id, pool.size_kib): pool.total
        for node in state.inventory.nodes
        for pool in node.hugepages
    }
    for node, mib in enumerate(socket_mib(state, "dpdk-socket-mem")):
        # Pages of a size that the node has none of keep nothing, the host's small ones among them.
        kept = sum(
            count * key[1] // 1024
            for key, count in reserved.items()
            if key[0] == node and pools.get(key)
        )
        if mib > kept:
            yield _reserved(
                f"Open vSwitch takes {mib} MiB of node {node}, of which Nova keeps {kept} MiB out "
                "of instances' hands",
                f"dpdk-socket-mem is {sockets}, reserved_huge_pages is {' and '.join(given)}",
            )


def _reserved(message: str, evidence: str) -> Verdict:
    return Verdict(
        code="nova.reserved_huge_pages",
        severity=Severity.BROKEN,
        subject=Subject("[DEFAULT] reserved_huge_pages"),
        message=message,
        evidence=evidence,
        remedy="reserve them for each node in nova.conf",
    )


def check_socket_pages(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each node has at least the pages that Open vSwitch asks for at its start."""
    del plan
    nodes = {node.id: node for node in state.inventory.nodes}
    for node, mib in enumerate(socket_mib(state, "dpdk-socket-mem")):
        pools = nodes[node].hugepages if node in nodes else ()
        have = sum(pool.total * pool.size_kib // 1024 for pool in pools)
        if mib > have:
            yield Verdict(
                code="pages.short",
                severity=Severity.BROKEN,
                subject=Subject(f"node {node}"),
                message=f"node {node} has {have} MiB in huge pages, and Open vSwitch wants {mib} "
                "MiB of them at its start: the next one fails",
                evidence=f"dpdk-socket-mem is {state.other_config.get('dpdk-socket-mem', '')}; "
                f"nr_hugepages of node {node}: "
                + ", ".join(f"{pool.total} x {pool.size_kib} KiB" for pool in pools),
                remedy="make more huge pages on that node, or lower dpdk-socket-mem",
            )


def check_buffers(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Socket memory holds the packet buffers that the ports' MTUs ask for."""
    del plan
    ports: dict[int, list[memory.PortMemory]] = {}
    for one in state.interfaces:
        if not one.type.startswith("dpdk") or one.mtu is None:
            continue
        node = node_of(state, one)
        if node is not None:
            queues = one.options.get("n_rxq", "1")
            port = memory.PortMemory(one.name, one.mtu, int(queues) if queues.isdigit() else 1)
            ports.setdefault(node, []).append(port)
    given, limits = socket_mib(state, "dpdk-socket-mem"), socket_mib(state, "dpdk-socket-limit")
    endless = not limits and is_at_least(state.inventory.ovs_version, NO_LIMIT)
    for node, mine in sorted(ports.items()):
        pools = memory.plan_mempools(
            mine,
            per_port=state.other_config.get("per-port-memory") == "true",
            pmds=len(state.pmds),
        )
        need = sum(pool.memory_mib for pool in pools)
        have = given[node] if node < len(given) else 0
        limit = limits[node] if node < len(limits) else have
        if given and need > have:
            yield Verdict(
                code="ovs.dpdk-socket-mem",
                severity=Severity.DEGRADED if endless or limit >= need else Severity.BROKEN,
                subject=Subject(f"node {node}"),
                message=f"{have} MiB of socket memory on node {node} are less than the {need} MiB "
                f"of packet buffers that MTU {max(port.mtu for port in mine)} needs"
                + (": the rest is taken from instances' pages" if endless or limit >= need else ""),
                evidence=f"dpdk-socket-mem is {state.other_config['dpdk-socket-mem']}; "
                + memory.explain(pools, need),
                remedy="raise dpdk-socket-mem and reserved_huge_pages, or lower the MTU",
            )


def dpdk_runs(state: HostState, plan: HostPlan | None) -> str:
    """Apply a rule where Open vSwitch runs with DPDK."""
    del plan
    return "" if state.ovs_runs and state.dpdk_initialized else "Open vSwitch runs without DPDK"


_UNPLANNED = both(without_plan("the plan has counted them, and is held against"), with_switch)
PRACTICE = (
    Rule(check_reserved_form, (oslo_conf.NOVA,)),
    Rule(check_reserved, (oslo_conf.NOVA, ovs.SWITCH), _UNPLANNED),
    Rule(check_socket_pages, (ovs.SWITCH,), _UNPLANNED),
    Rule(check_buffers, (ovs.SWITCH, ovs.INTERFACES), _UNPLANNED, helped_by=(ovs.PMDS,)),
)
PLANNED = (
    Rule(check_pages),
    Rule(
        check_pages_in_use,
        (ovs.SWITCH,),
        where_planned(lambda plan: plan.dpdk_ports, "no DPDK port is planned"),
        dpdk_runs,
        helped_by=(procfs.THREADS,),
    ),
)
