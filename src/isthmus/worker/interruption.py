"""What a signal sets while the thread that it interrupts waits for it."""

import contextlib
import queue


class Interruption:
    """A flag that the handler of a signal sets, and the main thread waits for.

    Not `threading.Event`: a handler runs in the thread that it interrupts, and where that is in the
    middle of the event's `wait`, `set` waits for a lock which that thread holds, for ever. `put` of
    a `queue.SimpleQueue` is reentrant (Python's library reference, queue).
    """

    def __init__(self) -> None:
        """Begin unset."""
        self._is_set = False
        self._told: queue.SimpleQueue[None] = queue.SimpleQueue()

    def is_set(self) -> bool:
        """Return whether it was set since it was last cleared."""
        return self._is_set

    def set(self) -> None:
        """Set it, and wake who waits."""
        self._is_set = True
        self._told.put(None)

    def clear(self) -> None:
        """Forget that it was set; what is set from now on is kept."""
        self._is_set = False
        with contextlib.suppress(queue.Empty):
            while True:
                self._told.get_nowait()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set, at most some seconds; return whether it is."""
        if not self._is_set:
            with contextlib.suppress(queue.Empty):
                self._told.get(timeout=timeout_s)
        return self._is_set
