"""Bring hosts to a cell, one by one: fence, stop nova-compute, move its rows, start it there.

Each host is done or not, and the one on its way bears its marker. So this is run again after
whatever happened, with the same cell to go on and with the other one to go back.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from isthmus import errors
from isthmus.cells.life import get_cell
from isthmus.cells.moving import procedure
from isthmus.cells.moving.protocols import Computes, Databases
from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.move import HostMove, Phase, Turn

Tell = Callable[[str, str], None]
#: Waits until something is so, and raises Stale with the sentence where it does not come to be.
Patience = Callable[[Callable[[], bool], str], None]


#: What is done next in each phase.
_NEXT = {
    Phase.FENCED: "its rows are copied to the other cell",
    Phase.COPIED: "the mappings are switched to the other cell",
    Phase.SWITCHED: "its rows are removed from the old cell",
}


def plan_turn(move: HostMove | None, mapped: str, to: str, host: str) -> Turn:
    """Decide what brings a host to a cell, by how far a move of it is. Pure.

    Args:
        move: of the host, as it was found.
        mapped: uuid of the cell that it is mapped to.
        to: uuid of the cell that it is to be in.
        host: its name.

    Raises:
        Conflict: it is on its way between other cells.
    """
    if move is None:
        return Turn.NOTHING if mapped == to else Turn.BEGIN
    if move.target == to:
        return Turn.GO_ON
    if move.source == to:
        return Turn.REVERSE if move.phase is Phase.MOVED else Turn.UNDO
    raise errors.Conflict(
        f"host {host} is on its way to another cell: isthmus cell move-host {host} --resume or "
        "--roll-back first"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bringer:
    """Brings hosts to cells."""

    cells: tuple[CellAddress, ...]
    databases: Databases
    computes: Computes
    patience: Patience
    renumbers: bool = False

    def bring(self, host: str, to: str, tell: Tell) -> bool:
        """Bring a host to a cell; return whether that took anything.

        Args:
            host: its name.
            to: uuid of the cell.
            tell: is told of what is done next, with the name of the host.

        Raises:
            NotFound: it is mapped to no cell.
            Refused: something stands against it; what was done stays, and can go on or back.
            Stale: its nova-compute did not stop or start in time.
        """
        turn = self.find_turn(host, to)
        if turn is Turn.NOTHING:
            return False
        if turn is Turn.BEGIN:
            tell(host, "it is fenced: no new servers go there")
            move = procedure.check_move(
                self.databases, host, to, renumbers=self.renumbers, stopped=False
            )
            procedure.begin(self.databases, move)
            self._forward(host, tell)
        elif turn is Turn.GO_ON:
            self._forward(host, tell)
        elif turn is Turn.REVERSE:
            tell(host, "it had arrived: it goes the way back")
            procedure.go_back(self.databases, procedure.get_move(self.databases, host))
            self._forward(host, tell)
        elif turn is Turn.UNDO:
            self._undo(host, tell)
        else:
            assert_never(turn)
        return True

    def find_turn(self, host: str, to: str) -> Turn:
        """Find out what brings a host to a cell.

        Raises:
            NotFound: it is mapped to no cell.
            Conflict: it is on its way between other cells.
        """
        mapped = self.databases.find_cell_of(host)
        if mapped is None:
            raise errors.NotFound(f"host {host} is mapped to no cell")
        return plan_turn(procedure.find_move(self.databases, host), mapped, to, host)

    def _forward(self, host: str, tell: Tell) -> None:
        move = procedure.get_move(self.databases, host)
        if move.phase is Phase.FENCED:
            self._await_quiet(move, tell)
        if move.phase is not Phase.MOVED:
            self._stop(move, tell)
        else:
            # Whichever queue it uses: nothing of it is to write while it is opened.
            self._force_down(move.target, host, down=True)

        def say(found: HostMove) -> None:
            if found.phase is not Phase.MOVED:
                tell(host, _NEXT[found.phase])

        move = procedure.run_to(self.databases, host, renumbers=self.renumbers, tell=say)
        self._start(host, move.target, tell)
        procedure.advance(self.databases, move, renumbers=self.renumbers)

    def _await_quiet(self, move: HostMove, tell: Tell) -> None:
        """Wait for what its servers are in the middle of: nothing new comes, it is fenced."""
        why: list[str] = []

        def is_quiet() -> bool:
            try:
                procedure.check_quiet(self.databases, move)
            except errors.InUse as error:
                if not why:
                    tell(move.host, f"waiting: {error.message}")
                why[:] = [error.message]
                return False
            return True

        with contextlib.suppress(errors.Stale):
            self.patience(is_quiet, "")
            return
        raise errors.InUse("; ".join(why) + f" ({move.host} stays fenced: run this again)")

    def _stop(self, move: HostMove, tell: Tell) -> None:
        tell(move.host, "its nova-compute stops; its servers run on")
        cell = move.source
        if self.computes.stop(move.host, get_cell(self.cells, cell)):
            self._force_down(cell, move.host, down=True)
            return
        self.patience(
            lambda: self._is_closed(cell, move.host),
            f"nova-compute of {move.host} is up: have it stopped, and run this again",
        )

    def _start(self, host: str, cell: str, tell: Tell) -> None:
        """Have it started, and wait until it says that it is up; until then it counts as down."""
        address = get_cell(self.cells, cell)
        before = self._read_seen(cell, host)
        tell(host, f"its nova-compute starts with the queue of {address.cell.name}")
        self.computes.start(host, address)
        self.patience(
            lambda: self._read_seen(cell, host) != before,
            f"nova-compute of {host} is not up in cell {address.cell.name}: have it started with "
            "the queue of that cell, and run this again",
        )
        self._force_down(cell, host, down=False)

    def _undo(self, host: str, tell: Tell) -> None:
        move = procedure.get_move(self.databases, host)
        while move.phase is not Phase.FENCED:
            tell(host, f"it is {move.phase.value}: that step is undone")
            procedure.go_back(self.databases, move)
            move = procedure.get_move(self.databases, host)
        self._start(host, move.source, tell)
        procedure.go_back(self.databases, move)

    def _force_down(self, cell: str, host: str, *, down: bool) -> None:
        with self.databases.cell(cell) as rows:
            rows.set_forced_down(host, down=down)

    def _is_closed(self, cell: str, host: str) -> bool:
        with self.databases.cell(cell) as rows:
            service = rows.find_service(host)
        return service is None or bool(service.closed)

    def _read_seen(self, cell: str, host: str) -> object:
        with self.databases.cell(cell) as rows:
            service = rows.find_service(host)
        return service and service.seen


def bring_all(
    bringer: Bringer, hosts: Sequence[str], to: str, tell: Tell, done: Callable[[str], None]
) -> list[str]:
    """Bring hosts to a cell, one after another; return those that it took anything for.

    Args:
        bringer: brings one.
        hosts: their names.
        to: uuid of the cell.
        tell: is told of what is done next, with the name of the host.
        done: is told of each host that has arrived.

    Raises:
        Refused: something stands against one; those before it have arrived.
    """
    moved = []
    for host in hosts:
        if bringer.bring(host, to, tell):
            moved.append(host)
            done(host)
    return moved
