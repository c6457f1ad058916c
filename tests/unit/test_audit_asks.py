"""Sites that are audited are asked at once; one that hangs delays the audit for seconds only."""

import threading
from typing import Any, cast

import pytest

from isthmus import errors
from isthmus.model.site import SiteName
from isthmus.operate import audit

ANSWER_S = 2.0


class Tier:
    """A site's Neutron: gives a small answer, and a great one, or neither."""

    def __init__(self, name: str, *, small: Any = None, great: Any = None) -> None:
        self.name = name
        self._small, self._great = small, great

    def get_all(self, resource: str, **query: Any) -> list[Any]:
        wait = self._small if query.get("fields") == "epoch" else self._great
        if isinstance(wait, Exception):
            raise wait
        if wait is not None:
            wait()
        return [{"id": self.name}]


def ask(*tiers: Tier) -> tuple[dict[str, Any], dict[str, str]]:
    clients = {SiteName(one.name): one for one in tiers}
    held, silent = audit._ask_sites(cast(Any, clients), None, ANSWER_S)
    return {str(one): held[one] for one in held}, {str(one): silent[one] for one in silent}


def test_who_hangs_is_silent_and_who_is_slow_is_waited_for() -> None:
    hung, slow = threading.Event(), threading.Event()
    threading.Timer(ANSWER_S * 2, slow.set).start()
    try:
        held, silent = ask(
            Tier("quick"),
            Tier("slow", great=lambda: slow.wait(60)),
            Tier("hung", small=lambda: hung.wait(60), great=lambda: hung.wait(60)),
        )
    finally:
        hung.set()
    assert set(held) == {"quick", "slow"}
    assert silent == {"hung": "no answer within 2 seconds, not even to a small question"}


def test_a_great_answer_counts_where_the_small_one_is_lost() -> None:
    held, silent = ask(Tier("one", small=errors.TimedOut("lost")))
    assert set(held) == {"one"}
    assert silent == {}


def test_an_error_is_its_reason_at_once() -> None:
    held, silent = ask(Tier("one", small=errors.Busy("x"), great=errors.Unreachable("no route")))
    assert (held, silent) == ({}, {"one": "no route"})


def test_a_bug_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        ask(Tier("one", great=ZeroDivisionError()))


def test_no_site_is_no_question() -> None:
    assert ask() == ({}, {})
