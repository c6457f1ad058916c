"""How many more instances of flavors fit: counted by host, added up by whatever is asked for."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isthmus import errors
from isthmus.cells.arrays import Arrays
from isthmus.cells.count import CLOSED, Tally, count_request, join_retry
from isthmus.cells.protocols import Counts, Fit, Flags
from isthmus.cells.request import Request, plan_request
from isthmus.model.compute.cloud import UNBOUNDED, ComputeHost, Flavor
from isthmus.model.compute.device import ALIAS_SPEC

NUMA = "NUMA nodes"
DEVICES = "NUMA nodes and PCI devices"


@dataclass(frozen=True, slots=True)
class FlavorCapacity:
    """One flavor, and how many of it each host takes."""

    flavor: Flavor
    request: Request
    tally: Tally
    fits: Counts
    open: Flags  #: hosts where anything is built
    note: str = ""  #: why the counts are upper bounds, where that is so for the flavor
    retry: Request | None = None  #: what Nova asks where hosts no longer take `request`
    first: Counts | None = None  #: how many each host takes by `request`, where there is a retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What keeps the next instance away from hosts."""

    name: str  #: a resource class, a trait, NUMA nodes, or why a host is closed
    hosts: int
    without: int | None  #: how many more would fit, were it not for this; None: nothing bounds


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
    error: str = ""  #: why the flavor was not counted; empty where it was


def count_flavor(arrays: Arrays, flavor: Flavor, fit: Fit | None) -> FlavorCapacity:
    """Count one flavor on all hosts.

    Args:
        arrays: what is free.
        flavor: of the instances.
        fit: Nova's NUMA nodes; None leaves them out.

    Raises:
        Invalid: the flavor makes no sense.
        Unsupported: it asks for something that is not followed here.
    """
    note = ""
    request = plan_request(flavor, devices=arrays.devices)
    if request.is_empty:
        raise errors.Invalid(f"flavor {flavor.name} asks Placement for nothing, which it refuses")
    tally = count_request(arrays, request)
    retry = first = None
    if request.retried and arrays.retries_pinned:
        retry, first = plan_request(flavor, pinned=False, devices=arrays.devices), tally.fits
        tally = join_retry(tally, count_request(arrays, retry))
    is_open = tally.limits[CLOSED] > 0
    if fit is not None:
        try:
            name = DEVICES if ALIAS_SPEC in flavor.extra_specs else NUMA
            tally.bound(name, fit.count(flavor))
        except errors.Unsupported as exc:
            note = exc.message
            tally.exact[:] = False
    return FlavorCapacity(flavor, request, tally, tally.fits, is_open, note, retry, first)


def group_hosts(hosts: Sequence[ComputeHost], by: str) -> dict[str, Flags]:
    """Part hosts by cell, zone, aggregate or host; `cloud` puts all together.

    A host in several aggregates counts for each.

    Raises:
        Invalid: hosts are parted by none of these.
    """
    labels = _label_hosts(hosts)
    names: dict[str, Callable[[ComputeHost], tuple[str, ...]]] = {
        "cloud": lambda _: ("cloud",),
        "cell": lambda host: (host.cell,),
        "zone": lambda host: (host.zone,),
        "aggregate": lambda host: host.aggregates,
        "host": lambda host: (labels[host.cell, host.node],),
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


def _label_hosts(hosts: Sequence[ComputeHost]) -> dict[tuple[str, str], str]:
    """Return what each host is called: with its cell where another cell has one of that name."""
    pairs = dict.fromkeys((one.cell, one.node) for one in hosts)
    named = Counter(node for _, node in pairs)
    return {(cell, node): node if named[node] == 1 else f"{node} in {cell}" for cell, node in pairs}


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
                without=_sum_bounded(second[mine], table[number][mine]),
            )
        )
    found += _list_closed(arrays, limits, hosts)
    return tuple(sorted(found, key=lambda one: (-one.hosts, one.name)))


def _sum_bounded(counts: Counts, less: Counts | int) -> int | None:
    """Add up what would fit; None where nothing else bounds it."""
    return None if np.any(counts >= UNBOUNDED) else int((counts - less).sum())


def _list_closed(arrays: Arrays, limits: Mapping[str, Counts], hosts: Flags) -> list[Binding]:
    rest = np.minimum.reduce([counts for name, counts in limits.items() if name != CLOSED])
    found: dict[str, list[int]] = defaultdict(list)
    for number in np.flatnonzero(hosts).tolist():
        if arrays.closed[number]:
            found[arrays.closed[number]].append(number)
    return [
        Binding(name=why, hosts=len(numbers), without=_sum_bounded(rest[numbers], 0))
        for why, numbers in found.items()
    ]


def list_capacity(
    arrays: Arrays, flavors: Iterable[Flavor], fit: Fit | None, by: str
) -> list[Capacity]:
    """Count flavors, and add them up by cell, zone, aggregate, host or for the whole cloud.

    A flavor that cannot be counted is one line, with the reason.

    Args:
        arrays: what is free.
        flavors: to count.
        fit: Nova's NUMA nodes; None leaves them out.
        by: how hosts are parted (`group_hosts`).

    Raises:
        Invalid: hosts cannot be parted so.
    """
    parts = group_hosts(arrays.hosts, by)
    found = []
    for flavor in flavors:
        try:
            counted = count_flavor(arrays, flavor, fit)
        except (errors.Invalid, errors.Unsupported) as exc:
            found.append(_say_uncounted(arrays, flavor, exc.message))
            continue
        found += [sum_capacity(arrays, counted, name, hosts) for name, hosts in parts.items()]
    return found


def _say_uncounted(arrays: Arrays, flavor: Flavor, why: str) -> Capacity:
    return Capacity(
        flavor=flavor.name,
        scope="",
        fits=0,
        exact=False,
        hosts=0,
        of_hosts=len(arrays.hosts),
        largest=0,
        stranded=0,
        bindings=(),
        error=why,
    )
