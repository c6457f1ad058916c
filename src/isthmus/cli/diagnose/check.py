"""`isthmus check`: the health of all sites, without a question."""

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

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
    read_all,
)
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output
from isthmus.cli.render import Format
from isthmus.cli.watch import Watched

if TYPE_CHECKING:
    from isthmus.diagnose.dump.form import Dump
    from isthmus.diagnose.sweep.health import Health

app = typer.Typer()

#: As of `isthmus why`; 1, 2 and 3 are those of errors, as everywhere.
EXITS: Mapping[str, int] = {"healthy": 0, "broken": 4, "degraded": 5, "undetermined": 6}
COLUMNS = ("severity", "code", "message", "remedy")
_EVERY_S = 30.0

Interval = Annotated[
    float | None,
    typer.Option(
        "--interval",
        min=1,
        metavar="SECONDS",
        help="With --watch: pause between two looks; 30 if not said.",
        show_default=False,
    ),
]


@app.command()
def check(
    ovn: Remotes = None,
    site_cloud: SiteClouds = None,
    ssh: Hosts = None,
    identity: Identity = None,
    ssh_option: SshOption = None,
    lab: Lab = "",
    dump: FromDump = None,
    watch: Watched = False,
    interval: Interval = None,
    timeout: Timeout = 120.0,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Look for faults at all sites: every port, router and floating IP, every hypervisor.

    Reads what your login may see and never writes; what is found is read once more, and told if it
    is still there. Ends with 0 if nothing is wrong, 4 if something is broken, 5 if something is
    degraded, 6 if it cannot be told from what was seen; 1, 2 and 3 are errors of the command. With
    --watch it goes on, and prints what changes.
    """
    from isthmus.diagnose.dump.recorded import reading
    from isthmus.diagnose.sweep.document import to_document
    from isthmus.diagnose.sweep.health import examine, examine_lasting

    if interval is not None and not watch:
        raise typer.BadParameter("--interval is for --watch")
    if dump and watch:
        raise errors.Invalid("a dump does not change: leave --watch out, or --from")
    if dump is not None:
        from isthmus.diagnose.dump.file import read_file

        with reading(str(dump)):
            recorded = read_file(dump)
            found, name = examine(recorded), recorded.lab
    else:
        hosts = parse_hosts(ssh, identity, ssh_option)
        ways = open_clouds(os_cloud, ovn, lab, hosts, site_cloud)
        read, name = partial(read_all, ways, timeout), ways.lab
        found = examine_lasting(read)
        if watch:
            _print(to_document(found, name), output)
            _follow(found, read, name, output, _EVERY_S if interval is None else interval)
    _print(to_document(found, name), output)
    if code := EXITS[found.word.value]:
        raise typer.Exit(code)


def _follow(
    first: "Health", read: Callable[[], "Dump"], lab: str, output: Format, every_s: float
) -> NoReturn:
    """Look again and again, and print what two looks in a row agree on that is new or gone."""
    from isthmus.diagnose.sweep.document import to_change
    from isthmus.diagnose.sweep.health import Watch, examine

    watch = Watch(first)
    while True:
        sys.stdout.flush()
        time.sleep(every_s)
        try:
            change = watch.take(examine(read()))
        except errors.Transient as error:
            render.note(f"{error.message}; looking again")
            continue
        if change is not None:
            _print_change(to_change(change, lab), output)


def _print(document: dict[str, Any], output: Format) -> None:
    from isthmus.diagnose.sweep.document import say_looked_at

    if output is not Format.TABLE:
        render.print_row(document, output)
        return
    render.print_row(
        {"verdict": document["verdict"], "as of": document["as_of"],
         "looked at": say_looked_at(document)},
        Format.TABLE,
    )  # fmt: skip
    if document["findings"]:
        print()
        render.print_rows(document["findings"], COLUMNS, Format.TABLE)
    for one in document["not_looked_at"]:
        table = f", {one['table']}" if one["table"] else ""
        render.note(f"Not looked at: {one['source']} {one['place']}{table}: {one['reason']}")
    for one in document["not_asked"]:
        render.note(f"Not asked: {one['question']}: {one['reason']}")


def _print_change(document: dict[str, Any], output: Format) -> None:
    if output is not Format.TABLE:
        if output is Format.YAML:
            print("---")
        render.print_row(document, output)
        return
    was, now = document["was"], document["verdict"]
    turned = f": {was} -> {now}" if was != now else ""
    print(f"\n{document['as_of']}{turned}")
    rows = [{"change": kind, **row} for kind in ("new", "gone") for row in document[kind]]
    if rows:
        render.print_rows(rows, ("change", *COLUMNS), Format.TABLE)
