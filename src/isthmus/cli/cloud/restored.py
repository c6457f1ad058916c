"""`isthmus restored`: a tier is told that its database came back from a backup."""

from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli import render
from isthmus.cli.options import Output
from isthmus.cli.render import Format

app = typer.Typer()


@app.command()
def restored(
    config_file: Annotated[
        list[Path],
        typer.Option(
            "--config-file",
            exists=True,
            dir_okay=False,
            help="The tier's neutron.conf, which names its database; repeat for several.",
        ),
    ],
    output: Output = Format.TABLE,
) -> None:
    """Begin a new epoch: say on a tier's host, before Neutron starts, that it was restored.

    A tier finds that out by itself where its witness survived, or the other tiers know better; this
    makes sure. It then gives no address out before all others have told it what they hold. Saying
    it twice, or of a tier that was not restored, does no harm but for that wait.
    """
    from isthmus.wiring.restored import begin_epoch

    own = begin_epoch(config_file)
    render.print_row(own, output)
    render.note("Start Neutron now; isthmus status shows for whom it waits.")
