"""What fails again and again is said once an hour."""

import logging

import pytest

from isthmus.worker.once import Once

LOG = logging.getLogger("isthmus.test_once")


def test_an_error_that_stays_is_said_again_each_hour(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    once = Once(LOG, "lane=a", clock=lambda: now[0])
    for minute in range(150):
        now[0] = minute * 60.0
        once.failed(ValueError("odd"), is_bug=True)
    assert caplog.messages == ["lane=a bug"] * 3
    once.failed(ValueError("another"))
    assert caplog.messages[3:] == ["lane=a database: another"]


def test_what_went_well_meanwhile_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    once = Once(LOG, "lane=a")
    once.went_well()
    for _ in range(2):
        once.failed(ValueError("odd"))
        once.failed(ValueError("odd"))
        once.went_well()
    assert caplog.messages == ["lane=a database: odd", "lane=a goes on"] * 2
