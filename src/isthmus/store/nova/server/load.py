"""How loaded the database server of a cell is: its own counters, read twice."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from isthmus.model.compute.load import DatabaseLoad
from isthmus.store.nova import tables
from isthmus.store.nova.reading import read_now, reading

_STATUS = (
    "Innodb_row_lock_current_waits",
    "Innodb_row_lock_time",
    "Max_used_connections",
    "Questions",
    "Threads_running",
)
#: How often one row is read to learn what that takes.
_LOOKS = 15


@contextmanager
def open_load(url: str, timeout_s: float) -> Iterator[Callable[[], DatabaseLoad]]:
    """Begin to measure; what is called at the end returns what was measured until then.

    Args:
        url: of the cell's database.
        timeout_s: for each answer.

    Raises:
        Unreachable: it does not answer.
        Inconsistent: it is no MariaDB or MySQL.
    """
    with reading(url, timeout_s) as connection:
        before, began = _read(connection), time.monotonic()
        running = [before["Threads_running"]]

        def end() -> DatabaseLoad:
            after, took = _read(connection), max(time.monotonic() - began, 1e-3)
            running.append(after["Threads_running"])
            most = connection.exec_driver_sql("SELECT @@max_connections").scalar_one()
            waited_ms = after["Innodb_row_lock_time"] - before["Innodb_row_lock_time"]
            # Whoever still waits is in no total yet.
            waits = max(waited_ms / 1000 / took, float(after["Innodb_row_lock_current_waits"]))
            where = connection.exec_driver_sql("SELECT @@hostname, @@port, @@datadir").one()
            return DatabaseLoad(
                server=":".join(map(str, where)),
                connections=after["Max_used_connections"],
                most_connections=int(most),
                running=statistics.mean(running) - 1,  # ours
                questions_s=(after["Questions"] - before["Questions"]) / took,
                lock_wait=waits,
                answer_ms=_measure_answer(connection),
            )

        yield end


def _read(connection: sa.Connection) -> dict[str, int]:
    names = ", ".join(f"'{one}'" for one in _STATUS)
    rows = connection.exec_driver_sql(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})")
    return {row[0]: int(row[1]) for row in rows}


def _measure_answer(connection: sa.Connection) -> float:
    service = tables.SERVICES.c
    one = sa.select(service.host).where(service.id == 1)
    times = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        connection.execute(one).all()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def collect_report_age(url: str, down_time_s: int, timeout_s: float) -> float | None:
    """Return how late hosts report: the time since one was seen, of the time until it is down.

    It is that of the one in twenty which is the latest. Hosts that are down, disabled or forced
    down are no matter of load and are left out. None where no host is up.

    Args:
        url: of the cell's database.
        down_time_s: a service is down that was not seen for so long.
        timeout_s: for each answer.

    Raises:
        Unreachable: it does not answer.
    """
    service = tables.SERVICES.c
    with reading(url, timeout_s) as connection:
        rows = connection.execute(
            sa.select(
                service.last_seen_up.label("seen"),
                sa.type_coerce(read_now(connection), sa.DateTime()).label("now"),
            ).where(
                service.binary == "nova-compute",
                service.deleted == 0,
                service.disabled == 0,
                service.forced_down == 0,
                service.last_seen_up.is_not(None),
            )
        ).all()
    ages = sorted((row.now - row.seen).total_seconds() / down_time_s for row in rows)
    up = [one for one in ages if one <= 1]
    return up[min(len(up) - 1, int(len(up) * 0.95))] if up else None
