"""`isthmus audit`: compare what is wanted with what is, in all tiers, Neutron and OVN."""

from typing import Annotated

import typer

from isthmus.cli import render
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output
from isthmus.cli.render import Format
from isthmus.model.form import counted
from isthmus.model.verdict import is_clean, to_row

app = typer.Typer()

COLUMNS = ("severity", "place", "type", "name", "message", "evidence", "remedy")

#: Exit code where something is wrong: a finding is no error of the command.
FOUND = 1


@app.command()
def audit(
    network: Annotated[str | None, typer.Option(help="Only this network (id or name).")] = None,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Look again until all is well.")
    ] = 0.0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No word on stderr of what is waited for.")
    ] = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Compare what central wants with what every site holds, in Neutron and in OVN.

    Ends with 1 if there are findings that are more than advice. While it waits it says on stderr
    for what.
    """
    from isthmus.operate.audit import wait_clean
    from isthmus.wiring.admin import Admin

    with render.Waiting("Reading all tiers", quiet=quiet) as waiting:
        report = wait_clean(Admin(os_cloud), network=network, wait_s=wait, tell=waiting.tell)
    render.print_rows(
        [to_row(one) for one in report.findings], COLUMNS, output, empty="All tiers agree."
    )
    if report.findings:
        counts = [f"{count} {answer}" for answer, count in report.answers.items() if count]
        render.note(f"{counted(len(report.rulings), 'check')}: {', '.join(counts)}.")
    if not is_clean(report.findings):
        raise typer.Exit(FOUND)
