"""Stay with a cell, add one, or split it: the rule, over what was measured. Pure.

One cell is the simplest Nova. Another one pays where the database or the queue of a cell comes to
its limits, or where more hosts hang on one of them than may be lost at once; for nothing else.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from isthmus.model.compute.load import Advice, CellLoad, DatabaseLoad, Measure, QueueLoad, Step
from isthmus.model.form import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When is what advised."""

    add_from: float = 0.6  #: of a limit: the next hosts go to another cell
    split_from: float = 0.85  #: of a limit: hosts leave
    answer_ms: float = 100.0  #: one row by its key
    lock_wait: float = 2.0  #: sessions that wait for a row, on average
    waiting: int = 500  #: messages that nobody takes, while they become more
    most_hosts: int = 0  #: that may be lost with one database or queue; 0: any number


def advise(loads: Sequence[CellLoad], rule: Rule) -> tuple[Advice, ...]:
    """Advise on each cell.

    Args:
        loads: of all cells.
        rule: when is what advised.
    """
    shared = find_shared(loads)
    return tuple(
        replace(_advise_cell(one, rule, bool(shared[one.cell])), shared_with=shared[one.cell])
        for one in loads
    )


def find_shared(loads: Sequence[CellLoad]) -> dict[str, tuple[str, ...]]:
    """Return which other cells are on the database server or RabbitMQ of each."""
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in loads:
        if one.database:
            places["database", one.database.server].add(one.cell)
        if one.queue:
            places["queue", one.queue.server].add(one.cell)
    return {
        one.cell: tuple(
            sorted(
                {each for cells in places.values() if one.cell in cells for each in cells}
                - {one.cell}
            )
        )
        for one in loads
    }


def list_measures(load: CellLoad, rule: Rule) -> tuple[Measure, ...]:
    """List what was measured of a cell, each with its limit."""
    found: list[Measure] = []
    if load.database:
        found += _list_database(load.database, rule)
    if load.queue:
        found += _list_queue(load.queue, rule)
    if load.report_age is not None:
        found.append(
            Measure(name="lateness of hosts' reports", value=load.report_age, limit=1.0, unit="")
        )
    if rule.most_hosts:
        found.append(
            Measure(name="hosts lost at once", value=load.hosts, limit=rule.most_hosts, unit="")
        )
    return tuple(found)


def _list_database(load: DatabaseLoad, rule: Rule) -> list[Measure]:
    return [
        Measure(
            name="connections of the database",
            value=load.connections,
            limit=load.most_connections,
            unit="",
            remedy="raise max_connections, if the server has the memory",
        ),
        Measure(
            name="answer of the database", value=load.answer_ms, limit=rule.answer_ms, unit="ms"
        ),
        Measure(
            name="sessions that wait for rows", value=load.lock_wait, limit=rule.lock_wait, unit=""
        ),
    ]


def _list_queue(load: QueueLoad, rule: Rule) -> list[Measure]:
    grows = load.waiting > load.waiting_before
    return [
        Measure(
            name="memory of RabbitMQ",
            value=load.memory,
            limit=load.most_memory,
            unit="B",
            remedy="raise vm_memory_high_watermark, if the machine has the memory",
        ),
        Measure(
            name="file descriptors of RabbitMQ",
            value=load.files,
            limit=load.most_files,
            unit="",
            remedy="raise the limit of open files of its service",
        ),
        Measure(name="alarms of RabbitMQ", value=len(load.alarms), limit=0, unit=""),
        Measure(
            name="messages that nobody takes",
            value=load.waiting if grows else 0,
            limit=rule.waiting,
            unit="",
            remedy="give the cell's nova-conductor more workers",
        ),
    ]


def _advise_cell(load: CellLoad, rule: Rule, shared: bool) -> Advice:
    measures = list_measures(load, rule)
    worst = max(measures, key=lambda one: one.share, default=None)
    missing = load.database is None or load.queue is None
    if worst is None or (missing and worst.share < rule.add_from):
        why = f"not everything was measured: {'; '.join(load.why) or 'nothing answered'}"
        return _make(load, Step.UNKNOWN, why, measures, None)
    most = find_most_hosts(load, measures, rule)
    if worst.share < rule.add_from:
        why = f"the nearest limit is {_say(worst)}"
        if load.hosts and most is not None:
            why += f", which leaves room for about {counted(most - load.hosts, 'more host')}"
        return _make(load, Step.STAY, why, measures, most)
    full = worst.share >= rule.split_from
    # What one host has cannot be parted.
    step = Step.SPLIT if full and load.hosts > 1 else Step.ADD
    what = (
        "move hosts into a cell of its own"
        if step is Step.SPLIT
        else "put the next hosts into another cell"
    )
    why = f"{_say(worst)}: {what}"
    if worst.remedy:
        why += f", or {worst.remedy}"
    if shared and worst.name != "hosts lost at once":
        why += "; a new cell has to be on servers of its own, or it changes nothing"
    return _make(load, step, why, measures, most)


def find_most_hosts(load: CellLoad, measures: Sequence[Measure], rule: Rule) -> int | None:
    """Reckon how many hosts a cell can have until the next ones are to go elsewhere.

    In proportion, for what grows with hosts. What is barely used says nothing about it.

    Args:
        load: of the cell.
        measures: with their limits.
        rule: when the next hosts go elsewhere.
    """
    grown = [one.share for one in measures if one.limit and one.share > 0]
    if not load.hosts or not grown:
        return None
    return max(load.hosts, int(load.hosts * rule.add_from / max(grown)))


def _say(one: Measure) -> str:
    if not one.limit:
        return f"{one.name}: {one.value:g}"
    value, limit, unit = one.value, one.limit, one.unit
    if unit == "B":
        value, limit, unit = value / 2**20, limit / 2**20, "MiB"
    tail = f" {unit}" if unit else ""
    return f"{one.name}, {value:.4g} of {limit:.4g}{tail} ({one.share:.0%})"


def _make(
    load: CellLoad, step: Step, why: str, measures: tuple[Measure, ...], most: int | None
) -> Advice:
    return Advice(
        cell=load.cell, step=step, why=why, measures=measures, hosts=load.hosts, most_hosts=most
    )
