"""Empty a cell: which of its hosts are still to go, and how each stands."""

from dataclasses import dataclass

from isthmus import errors
from isthmus.cells.moving import procedure
from isthmus.cells.moving.bring import Bringer
from isthmus.model.compute.move import Turn

_WORDS = {
    Turn.NOTHING: "there",
    Turn.BEGIN: "to move",
    Turn.GO_ON: "on its way",
    Turn.UNDO: "on its way back",
    Turn.REVERSE: "on its way back",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLeft:
    """One host that is to go to another cell."""

    host: str
    state: str
    servers: int


def check_cells(source: str, target: str, name: str) -> None:
    """Check from where and whereto.

    Raises:
        Invalid: it is one cell.
    """
    if source == target:
        raise errors.Invalid(f"cell {name} cannot be emptied into itself: say another with --to")


def collect_left(bringer: Bringer, source: str, target: str) -> tuple[HostLeft, ...]:
    """List the hosts of a cell, and those that have left it and are not opened yet, by name.

    Args:
        bringer: that is to bring them.
        source: uuid of the cell that they leave.
        target: uuid of the one that they go to.
    """
    databases = bringer.databases
    arrived = []
    for host in databases.list_hosts(target):
        move = procedure.find_move(databases, host)
        if move is not None and {move.source, move.target} == {source, target}:
            arrived.append(host)
    hosts = sorted({*databases.list_hosts(source), *arrived})
    return collect_hosts(bringer, tuple(hosts), target)


def collect_hosts(bringer: Bringer, hosts: tuple[str, ...], target: str) -> tuple[HostLeft, ...]:
    """Look how each of some hosts stands on its way to a cell.

    Args:
        bringer: that is to bring them.
        hosts: their names.
        target: uuid of the cell.

    Raises:
        NotFound: one is mapped to no cell.
        Conflict: one is on its way elsewhere.
    """
    found = []
    for host in hosts:
        turn = bringer.find_turn(host, target)
        mapped = bringer.databases.find_cell_of(host)
        assert mapped is not None
        with bringer.databases.cell(mapped) as rows:
            servers = sum(not one["deleted"] for one in rows.read(host)["instances"])
        found.append(HostLeft(host=host, state=_WORDS[turn], servers=servers))
    return tuple(found)
