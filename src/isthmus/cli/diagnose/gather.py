"""`isthmus gather`: all that `isthmus why` may ask for, in one file."""

from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli import render
from isthmus.cli.diagnose.ways import (
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
from isthmus.cli.options import DEFAULT_CLOUD, Cloud

app = typer.Typer()


@app.command()
def gather(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write; it must not be there yet.")
    ],
    ovn: Remotes = None,
    site_cloud: SiteClouds = None,
    ssh: Hosts = None,
    identity: Identity = None,
    ssh_option: SshOption = None,
    lab: Lab = "",
    timeout: Timeout = 120.0,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Write a dump: what Neutron, OVN and hypervisors of all sites have, without secrets.

    `isthmus why --from FILE` answers from it as it would have then. Reads what your login may see
    and never writes to a cloud. What may be in a dump is a list in the code; all else is left out.
    """
    from isthmus.diagnose.dump.file import write_new_file

    ways = open_clouds(os_cloud, ovn, lab, parse_hosts(ssh, identity, ssh_option), site_cloud)
    dump = write_new_file(file, lambda: read_all(ways, timeout))
    rows = sum(len(found) for tables in dump.tables.values() for found in tables.values())
    render.note(f"{file}: {rows} rows of {len(dump.tables)} sources, as of {dump.at}.")
    for one in dump.missing:
        what = f"{one.source} {one.place}{f', {one.table}' if one.table else ''}"
        render.note(f"Not in it: {what}: {one.reason}")
