"""`isthmus explain`: how a network, port, router, floating IP or server is realised."""

import contextlib
import enum
import sys
from collections.abc import Callable
from pathlib import Path
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
    from isthmus.wiring.diagnose.ways import Ways

app = typer.Typer()


class Picture(enum.StrEnum):
    """Form of a picture."""

    MERMAID = "mermaid"
    SVG = "svg"
    HTML = "html"


@app.command()
def explain(
    asked: Annotated[
        str,
        typer.Argument(
            metavar="OBJECT",
            help="A network, port, router or server by id or name, or a floating IP.",
        ),
    ],
    ovn: Remotes = None,
    site_cloud: SiteClouds = None,
    ssh: Hosts = None,
    identity: Identity = None,
    ssh_option: SshOption = None,
    lab: Lab = "",
    dump: FromDump = None,
    picture: Annotated[
        Picture | None,
        typer.Option(help="Print a picture instead; html is a page that needs nothing else."),
    ] = None,
    timeout: Timeout = 120.0,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Show how OBJECT is realised: API, OVN, flows, tunnels and taps, at every site.

    Each stage comes with the command that one types to see it; at the end stands how a bare copy
    is built by hand. Reads what your login may see and never writes.
    """
    from isthmus.diagnose.dump.recorded import reading
    from isthmus.diagnose.explain.document import render_text, to_document
    from isthmus.diagnose.explain.whole import explain as explain_object

    hosts = parse_hosts(ssh, identity, ssh_option)
    found = _read(dump, lambda: open_clouds(os_cloud, ovn, lab, hosts, site_cloud), timeout)
    with reading(str(dump)) if dump else contextlib.nullcontext():
        document = to_document(explain_object(found, asked), found.lab)
    if picture is not None:
        sys.stdout.write(_draw(document, picture))
    elif output is not Format.TABLE:
        render.print_row(document, output)
    else:
        for line in render_text(document):
            render.print_line(line)
        for one in document["not_looked_at"]:
            table = f", {one['table']}" if one["table"] else ""
            render.note(f"Not looked at: {one['source']} {one['place']}{table}: {one['reason']}")


def _read(file: Path | None, clouds: Callable[[], "Ways"], timeout_s: float) -> "Dump":
    """Read a dump, or all that there is now."""
    if file is not None:
        from isthmus.diagnose.dump.file import read_file

        return read_file(file)
    return read_all(clouds(), timeout_s)


def _draw(document: dict[str, Any], picture: Picture) -> str:
    from isthmus.diagnose.explain import picture as drawing

    draw = {
        Picture.MERMAID: drawing.render_mermaid,
        Picture.SVG: drawing.render_svg,
        Picture.HTML: drawing.render_html,
    }
    return draw[picture](document)
