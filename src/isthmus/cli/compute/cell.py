"""`isthmus cell`: how much still fits into the cells of a cloud, and what is in them."""

import enum
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus import errors
from isthmus.cli import render
from isthmus.cli.compute import advise, grow, health, leave, life, move
from isthmus.cli.compute.check import check_timeout
from isthmus.cli.compute.servers import show_servers
from isthmus.cli.options import Output
from isthmus.cli.render import Format, note
from isthmus.config.nova import NOVA_FILE, PLACEMENT_FILE
from isthmus.errors import EXIT_FOUND
from isthmus.model.compute.cloud import ComputeCloud, Flavor
from isthmus.model.form import name_near

if TYPE_CHECKING:
    from isthmus.cells.arrays import Arrays
    from isthmus.cells.capacity import Capacity
    from isthmus.cells.protocols import Fit

app = typer.Typer(
    no_args_is_help=True, help="Cells of Nova: how they stand, what fits, their servers."
)

COLUMNS = ("flavor", "scope", "fits", "hosts", "of_hosts", "largest", "stranded", "bound_by")
EXPLAINED = ("flavor", "scope", "bound_by", "hosts", "without")
SETS = ("set", "fits", "at_most")
_COUNT = re.compile(r"(.+)=\s*([0-9]{1,9})\s*", re.DOTALL)
#: Exit code where a cell did not answer: what is printed is without it.
UNANSWERED = EXIT_FOUND


class By(enum.StrEnum):
    """How hosts are parted."""

    CLOUD = "cloud"
    CELL = "cell"
    ZONE = "zone"
    AGGREGATE = "aggregate"
    HOST = "host"


class Fill(enum.StrEnum):
    """Which hosts a reservation fills first."""

    SPREAD = "spread"
    PACK = "pack"


app.command("servers")(show_servers)
app.command("list")(health.list_cells)
app.command("verify")(health.verify_cells)
app.command("show")(life.show_cell)
app.command("enable")(life.enable_cell)
app.command("disable")(life.disable_cell)
app.command("remove")(life.remove_cell)
app.command("add")(grow.add_cell)
app.command("split")(leave.split_cell)
app.command("drain")(leave.drain_cell)
app.command("advise")(advise.advise_cells)
app.command("move-host")(move.move_host)


@app.callback()
def _noun() -> None:
    """Cells of Nova: how they stand, what fits, their servers."""


@app.command("capacity")
def show_capacity(
    flavor: Annotated[
        list[str] | None,
        typer.Option(
            "--flavor", "-f", help="Name or id; all flavors without. Several may be given."
        ),
    ] = None,
    by: Annotated[By, typer.Option("--by", help="What each line stands for.")] = By.CELL,
    reserve: Annotated[
        list[str] | None,
        typer.Option("--reserve", metavar="F=N", help="Count after N more of flavor F."),
    ] = None,
    fill: Annotated[
        Fill, typer.Option("--fill", help="Which hosts a reservation takes first.")
    ] = Fill.SPREAD,
    after: Annotated[
        float,
        typer.Option("--after", min=0, help="Count in so many days, if servers come as they did."),
    ] = 0,
    history: Annotated[
        float, typer.Option("--history", min=1, help="As they did in so many days.")
    ] = 30,
    of_set: Annotated[
        str, typer.Option("--set", metavar="F=N,G=M", help="Count sets of several flavors.")
    ] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what binds, on how many hosts.")
    ] = False,
    nova_conf: Annotated[
        list[Path] | None, typer.Option("--nova-conf", help=f"Nova's file, else {NOVA_FILE}.")
    ] = None,
    placement_conf: Annotated[
        list[Path] | None,
        typer.Option("--placement-conf", help=f"Placement's file, else {PLACEMENT_FILE}."),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="For each database, in seconds.")
    ] = 10.0,
    output: Output = Format.TABLE,
) -> None:
    """Show how many more instances of each flavor fit.

    Counted as Placement and Nova decide: inventories, ratios, units, traits, nested providers, and
    the NUMA nodes of each host. Reads their databases and writes nothing. Stranded is how many more
    would fit if all that is free were on one host. The exit code is 1 where a cell that is not
    disabled did not answer, or a flavor that was named cannot be counted.
    """
    _check_numpy()
    check_timeout(timeout)
    from isthmus.cells.arrays import make_arrays
    from isthmus.cells.capacity import list_capacity
    from isthmus.wiring.compute.cells import collect_cloud, open_fit

    cloud = collect_cloud(nova_conf or [NOVA_FILE], placement_conf or [PLACEMENT_FILE], timeout)
    arrays, fit = make_arrays(cloud), open_fit(cloud)
    for text in reserve or ():
        arrays, fit = _reserve(cloud, arrays, fit, text, fill)
    if after:
        growth = _plan_growth(nova_conf or [NOVA_FILE], history, after, timeout)
        arrays, fit = _grow(cloud, arrays, fit, growth, after, fill)
    uncounted = False
    if of_set:
        _show_sets(cloud, arrays, fit, of_set, output)
    else:
        chosen = [_find(cloud, one) for one in flavor] if flavor else cloud.flavors
        found = list_capacity(arrays, chosen, fit, by.value)
        if explain:
            render.print_rows(_explain(found), EXPLAINED, output, empty="Nothing binds.")
        else:
            render.print_rows(_list_rows(found), COLUMNS, output, empty="No flavors or hosts.")
        for line in dict.fromkeys(one.note for one in found if one.note):
            note(f"At most so many: {line}.")
        for line in dict.fromkeys(one.error for one in found if one.error):
            note(f"Not counted: {line}.")
        uncounted = bool(flavor) and any(one.error for one in found)
    if _say_unanswered(cloud) or uncounted:
        raise typer.Exit(UNANSWERED)


def _check_numpy() -> None:
    from importlib import util

    if util.find_spec("numpy") is None:
        raise errors.Unsupported("numpy is missing: install isthmus[cells], which counting needs")


def _find(cloud: ComputeCloud, name: str) -> Flavor:
    found = [one for one in cloud.flavors if name in {one.name, one.flavorid}]
    if not found:
        near = name_near(name, [one.name for one in cloud.flavors])
        raise errors.NotFound(f"there is no flavor {name!r}{near}")
    return found[0]


def _parse_counts(text: str) -> list[tuple[str, int]]:
    """Read FLAVOR=NUMBER,...; names may hold commas and equals signs, numbers are what ends one."""
    found: list[tuple[str, int]] = []
    name = ""
    for piece in text.split(","):
        name = f"{name},{piece}" if name else piece
        match = _COUNT.fullmatch(name)
        if match is not None:
            found.append((match[1].strip(), int(match[2])))
            name = ""
    if name or not found or not all(count for _, count in found):
        raise errors.Invalid(
            f"{text!r} is not of the form FLAVOR=NUMBER, or a number is not from 1 to 999999999"
        )
    return found


def _reserve(
    cloud: ComputeCloud, arrays: "Arrays", fit: "Fit", text: str, fill: Fill
) -> tuple["Arrays", "Fit"]:
    from isthmus.cells.fill import Order, State

    state = State(arrays, fit)
    for name, count in _parse_counts(text):
        there = state.reserve(_find(cloud, name), count, Order(fill.value))
        if there < count:
            note(f"Of {count} reserved {name} only {there} fit.")
    assert state.fit is not None
    return state.arrays, state.fit


def _plan_growth(files: list[Path], history: float, after: float, timeout: float) -> dict[int, int]:
    from isthmus.cells.advice.forecast import plan_growth
    from isthmus.wiring.compute.cells import collect_histories

    return plan_growth(collect_histories(files, history, timeout), after)


def _grow(
    cloud: ComputeCloud,
    arrays: "Arrays",
    fit: "Fit",
    growth: dict[int, int],
    after: float,
    fill: Fill,
) -> tuple["Arrays", "Fit"]:
    """Reserve what will have come, the largest flavor first.

    Args:
        cloud: whose flavors.
        arrays: what is free.
        fit: Nova's NUMA nodes.
        growth: servers by the id of their flavor.
        after: days.
        fill: which hosts are taken first.
    """
    from isthmus.cells.fill import Order, State

    state = State(arrays, fit)
    for one in sorted(cloud.flavors, key=lambda one: (-one.vcpus, -one.ram_mib, one.name)):
        count = growth.pop(one.id, 0)
        if not count:
            continue
        try:
            there = state.reserve(one, count, Order(fill.value))
        except (errors.Invalid, errors.Unsupported) as exc:
            note(f"{count} more {one.name} in {after:g} days are not counted: {exc.message}.")
            continue
        full = (
            "" if there == count else f", of which {there} fit: full in {there / count * after:.0f}"
        )
        note(f"{count} more {one.name} in {after:g} days{full}.")
    if growth:
        note(f"{sum(growth.values())} more servers of flavors that are gone are not counted.")
    assert state.fit is not None
    return state.arrays, state.fit


def _show_sets(
    cloud: ComputeCloud, arrays: "Arrays", fit: "Fit", text: str, output: Format
) -> None:
    from isthmus.cells.fill import count_sets

    flavors: dict[str, Flavor] = {}
    counts: dict[str, int] = defaultdict(int)
    for name, count in _parse_counts(text):
        one = _find(cloud, name)
        flavors[one.name] = one
        counts[one.name] += count
    fits, most = count_sets(arrays, fit, list(flavors.values()), counts)
    render.print_rows([{"set": text, "fits": fits, "at_most": most}], SETS, output)


def _list_rows(found: "Sequence[Capacity]") -> list[dict[str, Any]]:
    return [
        {
            "flavor": one.flavor,
            "scope": one.scope,
            "fits": None if one.error else one.fits,
            "exact": one.exact,
            "hosts": one.hosts,
            "of_hosts": one.of_hosts,
            "largest": one.largest,
            "stranded": one.stranded,
            "bound_by": one.bindings[0].name if one.bindings else one.error and "not counted",
            "error": one.error,
        }
        for one in found
    ]


def _explain(found: "Sequence[Capacity]") -> list[dict[str, Any]]:
    return [
        {
            "flavor": one.flavor,
            "scope": one.scope,
            "bound_by": binding.name,
            "hosts": binding.hosts,
            "without": binding.without,
        }
        for one in found
        for binding in one.bindings
    ]


def _say_unanswered(cloud: ComputeCloud) -> bool:
    """Name the cells that are not counted; return whether one of them should have been."""
    silent = [one for one in cloud.cells if one.error]
    for one in silent:
        which = "Disabled cell" if one.disabled else "Cell"
        note(f"{which} {one.name} is not counted: {one.error}.")
    return any(not one.disabled for one in silent)
