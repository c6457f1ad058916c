"""Cells that are added, split and emptied, joined to databases, RabbitMQ and nova-manage."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isthmus.cells.adding.procedure import Adding, Wanted
from isthmus.cells.adding.protocols import Canary, Conductors
from isthmus.cells.moving.bring import Bringer
from isthmus.cells.moving.protocols import Computes
from isthmus.cells.patience import Patience
from isthmus.clients.compute.manage import NovaManage
from isthmus.clients.compute.rabbitmq import RabbitManagement
from isthmus.config.cell_file import CellFile
from isthmus.config.nova import read_databases
from isthmus.model.compute.adding import CellServers
from isthmus.store.nova.mappings import collect_cells, with_queues
from isthmus.store.nova.server.making import CellDatabaseServer
from isthmus.wiring.compute.moving import open_databases
from isthmus.wiring.compute.nova_cells import NovaCells

_PASSWORD_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One Nova, and who does what nobody can do by its databases."""

    nova_files: tuple[Path, ...]
    placement_files: tuple[Path, ...]
    find_cell_file: Callable[[str], Path]
    open_servers: Callable[[], CellServers]
    conductors: Conductors
    computes: Computes
    timeout_s: float  #: for each answer of a database
    wait_s: float  #: for a service that is started or stopped

    @property
    def cells(self) -> NovaCells:
        """Return the cells of the Nova."""
        return NovaCells(self.nova_files, self.timeout_s)

    def open_adding(self, wanted: Wanted, canary: Canary | None = None) -> Adding:
        """Return what adds a cell.

        Args:
            wanted: the cell.
            canary: proves it.

        Raises:
            Invalid: a file does not say where something is.
        """
        servers, file = self.open_servers(), self.find_cell_file(wanted.name)
        return Adding(
            wanted=wanted,
            servers=servers,
            file=file,
            record=CellFile(file),
            database=CellDatabaseServer(servers.database, self.timeout_s),
            queue=RabbitManagement(servers.management, self.timeout_s),
            manage=NovaManage(self.nova_files, file),
            conductors=self.conductors,
            cells=self.cells,
            make_password=lambda: secrets.token_urlsafe(_PASSWORD_BYTES),
            patience=Patience(self.wait_s),
            canary=canary,
        )

    def open_bringer(self, *, renumbers: bool) -> Bringer:
        """Return what brings hosts to cells; it knows the cells that there are now."""
        where = read_databases(self.nova_files, self.placement_files)
        cells = collect_cells(where.api, where.template, self.timeout_s)
        return Bringer(
            cells=with_queues(cells, where.queue_template),
            databases=open_databases(where, cells, self.timeout_s),
            computes=self.computes,
            patience=Patience(self.wait_s),
            renumbers=renumbers,
        )
