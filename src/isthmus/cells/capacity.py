"""How many more instances of flavors fit: counted by host, added up by whatever is asked for."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isthmus import errors
from isthmus.cells.arrays import Arrays
from isthmus.cells.count import CLOSED, Tally, count_request
from isthmus.cells.protocols import Counts, Fit, Flags
from isthmus.cells.request import Request, plan_request
from isthmus.model.compute.cloud import UNBOUNDED, ComputeHost, Flavor

NUMA = "NUMA nodes"


@dataclass(frozen=True, slots=True)
class FlavorCapacity:
    """One flavor, and how many of it each host takes."""

    flavor: Flavor
    request: Request
    tally: Tally
    fits: Counts
    open: Flags  #: hosts where anything is built
    note: str = ""  #: why the counts are upper bounds, where that is so for the flavor


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What keeps the next instance away from hosts."""

    name: str  #: a resource class, a trait, NUMA nodes, or why a host is closed
    hosts: int
    without: int  #: how many more would fit, were it not for this


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many more instances of one flavor one part of the cloud takes."""

    flavor: str
    scope: str
    fits: int
    exact: bool  #: else it is an upper bound
    hosts: int  #: that take at least one
    of_hosts: int
    largest: int  #: on one host
    stranded: int  #: how many more would fit, were all that is free on one host
    bindings: tuple[Binding, ...]  #: the one on most hosts first
    note: str = ""


def count_flavor(arrays: Arrays, flavor: Flavor, fit: Fit | None) -> FlavorCapacity:
    """Count one flavor on all hosts.

    Args:
        arrays: what is free.
        flavor: of the instances.
        fit: Nova's NUMA nodes; None leaves them out.
    """
    note = ""
    request = plan_request(flavor)
    tally = count_request(arrays, request)
    is_open = tally.limits[CLOSED] > 0
    if fit is not None:
        try:
            tally.bound(NUMA, fit.count(flavor))
        except errors.Unsupported as exc:
            note = exc.message
            tally.exact[:] = False
    return FlavorCapacity(flavor, request, tally, tally.fits, is_open, note)


def group_hosts(hosts: Sequence[ComputeHost], by: str) -> dict[str, Flags]:
    """Part hosts by cell, zone, aggregate or host; `cloud` puts all together.

    A host in several aggregates counts for each.

    Raises:
        Invalid: hosts are parted by none of these.
    """
    names: dict[str, Callable[[ComputeHost], tuple[str, ...]]] = {
        "cloud": lambda _: ("cloud",),
        "cell": lambda host: (host.cell,),
        "zone": lambda host: (host.zone,),
        "aggregate": lambda host: host.aggregates,
        "host": lambda host: (host.node,),
    }
    if by not in names:
        raise errors.Invalid(f"hosts are parted by {', '.join(names)}, and not by {by}")
    members: dict[str, list[int]] = defaultdict(list)
    for number, host in enumerate(hosts):
        for name in names[by](host):
            members[name].append(number)
    found = {}
    for name, numbers in sorted(members.items()):
        found[name] = np.zeros(len(hosts), dtype=bool)
        found[name][numbers] = True
    return found


def sum_capacity(arrays: Arrays, counted: FlavorCapacity, scope: str, hosts: Flags) -> Capacity:
    """Add up what the hosts of one part take.

    Args:
        arrays: that it was counted on.
        counted: one flavor.
        scope: the name of the part.
        hosts: which belong to it.
    """
    fits = _sum_fits(counted.tally, hosts)
    chosen = counted.fits[hosts]
    able = hosts & counted.open
    return Capacity(
        flavor=counted.flavor.name,
        scope=scope,
        fits=fits,
        exact=bool(np.all(counted.tally.exact[able])),
        hosts=int(np.count_nonzero(chosen)),
        of_hosts=int(np.count_nonzero(hosts)),
        largest=int(chosen.max(initial=0)),
        stranded=max(0, _sum_free(arrays, counted.request, able) - fits),
        bindings=_list_bindings(arrays, counted, hosts),
        note=counted.note,
    )


def _sum_fits(tally: Tally, hosts: Flags) -> int:
    """Add up hosts, and what a provider shares with several of them once."""
    totals = []
    for name in {one.resource_class for one in tally.pools}:
        rest = [counts for other, counts in tally.limits.items() if other != name]
        other = np.minimum.reduce(rest)
        own = np.minimum(other, tally.own[name])
        total = int(own[hosts].sum())
        for pool in tally.pools:
            if pool.resource_class == name:
                mine = pool.hosts[hosts[pool.hosts]]
                total += min(pool.slots, int((other - own)[mine].sum()))
        totals.append(total)
    return min(totals) if totals else int(tally.fits[hosts].sum())


def _sum_free(arrays: Arrays, request: Request, hosts: Flags) -> int:
    """Return how many would fit if all that is free were on one host: what a plain sum promises."""
    need: dict[str, int] = defaultdict(int)
    for group in (request.common, *request.groups):
        for name, amount in group.resources.items():
            need[name] += amount
    found = UNBOUNDED
    for name, amount in need.items():
        column = arrays.columns.get(name)
        if column is None:
            return 0
        rows = hosts[column.host]
        _, first = np.unique(column.provider[rows], return_index=True)
        found = min(found, int(column.free[rows][first].sum()) // amount)
    return found


def _list_bindings(arrays: Arrays, counted: FlavorCapacity, hosts: Flags) -> tuple[Binding, ...]:
    limits = counted.tally.limits
    names = list(limits)
    table = np.stack([limits[name] for name in names])[:, hosts]
    least = table.argmin(axis=0)
    second = np.partition(table, 1, axis=0)[1] if len(names) > 1 else table[0]
    found = []
    for number, name in enumerate(names):
        mine = least == number
        if name == CLOSED or not mine.any():
            continue
        found.append(
            Binding(
                name=name,
                hosts=int(np.count_nonzero(mine)),
                without=int((second[mine] - table[number][mine]).sum()),
            )
        )
    found += _list_closed(arrays, limits, hosts)
    return tuple(sorted(found, key=lambda one: (-one.hosts, one.name)))


def _list_closed(arrays: Arrays, limits: Mapping[str, Counts], hosts: Flags) -> list[Binding]:
    rest = np.minimum.reduce([counts for name, counts in limits.items() if name != CLOSED])
    found: dict[str, list[int]] = defaultdict(list)
    for number in np.flatnonzero(hosts).tolist():
        if arrays.closed[number]:
            found[arrays.closed[number]].append(number)
    return [
        Binding(name=why, hosts=len(numbers), without=int(rest[numbers].sum()))
        for why, numbers in found.items()
    ]


def list_capacity(
    arrays: Arrays, flavors: Iterable[Flavor], fit: Fit | None, by: str
) -> list[Capacity]:
    """Count flavors, and add them up by cell, zone, aggregate, host or for the whole cloud.

    Args:
        arrays: what is free.
        flavors: to count.
        fit: Nova's NUMA nodes; None leaves them out.
        by: how hosts are parted (`group_hosts`).

    Raises:
        Invalid: hosts cannot be parted so, or a flavor makes no sense.
    """
    parts = group_hosts(arrays.hosts, by)
    found = []
    for flavor in flavors:
        counted = count_flavor(arrays, flavor, fit)
        found += [sum_capacity(arrays, counted, name, hosts) for name, hosts in parts.items()]
    return found
