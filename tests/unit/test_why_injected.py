"""Faults that a lab is given: each is of a class, and told by one of its codes."""

import inspect
import random

import pytest
from bench.injected.scene import FAULTS, Injected
from bench.injected.seen import SEEN
from bench.injected.stage import KINDS
from bench.why_faults import CLASSES, draw_pair
from tests.tables.catalogue import CATALOGUE, ROWS_ALONE


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.run.__name__)
def test_a_fault_is_one_of_a_class_and_undoes_itself(fault: Injected) -> None:
    assert fault.code in CLASSES[fault.cause]
    assert fault.kind in KINDS
    assert inspect.isgeneratorfunction(fault.run)


def test_each_fault_has_a_name_of_its_own() -> None:
    names = [one.run.__name__ for one in FAULTS]
    assert len({*names}) == len(names)


def test_two_at_once_are_of_two_classes_and_touch_nothing_twice() -> None:
    dice = random.Random(1)
    for _ in range(300):
        one, other = draw_pair(dice)
        assert one.cause != other.cause
        assert not one.touches or one.touches != other.touches
        assert (one.service, one.family) == (other.service, other.family)
        assert not one.alone
        assert not other.alone


def test_what_was_seen_can_be_brought_about() -> None:
    assert {*SEEN} <= {one.code for one in FAULTS}


def test_why_no_lab_shows_a_class_is_told_of_those_alone() -> None:
    names = {one.name for faults in CATALOGUE.values() for one in faults}
    assert {*ROWS_ALONE} <= names
    brought = {one.cause for one in FAULTS if one.code in SEEN}
    assert not brought & {*ROWS_ALONE}
