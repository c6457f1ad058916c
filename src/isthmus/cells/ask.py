"""All cells are asked at once, and none for longer than the budget."""

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from isthmus import errors
from isthmus.model.compute.cloud import CELL0_UUID, CellAddress

Answer = TypeVar("Answer")


def ask_cells(
    cells: tuple[CellAddress, ...],
    ask: Callable[[CellAddress], Answer],
    budget_s: float,
    *,
    with_cell0: bool = False,
) -> dict[str, Answer | errors.IsthmusError]:
    """Ask every cell, each in a thread of its own.

    A thread that hangs is left to itself: it has a socket timeout, and no process waits for it.

    Args:
        cells: whom to ask.
        ask: returns the answer of one.
        budget_s: who has not answered by then has not answered.
        with_cell0: ask that one too, which has no hosts.

    Returns:
        For each cell by uuid the answer, or the error.
    """
    answers: queue.SimpleQueue[tuple[str, Answer | BaseException]] = queue.SimpleQueue()

    def run(address: CellAddress) -> None:
        try:
            answers.put((address.cell.uuid, ask(address)))
        except BaseException as exc:  # noqa: BLE001 - it is raised where it is waited for
            answers.put((address.cell.uuid, exc))

    asked = [one for one in cells if with_cell0 or one.cell.uuid != CELL0_UUID]
    for address in asked:
        threading.Thread(target=run, args=(address,), daemon=True).start()
    late = errors.TimedOut(f"no answer within {budget_s:g} s")
    found: dict[str, Answer | errors.IsthmusError] = {one.cell.uuid: late for one in asked}
    deadline = time.monotonic() + budget_s
    for _ in asked:
        try:
            name, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, BaseException) and not isinstance(answer, errors.IsthmusError):
            raise answer
        found[name] = answer
    return found
