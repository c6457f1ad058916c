"""`isthmus audit`: compare what is wanted with what is, in all tiers, Neutron and OVN."""

from typing import Annotated

import typer

from isthmus.cli import complete, render
from isthmus.cli.cloud.names import Long, add_names, choose_columns, show_named
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output
from isthmus.cli.render import Format
from isthmus.errors import EXIT_FOUND
from isthmus.model.form import counted
from isthmus.model.verdict import is_clean, to_row

app = typer.Typer()

COLUMNS = ("severity", "place", "type", "resource_name", "message", "evidence", "remedy")


@app.command()
def audit(
    network: Annotated[
        str | None,
        typer.Option(
            help="Only this network (id or name), what is on it, and what that names.",
            autocompletion=complete.networks,
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Look again until all is well.")
    ] = 0.0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No word on stderr of what is waited for.")
    ] = False,
    long: Long = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Compare what central wants with what every site holds, in Neutron and in OVN.

    Ends with 1 if there are findings that are more than advice. While it waits it says on stderr
    for what. A table has the names of what is wrong, or ids where it has none.
    """
    from isthmus.operate.audit import wait_clean
    from isthmus.wiring.admin import Admin

    admin = Admin(os_cloud, anew=True)  # each tier's Keystone is part of what is asked
    with render.Waiting("Reading all tiers", quiet=quiet) as waiting:
        report = wait_clean(admin, network=network, wait_s=wait, tell=waiting.tell)
    rows = add_names(admin.api, [to_row(one) for one in report.findings], id_key="name")
    render.print_rows(
        rows,
        choose_columns(COLUMNS, id_key="name", long=long),
        output,
        empty="All tiers agree.",
        show=show_named(rows, id_key="name"),
    )
    if report.findings:
        counts = [f"{count} {answer}" for answer, count in report.answers.items() if count]
        render.note(f"{counted(len(report.rulings), 'check')}: {', '.join(counts)}.")
    if not is_clean(report.findings):
        raise typer.Exit(EXIT_FOUND)
