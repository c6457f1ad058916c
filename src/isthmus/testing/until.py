"""Waiting for a condition with a deadline, the only kind of waiting that tests do."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: How much of what it has waited so far it waits until it looks again: whoever is waited for needs
#: the processor that a look takes.
_PART = 0.1


def until(
    condition: Callable[[], T | None],
    *,
    timeout_s: float = 180.0,
    what: str = "",
    every_s: float = 0.02,
    most_s: float = 0.5,
) -> T:
    """Look until a condition holds and give its value; less often, the longer it takes.

    Args:
        condition: says so by anything that is true.
        timeout_s: seconds to wait for it at most.
        what: is waited for, for the message.
        every_s: the shortest pause between two looks, in seconds.
        most_s: the longest; as short as the other where each look counts for itself.

    Returns:
        What the condition gave.

    Raises:
        AssertionError: it did not hold in time.
    """
    began = time.monotonic()
    deadline = began + timeout_s
    pause = threading.Event()
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what or condition}"
        waited_s = time.monotonic() - began
        pause.wait(max(every_s, min(most_s, waited_s * _PART)))
