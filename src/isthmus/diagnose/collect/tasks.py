"""Asking many at once, for a time that is over when it is over."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from isthmus import errors
from isthmus.diagnose.world import Row, Seen, Source, Unseen

#: Characters of a reason that are kept; an answer in HTML has many.
_LONGEST = 200

#: Threads at most; a machine has an end of them.
_THREADS = 512

Tables = Mapping[str, Sequence[Row]]


def shorten_reason(text: str) -> str:
    """Write why something was not read on one line; where it is too long it ends behind a word.

    >>> shorten_reason("it is " + "very " * 50 + "long")[-11:]
    'ry very ...'
    >>> len(shorten_reason("x" * 300))
    204

    Args:
        text: as it was said.
    """
    said = " ".join(text.split())
    if len(said) <= _LONGEST:
        return said
    cut = said[:_LONGEST]
    head = cut.rpartition(" ")[0]
    return f"{head if 2 * len(head) > _LONGEST else cut} ..."


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to read: a few tables of one source."""

    source: Source
    place: str
    what: str  #: in words, for the case that it fails
    read: Callable[[], Tables]
    lane: int = 0  #: tasks of one source that need not wait for each other have different ones


@dataclass(slots=True)
class Gathered:
    """What came in, and what did not."""

    seen: dict[tuple[Source, str], Seen] = field(default_factory=dict)
    unseen: list[Unseen] = field(default_factory=list)


def gather(
    tasks: Sequence[Task], deadline: float, now: Callable[[], str], *, threads: bool = True
) -> Gathered:
    """Ask all sources at the same time, until all are done or the time is over.

    Each source is asked one thing after the other: an API that has to validate a fresh token does
    so once, and not for every list at once. A task that hangs is left behind: its thread ends with
    the process.

    Args:
        tasks: what to read.
        deadline: on the clock of `time.monotonic`.
        now: gives the time that rows bear.
        threads: whether to ask at the same time; of a dump each answer is there at once.
    """
    lock = threading.Lock()
    answers: dict[int, Tables | errors.IsthmusError] = {}

    def run(mine: Sequence[int]) -> None:
        for number in mine:
            answer: Tables | errors.IsthmusError
            try:
                answer = tasks[number].read()
            except errors.IsthmusError as error:
                answer = error
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                said = f"{type(error).__name__}: {error}"
                answer = errors.ProtocolError(f"the answer has not the form of one: {said}")
            with lock:
                answers[number] = answer

    if not threads:
        run(range(len(tasks)))
        return _sort(tasks, answers, now())
    running = [threading.Thread(target=run, args=(mine,), daemon=True) for mine in _share(tasks)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(max(0.0, deadline - time.monotonic()))
    with lock:
        came = dict(answers)
    return _sort(tasks, came, now())


def _share(tasks: Sequence[Task]) -> list[list[int]]:
    """Return what each thread does: one source; of more sources than threads, several."""
    by_source: dict[tuple[Source, str, int], list[int]] = {}
    for number, task in enumerate(tasks):
        by_source.setdefault((task.source, task.place, task.lane), []).append(number)
    each = [*by_source.values()]
    return [[one for some in each[at::_THREADS] for one in some] for at in range(_THREADS)][
        : len(each)
    ]


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
            reason = f"{task.what}: {shorten_reason(answer.message)}"
            found.unseen.append(Unseen(task.source, task.place, reason))
        else:
            key = (task.source, task.place)
            known = found.seen[key].tables if key in found.seen else {}
            found.seen[key] = Seen({**known, **answer}, at)
    return found
