"""Where the databases of Nova and Placement are: their own files say so."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oslo_config import cfg

from isthmus import errors

NOVA_FILE = Path("/etc/nova/nova.conf")
PLACEMENT_FILE = Path("/etc/placement/placement.conf")

#: The weigher that has the scheduler read the cells again.
FRESH_CELLS = "isthmus.nova.fresh_cells.FreshCells"

_CONNECTION = cfg.StrOpt("connection", secret=True)


@dataclass(frozen=True, slots=True)
class NovaDatabases:
    """The databases of a cloud's Nova, but for those that its cell mappings name."""

    api: str = field(repr=False)
    placement: str = field(repr=False)
    template: str = field(repr=False)  #: [database] connection, for mappings that are templates
    queue_template: str = field(repr=False)  #: [DEFAULT] transport_url, for the same
    service_down_time_s: int
    cpu_ratio: float  #: of compute nodes that say none
    ram_ratio: float
    sees_cells: bool  #: the scheduler reads the cells again (isthmus.nova.fresh_cells)
    retries_pinned: bool  #: not [workarounds] disable_fallback_pcpu_query
    pci_aliases: tuple[str, ...] = ()  #: [pci] alias, as they stand there
    pci_in_placement: bool = False  #: [filter_scheduler] pci_in_placement


def read_databases(
    nova_files: Sequence[Path] = (NOVA_FILE,), placement_files: Sequence[Path] = (PLACEMENT_FILE,)
) -> NovaDatabases:
    """Read where the databases are; what Placement's file does not say Nova's may.

    Raises:
        Invalid: a file cannot be read, or nobody says where a database is.
    """
    try:
        return _find_databases(nova_files, placement_files)
    except cfg.Error as error:
        # Its words may hold the line, and that a password.
        names = ", ".join(map(str, (*nova_files, *placement_files)))
        raise errors.Invalid(
            f"{names}: not as oslo.config reads it ({type(error).__name__})"
        ) from None


def read_nova(nova_files: Sequence[Path] = (NOVA_FILE,)) -> NovaDatabases:
    """Read where Nova's own databases are; Placement's is left empty.

    Raises:
        Invalid: a file cannot be read, or does not say where the API database is.
    """
    try:
        nova = _read("nova", nova_files)
        api = nova.api_database.connection
    except cfg.Error as error:
        names = ", ".join(map(str, nova_files))
        raise errors.Invalid(
            f"{names}: not as oslo.config reads it ({type(error).__name__})"
        ) from None
    if not api:
        names = ", ".join(map(str, nova_files))
        raise errors.Invalid(f"{names}: [api_database] connection is not set")
    return _make_databases(nova, "")


def _find_databases(nova_files: Sequence[Path], placement_files: Sequence[Path]) -> NovaDatabases:
    nova = _read("nova", nova_files)
    there = [one for one in placement_files if one.exists() or one != PLACEMENT_FILE]
    own = _read("placement", there) if there else nova
    api = nova.api_database.connection
    placement = own.placement_database.connection or nova.placement_database.connection
    for what, url, files in (
        ("[api_database]", api, nova_files),
        ("[placement_database]", placement, placement_files),
    ):
        if not url:
            raise errors.Invalid(f"{', '.join(map(str, files))}: {what} connection is not set")
    return _make_databases(nova, placement)


def _make_databases(nova: cfg.ConfigOpts, placement: str) -> NovaDatabases:
    return NovaDatabases(
        api=nova.api_database.connection,
        placement=placement,
        template=nova.database.connection or "",
        queue_template=nova.transport_url or "",
        service_down_time_s=nova.service_down_time,
        cpu_ratio=nova.cpu_allocation_ratio or nova.initial_cpu_allocation_ratio,
        ram_ratio=nova.ram_allocation_ratio or nova.initial_ram_allocation_ratio,
        sees_cells=FRESH_CELLS in nova.filter_scheduler.weight_classes,
        retries_pinned=not nova.workarounds.disable_fallback_pcpu_query,
        pci_aliases=tuple(nova.pci.alias),
        pci_in_placement=nova.filter_scheduler.pci_in_placement,
    )


def _read(project: str, files: Sequence[Path]) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf.register_opts(
        [
            cfg.IntOpt("service_down_time", default=60),
            cfg.StrOpt("transport_url", secret=True),
            cfg.FloatOpt("cpu_allocation_ratio", min=0.0),
            cfg.FloatOpt("ram_allocation_ratio", min=0.0),
            cfg.FloatOpt("initial_cpu_allocation_ratio", default=4.0, min=0.0),
            cfg.FloatOpt("initial_ram_allocation_ratio", default=1.0, min=0.0),
        ]
    )
    conf.register_opt(cfg.BoolOpt("disable_fallback_pcpu_query", default=False), "workarounds")
    conf.register_opt(cfg.ListOpt("weight_classes", default=[]), "filter_scheduler")
    conf.register_opt(cfg.BoolOpt("pci_in_placement", default=False), "filter_scheduler")
    conf.register_opt(cfg.MultiStrOpt("alias", default=[]), "pci")
    for group in ("api_database", "database", "placement_database"):
        conf.register_opt(_CONNECTION, group)
    names = [str(one) for one in files]
    conf([], project=project, default_config_files=names, default_config_dirs=[])
    return conf
