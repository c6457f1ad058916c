"""What `isthmus nfv` shows on a terminal: inventories, plans, reports, fleets, measurements."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import typer
import yaml

from isthmus.cli.render import Format, print_rows
from isthmus.facts.cpuset import render_list
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import HostPlan, Refusal
from isthmus.model.verdict import Answer, Report, Severity, is_clean
from isthmus.nfv.check.live import list_unseen
from isthmus.nfv.fleet import GroupPlan
from isthmus.nfv.measure import Measurement
from isthmus.nfv.plan.demand import size_name
from isthmus.nfv.plan.refusal import say_refusal
from isthmus.wiring import nfv as wiring


def print_document(noun: Any, output: Format) -> None:
    """Print a noun as JSON or YAML."""
    text = wiring.dump(noun)
    if output is Format.YAML:
        text = yaml.safe_dump(json.loads(text), sort_keys=False)
    sys.stdout.write(text)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if title:
        typer.echo(title)
    print_rows((dict(zip(columns, row, strict=True)) for row in rows), columns, Format.TABLE)


def show_inventory(inventory: HostInventory) -> None:
    """Show what a host is made of."""
    rows = [
        (
            node.id,
            len(inventory.cores_of(node.id)),
            render_list(cpu for core in inventory.cores_of(node.id) for cpu in core.cpus),
            node.memory_mib,
            " ".join(map(str, node.distances)),
            ", ".join(f"{pool.total} x {size_name(pool.size_kib)}" for pool in node.hugepages),
        )
        for node in inventory.nodes
    ]
    _table(
        f"{inventory.name}: {inventory.cpu_model or inventory.cpu_vendor or 'CPU not known'}",
        ("node", "cores", "CPUs", "MiB", "distances", "huge pages"),
        rows,
    )
    typer.echo(
        f"kernel {inventory.kernel_release or '?'}, IOMMU "
        f"{ {True: 'on', False: 'off', None: '?'}[inventory.iommu] }, Open vSwitch "
        f"{inventory.ovs_version or '-'}, DPDK {inventory.dpdk_version or '-'}"
    )
    ports = [
        (
            nic.name,
            nic.pci_address,
            "?" if nic.node is None else nic.node,
            nic.driver,
            nic.speed_mbps or "?",
            f"{nic.vfs}/{nic.max_vfs}",
        )
        for nic in inventory.nics
    ]
    _table("", ("port", "PCI address", "node", "driver", "Mbit/s", "VFs"), ports)


def show_plan(planned: HostPlan) -> None:
    """Show a plan: its nodes, what fits, what crosses nodes."""
    rows = [
        (
            node.id,
            render_list(node.host_cpus),
            render_list(node.shared_cpus) or "-",
            render_list(node.pmd_cpus) or "-",
            render_list(node.dedicated_cpus) or "-",
            node.socket_memory_mib,
            ", ".join(f"{page.total} x {size_name(page.size_kib)}" for page in node.pages),
            " ".join(node.ports),
        )
        for node in planned.nodes
    ]
    columns = ("node", "host", "shared", "PMD", "dedicated", "socket MiB", "pages", "ports")
    _table(f"plan of {planned.host}", columns, rows)
    fits = [
        (
            one.name,
            one.wanted,
            one.fits_alone,
            one.fits_more,
            one.limited_by,
            render_list(one.nodes) or "-",
        )
        for one in planned.flavors
    ]
    if fits:
        _table("", ("flavor", "wanted", "fit alone", "fit more", "limited by", "nodes"), fits)
    for crossing in planned.crossings:
        typer.echo(
            f"crosses: {crossing.flow}, node {crossing.from_node} to {crossing.to_node}: "
            f"{crossing.cost}"
        )
    for note in planned.notes:
        typer.echo(f"note: {note.text}")
    typer.echo(f"kernel line: {' '.join(planned.kernel_args)}")


def show_report(target: str, report: Report) -> None:
    """Show what a check came to, and the count of its answers."""
    for one in report.findings:
        typer.echo(
            f"{one.severity:<8} {one.code:<24} {one.message} | {one.evidence} | {one.remedy}"
        )
    for answer in (Answer.NOT_APPLICABLE, Answer.NOT_SEEN):
        for why, names in _group(report, answer).items():
            typer.echo(f"{answer.value}: {', '.join(names)}: {why}")
    counts = ", ".join(f"{count} {answer}" for answer, count in report.answers.items())
    lacking = list_unseen(report)
    unseen = f"; not seen ({', '.join(lacking)})" if lacking else ""
    typer.echo(f"{_say_verdict(target, report)}; checks: {counts}{unseen}")


def _say_verdict(target: str, report: Report) -> str:
    """Return what the findings come to; where nothing but doubt was found, that it is one."""
    if is_clean(report.findings):
        return f"{target} is as it should be{' in what was seen' if report.unseen else ''}"
    if {one.severity for one in report.findings} <= {Severity.UNKNOWN, Severity.ADVICE}:
        return f"nobody can tell from this whether {target} is as it should be"
    return f"{target} is not as it should be"


def _group(report: Report, answer: Answer) -> dict[str, list[str]]:
    """Return the checks that gave an answer, by their reason for it."""
    found: dict[str, list[str]] = {}
    for one in report.rulings:
        if one.answer is answer:
            found.setdefault(one.detail or one.why, []).append(one.check)
    return found


def show_fleet(planned: Sequence[GroupPlan]) -> None:
    """Show the groups of a fleet, why some have no plan, and its outliers."""
    rows = []
    for one in planned:
        outcome = one.outcome
        fits = (
            "no plan"
            if isinstance(outcome, Refusal)
            else ", ".join(f"{flavor.fits_alone} {flavor.name}" for flavor in outcome.flavors)
        )
        members = one.group.members
        named = ", ".join(members[:4]) + (f" and {len(members) - 4} more" if members[4:] else "")
        rows.append((one.group.name, len(members), named, fits))
    _table("", ("group", "hosts", "members", "fits"), rows)
    for one in planned:
        if isinstance(one.outcome, Refusal):
            typer.echo(say_refusal(one.outcome))
    for one in planned:
        if one.group.differs:
            typer.echo(f"outlier {one.group.name}: {'; '.join(one.group.differs)}")


def show_measurement(result: Measurement) -> None:
    """Show what passed through a data path."""
    rows = [
        (one.name, f"{one.rx_pps:.0f}", f"{one.tx_pps:.0f}", f"{one.dropped_pps:.0f}")
        for one in result.ports
    ]
    _table(f"over {result.seconds:.1f} s", ("port", "rx/s", "tx/s", "dropped/s"), rows)
    pmds = [
        (
            one.cpu,
            one.numa,
            f"{one.packets_pps:.0f}",
            "-" if one.cycles_per_packet is None else f"{one.cycles_per_packet:.0f}",
            "-" if one.busy_pct is None else f"{one.busy_pct:.0f}",
        )
        for one in result.pmds
    ]
    if pmds:
        _table("", ("PMD CPU", "node", "packets/s", "cycles a packet", "busy %"), pmds)
    if result.generated is not None:
        one = result.generated
        latency = (
            "no ping came back"
            if one.latency_p50_us is None
            else f"latency median {one.latency_p50_us:.0f} us, 99th {one.latency_p99_us:.0f} us"
        )
        typer.echo(
            f"generator: {one.sent_pps:.0f} packets/s sent, {one.received_pps:.0f} received, "
            f"{one.lost_pct:.2f} % lost; {latency}"
        )
