"""`isthmus nfv`: plan NFV hosts, put plans on them, and prove that they have them."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from isthmus import errors
from isthmus.cli.hosts.nfv_tables import (
    print_document,
    show_fleet,
    show_inventory,
    show_measurement,
    show_plan,
    show_report,
)
from isthmus.cli.hosts.nfv_targets import (
    FactsTarget,
    HostTarget,
    Identity,
    LayoutOption,
    PlanFile,
    SshOption,
    Target,
    find_file,
    open_host,
)
from isthmus.cli.options import Output
from isthmus.cli.render import Format, fail, note
from isthmus.errors import EXIT_FOUND
from isthmus.facts.gather import collect_facts, inspect_host
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import Refusal
from isthmus.model.verdict import is_clean
from isthmus.nfv.apply import apply_plan, roll_back
from isthmus.nfv.check.live import check_facts, check_host, render_report
from isthmus.nfv.fleet import GroupPlan, find_namesakes, plan_fleet
from isthmus.nfv.measure_host import measure_host
from isthmus.nfv.plan.refusal import plan_or_refuse
from isthmus.nfv.render.script import render_apply
from isthmus.nfv.render.whole import render_plan, write_rendered
from isthmus.wiring import nfv as wiring
from isthmus.wiring.named_file import read_text

app = typer.Typer(no_args_is_help=True, help=__doc__)

#: Exit code of `check` where nothing can be said of the host: its facts were cut off or are none.
UNREAD = 2


def _inventory(
    target: str, identity: str | None = None, options: Sequence[str] | None = None
) -> HostInventory:
    """Read the file of that name if there is one, else inspect the host."""
    path = find_file(target)
    if path is not None:
        return wiring.read_inventory(path)
    return inspect_host(open_host(target, identity, options))


@app.command()
def inspect(
    target: Target = "local",
    output: Output = Format.TABLE,
    facts: Annotated[
        bool,
        typer.Option(
            "--facts",
            help="raw facts, to keep or send: hardware, threads, and of nova.conf, kernel lines, "
            "instances and Open vSwitch the options that checks read; no passwords, no keys. "
            "They have a form of their own, whatever -o says",
        ),
    ] = False,
    layout: LayoutOption = None,
    identity: Identity = None,
    ssh_option: SshOption = None,
) -> None:
    """Show what a host is made of; -o json is a saved inventory."""
    if facts:
        client = open_host(target, identity, ssh_option)
        sys.stdout.write(collect_facts(client, settings=True, layout=layout))
        return
    inventory = _inventory(target, identity, ssh_option)
    if output is not Format.TABLE:
        print_document(inventory, output)
        return
    show_inventory(inventory)


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
    planned = plan_or_refuse(_inventory(inventory, identity, ssh_option), wanted)
    if output is not Format.TABLE:
        print_document(planned, output)
        return
    show_plan(planned)


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
    target: HostTarget,
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
        sys.stdout.write(render_apply(planned, chosen=layout))
        return
    client = open_host(target, identity, ssh_option)
    try:
        done = apply_plan(client, planned, may_reboot=reboot, layout=layout, say=note)
    except KeyboardInterrupt:
        note(
            f"cut short: what was done on {target} stays. Apply again to go on, or take it back "
            "with isthmus nfv rollback"
        )
        raise
    for change in done.changes:
        typer.echo(change)
    if not done.changes:
        typer.echo("nothing to change")
    if done.needs_reboot:
        typer.echo("reboot the host, then apply again (or use --reboot)")


@app.command()
def rollback(target: HostTarget, identity: Identity = None, ssh_option: SshOption = None) -> None:
    """Roll back the last apply that changed something."""
    done = roll_back(open_host(target, identity, ssh_option))
    for change in done.changes:
        typer.echo(change)
    if done.needs_reboot:
        typer.echo("reboot the host: its kernel line was taken back")


@app.command()
def check(
    target: FactsTarget,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", help="its plan; without one good practice alone")
    ] = None,
    output: Output = Format.TABLE,
    layout: LayoutOption = None,
    identity: Identity = None,
    ssh_option: SshOption = None,
) -> None:
    """Check a host against its plan and good practice.

    Exit code 1 where anything but advice was found, 2 where the facts cannot be read, 3 where the
    host does not answer.
    """
    planned = wiring.read_plan(plan_file) if plan_file else None
    path = find_file(target)
    if path is not None and layout is not None:
        raise errors.Invalid(
            f"--layout tells where to look on a host, and {target} was gathered already: gather "
            "it again with isthmus nfv inspect HOST --facts --layout"
        )
    try:
        if path is not None:
            report = check_facts(read_text(path), planned)
        else:
            client = open_host(target, identity, ssh_option)
            report = check_host(client, planned, layout=layout)
    except errors.Broken as error:
        fail(error.message)
        raise typer.Exit(UNREAD) from error
    if output is not Format.TABLE:
        print_document(render_report(report), output)
    else:
        show_report(target, report)
    if not is_clean(report.findings):
        raise typer.Exit(EXIT_FOUND)


@app.command()
def fleet(
    inventories: Annotated[
        list[Path], typer.Argument(help="files that describe hosts, or folders of such")
    ],
    demand: Annotated[Path, typer.Option("--demand", help="what the hosts are for")],
    to: Annotated[
        Path | None, typer.Option("--to", help="folder for the plan of each group")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Group hosts of equal hardware, plan each group once, and name the odd ones out.

    Exit code 1 where a group has no plan.
    """
    wanted = wiring.read_demand(demand)
    found, faults = wiring.read_fleet(inventories)
    for fault in faults:
        typer.echo(f"left out: {fault}", err=True)
    if not found:
        raise errors.Invalid("none of these files describes a host")
    planned = plan_fleet(found, wanted)
    if names := find_namesakes(one.group for one in planned):
        note(f"more than one host is called {', '.join(names)}: was one given twice?")
    if to is not None:
        _write_plans(planned, to)
    if output is not Format.TABLE:
        print_document(planned, output)
    else:
        show_fleet(planned)
    if any(isinstance(one.outcome, Refusal) for one in planned):
        raise typer.Exit(EXIT_FOUND)


def _write_plans(planned: Sequence[GroupPlan], folder: Path) -> None:
    """Write the plan of each group that has one; one of before goes where there is none now.

    Raises:
        Invalid: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in planned:
            path = folder / f"{one.group.name}.json"
            if isinstance(one.outcome, Refusal):
                path.unlink(missing_ok=True)
            else:
                path.write_text(wiring.dump(one.outcome))
    except OSError as exc:
        raise errors.Invalid(f"{exc.filename or folder} cannot be written: {exc.strerror}") from exc


@app.command()
def measure(
    target: HostTarget,
    *,
    seconds: Annotated[
        int, typer.Option("--seconds", min=1, max=3600, help="between the two readings")
    ] = 10,
    generator: Annotated[str | None, typer.Option("--from", help="host that runs iperf3")] = None,
    address: Annotated[str, typer.Option("--to", help="iperf3 server behind the path")] = "",
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="of the iperf3 server")
    ] = 5201,
    output: Output = Format.TABLE,
    identity: Identity = None,
    ssh_option: SshOption = None,
) -> None:
    """Measure packets a second, drops, cycles and latency through a host's data path."""
    if (generator is None) != (not address):
        raise errors.Invalid("give both --from and --to, or neither")
    result = measure_host(
        open_host(target, identity, ssh_option),
        seconds=seconds,
        generator=open_host(generator, identity, ssh_option) if generator is not None else None,
        address=address,
        port=port,
    )
    if output is not Format.TABLE:
        print_document(result, output)
        return
    show_measurement(result)
