"""Cells that are asked at once, and hosts that are filled."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import errors
from isthmus.cells.arrays import make_arrays
from isthmus.cells.ask import ask_cells
from isthmus.cells.capacity import count_flavor, list_capacity
from isthmus.cells.fill import Order, State, count_sets, plan_spread
from isthmus.model.compute.cloud import (
    CELL0_UUID,
    Cell,
    CellAddress,
    ComputeCloud,
    ComputeHost,
    Flavor,
    Provider,
    ResourceInventory,
)


def addresses(*names: str) -> tuple[CellAddress, ...]:
    return tuple(
        CellAddress(id=number, cell=Cell(name=name, uuid=name), database="")
        for number, name in enumerate(names)
    )


def make_cloud(*free: int) -> ComputeCloud:
    numbers = range(1, len(free) + 1)
    return ComputeCloud(
        cells=(),
        hosts=tuple(
            ComputeHost(name=str(one), node=str(one), uuid=str(one), cell="c") for one in numbers
        ),
        providers=tuple(Provider(id=one, uuid=str(one), name="", root=one) for one in numbers),
        inventories=tuple(
            ResourceInventory(provider=one, resource_class=name, capacity=count * each, used=0)
            for one, count in zip(numbers, free, strict=True)
            for name, each in (("VCPU", 1), ("MEMORY_MB", 512))
        ),
    )


def flavor(name: str, vcpus: int) -> Flavor:
    return Flavor(name=name, flavorid=name, vcpus=vcpus, ram_mib=512 * vcpus)


def test_a_cell_that_hangs_costs_the_budget_and_no_other_its_answer() -> None:
    release = threading.Event()

    def ask(address: CellAddress) -> str:
        if address.cell.name == "hung":
            release.wait()
        if address.cell.name == "down":
            raise errors.Unreachable("nobody there")
        return address.cell.name

    try:
        found = ask_cells(addresses("east", "hung", "down", "west", CELL0_UUID), ask, 0.2)
    finally:
        release.set()
    assert (found["east"], found["west"]) == ("east", "west")
    assert isinstance(found["hung"], errors.TimedOut)
    assert isinstance(found["down"], errors.Unreachable)
    assert CELL0_UUID not in found


def test_a_mistake_of_ours_is_not_taken_for_a_cell_that_is_down() -> None:
    def ask(_: CellAddress) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask_cells(addresses("east"), ask, 60.0)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=8),
    st.integers(0, 40),
    st.sampled_from(Order),
)
def test_instances_go_where_there_is_space(fits: list[int], count: int, order: Order) -> None:
    chosen = plan_spread(np.array(fits), count, order)
    assert chosen.sum() == min(count, sum(fits))
    assert all(0 <= one <= most for one, most in zip(chosen.tolist(), fits, strict=True))
    left = [most - one for one, most in zip(chosen.tolist(), fits, strict=True)]
    if order is Order.SPREAD:
        # Nobody is left with more than one beyond what is left to somebody who got something.
        took = [rest for rest, one in zip(left, chosen.tolist(), strict=True) if one]
        assert not took or max(left) <= min(took) + 1 or count >= sum(fits)


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=6),
    st.integers(1, 20),
    st.sampled_from(Order),
)
def test_what_is_reserved_is_no_longer_free(free: list[int], count: int, order: Order) -> None:
    arrays = make_arrays(make_cloud(*free))
    small, large = flavor("small", 2), flavor("large", 3)
    before = count_flavor(arrays, small, None).fits.sum()
    state = State(arrays, None)
    taken = state.reserve(small, count, order)
    assert taken == min(count, before)
    assert count_flavor(state.arrays, small, None).fits.sum() == before - taken
    assert count_flavor(arrays, small, None).fits.sum() == before
    left = sum(free) - 2 * taken
    assert count_flavor(state.arrays, large, None).fits.sum() <= left // 3


def test_sets_are_found_across_hosts() -> None:
    arrays = make_arrays(make_cloud(5, 5, 2))
    flavors = [flavor("a", 4), flavor("b", 1)]
    assert count_sets(arrays, None, flavors, {"a": 1, "b": 2}) == (2, 2)
    assert count_sets(arrays, None, flavors, {"a": 2, "b": 4}) == (1, 1)


def test_a_host_of_two_aggregates_counts_for_each() -> None:
    cloud = make_cloud(4)
    (host,) = cloud.hosts
    named = ComputeHost(
        name=host.name, node=host.node, uuid=host.uuid, cell="c", aggregates=("fast", "large")
    )
    arrays = make_arrays(
        ComputeCloud(
            cells=(), hosts=(named,), providers=cloud.providers, inventories=cloud.inventories
        )
    )
    found = list_capacity(arrays, [flavor("a", 2)], None, "aggregate")
    assert [(one.scope, one.fits) for one in found] == [("fast", 2), ("large", 2)]
    with pytest.raises(errors.Invalid, match="parted by"):
        list_capacity(arrays, [flavor("a", 2)], None, "rack")
