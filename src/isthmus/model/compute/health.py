"""What the databases of a Nova say of its cells, for checks that hold them against each other."""

from dataclasses import dataclass, field

from isthmus.model.compute.cloud import Cell, ComputeHost


@dataclass(frozen=True, slots=True, kw_only=True)
class CellState:
    """One cell as its own database has it; nothing where that does not answer (`cell.error`)."""

    cell: Cell
    hosts: tuple[ComputeHost, ...] = ()
    schema: str = ""  #: revision of the tables
    place: str = ""  #: of its database, as that itself says; two cells of one place have one
    servers: frozenset[str] = frozenset()  #: uuids of those that are not deleted
    migrations: frozenset[str] = frozenset()  #: uuids of moves, which hold allocations as well


@dataclass(frozen=True, slots=True, kw_only=True)
class CellService:
    """One service of a cell."""

    binary: str
    host: str
    closed: str  #: why it is not to be reckoned with; empty where it is up


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDetail:
    """One cell with all that is shown of it; its state alone where its database is silent."""

    state: CellState
    services: tuple[CellService, ...] = ()
    #: vm_state, task_state -> how many servers are in them
    servers: dict[tuple[str, str], int] = field(default_factory=dict)
    database: str = ""  #: where the mapping says that it is, without who logs in there
    queue: str = ""  #: the same of the messages


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudState:
    """All cells, and what the API database and Placement say of what is in them."""

    cells: tuple[CellState, ...]
    host_cells: dict[str, str]  #: host -> uuid of the cell that it is mapped to; empty for none
    server_cells: dict[str, str]  #: server -> the same
    leaving: frozenset[str] = frozenset()  #: servers whose deletion has begun
    consumers: dict[str, str] = field(default_factory=dict)  #: consumer -> root provider, by uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class Strays:
    """Servers that one side knows and another does not, by the uuid of the cell."""

    unmapped: dict[str, frozenset[str]] = field(default_factory=dict)  #: no mapping leads there
    nowhere: dict[str, frozenset[str]] = field(default_factory=dict)  #: mapped, and not there
    consumers: frozenset[str] = frozenset()  #: hold allocations, and are no server
