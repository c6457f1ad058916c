"""`isthmus nfv`: plan NFV hosts, put plans on them, and prove that they have them."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.markup import escape
from rich.table import Table

from isthmus import errors
from isthmus.cli.options import Output
from isthmus.cli.render import Format
from isthmus.cli.render import open_console as render_console
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import HostPlan, Refusal
from isthmus.model.host.nfv_layout import Layout
from isthmus.model.verdict import Report, is_clean
from isthmus.nfv.apply import apply_plan, roll_back
from isthmus.nfv.check.live import check_facts, check_host, render_report
from isthmus.nfv.cpuset import render_list
from isthmus.nfv.fleet import GroupPlan, plan_fleet
from isthmus.nfv.gather import collect_facts, inspect_host
from isthmus.nfv.measure import Measurement
from isthmus.nfv.measure_host import measure_host
from isthmus.nfv.plan.refusal import plan_or_refuse
from isthmus.nfv.render.whole import render_plan, write_rendered
from isthmus.wiring import nfv as wiring
from isthmus.wiring.named_file import read_text

app = typer.Typer(no_args_is_help=True, help=__doc__)

Target = Annotated[str, typer.Argument(help="local or USER@HOST:PORT; also a file of one")]
Identity = Annotated[str | None, typer.Option("--identity", "-i", help="private key for ssh")]
SshOption = Annotated[
    list[str] | None, typer.Option("--ssh-option", help="an -o option for ssh; repeatable")
]
LayoutOption = Annotated[
    Layout | None,
    typer.Option("--layout", help="where Nova and Open vSwitch are; found where it is not told"),
]
PlanFile = Annotated[Path, typer.Argument(help="a plan, as `nfv plan -o json` writes it")]

#: Exit code of `check` where something is wrong: not an error of the command.
FOUND = 1


def _print(noun: Any, output: Format) -> None:
    text = wiring.dump(noun)
    if output is Format.YAML:
        text = yaml.safe_dump(json.loads(text), sort_keys=False)
    sys.stdout.write(text)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    render_console().print(table)


#: How people call the files that describe hosts; no host is called so.
_SUFFIXES = frozenset({".json", ".yaml", ".yml", ".txt", ".xml", ".csv", ".facts", ".out", ".log"})


def _find_file(target: str) -> Path | None:
    """Return the file where a target is one; None where it is a host.

    Raises:
        NotFound: it can only be a file, and there is none.
    """
    path = Path(target)
    if path.is_file():
        return path
    if "/" in target or path.suffix in _SUFFIXES:
        raise errors.NotFound(f"there is no file {target}")
    return None


def _inventory(
    target: str, identity: str | None = None, options: Sequence[str] = ()
) -> HostInventory:
    """Read the file of that name if there is one, else inspect the host."""
    path = _find_file(target)
    if path is not None:
        return wiring.read_inventory(path)
    return inspect_host(wiring.open_client(target, identity=identity, options=options))


@app.command()
def inspect(
    target: Target = "local",
    output: Output = Format.TABLE,
    facts: Annotated[
        bool,
        typer.Option(
            "--facts",
            help="raw facts, to keep or send: hardware, threads, and of nova.conf, kernel lines, "
            "instances and Open vSwitch the options that checks read; no passwords, no keys",
        ),
    ] = False,
    layout: LayoutOption = None,
    identity: Identity = None,
    ssh_option: SshOption = None,
) -> None:
    """Show what a host is made of; -o json is a saved inventory."""
    if facts:
        client = wiring.open_client(target, identity=identity, options=ssh_option or ())
        sys.stdout.write(collect_facts(client, settings=True, layout=layout))
        return
    inventory = _inventory(target, identity, ssh_option or ())
    if output is not Format.TABLE:
        _print(inventory, output)
        return
    rows = [
        (
            node.id,
            len(inventory.cores_of(node.id)),
            render_list(cpu for core in inventory.cores_of(node.id) for cpu in core.cpus),
            node.memory_mib,
            " ".join(map(str, node.distances)),
            ", ".join(f"{pool.total} x {pool.size_kib} KiB" for pool in node.hugepages),
        )
        for node in inventory.nodes
    ]
    _table(
        f"{inventory.name}: {inventory.cpu_model or inventory.cpu_vendor}",
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


@app.command()
def plan(
    inventory: Target,
    demand: Annotated[Path, typer.Option("--demand", help="what the host is for")],
    output: Output = Format.TABLE,
    identity: Identity = None,
    ssh_option: SshOption = None,
) -> None:
    """Plan a host: which CPU, page, queue and virtual function does what."""
    wanted = wiring.read_demand(demand)
    planned = plan_or_refuse(_inventory(inventory, identity, ssh_option or ()), wanted)
    if output is not Format.TABLE:
        _print(planned, output)
        return
    _show_plan(planned)


def _show_plan(planned: HostPlan) -> None:
    rows = [
        (
            node.id,
            render_list(node.host_cpus),
            render_list(node.shared_cpus) or "-",
            render_list(node.pmd_cpus) or "-",
            render_list(node.dedicated_cpus) or "-",
            node.socket_memory_mib,
            ", ".join(f"{page.total} x {page.size_kib} KiB" for page in node.pages),
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


@app.command()
def render(
    plan_file: PlanFile,
    to: Annotated[Path | None, typer.Option("--to", help="folder to write into")] = None,
) -> None:
    """Write the files, commands and scripts of a plan."""
    planned = wiring.read_plan(plan_file)
    if to is not None:
        for path in write_rendered(planned, to):
            typer.echo(path)
        return
    for name, content in sorted(render_plan(planned).items()):
        if name not in {"apply.sh", "rollback.sh"}:
            typer.echo(f"### {name}\n{content}")


@app.command()
def apply(
    plan_file: PlanFile,
    target: Target,
    reboot: Annotated[bool, typer.Option("--reboot", help="reboot where needed and go on")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show the script, run nothing")
    ] = False,
    layout: LayoutOption = None,
    identity: Identity = None,
    ssh_option: SshOption = None,
) -> None:
    """Apply a plan to its host; idempotent."""
    planned = wiring.read_plan(plan_file)
    if dry_run:
        sys.stdout.write(render_plan(planned)["apply.sh"])
        return
    client = wiring.open_client(target, identity=identity, options=ssh_option or ())
    done = apply_plan(
        client,
        planned,
        may_reboot=reboot,
        layout=layout,
        say=lambda text: typer.echo(text, err=True),
    )
    for change in done.changes:
        typer.echo(change)
    if not done.changes:
        typer.echo("nothing to change")
    if done.needs_reboot:
        typer.echo("reboot the host, then apply again (or use --reboot)")


@app.command()
def rollback(target: Target, identity: Identity = None, ssh_option: SshOption = None) -> None:
    """Roll back the last apply that changed something."""
    client = wiring.open_client(target, identity=identity, options=ssh_option or ())
    done = roll_back(client)
    for change in done.changes:
        typer.echo(change)
    if done.needs_reboot:
        typer.echo("reboot the host: its kernel line was taken back")


@app.command()
def check(
    target: Target,
    plan_file: Annotated[Path | None, typer.Option("--plan", help="its plan")] = None,
    output: Output = Format.TABLE,
    layout: LayoutOption = None,
    identity: Identity = None,
    ssh_option: SshOption = None,
) -> None:
    """Check a host against its plan and good practice; exit code 1 where something is wrong."""
    planned = wiring.read_plan(plan_file) if plan_file else None
    path = _find_file(target)
    if path is not None:
        report = check_facts(read_text(path), planned)
    else:
        client = wiring.open_client(target, identity=identity, options=ssh_option or ())
        report = check_host(client, planned, layout=layout)
    if output is not Format.TABLE:
        _print(render_report(report), output)
    else:
        _show_report(target, report)
    if not is_clean(report.findings):
        raise typer.Exit(FOUND)


def _show_report(target: str, report: Report) -> None:
    for one in report.findings:
        typer.echo(
            f"{one.severity:<8} {one.code:<24} {one.message} | {one.evidence} | {one.remedy}"
        )
    counts = ", ".join(f"{count} {answer}" for answer, count in report.answers.items())
    unseen = f" ({', '.join(report.unseen)})" if report.unseen else ""
    wrong = "" if is_clean(report.findings) else "not "
    said = "as it should be" if not report.unseen else "as it should be in what was seen"
    typer.echo(
        f"{target} is {wrong}{said if not wrong else 'as it should be'}; checks: {counts}{unseen}"
    )


@app.command()
def fleet(
    inventories: Annotated[list[Path], typer.Argument(help="files, or folders of files")],
    demand: Annotated[Path, typer.Option("--demand", help="what the hosts are for")],
    to: Annotated[Path | None, typer.Option("--to", help="folder for one plan a group")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Group hosts of equal hardware, plan each group once, and name the odd ones out."""
    wanted = wiring.read_demand(demand)
    found, faults = wiring.read_fleet(inventories)
    for fault in faults:
        typer.echo(f"left out: {fault}", err=True)
    if not found:
        raise errors.Invalid("none of these files describes a host")
    planned = plan_fleet(found, wanted)
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
        for one in planned:
            (to / f"{one.group.name}.json").write_text(wiring.dump(one.outcome))
    if output is not Format.TABLE:
        _print(planned, output)
        return
    _show_fleet(planned)


def _show_fleet(planned: Sequence[GroupPlan]) -> None:
    rows = []
    for one in planned:
        outcome = one.outcome
        said = (
            outcome.constraints[0].message
            if isinstance(outcome, Refusal)
            else ", ".join(f"{flavor.fits_alone} {flavor.name}" for flavor in outcome.flavors)
        )
        members = one.group.members
        named = ", ".join(members[:4]) + (f" and {len(members) - 4} more" if members[4:] else "")
        rows.append((one.group.name, len(members), named, said))
    _table("", ("group", "hosts", "members", "fits, or why not"), rows)
    for one in planned:
        if one.group.differs:
            typer.echo(f"outlier {one.group.name}: {'; '.join(one.group.differs)}")


@app.command()
def measure(
    target: Target,
    *,
    seconds: Annotated[int, typer.Option("--seconds", min=1, max=3600)] = 10,
    generator: Annotated[str | None, typer.Option("--from", help="host that runs iperf3")] = None,
    address: Annotated[str, typer.Option("--to", help="iperf3 server behind the path")] = "",
    port: Annotated[int, typer.Option("--port")] = 5201,
    output: Output = Format.TABLE,
    identity: Identity = None,
    ssh_option: SshOption = None,
) -> None:
    """Measure packets a second, drops, cycles and latency through a host's data path."""
    if (generator is None) != (not address):
        raise errors.Invalid("give both --from and --to, or neither")
    options = ssh_option or ()
    result = measure_host(
        wiring.open_client(target, identity=identity, options=options),
        seconds=seconds,
        generator=wiring.open_client(generator, identity=identity, options=options)
        if generator is not None
        else None,
        address=address,
        port=port,
    )
    if output is not Format.TABLE:
        _print(result, output)
        return
    _show_measurement(result)


def _show_measurement(result: Measurement) -> None:
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
