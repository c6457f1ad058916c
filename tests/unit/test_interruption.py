"""What a signal sets: no signal is lost, and none finds its own thread in the way."""

import signal
import subprocess
import sys

from isthmus.worker.interruption import Interruption

#: Signals that come as fast as they can while their thread waits and clears, a second of it.
_STORM = """
import signal, time
from isthmus.worker.interruption import Interruption
one, seen = Interruption(), []
signal.signal(signal.SIGALRM, lambda *_: (one.set(), seen.append(1)))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
until = time.monotonic() + 1
while time.monotonic() < until:
    one.wait(0.0005)
    one.clear()
signal.setitimer(signal.ITIMER_REAL, 0)
assert len(seen) > 10, seen
"""


def test_a_signal_in_the_middle_of_a_wait_does_not_wait_for_its_own_thread() -> None:
    subprocess.run([sys.executable, "-c", _STORM], check=True, timeout=120)


def test_a_signal_ends_a_wait() -> None:
    one = Interruption()
    before = signal.signal(signal.SIGALRM, lambda *_: one.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert one.wait(60)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert one.is_set()
    assert one.wait(60)


def test_what_was_cleared_is_waited_for_again() -> None:
    one = Interruption()
    one.set()
    one.set()
    one.clear()
    assert not one.is_set()
    assert not one.wait(0.01)
    one.set()
    assert one.wait(0)
