"""One line for what is away, and one when it is over; what else is logged stays as it is."""

import logging
import uuid

import pytest

from isthmus.neutron.api.log import outages
from isthmus.neutron.api.log.outages import OVER_S, OneLine, Outages

AWAY = "central cannot be reached: no route"


class AwayError(Exception):
    """Something is away for the moment."""


def describe(error: BaseException | None) -> str | None:
    return f"Away: {error}" if isinstance(error, AwayError) else None


class Log:
    """Neutron's logger with the filter on it, and what comes out."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now = 0.0
        self.outages = Outages(clock=lambda: self.now)
        self.filter = OneLine(self.outages, describe, watch=False)
        self.logger = logging.getLogger(f"test.{uuid.uuid4().hex}")
        self.logger.addFilter(self.filter)
        self._caplog = caplog

    def fail(self, error: Exception) -> None:
        self.logger.error("%s failed.", "POST", exc_info=error)

    @property
    def records(self) -> list[logging.LogRecord]:
        return [one for one in self._caplog.records if one.name == self.logger.name]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def test_it_is_one_line_without_a_traceback(log: Log) -> None:
    log.fail(AwayError(AWAY))
    (one,) = log.records
    assert one.getMessage() == (
        f"POST answered 503 (Away: {AWAY}); the same again is counted, not logged"
    )
    assert one.levelno == logging.WARNING
    assert one.exc_info is None
    assert "Traceback" not in logging.Formatter().format(one)


def test_the_same_again_is_not_said_whatever_object_it_is_about(log: Log) -> None:
    for number in range(50):
        log.fail(AwayError(f"port {uuid.uuid4()} waits for {number} others"))
    assert len(log.records) == 1
    log.fail(AwayError(AWAY))
    assert len(log.records) == 2


def test_once_it_is_over_that_is_said_once_and_it_may_begin_anew(log: Log) -> None:
    for _ in range(3):
        log.fail(AwayError(AWAY))
        log.now += 10
    assert list(log.outages.take_over()) == []
    log.now += OVER_S
    (line,) = log.outages.take_over()
    assert "answered 3 times within 20s" in line
    assert AWAY in line
    assert list(log.outages.take_over()) == []
    assert log.outages.is_empty()
    log.fail(AwayError(AWAY))
    assert len(log.records) == 2


def test_all_else_keeps_its_traceback_and_is_said_each_time(log: Log) -> None:
    for _ in range(2):
        log.fail(ValueError("a bug"))
    assert len(log.records) == 2
    assert all(one.exc_info and one.levelno == logging.ERROR for one in log.records)


def test_what_has_no_error_passes(log: Log) -> None:
    log.logger.warning("a word")
    assert [one.getMessage() for one in log.records] == ["a word"]


def test_more_kinds_than_are_remembered_are_said_each_time_and_memory_does_not_grow(
    log: Log,
) -> None:
    words = ["".join(chr(97 + int(digit)) for digit in f"{number:04d}") for number in range(500)]
    for _ in range(2):
        for word in words:
            log.fail(AwayError(word))
    assert len(log.records) == 500 + 400


def test_a_thread_says_that_it_is_over(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "OVER_S", 0.05)
    filter_ = OneLine(Outages(), describe)
    error = AwayError(AWAY)
    info = (AwayError, error, None)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "%s failed.", ("GET",), info)
    assert filter_.filter(record)
    thread = filter_._thread
    assert thread is not None
    thread.join(60)
    assert not thread.is_alive()
    assert "503 over, as it seems" in caplog.text
