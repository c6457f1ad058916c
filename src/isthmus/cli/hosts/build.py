"""`isthmus build`: from a fleet file to machines that run."""

import enum
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli import render
from isthmus.cli.options import Output
from isthmus.cli.render import Format
from isthmus.errors import EXIT_FOUND
from isthmus.model.form import format_age

app = typer.Typer(no_args_is_help=True, help=__doc__)

FleetFile = Annotated[Path, typer.Argument(metavar="FLEET", help="the fleet file (YAML)")]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NAME", help="only this node, rack or site; repeatable"),
]
Rebuild = Annotated[
    list[str] | None,
    typer.Option(
        "--rebuild",
        metavar="NODE",
        help="write this node's disk anew though it runs; repeatable",
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--diff", metavar="STATE", help="hold it against this build's state folder"),
]


class Source(enum.StrEnum):
    """Where machines can be imported from."""

    CSV = "csv"
    IRONIC = "ironic"
    NETBOX = "netbox"


@app.command()
def check(fleet: FleetFile, output: Output = Format.TABLE) -> None:
    """Find everything that is wrong with a fleet file; exit code 1 where something is."""
    from isthmus.wiring import build as wiring

    faults = wiring.find_faults(fleet)
    if output is Format.TABLE:
        for fault in faults:
            sys.stdout.write(fault.say(str(fleet)) + "\n")
        render.note(f"{fleet}: {len(faults)} faults" if faults else f"{fleet} is sound")
    else:
        rows = [{"line": one.line, "column": one.column, "message": one.message} for one in faults]
        render.print_rows(rows, ("line", "column", "message"), output)
    if faults:
        raise typer.Exit(EXIT_FOUND)


@app.command()
def plan(
    fleet: FleetFile,
    output: Output = Format.TABLE,
    diff: StateOption = None,
    rebuild: Rebuild = None,
    only: Only = None,
    steps: Annotated[bool, typer.Option("--steps", help="list every step of every node")] = False,
) -> None:
    """Show what will be done to which node, in what waves, and how long it will take."""
    from isthmus.facts.document import to_document
    from isthmus.wiring import build as wiring

    found = wiring.plan_build(fleet, diff, rebuild=rebuild or (), only=only or ())
    if output is not Format.TABLE:
        render.print_row(to_document(found), output)
        return
    _show_plan(found, steps=steps, everything=diff is not None)


def _show_plan(found: Any, *, steps: bool, everything: bool) -> None:
    nodes = [one for one in found.nodes if one.wave is not None or everything]
    rows = [
        {
            "node": one.node,
            "place": f"{one.site}/{one.rack}",
            "wave": one.wave,
            "do": str(one.verb) + (" (destroys its disk)" if one.destroys else ""),
            "address": one.address,
            "roles": one.roles,
            "why": one.why,
        }
        for one in sorted(nodes, key=lambda one: (one.wave is None, one.wave or 0))
    ]
    columns = ("node", "place", "wave", "do", "address", "roles", "why")
    render.print_rows(rows, columns, Format.TABLE, empty="Nothing is to be done.")
    if steps:
        for one in nodes:
            for number, step in enumerate(one.steps, start=1):
                sys.stdout.write(f"{one.node} {number}. {step}\n")
    counts = Counter(str(one.verb) for one in found.nodes)
    sys.stdout.write("\n" + ", ".join(f"{count} {verb}" for verb, count in counts.items()) + "\n")
    for wave in found.waves:
        sys.stdout.write(
            f"wave {wave.number}: {len(wave.nodes)} nodes, {format_age(wave.estimate_s)}, "
            f"most of it {wave.slowest}\n"
        )
    if found.waves:
        sys.stdout.write(f"estimate: {format_age(found.estimate_s)}\n")
        for rate in found.rates:
            sys.stdout.write(f"  {rate.name} {rate.value:g} {rate.unit} ({rate.source})\n")
    for note in found.notes:
        sys.stdout.write(f"note: {note}\n")


StateFolder = Annotated[
    Path, typer.Option("--state", metavar="STATE", help="the build's state folder")
]
FleetOption = Annotated[
    Path | None,
    typer.Option("--fleet", metavar="FLEET", help="count machines that wait, too, by this file"),
]


@app.command()
def run(
    fleet: FleetFile,
    state: StateFolder = Path("build-state"),
    images: Annotated[
        Path, typer.Option("--images", metavar="FOLDER", help="where images are")
    ] = Path("images"),
    ramdisk_folder: Annotated[
        Path | None,
        typer.Option("--ramdisk", metavar="FOLDER", help="of vmlinuz and initrd.img"),
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option("--secrets", metavar="FILE", help="passwords by name (mode 600, or a vault)"),
    ] = None,
    rebuild: Rebuild = None,
    only: Only = None,
) -> None:
    """Build what the file asks for; run again, it goes on.

    Ends with 1 if machines were given up, with 130 after Ctrl-C.
    """
    from isthmus.build.run.session import RunOptions
    from isthmus.cli.hosts.build_watch import run_and_show

    options = RunOptions(
        state=state,
        images=images,
        ramdisk=ramdisk_folder,
        secrets=secrets,
        rebuild=rebuild or (),
        only=only or (),
    )
    raise typer.Exit(run_and_show(fleet, options))


@app.command()
def status(
    state: StateFolder = Path("build-state"),
    fleet: FleetOption = None,
    output: Output = Format.TABLE,
) -> None:
    """Show how a build stands: stages, times, and who is in trouble, why, and what comes next."""
    from isthmus.cli.hosts.build_watch import show_status

    show_status(state, fleet, output)


@app.command()
def watch(state: StateFolder = Path("build-state"), fleet: FleetOption = None) -> None:
    """Follow a build until it ends; Ctrl-C ends the watching only."""
    from isthmus.cli.hosts.build_watch import follow

    follow(state, fleet)


@app.command()
def release(
    nodes: Annotated[list[str] | None, typer.Argument(metavar="[NODE]...")] = None,
    state: StateFolder = Path("build-state"),
    everyone: Annotated[bool, typer.Option("--all", help="all that are quarantined")] = False,
) -> None:
    """Release quarantined machines, so that the next run retries them."""
    import time

    from isthmus import errors
    from isthmus.wiring import build_run

    if bool(nodes) == everyone:
        raise errors.Invalid("name the nodes to release, or give --all")
    for name in build_run.release_machines(state, nodes or (), at=time.time()):
        sys.stdout.write(f"{name}\n")


Forks = Annotated[
    int | None, typer.Option("--forks", min=1, help="hosts at a time; else by hosts and cores")
]
Strategies = Annotated[str, typer.Option("--strategy", help="linear, free or host_pinned")]


@app.command()
def configure(
    fleet: FleetFile,
    playbook: Annotated[
        Path | None, typer.Argument(help="what to run; without it files are written only")
    ] = None,
    state: StateFolder = Path("build-state"),
    forks: Forks = None,
    strategy: Strategies = "linear",
) -> None:
    """Run Ansible over the machines that are active, with an inventory by roles and services.

    Ends with 1 if a host failed, with 130 after Ctrl-C.
    """
    from isthmus.cli.hosts.build_watch import play_and_show

    raise typer.Exit(play_and_show(fleet, playbook, state, forks=forks, strategy=strategy))


@app.command()
def site(
    fleet: FleetFile,
    wheel: Annotated[
        Path, typer.Option("--wheel", metavar="FILE", help="the package of Isthmus for machines")
    ],
    state: StateFolder = Path("build-state"),
    forks: Forks = None,
    strategy: Strategies = "linear",
) -> None:
    """Make OpenStack sites of the machines that are active, and join them to central.

    Passwords are made, and kept by ansible-vault. At the end a network is made over each site and a
    port becomes ACTIVE there; nothing of it is left. Run again it changes nothing. Ends with 1 if a
    host failed, with 130 after Ctrl-C.
    """
    from isthmus.cli.hosts.build_watch import make_sites

    raise typer.Exit(make_sites(fleet, state, wheel, forks=forks, strategy=strategy))


@app.command()
def ramdisk(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="for vmlinuz and initrd.img")],
    root: Annotated[
        Path, typer.Option("--root", help="a system that has the kernel and its modules")
    ] = Path("/"),
    kernel: Annotated[str, typer.Option("--kernel", help="its version, where it has several")] = "",
) -> None:
    """Make the small ramdisk that streams images to disks."""
    from isthmus.wiring.build_image import make_ramdisk

    built = make_ramdisk(root, to, version=kernel)
    sys.stdout.write(f"{built}\n")


@app.command()
def image(
    name: Annotated[str, typer.Argument(help="of the image: NAME.raw and NAME.json")],
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="the images folder")] = Path(
        "images"
    ),
    suite: Annotated[str, typer.Option("--suite", help="Debian's release")] = "bookworm",
    size_mib: Annotated[int, typer.Option("--size-mib", min=512, help="of the disk")] = 2048,
    package: Annotated[
        list[str] | None, typer.Option("--package", help="one more package; repeatable")
    ] = None,
    kernel_line: Annotated[
        str, typer.Option("--kernel-line", help="what the kernel is told")
    ] = "console=tty0 console=ttyS0,115200",
    ramdisk_folder: Annotated[
        Path | None, typer.Option("--ramdisk", help="make the deploy ramdisk here, too")
    ] = None,
) -> None:
    """Make an image of Debian, with a manifest of its packages and its checksum."""
    from isthmus.wiring import build_image

    recipe = build_image.make_recipe(
        name,
        suite=suite,
        size_mib=size_mib,
        packages=tuple(package or ()),
        kernel_line=kernel_line,
    )
    made = build_image.make_image(recipe, to, ramdisk=ramdisk_folder, say=render.note)
    entry = {key: made[key] for key in ("name", "file", "sha256", "size_mib")}
    render.note("For the fleet file:")
    render.print_rows([entry], tuple(entry), Format.YAML)


@app.command("import")
def import_machines(
    source: Annotated[Source, typer.Argument(help="what the files are of", case_sensitive=False)],
    files: Annotated[list[Path], typer.Argument(help="one file or several")],
) -> None:
    """Write the `sites` of a fleet file from what another tool lists."""
    from isthmus.wiring import build as wiring

    text, notes = wiring.import_machines(source.value, files)
    sys.stdout.write(text)
    for note in notes:
        render.note(note)


@app.command()
def schema() -> None:
    """Print the JSON schema of a fleet file, for editors."""
    from isthmus.wiring import build as wiring

    sys.stdout.write(wiring.schema_text())
