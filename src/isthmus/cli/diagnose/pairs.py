"""`isthmus pairs`: which ports of servers reach which, all pairs of them."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    read_all,
)
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output
from isthmus.cli.render import Format

if TYPE_CHECKING:
    from isthmus.diagnose.dump.form import Dump

app = typer.Typer()
COLUMNS = ("pairs", "verdict", "code", "ask")


@app.command()
def pairs(
    service: Annotated[
        str, typer.Argument(metavar="[PROTO/PORT]", help="icmp, tcp/443, udp/53 ...")
    ] = "icmp",
    network: Annotated[
        list[str] | None,
        typer.Option("--network", metavar="NETWORK", help="Ports of it alone. Repeatable."),
    ] = None,
    ovn: Remotes = None,
    site_cloud: SiteClouds = None,
    ssh: Hosts = None,
    identity: Identity = None,
    ssh_option: SshOption = None,
    lab: Lab = "",
    dump: FromDump = None,
    timeout: Timeout = 120.0,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Tell which ports of servers reach which: every pair, both ways.

    Ports of which all rows say the same are asked for once. Pairs that do not reach each other are
    told with the first cause; what more there is, `isthmus why` tells of one of them. Reads what
    your login may see and never writes.
    """
    from isthmus.diagnose.dump.recorded import reading
    from isthmus.diagnose.question import parse_service
    from isthmus.diagnose.sweep.document import to_matrix
    from isthmus.diagnose.sweep.pairs import ask_pairs, find_networks, list_ports

    wanted = parse_service(service)
    if dump is not None:
        from isthmus.diagnose.dump.file import read_file

        name, recorded = str(dump), read_file(dump)
    else:
        hosts = parse_hosts(ssh, identity, ssh_option)
        name, recorded = (
            "what was read",
            read_all(open_clouds(os_cloud, ovn, lab, hosts, site_cloud), timeout),
        )
    with reading(name):
        chosen = list_ports(recorded, find_networks(recorded, network or ()))
        found = ask_pairs(recorded, chosen, wanted, workers=os.cpu_count() or 1)
    _print(to_matrix(found, wanted, recorded.at), recorded, output)


def _print(document: dict[str, Any], recorded: "Dump", output: Format) -> None:
    if output is not Format.TABLE:
        render.print_row(document, output)
        return
    counts = ", ".join(f"{count} {word}" for word, count in document["verdicts"].items())
    render.print_row(
        {"ports": document["ports"], "pairs": counts or "none", "as of": document["as_of"]},
        Format.TABLE,
    )
    if document["not_reachable"]:
        print()
        render.print_rows(document["not_reachable"], COLUMNS, Format.TABLE)
    for one in recorded.missing:
        table = f", {one.table}" if one.table else ""
        render.note(f"Not looked at: {one.source} {one.place}{table}: {one.reason}")
