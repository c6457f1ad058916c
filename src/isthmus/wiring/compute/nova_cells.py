"""The cells of a Nova as those see them who add and drain cells."""

from dataclasses import dataclass
from pathlib import Path

from isthmus.cells.life import check_change, get_cell
from isthmus.config.nova import read_nova
from isthmus.model.compute.adding import AddState, NewCell
from isthmus.model.compute.cloud import CellAddress
from isthmus.store.nova import life as mappings
from isthmus.store.nova.mappings import collect_cells
from isthmus.store.nova.server.found import collect_added
from isthmus.wiring.compute import life


@dataclass(frozen=True, slots=True)
class NovaCells:
    """The cells of a Nova."""

    nova_files: tuple[Path, ...]
    timeout_s: float

    def list_cells(self) -> tuple[CellAddress, ...]:
        """List them, with cell0."""
        where = read_nova(self.nova_files)
        return collect_cells(where.api, where.template, self.timeout_s)

    def get(self, name: str) -> CellAddress:
        """Return the cell of a name or uuid that can be changed.

        Raises:
            NotFound: there is none.
            Unsupported: it is cell0.
        """
        found = get_cell(self.list_cells(), name)
        check_change(found.cell)
        return found

    def look(self, cell: NewCell, state: AddState) -> AddState:
        """Return what there is of a new cell, with what is known of it besides."""
        where = read_nova(self.nova_files)
        seconds, budget = where.service_down_time_s, self.timeout_s
        return collect_added(where.api, cell, state, down_time_s=seconds, timeout_s=budget)

    def set_enabled(self, uuid: str, *, enabled: bool) -> None:
        """Have the scheduler use a cell, or leave it out."""
        where = read_nova(self.nova_files)
        mappings.set_enabled(where.api, uuid, self.timeout_s, enabled=enabled)

    def remove(self, uuid: str) -> None:
        """Delete the mapping of a cell in which nothing is left.

        Raises:
            InUse: something is.
        """
        life.remove_cell(self.nova_files, uuid, self.timeout_s)

    def sees_cells(self) -> bool:
        """Tell whether the scheduler reads the cells again by itself."""
        return read_nova(self.nova_files).sees_cells
