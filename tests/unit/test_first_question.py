"""A central or a Keystone that hangs is heard of within one time, by whoever has a login."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from isthmus import errors
from isthmus.clients.http import transport
from isthmus.operate.cloud import FIRST_ANSWER_S, ask_first


def measure_left_s() -> float:
    """Return what a call that is made now may take."""
    ends_at: float = transport._under_way.ends_at  # what `hasty` sets
    return ends_at - time.monotonic()


class World:
    """`isthmus.operate.cloud.Cloud` whose Keystone does as it is told to."""

    def __init__(self, keystone: Callable[[], None]) -> None:
        self._keystone = keystone
        self.asked = 0
        self.left_s: list[float] = []

    def open_central(self) -> "World":
        return self

    def ask_keystone(self) -> None:
        self.asked += 1
        self.left_s.append(measure_left_s())
        self._keystone()


def fail(error: Exception) -> Callable[[], Any]:
    def call() -> Any:
        raise error

    return call


HUNG = errors.TimedOut("Keystone gave no answer in time")
LATE = errors.TimedOut("central gave no answer to /v2.0/sites in time")


def test_both_are_asked_once_and_have_one_time() -> None:
    world = World(lambda: None)
    left_s = ask_first(world, measure_left_s)  # type: ignore[arg-type]
    assert world.asked == 1
    for one in (left_s, *world.left_s):
        assert 0 < one <= FIRST_ANSWER_S
    assert getattr(transport._under_way, "ends_at", None) is None


@pytest.mark.parametrize("question", [lambda: "sites", fail(LATE)], ids=["kept login", "waits"])
def test_a_keystone_that_hangs_is_named_whatever_central_says(question: Callable[[], Any]) -> None:
    """Central has heard of the token a moment ago, or waits for Keystone itself."""
    world = World(fail(HUNG))
    with pytest.raises(errors.TimedOut, match=r"^Keystone.*`isthmus lab start central.keystone`"):
        ask_first(world, question)  # type: ignore[arg-type]
    assert world.asked == 1


def test_a_central_that_hangs_is_named_where_keystone_answers() -> None:
    with pytest.raises(errors.TimedOut, match=r"^central .*`isthmus lab kill central.neutron`"):
        ask_first(World(lambda: None), fail(LATE))  # type: ignore[arg-type]


def test_a_refusal_is_said_as_it_is() -> None:
    """Somebody answered it."""
    with pytest.raises(errors.Refused, match="no such network"):
        ask_first(World(fail(HUNG)), fail(errors.NotFound("no such network")))  # type: ignore[arg-type]
