"""Take up what instances will use: capacity after reservations, and sets of several flavors.

Which host the scheduler will choose nobody knows beforehand; `spread` fills the emptiest hosts
first, as Nova's weighers do by default, and `pack` the fullest ones that still take some.
"""

import copy
import enum
from collections.abc import Mapping, Sequence

import numpy as np

from isthmus import errors
from isthmus.cells.arrays import Arrays, Column
from isthmus.cells.capacity import count_flavor
from isthmus.cells.protocols import Counts, Fit, Flags
from isthmus.cells.request import Group, Request
from isthmus.model.compute.cloud import UNBOUNDED, Flavor


class Order(enum.StrEnum):
    """Which hosts are filled first."""

    SPREAD = "spread"
    PACK = "pack"


class State:
    """What is free, to be filled."""

    def __init__(self, arrays: Arrays, fit: Fit | None) -> None:
        """Take a copy; what is given stays as it is."""
        self.arrays = copy.copy(arrays)
        self.arrays.columns = {name: _copy(one) for name, one in arrays.columns.items()}
        self.fit = None if fit is None else fit.copy()

    def reserve(self, flavor: Flavor, count: int, order: Order) -> int:
        """Take up so many instances; return how many there was room for.

        Raises:
            Unsupported: what it takes of hosts is not followed here.
        """
        counted = count_flavor(self.arrays, flavor, self.fit)
        request = counted.request
        if counted.note or counted.tally.pools or not bool(counted.tally.exact[counted.open].all()):
            raise errors.Unsupported(
                f"flavor {flavor.name} cannot be reserved: "
                f"{counted.note or 'it takes of what several providers or hosts share'}"
            )
        if len({tuple(sorted(one.resources.items())) for one in request.groups}) > 1:
            raise errors.Unsupported(
                f"flavor {flavor.name} cannot be reserved: it has groups of several kinds"
            )
        chosen = plan_spread(counted.fits, count, order)
        if counted.retry is None or counted.first is None:
            self._take(request, chosen)
        else:
            by_first = np.minimum(chosen, counted.first)
            self._take(request, by_first)
            self._take(counted.retry, chosen - by_first)
        numbers = np.flatnonzero(chosen)
        if self.fit is not None and len(numbers):
            self.fit.take(flavor, numbers.tolist(), chosen[numbers].tolist())
        return int(chosen.sum())

    def _take(self, request: Request, chosen: Counts) -> None:
        for name, amount in request.common.resources.items():
            self._take_rows(name, amount, chosen, request.common, most=None)
        for group in request.groups[:1]:  # they are alike, or `reserve` has refused
            several = len(request.groups)
            most = chosen if request.isolate else None
            for name, amount in group.resources.items():
                self._take_rows(name, amount, chosen * several, group, most=most)

    def _take_rows(
        self, name: str, amount: int, wanted: Counts, group: Group, *, most: Counts | None
    ) -> None:
        """Take so many times an amount of one class at each host, of its providers in order."""
        column = self.arrays.columns.get(name)
        if column is None:
            return
        left = wanted.copy()
        slots = np.where(
            _serving(self.arrays, column, amount, group) & (left[column.host] > 0),
            column.free // amount,
            0,
        )
        for row in np.flatnonzero(slots).tolist():
            host = column.host[row]
            taken = min(int(slots[row]), int(left[host]))
            if most is not None:
                taken = min(taken, int(most[host]))
            column.free[row] -= taken * amount
            left[host] -= taken


def _copy(column: Column) -> Column:
    found = copy.copy(column)
    found.free = column.free.copy()
    return found


def _serving(arrays: Arrays, column: Column, amount: int, group: Group) -> Flags:
    found: Flags = (
        (column.min_unit <= amount)
        & (column.max_unit >= amount)
        & (amount % column.step_size == 0)
        & ~arrays.has_any(group.forbidden)[column.provider]
    )
    return found


def plan_spread(fits: Counts, count: int, order: Order) -> Counts:
    """Choose how many instances each host gets, no more than it takes.

    Args:
        fits: how many each takes.
        count: of instances; where there is no room for all, every host is filled.
        order: which hosts come first.
    """
    if order is Order.PACK:
        rank = np.argsort(np.where(fits > 0, fits, UNBOUNDED), kind="stable")
        before = np.concatenate(([0], np.cumsum(fits[rank])[:-1]))
        chosen = np.zeros_like(fits)
        chosen[rank] = np.clip(count - before, 0, fits[rank])
        return chosen
    # Leave all hosts with no more than `level`, the most even way.
    low, high = 0, int(fits.max(initial=0))
    while low < high:
        level = (low + high) // 2
        if int(np.maximum(fits - level, 0).sum()) <= count:
            high = level
        else:
            low = level + 1
    chosen = np.maximum(fits - low, 0)
    more = count - int(chosen.sum())
    rest = np.flatnonzero(fits > chosen)
    at_level = rest[fits[rest] - chosen[rest] == low][:more]
    chosen[at_level] += 1
    return chosen


def count_sets(
    arrays: Arrays, fit: Fit | None, flavors: Sequence[Flavor], members: Mapping[str, int]
) -> tuple[int, int]:
    """Count the sets of several flavors that fit; members of a set may be on different hosts.

    Args:
        arrays: what is free.
        fit: Nova's NUMA nodes; None leaves them out.
        flavors: of the members.
        members: how many of each flavor, by name, a set has.

    Returns:
        How many were found to fit, and how many there are at most.

    Raises:
        Unsupported: what a flavor takes of hosts is not followed here.
    """
    most = UNBOUNDED
    for flavor in flavors:
        fits = count_flavor(arrays, flavor, fit).fits
        most = min(most, int(fits.sum()) // members[flavor.name])
    ordered = sorted(flavors, key=lambda one: (-one.vcpus, -one.ram_mib, one.name))
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        state = State(arrays, fit)
        wanted = [(one, middle * members[one.name]) for one in ordered]
        if all(state.reserve(one, count, Order.PACK) == count for one, count in wanted):
            low = middle
        else:
            high = middle - 1
    return low, most
