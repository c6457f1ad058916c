"""`isthmus why`: why one end does not reach another."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus import errors
from isthmus.cli import render
from isthmus.cli.diagnose.ways import (
    FromDump,
    Hosts,
    Identity,
    Lab,
    Remotes,
    SiteClouds,
    SshOption,
    Timeout,
    open_clouds,
    parse_hosts,
    parse_remotes,
    say_time,
)
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output
from isthmus.cli.render import Format
from isthmus.diagnose.judge import Diagnosis, Word
from isthmus.diagnose.question import Service

app = typer.Typer()

#: Exit codes of the verdicts; 1, 2 and 3 are those of errors, as everywhere.
EXITS: Mapping[Word, int] = {
    Word.REACHABLE: 0,
    Word.BLOCKED: 4,
    Word.DEGRADED: 5,
    Word.UNDETERMINED: 6,
}

#: How long a repair may take until it shows, in seconds; what is far takes as long as its site.
FIX_S = 120.0


@app.command()
def why(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="A port, a server or a name, ADDRESS, ADDRESS@NETWORK, or external.",
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="DST", help="The same, or a floating IP, or a router.")
    ],
    service: Annotated[
        str, typer.Argument(metavar="[PROTO/PORT]", help="icmp, tcp/443, udp/53 ...")
    ] = "icmp",
    family: Annotated[int, typer.Option(help="4 or 6; what both ends have if not given.")] = 0,
    ovn: Remotes = None,
    site_cloud: SiteClouds = None,
    ssh: Hosts = None,
    identity: Identity = None,
    ssh_option: SshOption = None,
    lab: Lab = "",
    dump: FromDump = None,
    timeout: Timeout = 20.0,
    probe: Annotated[
        bool, typer.Option("--probe", help="Also send packets: ping, ARP, TCP, large ones, DHCP.")
    ] = False,
    capture: Annotated[
        bool, typer.Option("--capture", help="Also look out for the packet at each hop.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Repair it: show what is to be done, ask, do, ask anew.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --fix: do not ask.")] = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Tell why SRC does not reach DST: the cause, the evidence, and the command that repairs it.

    Reads Neutron and OVN of all sites that the two are at, or that packets between them leave by,
    and never writes without --fix. With --probe it sends a few packets too. Ends with 0 if DST is
    reachable, 4 if it is blocked, 5 if packets pass and something hinders them or will, 6 if it
    cannot be told from what was seen; 1, 2 and 3 are errors of the command.
    """
    from isthmus.diagnose.document import to_document
    from isthmus.diagnose.question import parse_service

    if dump and (probe or capture or fix):
        raise errors.Invalid("--probe, --capture and --fix need the clouds: a dump has no network")
    if family not in (0, 4, 6):
        raise errors.Invalid(f"--family {family}: it is 4 or 6")
    wanted = parse_service(service)
    hosts = parse_hosts(ssh, identity, ssh_option)
    with _opening(dump, lambda: open_clouds(os_cloud, ovn, lab, hosts, site_cloud)) as ways:
        asked = _Question(ways, source, target, wanted, family, timeout, (probe, capture))
        found = asked.ask()
        if fix:
            found = _fix(asked, found, parse_remotes(ovn or []), yes=yes)
        document = to_document(found, ways.lab, asked.outcome)
    if output is Format.TABLE:
        _print(document)
    else:
        render.print_row(document, output)
    if code := EXITS[found.word]:
        raise typer.Exit(code)


@contextlib.contextmanager
def _opening(dump: Path | None, clouds: Callable[[], Any]) -> Iterator[Any]:
    """Open ways to the clouds, or to a dump in their place.

    Raises:
        Invalid: the dump is none, is not whole, or holds what no Isthmus writes.
    """
    if dump is None:
        yield clouds()
        return
    from isthmus.diagnose.dump.file import read_file
    from isthmus.diagnose.dump.recorded import Recorded, reading

    with reading(str(dump)):
        yield Recorded(read_file(dump))


@dataclass
class _Question:
    """What was asked, to be asked anew."""

    ways: Any
    source: str
    target: str
    service: Service
    family: int
    timeout_s: float
    packets: tuple[bool, bool]  #: whether they are sent, and looked out for
    outcome: Any = None  #: of the packets that were sent last

    def ask(self) -> Diagnosis:
        """Read, judge, and send packets if that is wanted."""
        from isthmus.diagnose.collect.world import collect_scene
        from isthmus.diagnose.judge import judge

        scene = collect_scene(
            self.ways,
            self.source,
            self.target,
            timeout_s=self.timeout_s,
            now=getattr(self.ways, "now", say_time),
            service=self.service,
            family=self.family,
        )
        found = judge(scene.world, scene.source, scene.target, self.service, scene.family)
        if any(self.packets):
            found, self.outcome = _probe(self.ways, found, capture=self.packets[1])
        return found


def _fix(
    asked: _Question, found: Diagnosis, remotes: Mapping[str, tuple[str, str]], *, yes: bool
) -> Diagnosis:
    """Repair what a command repairs, one cause after another."""
    from isthmus.cli.diagnose.fix import Terminal
    from isthmus.diagnose.fix.repair import Reach, apply_repairs

    reach = Reach(asked.ways.lab, remotes)
    return apply_repairs(found, asked.ask, Terminal(yes=yes), reach=reach, timeout_s=FIX_S)


def _probe(ways: Any, found: Diagnosis, *, capture: bool) -> tuple[Diagnosis, Any]:
    """Send packets, and weigh what came of them."""
    from isthmus.diagnose.probe.outcome import weigh
    from isthmus.diagnose.probe.plan import plan_probes
    from isthmus.diagnose.probe.run import Outcome, apply_probes
    from isthmus.wiring.diagnose.probe import open_places

    plan = plan_probes(found, secrets.randbelow(10**9))
    try:
        outcome = apply_probes(open_places(ways), plan, capture=capture)
    except errors.Unsupported as error:
        outcome = Outcome(not_sent=error.message)
    return weigh(found, outcome), outcome


def _print_probes(document: Mapping[str, Any]) -> None:
    """Print what was sent, and where it was seen."""
    if document.get("probes"):
        print()
        render.print_rows(document["probes"], ("probe", "from", "state", "said"), Format.TABLE)
    if document.get("seen"):
        print()
        render.print_rows(document["seen"], ("where", "requests", "replies"), Format.TABLE)
        print(f"\n{document['last_seen']}.")
    if document.get("not_sent"):
        render.note(f"No packet was sent: {document['not_sent']}")


def _print(document: Mapping[str, Any]) -> None:
    """Print the answer on one screen."""
    from isthmus.diagnose.document import list_hops, shorten_hops

    render.print_row(
        {
            "verdict": document["verdict"],
            "from": document["source"]["label"],
            "to": document["target"]["label"],
            "packet": document["packet"],
        },
        Format.TABLE,
    )
    print()
    hops, columns = list_hops(document), ["hop", "there", "back", "where"]
    if not render.fits(hops, columns):
        hops, columns = shorten_hops(document), ["there", "back", "hop"]
    render.print_rows(hops, columns, Format.TABLE, wraps="hop")
    _print_probes(document)
    for number, one in enumerate(document["blockers"], start=1):
        print()
        render.print_row(
            {
                f"{number}": f"{one['severity']}{', further on' * one['behind']}: {one['message']}",
                "code": one["code"],
                "evidence": one["evidence"],
                "repair": one["remedy"],
            },
            Format.TABLE,
        )
    for one in document["not_looked_at"]:
        render.note(f"Not looked at: {one['source']} {one['place']}: {one['reason']}")
