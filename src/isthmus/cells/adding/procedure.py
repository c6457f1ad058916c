"""Add a cell step by step, or take it back; how far it is stands in the world, and in its file.

The file with the cell's passwords is written before anything is made and removed after all of it
is gone. So whoever comes after a crash knows by it what is ours, goes on, or takes it back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from isthmus import errors
from isthmus.cells.adding import plan, protocols
from isthmus.model.compute.adding import AddedStep, AddState, AddStep, CellServers, NewCell

Tell = Callable[[AddStep], None]
#: Waits until something is so, and raises Stale with the sentence where it does not come to be.
Patience = Callable[[Callable[[], bool], str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asks for."""

    name: str
    enables: bool = True
    source: str = ""  #: uuid of the cell whose hosts it is to get
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adding:
    """One cell that is added."""

    wanted: Wanted
    servers: CellServers
    file: Path
    record: protocols.Record
    database: protocols.DatabaseServer
    queue: protocols.Queue
    manage: protocols.Manage
    conductors: protocols.Conductors
    cells: protocols.Cells
    make_password: Callable[[], str]
    patience: Patience
    canary: protocols.Canary | None = None

    def look(self) -> AddState:
        """Return what there is of the cell.

        Raises:
            Exists: a cell of this name, or what would be its database, is somebody else's.
            Conflict: its file is of another cell.
        """
        state = AddState(file=self.file, cell=self.record.find())
        if state.cell is None:
            plan.check_new_name(self.wanted.name, self.cells.list_cells())
            cell = self._plan_cell("-")
            state = replace(state, database=self.database.read(cell.database))
            plan.check_unused(state, any_queue=self.queue.is_any_there(cell.queue))
            return state
        if state.cell.name != self.wanted.name:
            raise errors.Conflict(f"{state.file} is of cell {state.cell.name}, not of this one")
        cell = state.cell
        database = self.database.read(cell.database)
        state = replace(state, database=database, queue=self.queue.is_there(cell.queue))
        return self.cells.look(cell, state)

    def list_steps(self, state: AddState) -> tuple[AddedStep, ...]:
        """List all steps, and how each stands."""
        return plan.plan_steps(
            state,
            name=self.wanted.name,
            by_hand=self.conductors.by_hand,
            enables=self.wanted.enables,
            canary=self.canary is not None,
        )

    def run(self, tell: Tell) -> tuple[AddedStep, ...]:
        """Do all steps that are left; return how all stand at the end.

        Args:
            tell: is told of each step before it is done.

        Raises:
            Refused: something stands against a step.
            Stale: a step is a person's, and not done yet.
            StepFailed: a step failed.
        """
        done: AddStep | None = None
        while True:
            state = self.look()
            steps = self.list_steps(state)
            step = plan.find_next(steps)
            if step is None or done is AddStep.CANARY:
                return steps
            if step is done:
                raise errors.StepFailed(
                    f"step {step.value} of cell {self.wanted.name} was done and is not: see "
                    "isthmus cell verify"
                )
            tell(step)
            self._do(step, state, tell)
            done = step

    def _do(self, step: AddStep, state: AddState, tell: Tell) -> None:
        cell, mapped = state.cell, state.mapped
        if step is AddStep.FILE:
            made = self._plan_cell(self.make_password())
            source, hosts = self.wanted.source, self.wanted.hosts
            self.record.write(replace(made, source=source, hosts=hosts))
            return
        assert cell is not None
        todo: dict[AddStep, Callable[[], object]] = {
            AddStep.QUEUE: partial(self.queue.ensure, cell.queue),
            AddStep.DATABASE: partial(self._make_database, state, cell, tell),
            AddStep.CONDUCTOR: partial(self._start_conductor, cell, state),
        }
        if mapped is not None:
            uuid = mapped.cell.uuid
            todo[AddStep.HOSTS] = partial(self.manage.discover, uuid)
            todo[AddStep.ENABLE] = partial(self.cells.set_enabled, uuid, enabled=True)
            todo[AddStep.CANARY] = partial(self._prove, uuid, state)
        todo[step]()

    def _plan_cell(self, password: str) -> NewCell:
        return plan.plan_cell(self.wanted.name, self.servers, password)

    def _make_database(self, state: AddState, cell: NewCell, tell: Tell) -> None:
        """Make database, tables and mapping: without the mapping, all of it is made anew."""
        plan.check_anew(state)
        if state.database.there:
            self.database.drop(cell.database, cell.reached_from)
        self.database.ensure_database(cell.database, cell.reached_from)
        tell(AddStep.SCHEMA)
        self.manage.migrate()
        tell(AddStep.MAPPING)
        self.manage.map_cell(cell.name)

    def _start_conductor(self, cell: NewCell, state: AddState) -> None:
        self.conductors.start(cell)
        self.patience(
            lambda: self.cells.look(cell, state).conductor,
            f"no nova-conductor is up in cell {cell.name}: have one started with --config-file "
            f"{state.file} behind its own file, and run this again",
        )

    def _prove(self, uuid: str, state: AddState) -> None:
        assert self.canary is not None
        try:
            self.canary.prove(state.hosts[0])
        except errors.IsthmusError:
            self.cells.set_enabled(uuid, enabled=False)
            raise

    def roll_back(self) -> None:
        """Take the cell back: mapping, conductor, queue, database and file, in that order.

        Raises:
            NotFound: it was not added by this, or is gone.
            InUse: it has hosts or servers.
        """
        cell = self.record.find()
        if cell is None or cell.name != self.wanted.name:
            raise errors.NotFound(
                f"cell {self.wanted.name} was not added from here, or is gone: its file is "
                "not there"
            )
        state = self.look()
        plan.check_anew(state)
        if state.mapped is not None:
            self.cells.remove(state.mapped.cell.uuid)
        self.conductors.stop(cell)
        self.queue.drop(cell.queue)
        self.database.drop(cell.database, cell.reached_from)
        self.record.remove()
