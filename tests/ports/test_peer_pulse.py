"""Since when central owes a site an answer, by a clock of the test's own."""

import threading
import warnings

import pytest

from isthmus import errors
from isthmus.testing.until import until

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.local.report.peer_pulse import EVERY_S, PeerPulse


class Central:
    """Answers a site, or not."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.failure: Exception | None = None
        self.pulse = PeerPulse("central", self.check, clock=lambda: self.now)

    def check(self) -> None:
        self.asked += 1
        if self.failure is not None:
            raise self.failure


def test_an_answer_is_asked_for_now_and_then() -> None:
    central = Central()
    assert central.pulse.beat() == EVERY_S
    central.now += 4
    report = central.pulse.report()
    assert (report["behind_s"], report["answered_s"], report["error"]) == (None, 4.0, "")


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (errors.Unreachable("central cannot be reached", detail="no route\nto host"), "no route"),
        (errors.Refused("central does not take the login"), "central does not take the login"),
        (ValueError("of nobody"), "ValueError('of nobody')"),
    ],
)
def test_since_when_it_owes_one_and_why_is_told(failure: Exception, says: str) -> None:
    central = Central()
    central.pulse.beat()
    central.now += 15
    central.failure = failure
    for _ in range(5):
        assert central.pulse.beat() < EVERY_S
        central.now += 8
    report = central.pulse.report()
    assert (report["behind_s"], report["answered_s"]) == (40.0, 55.0)
    assert report["error"] == says
    central.failure = None
    assert central.pulse.beat() == EVERY_S
    report = central.pulse.report()
    assert (report["behind_s"], report["error"]) == (None, "")


def test_one_that_never_answered_is_told_from_the_start() -> None:
    central = Central()
    central.failure = errors.TimedOut("central gave no answer in time")
    central.pulse.beat()
    central.now += 31
    central.pulse.beat()
    report = central.pulse.report()
    assert (report["behind_s"], report["answered_s"], report["watched_s"]) == (31.0, None, 31.0)


def test_the_thread_asks_and_ends() -> None:
    heard = threading.Event()
    pulse = PeerPulse("central", heard.set)
    pulse.start()
    until(heard.is_set, what="central is asked")
    pulse.stop()
    assert not any(one.name == "isthmus-central-pulse" for one in threading.enumerate())
