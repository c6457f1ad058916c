"""How loaded the cells of a Nova are, measured at their databases and queues."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from isthmus import errors
from isthmus.cells.ask import ask_cells
from isthmus.cells.assemble import name_cells
from isthmus.clients.compute.rabbitmq import RabbitManagement, find_management
from isthmus.config.nova import NovaDatabases
from isthmus.model.compute.adding import CellServers
from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.load import CellLoad, QueueLoad
from isthmus.store.nova.cell import collect_state
from isthmus.store.nova.mappings import collect_cells, with_queues
from isthmus.store.nova.server.load import collect_report_age, open_load


def collect_loads(
    where: NovaDatabases, servers: Sequence[CellServers], *, budget_s: float, interval_s: float
) -> tuple[CellLoad, ...]:
    """Measure all cells at once; what does not answer is said with its cell.

    Args:
        where: the databases are.
        servers: RabbitMQs with their management APIs.
        budget_s: for each answer.
        interval_s: over which counters are compared.

    Raises:
        Unreachable: the API database does not answer.
    """
    found = collect_cells(where.api, where.template, budget_s)
    cells = with_queues(found, where.queue_template)
    named = name_cells([one.cell for one in cells])
    addresses = tuple(replace(one, cell=cell) for one, cell in zip(cells, named, strict=True))

    def ask(address: CellAddress) -> CellLoad:
        return _measure(address, where, servers, budget_s, interval_s)

    answers = ask_cells(addresses, ask, interval_s + 4 * budget_s)
    return tuple(
        _to_load(one, answers[one.cell.uuid]) for one in addresses if one.cell.uuid in answers
    )


def _to_load(one: CellAddress, answer: CellLoad | errors.IsthmusError) -> CellLoad:
    if isinstance(answer, CellLoad):
        return answer
    return CellLoad(cell=one.cell.name, hosts=0, servers=0, why=(answer.message,))


def _measure(
    address: CellAddress,
    where: NovaDatabases,
    servers: Sequence[CellServers],
    budget_s: float,
    interval_s: float,
) -> CellLoad:
    down_s = where.service_down_time_s
    with open_load(address.database, budget_s) as end:
        read, why = _open_queue(address, servers, budget_s)
        before = read(None) if read else None
        time.sleep(interval_s)
        state = collect_state(
            address.database, address.cell, down_time_s=down_s, timeout_s=budget_s
        )
        return CellLoad(
            cell=address.cell.name,
            hosts=len(state.hosts),
            servers=len(state.servers),
            report_age=collect_report_age(address.database, down_s, budget_s),
            queue=read(before) if read else None,
            database=end(),
            why=why,
        )


def _open_queue(
    address: CellAddress, servers: Sequence[CellServers], budget_s: float
) -> tuple[Callable[[QueueLoad | None], QueueLoad] | None, tuple[str, ...]]:
    url = find_management(address.queue, servers)
    if url is None:
        return None, ("its RabbitMQ's management API is in no file of --servers",)
    api = RabbitManagement(url, budget_s)
    try:
        api.read_load(address.queue)
    except errors.IsthmusError as error:
        return None, (error.message,)
    return (lambda before: api.read_load(address.queue, before)), ()
