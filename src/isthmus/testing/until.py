"""Waiting for a condition with a deadline, the only kind of waiting that tests do."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    condition: Callable[[], T | None],
    *,
    timeout_s: float = 180.0,
    what: str = "",
    every_s: float = 0.02,
) -> T:
    """Look until a condition holds and give its value.

    Args:
        condition: looked at again and again; what it returns ends that, if it is true.
        timeout_s: seconds to wait for it at most.
        what: is waited for, for the message.
        every_s: seconds between two looks.

    Raises:
        AssertionError: it did not hold in time.
    """
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what or condition}"
        pause.wait(every_s)
