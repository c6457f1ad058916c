"""What a person does with a host that moves: plan, begin, resume, roll back."""

from collections.abc import Callable
from dataclasses import dataclass

from isthmus.cells.assemble import name_cells
from isthmus.cells.life import check_change, get_cell
from isthmus.cells.moving import procedure
from isthmus.cells.moving.protocols import Databases
from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.move import HostMove, Phase

Tell = Callable[[HostMove], None]


@dataclass(frozen=True, slots=True)
class Movers:
    """What moves hosts between the cells of a Nova."""

    cells: tuple[CellAddress, ...]
    databases: Databases
    sees_cells: bool  #: the scheduler reads the cells again

    def name_of(self, uuid: str) -> str:
        """Return the name of a cell; its uuid where there is none."""
        named = name_cells([one.cell for one in self.cells])
        return next((one.name for one in named if one.uuid == uuid), uuid)

    def plan(self, host: str, cell: str, *, renumbers: bool) -> tuple[HostMove, dict[str, int]]:
        """Check that a host can move; return the move, and how many rows of each table go with it.

        Args:
            host: that is to move.
            cell: that it is to go to, by name or uuid.
            renumbers: whether servers may get other ids.

        Raises:
            Refused: something stands against it.
        """
        target = get_cell(self.cells, cell).cell
        check_change(target)
        move = procedure.check_move(self.databases, host, target.uuid, renumbers=renumbers)
        with self.databases.cell(move.source) as rows:
            return move, {name: len(some) for name, some in rows.read(host).items() if some}

    def begin(self, move: HostMove, tell: Tell, *, renumbers: bool) -> HostMove:
        """Begin a move and go on until nova-compute is to start in the new cell."""
        procedure.begin(self.databases, move)
        return procedure.run_to(self.databases, move.host, renumbers=renumbers, tell=tell)

    def resume(self, host: str, tell: Tell, *, renumbers: bool) -> HostMove:
        """Go on with a move; return it as it was before its last step.

        Args:
            host: that moves.
            tell: is told how far it is.
            renumbers: whether servers may get other ids.

        Raises:
            NotFound: it does not move.
            InUse: nova-compute is not up in the new cell yet.
        """
        move = procedure.get_move(self.databases, host)
        if move.phase is not Phase.MOVED:
            return procedure.run_to(self.databases, host, renumbers=renumbers, tell=tell)
        procedure.advance(self.databases, move, renumbers=renumbers)
        return move

    def roll_back(self, host: str, tell: Tell) -> HostMove | None:
        """Undo a move; return it where nova-compute is to start in the old cell again.

        Args:
            host: that moves.
            tell: is told how far it is.

        Raises:
            NotFound: it does not move.
        """
        move = procedure.get_move(self.databases, host)
        if move.phase is Phase.MOVED:
            procedure.go_back(self.databases, move)
            return procedure.run_to(self.databases, host, renumbers=False, tell=tell)
        procedure.run_back(self.databases, move, tell=tell)
        return None

    def is_moving(self, host: str) -> bool:
        """Tell whether a host is on its way."""
        return procedure.find_move(self.databases, host) is not None
