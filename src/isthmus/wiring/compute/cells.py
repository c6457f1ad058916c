"""The databases of Nova and Placement joined to the engine of cells, and it to Nova's NUMA fit."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from isthmus.cells.ask import ask_cells
from isthmus.cells.assemble import assemble
from isthmus.cells.protocols import Fit
from isthmus.config.devices import read_devices
from isthmus.config.nova import read_databases, read_nova
from isthmus.model.compute.cloud import CellAddress, CellHosts, ComputeCloud
from isthmus.model.compute.growth import CellHistory
from isthmus.nfv.compute.numa import NumaFit
from isthmus.nfv.compute.topology import close_unreadable
from isthmus.store.nova.api import collect_api_state
from isthmus.store.nova.cell import collect_hosts
from isthmus.store.nova.mappings import collect_cells
from isthmus.store.nova.placement import collect_providers, collect_trait_names
from isthmus.store.nova.server.history import collect_history


def collect_cloud(nova: Sequence[Path], placement: Sequence[Path], budget_s: float) -> ComputeCloud:
    """Read a cloud from its databases; cells that do not answer are named with their error.

    Args:
        nova: Nova's files.
        placement: Placement's files.
        budget_s: for each database.

    Raises:
        Invalid: the files do not say where the databases are.
        Unreachable: the API database or Placement's does not answer.
    """
    where = read_databases(nova, placement)
    api = collect_api_state(where.api, where.template, budget_s)

    def ask(address: CellAddress) -> CellHosts:
        return collect_hosts(
            address.database,
            address.cell.name,
            down_time_s=where.service_down_time_s,
            timeout_s=budget_s,
            cpu_ratio=where.cpu_ratio,
            ram_ratio=where.ram_ratio,
        )

    hosts = ask_cells(api.cells, ask, budget_s)
    providers, inventories = collect_providers(where.placement, budget_s)
    cloud = assemble(api, hosts, providers, inventories)
    return dataclasses.replace(
        cloud,
        hosts=close_unreadable(cloud.hosts),
        retries_pinned=where.retries_pinned,
        trait_names=collect_trait_names(where.placement, budget_s),
        devices=read_devices(where.pci_aliases, in_placement=where.pci_in_placement),
    )


def collect_histories(
    nova: Sequence[Path], days: float, budget_s: float
) -> tuple[CellHistory, ...]:
    """Read how servers came and went; cells that do not answer are left out.

    Args:
        nova: Nova's files.
        days: before now.
        budget_s: for each database.

    Raises:
        Invalid: the files do not say where the databases are.
        Unreachable: the API database does not answer.
    """
    where = read_nova(nova)
    cells = collect_cells(where.api, where.template, budget_s)

    def ask(address: CellAddress) -> CellHistory:
        return collect_history(address.database, days, budget_s)

    answers = ask_cells(cells, ask, budget_s).values()
    return tuple(one for one in answers if isinstance(one, CellHistory))


def open_fit(cloud: ComputeCloud) -> Fit:
    """Return how Nova fits instances into the NUMA nodes and devices of these hosts."""
    return NumaFit(cloud.hosts, cloud.devices)
