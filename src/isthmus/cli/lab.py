"""`isthmus lab`: a whole cloud on this machine."""

import enum
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli import lab_external, lab_link, lab_workshop, render
from isthmus.cli.cloud.names import Long
from isthmus.cli.lab_options import LabName, Process, Server, as_option, open_lab, open_labs
from isthmus.cli.options import Output
from isthmus.cli.render import Format
from isthmus.model.form import counted
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import is_clean

app = typer.Typer(no_args_is_help=True, help="A whole cloud on this machine.")
server_app = typer.Typer(no_args_is_help=True, help="Servers: namespaces that stand for guests.")
app.add_typer(server_app, name="server")
app.add_typer(lab_link.app, name="link")
app.add_typer(lab_external.app, name="external")
app.add_typer(lab_workshop.app, name="workshop")

#: How often `logs -f` looks, in seconds.
_FOLLOW_S = 0.3


class StatusFormat(enum.StrEnum):
    """What `status -o` takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    ENV = "env"  #: variables for a shell


class Progress:
    """Shows phases on stderr: a spinner on a terminal, a line each elsewhere."""

    def __init__(self, *, timing: bool) -> None:
        """Show nothing yet."""
        self._console = render.open_console(stderr=True)
        self._timing = timing
        self._spinner: Any = None

    def begin(self, phase: str) -> None:
        """Show that a phase begins: it may take a minute."""
        if self._console.is_terminal:
            self._spinner = self._console.status(phase)
            self._spinner.start()
        else:
            self._console.print(f"{phase} ...")

    def end(self, phase: str, seconds: float) -> None:
        """Show that it has ended."""
        self.close()
        took = f" ({seconds:.1f} s)" if self._timing else ""
        self._console.print(f"[green]✓[/green] {phase}{took}")

    def close(self) -> None:
        """Remove the spinner, whatever happens."""
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None


@app.command()
def up(
    sites: Annotated[int | None, typer.Option(help="How many sites (2).")] = None,
    hosts: Annotated[int | None, typer.Option(help="How many hypervisors a site (2).")] = None,
    topology: Annotated[Path | None, typer.Option(help="YAML file that says it all.")] = None,
    name: LabName = "lab",
    stock: Annotated[
        bool, typer.Option("--stock", help="Sites of plain ML2/OVN, each on its own.")
    ] = False,
    compute: Annotated[
        bool, typer.Option("--compute", help="A Nova in each site, with Placement and Glance.")
    ] = False,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Horizon at central; see: isthmus lab dashboard.")
    ] = False,
    mariadb: Annotated[
        bool, typer.Option("--mariadb", help="Neutron on MariaDB, one each tier; not on SQLite.")
    ] = False,
    cells: Annotated[
        int, typer.Option(help="How many cells each Nova has; hosts are dealt out in turn.", min=1)
    ] = 1,
    metadata: Annotated[
        bool, typer.Option("--metadata", help="Neutron's metadata agent on each hypervisor.")
    ] = False,
    timing: Annotated[
        bool, typer.Option("--timing", "-v", help="Say how long each phase took.")
    ] = False,
) -> None:
    """Bring up central and the sites: Keystone, Neutron, OVN, hypervisors, WAN."""
    from isthmus.lab.dashboard.horizon import get_horizon
    from isthmus.wiring.lab import choose_topology

    request = None
    if compute:
        from isthmus.wiring.compute.lab_nova import request_compute

        request = request_compute(cells, metadata=metadata)
    elif cells > 1 or metadata:
        hint = "--cells" if cells > 1 else "--metadata"
        raise typer.BadParameter(f"{hint} is for labs with --compute", param_hint=hint)
    began = time.monotonic()
    progress = Progress(timing=timing)
    try:
        lab = open_labs().up(
            name,
            choose_topology(topology, sites, hosts),
            reporter=progress,
            stock=stock,
            compute=request,
            horizon=get_horizon() if dashboard else None,
            mariadb=mariadb,
        )
    except KeyboardInterrupt:
        progress.close()
        render.note(
            f"Stopped half way; take away what is there with: isthmus lab down{as_option(name)}"
        )
        raise
    finally:
        progress.close()
    plan = lab.plan
    render.note(
        f"Lab {name!r} is up after {time.monotonic() - began:.0f} s: central, "
        f"{', '.join(tier.name for tier in plan.sites)}; "
        f"{counted(len(plan.hypervisors), 'hypervisor')}."
    )
    render.note(f'To use it: eval "$(isthmus lab status{as_option(name)} -o env)"')
    if dashboard:
        render.note(
            f"Who may log in to its dashboard, and where: isthmus lab dashboard{as_option(name)}"
        )


@app.command()
def down(name: LabName = "lab") -> None:
    """Remove the lab: everything that its ledger lists, and nothing else."""
    alive = open_labs().down(name)
    render.note(f"Lab {name!r} is gone ({alive} processes ended).")


@app.command()
def status(
    name: LabName = "lab",
    output: Annotated[
        StatusFormat, typer.Option("--output", "-o", help="Form of the answer.")
    ] = StatusFormat.TABLE,
) -> None:
    """Show processes, memory, links and servers, or the variables to export."""
    if output is StatusFormat.ENV and (file := open_labs().find_shared(name)):
        print(_render_shared(file))
        return
    lab = open_lab(name)
    if output is StatusFormat.ENV:
        print(lab.variables())
        return
    found = lab.summarise()
    if output is not StatusFormat.TABLE:
        render.print_row(found, Format(output.value))
        return
    render.print_rows(
        found["processes"], ("name", "state", "pid", "memory_mib"), Format.TABLE, empty="nothing"
    )
    render.note("")
    render.print_rows(found["links"], ("site", "state", "rtt_ms"), Format.TABLE)
    render.note(
        f"\n{found['memory_mib']:.0f} MiB in all; servers: {', '.join(found['servers']) or 'none'}"
    )
    if not found["whole"]:
        render.note(f"`lab up` did not come to its end: isthmus lab down{as_option(name)}")


@app.command()
def share(
    group: Annotated[str, typer.Argument(help="A group of this machine's users.")],
    name: LabName = "lab",
) -> None:
    """Let a group of users use the lab's clouds, as its administrators, until it goes.

    They need no root for what talks to the clouds: openstack, isthmus status, audit, why. What
    enters the lab's namespaces stays root's: servers, links, shells.
    """
    file = open_labs().share(name, group)
    render.note(f"Members of {group} use it with:")
    print(_render_shared(file))


@app.command("list")
def list_labs(output: Output = Format.TABLE) -> None:
    """List the labs of this machine."""
    labs = open_labs()
    rows = [{"name": one, "folder": str(labs.folder / one)} for one in labs.list_names()]
    render.print_rows(rows, ("name", "folder"), output, empty="No lab is up.")


@app.command("dashboard")
def show_dashboard(name: LabName = "lab", output: Output = Format.TABLE) -> None:
    """Show where the dashboard is, and the people that may log in."""
    rows = open_lab(name).list_logins()
    render.print_rows(rows, ("url", "user", "password", "project"), output)


@app.command()
def verify(name: LabName = "lab", output: Output = Format.TABLE) -> None:
    """Prove that it works: processes, APIs, tunnels, and a ping from site to site."""
    with render.Waiting("Checking") as waiting:
        report = open_lab(name).verify(lambda check: waiting.say(f"Checking {check}"))
    rows = [
        {"check": one.check, "answer": one.answer.value, "seen": one.why} for one in report.rulings
    ]
    render.print_rows(rows, ("check", "answer", "seen"), output)
    for one in report.findings:
        render.note(f"{one.message}: {one.evidence}. {one.remedy}.")
    if not is_clean(report.findings):
        raise typer.Exit(1)


@app.command(context_settings={"ignore_unknown_options": True})
def exec(  # noqa: A001
    server: Server,
    command: Annotated[list[str], typer.Argument(help="Behind --: what to run.")],
    name: LabName = "lab",
) -> None:
    """Run a command in a server."""
    raise typer.Exit(open_lab(name).servers.exec(server, command))


@app.command(context_settings={"ignore_unknown_options": True})
def shell(
    place: Annotated[str, typer.Argument(help="A hypervisor, a tier, a server, SITE-out, or wan.")],
    command: Annotated[
        list[str] | None, typer.Argument(help="Behind --: what to run instead of a shell.")
    ] = None,
    name: LabName = "lab",
) -> None:
    """Open a shell in one of the lab's namespaces, or run a command there.

    At a site and on its hypervisors the tools of OVN and Open vSwitch find that site's databases:
    `isthmus lab shell site1 -- ovn-nbctl show`.
    """
    raise typer.Exit(open_lab(name).shell(place, command or ()))


@app.command()
def logs(
    process: Process,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many last lines.")] = 100,
    name: LabName = "lab",
) -> None:
    """Print the log of a process."""
    log = open_lab(name).get_program(process).program.log
    for line in _read_log(log, lines, follow=follow):
        sys.stdout.write(line)
        sys.stdout.flush()


@app.command()
def kill(
    process: Process,
    number: Annotated[str, typer.Option("--signal", "-s", help="KILL, TERM, STOP ...")] = "KILL",
    name: LabName = "lab",
) -> None:
    """Signal a process of the lab, KILL if nothing else is said."""
    sent = _signal(number)
    open_lab(name).kill(process, sent)
    back = {
        signal.SIGSTOP: f"isthmus lab kill {process} --signal CONT{as_option(name)}",
        signal.SIGKILL: f"isthmus lab start {process}{as_option(name)}",
    }.get(sent)
    render.note(f"{process} was sent {sent.name}.{f' To have it back: {back}' if back else ''}")


@app.command()
def start(process: Process, name: LabName = "lab") -> None:
    """Start a process of the lab again, and wait until it answers."""
    with render.Waiting(f"{process} starts"):
        open_lab(name).start(process)
    render.note(f"{process} is up.")


@server_app.command("create")
def create_server(
    server: Server,
    site: Annotated[str, typer.Option(help="Site to live at.")],
    network: Annotated[str, typer.Option(help="Network, by name or id.")] = "",
    port: Annotated[str, typer.Option(help="Port that is there already, by name or id.")] = "",
    vlan: Annotated[
        list[int] | None, typer.Option(help="VLAN of its port's trunk; repeat for several.")
    ] = None,
    security_group: Annotated[
        list[str] | None, typer.Option(help="By name or id; repeat for several.")
    ] = None,
    fixed_ip: Annotated[list[str] | None, typer.Option(help="Address to ask for.")] = None,
    host: Annotated[str, typer.Option(help="Hypervisor; the emptiest if not said.")] = "",
    project: Annotated[str, typer.Option(help="demo or other.")] = "demo",
    name: LabName = "lab",
    output: Output = Format.TABLE,
) -> None:
    """Make a server and wait until it has its addresses."""
    lab = open_lab(name)
    with render.Waiting("Making") as waiting:
        waiting.say(f"Making server {server} at {site}, until it has its addresses")
        row = lab.create_server(
            name=server,
            site=site,
            network=network,
            port=port,
            vlans=tuple(vlan or ()),
            security_groups=tuple(security_group or ()),
            fixed_ips=tuple(fixed_ip or ()),
            host=host,
            project=project,
        )
    render.print_row(row, output)


@server_app.command("list")
def list_servers(name: LabName = "lab", long: Long = False, output: Output = Format.TABLE) -> None:
    """List the servers."""
    render.print_rows(
        sorted(open_lab(name).servers.list_rows(), key=lambda row: str(row["name"])),
        ("name", "site", "host", "addresses", *(["network_id", "port_id"] if long else [])),
        output,
        empty="There is no server; make one with: isthmus lab server create NAME --site SITE ...",
    )


@server_app.command("delete")
def delete_server(server: Server, name: LabName = "lab") -> None:
    """Remove a server, and the port that was made for it; wait until central knows."""
    lab = open_lab(name)
    with render.Waiting("Deleting") as waiting:
        waiting.say(f"Deleting server {server}, until central knows")
        unheard = lab.delete_server(server)
    render.note(f"Server {server} is gone." + (f" But {unheard}." if unheard else ""))


@server_app.command("console")
def open_console(server: Server, name: LabName = "lab") -> None:
    """Open a shell in a server."""
    lab = open_lab(name)
    lab.servers.get_netns(server)
    raise typer.Exit(lab.shell(server))


def _render_shared(file: Path) -> str:
    """Write the lines by which a shell uses a shared `clouds.yaml`."""
    return f"export OS_CLIENT_CONFIG_FILE={shlex.quote(str(file))}\nexport OS_CLOUD={CENTRAL}"


def _signal(text: str) -> signal.Signals:
    from isthmus import errors

    word = text.upper().removeprefix("SIG")
    try:
        return signal.Signals(int(word)) if word.isdigit() else signal.Signals[f"SIG{word}"]
    except (KeyError, ValueError) as exc:
        raise errors.Invalid(f"{text!r} is no signal: say for instance KILL, TERM or STOP") from exc


def _read_log(log: Path, lines: int, *, follow: bool) -> Iterator[str]:
    with log.open(errors="replace") as stream:
        kept = stream.readlines()
        yield from kept[-lines:] if lines else ()
        while follow:
            line = stream.readline()
            if line:
                yield line
            else:
                time.sleep(_FOLLOW_S)
