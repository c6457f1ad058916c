"""`isthmus demo`: bring up a lab, stretch a network over its sites, and tell what was seen."""

import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli import render
from isthmus.cli.lab import Progress
from isthmus.cli.lab_options import LabName, as_option
from isthmus.model.form import counted

app = typer.Typer()

_NEXT = """
The lab stays up. Things to try:

{path}  eval "$(isthmus lab status{option} -o env)"
  openstack network list
  openstack --os-cloud site2 port list
  isthmus status
  isthmus lab exec{option} a -- ping -c 3 {address}
  isthmus lab link cut{option} site1        (restore, delay)
  isthmus lab server create{option} d --site site2 --network net1
  isthmus audit
  isthmus lab down{option}
"""


@app.command()
def demo(
    sites: Annotated[int, typer.Option(min=2, help="How many sites.")] = 2,
    hosts: Annotated[int, typer.Option(help="How many hypervisors a site.")] = 2,
    name: LabName = "lab",
) -> None:
    """Bring up a lab, stretch a network over its sites, and leave it running."""
    from isthmus.wiring.lab import choose_topology, open_labs

    began = time.monotonic()
    console = render.open_console(stderr=True)
    progress = Progress(timing=True)
    console.print(f"Central and {sites} OpenStack sites with {counted(hosts, 'hypervisor')} each:")
    try:
        lab = open_labs().up(name, choose_topology(None, sites, hosts), reporter=progress)
    finally:
        progress.close()

    def tell(line: Any) -> None:
        mark = "[green]✓[/green]   " if line.checked else "\n"
        console.print(f"{mark}{line.text}")

    lab.run_demo(tell)
    took = time.monotonic() - began
    console.print(f"\nAll of it was seen, {took:.0f} s after the start.", style="bold")
    option = as_option(name)
    address = lab.servers.get("b")["addresses"][0]
    console.print(
        _NEXT.format(option=option, address=address, path=_path_line()),
        markup=False,
        soft_wrap=True,
    )


def _path_line() -> str:
    """Return the PATH hint for a shell that does not find the commands."""
    if shutil.which("isthmus"):
        return ""
    return f'  export PATH="{Path(sys.executable).parent}:$PATH"\n'
