"""Asking many at once, for a time that is over when it is over."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from isthmus import errors
from isthmus.diagnose.world import Row, Seen, Source, Unseen

Tables = Mapping[str, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to read: a few tables of one source."""

    source: Source
    place: str
    what: str  #: in words, for the case that it fails
    read: Callable[[], Tables]


@dataclass(slots=True)
class Gathered:
    """What came in, and what did not."""

    seen: dict[tuple[Source, str], Seen] = field(default_factory=dict)
    unseen: list[Unseen] = field(default_factory=list)


def gather(tasks: Sequence[Task], deadline: float, now: Callable[[], str]) -> Gathered:
    """Run tasks at the same time until all are done or the time is over.

    A task that hangs is left behind: its thread ends with the process.

    Args:
        tasks: what to read.
        deadline: on the clock of `time.monotonic`.
        now: gives the time that rows bear.
    """
    lock = threading.Lock()
    answers: dict[int, Tables | errors.IsthmusError] = {}

    def run(number: int, task: Task) -> None:
        answer: Tables | errors.IsthmusError
        try:
            answer = task.read()
        except errors.IsthmusError as error:
            answer = error
        with lock:
            answers[number] = answer

    threads = [
        threading.Thread(target=run, args=(number, task), daemon=True)
        for number, task in enumerate(tasks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    with lock:
        came = dict(answers)
    return _sort(tasks, came, now())


def _sort(
    tasks: Sequence[Task], answers: Mapping[int, Tables | errors.IsthmusError], at: str
) -> Gathered:
    found = Gathered()
    for number, task in enumerate(tasks):
        answer = answers.get(number)
        if answer is None:
            late = f"{task.what}: no answer in time"
            found.unseen.append(Unseen(task.source, task.place, late))
        elif isinstance(answer, errors.IsthmusError):
            reason = f"{task.what}: {answer.message}"
            found.unseen.append(Unseen(task.source, task.place, reason))
        else:
            key = (task.source, task.place)
            known = found.seen[key].tables if key in found.seen else {}
            found.seen[key] = Seen({**known, **answer}, at)
    return found
