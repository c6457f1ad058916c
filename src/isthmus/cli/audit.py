"""`isthmus audit`: compare what is wanted with what is, in all tiers, Neutron and OVN."""

from typing import Annotated

import typer

from isthmus.cli import render
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output
from isthmus.cli.render import Format

app = typer.Typer()

COLUMNS = ("severity", "site", "type", "id", "what", "evidence", "remedy")

#: Exit code where something is wrong: a finding is no error of the command.
FOUND = 1


@app.command()
def audit(
    network: Annotated[str | None, typer.Option(help="Only this network (id or name).")] = None,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Look again until all is well.")
    ] = 0.0,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Compare what central wants with what every site holds, in Neutron and in OVN.

    Ends with 1 if there are findings that are more than notes.
    """
    from isthmus.operate import audit as operate
    from isthmus.wiring.admin import Admin

    findings = operate.wait_clean(Admin(os_cloud), network=network, wait_s=wait)
    render.print_rows(
        [one.to_wire() for one in findings],
        COLUMNS,
        output,
        empty="All tiers agree.",
    )
    if operate.is_wrong(findings):
        raise typer.Exit(FOUND)
