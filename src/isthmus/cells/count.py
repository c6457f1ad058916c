"""How many more instances of one flavor each host takes: Placement's rules, for all hosts at once.

A request without a suffix may take each class from another provider of the tree; a group with a
suffix takes all from one. Where several groups compete for the same providers it is a flow, and
its smallest cut says how many fit: for every subset T of the groups the providers N(T) that serve
one of them need sum(min(slots, n * m)) >= n * |T|, where m is how many groups of one instance a
provider takes (one under `isolate`, else what max_unit allows). A bipartite graph can be coloured
with as many colours as its largest degree, so such a flow falls apart into n instances.

Where neither holds, a count is an upper bound, and says so (`exact`).

Source:
    placement.objects.allocation_candidate 16.0.0: `_check_traits_for_alloc_request`,
    `_exceeds_capacity`, `_satisfies_group_policy`.
"""

import itertools
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from isthmus.cells.arrays import Arrays, Column
from isthmus.cells.protocols import Counts, Flags
from isthmus.cells.request import Group, Request
from isthmus.model.compute.cloud import UNBOUNDED

CLOSED = "host"
#: Where more kinds of groups compete than this, single ones are looked at alone: an upper bound.
_MOST_KINDS = 6


@dataclass(frozen=True, slots=True)
class Pool:
    """What one provider shares with several hosts."""

    resource_class: str
    slots: int
    hosts: Counts


@dataclass(slots=True)
class Tally:
    """How many instances each host takes, by everything that bounds it."""

    limits: dict[str, Counts] = field(default_factory=dict)
    exact: Flags = field(default_factory=lambda: np.zeros(0, dtype=bool))
    own: dict[str, Counts] = field(default_factory=dict)  #: class -> without what is shared
    pools: tuple[Pool, ...] = ()

    @property
    def fits(self) -> Counts:
        """Count for each host, as if it were alone."""
        found: Counts = np.minimum.reduce(list(self.limits.values()))
        return found

    def bound(self, name: str, counts: Counts) -> None:
        """Add a bound; of two of one name the lower one counts."""
        known = self.limits.get(name)
        self.limits[name] = counts if known is None else np.minimum(known, counts)


def count_request(arrays: Arrays, request: Request) -> Tally:
    """Count for each host how many instances Placement takes, one request each."""
    size = len(arrays.hosts)
    tally = Tally(exact=np.ones(size, dtype=bool))
    is_open = np.array([not why for why in arrays.closed], dtype=bool)
    tally.bound(CLOSED, np.where(is_open, UNBOUNDED, 0))
    for trait in sorted(request.root_required | arrays.root_required):
        there = arrays.has(trait)[arrays.root_of] & (arrays.root_of >= 0)
        tally.bound(f"trait {trait}", np.where(there, UNBOUNDED, 0))
    for trait in sorted(_find_unknown(arrays, request)):
        tally.bound(f"trait {trait}", np.zeros(size, dtype=np.int64))
    taken = _count_common(arrays, request.common, tally)
    _count_groups(arrays, request, tally, taken)
    return tally


def _find_unknown(arrays: Arrays, request: Request) -> set[str]:
    """Return the traits that Placement does not know, and refuses the request for."""
    if arrays.trait_names is None:
        return set()
    named = set(request.root_required)
    for group in (request.common, *request.groups):
        named |= group.required | group.forbidden
    return named - arrays.trait_names


#: How Placement has the CPUs of an instance: pinned, and shared.
_CPUS = ("PCPU", "VCPU")


def join_retry(first: Tally, second: Tally) -> Tally:
    """Count hosts that take some instances by a request, and more by the one that follows it.

    The two differ in how they ask for CPUs; everything else both take from the same.

    Args:
        first: with dedicated CPUs asked for as PCPU.
        second: with VCPU in their place.
    """
    found = Tally(exact=first.exact & second.exact, own=dict(second.own), pools=second.pools)
    cpus = np.zeros_like(first.exact, dtype=np.int64)
    for one in (first, second):
        own = [counts for name, counts in one.limits.items() if _is_apart(name)]
        cpus += np.minimum.reduce([*own, np.full_like(cpus, UNBOUNDED)])
    for name in dict.fromkeys((*first.limits, *second.limits)):
        if name in _CPUS:
            continue
        both = [one.limits.get(name, np.full_like(cpus, UNBOUNDED)) for one in (first, second)]
        if not _is_apart(name):
            found.exact &= both[0] == both[1]
        found.limits[name] = np.maximum(*both)
    found.limits["PCPU"] = np.minimum(cpus, UNBOUNDED)
    return found


def _is_apart(name: str) -> bool:
    """Tell whether a bound is of one way to ask for CPUs alone."""
    return name in _CPUS or name.startswith("trait ")


@dataclass(slots=True)
class _Offer:
    """The rows of one class that can serve a request, and how often."""

    column: Column
    slots: Counts
    usable: Flags

    def sum_by_host(self, size: int, *, shared: bool | None = None) -> Counts:
        chosen = self.usable if shared is None else self.usable & (self.column.shared == shared)
        return _sum_at(self.column.host[chosen], self.slots[chosen], size)

    def providers_by_host(self, size: int) -> Counts:
        return np.bincount(self.column.host[self.usable], minlength=size)


def _sum_at(where: Counts, values: Counts, size: int) -> Counts:
    return np.bincount(where, weights=values, minlength=size).astype(np.int64)


def _offer(arrays: Arrays, name: str, amount: int, barred: Flags) -> _Offer | None:
    column = arrays.columns.get(name)
    if column is None:
        return None
    usable = (
        (column.min_unit <= amount)
        & (column.max_unit >= amount)
        & (amount % column.step_size == 0)
        & (column.free >= amount)
        & ~barred[column.provider]
    )
    return _Offer(column, column.free // amount, usable)


def _count_common(arrays: Arrays, group: Group, tally: Tally) -> dict[str, Flags]:
    """Bound by the request without a suffix; return the providers that it may use of each class."""
    size = len(arrays.hosts)
    barred = arrays.has_any(group.forbidden)
    offers: dict[str, _Offer] = {}
    for name, amount in group.resources.items():
        found = _offer(arrays, name, amount, barred)
        if found is None:
            tally.bound(name, np.zeros(size, dtype=np.int64))
        else:
            offers[name] = found
    if group.required:
        _require_traits(arrays, group, offers, tally)
    pools: list[Pool] = []
    taken: dict[str, Flags] = {}
    for name, offer in offers.items():
        tally.bound(name, offer.sum_by_host(size))
        tally.own[name] = offer.sum_by_host(size, shared=False)
        taken[name] = np.zeros(arrays.providers, dtype=bool)
        taken[name][offer.column.provider[offer.usable]] = True
        pools += _list_pools(name, offer)
    tally.pools = tuple(pools)
    if len({one.resource_class for one in pools}) > 1:
        tally.exact[:] = False
    served = Counter(host for one in pools for host in one.hosts.tolist())
    for host, count in served.items():
        tally.exact[host] &= count == 1
    return taken


def _list_pools(name: str, offer: _Offer) -> list[Pool]:
    shared = offer.usable & offer.column.shared
    found = []
    for provider in np.unique(offer.column.provider[shared]):
        mine = shared & (offer.column.provider == provider)
        found.append(Pool(name, int(offer.slots[mine][0]), offer.column.host[mine]))
    return found


def _require_traits(arrays: Arrays, group: Group, offers: dict[str, _Offer], tally: Tally) -> None:
    """Bound by required traits, which the providers that are used must have between them.

    A provider that is the only one for a class is always used. What these lack must come from a
    class that has several providers on the host: with one such class its providers without the
    traits fall away; with two it is left open which of them gives what.
    """
    size = len(arrays.hosts)
    several = np.zeros(size, dtype=np.int64)
    only: dict[str, Flags] = {}
    for name, offer in offers.items():
        providers = offer.providers_by_host(size)
        several += providers > 1
        only[name] = offer.usable & (providers[offer.column.host] == 1)
    lacking = {trait: np.ones(size, dtype=bool) for trait in group.required}
    for trait, lacks in lacking.items():
        has = arrays.has(trait)
        for name, offer in offers.items():
            there = only[name] & has[offer.column.provider]
            lacks[offer.column.host[there]] = False
        tally.bound(f"trait {trait}", np.where(lacks & (several == 0), 0, UNBOUNDED))
        for name, offer in offers.items():
            # Of the one class that has a choice, those that have it.
            host = offer.column.host
            choice = ~only[name] & lacks[host] & (several[host] == 1)
            offer.usable = offer.usable & ~(choice & ~has[offer.column.provider])
        tally.exact &= ~(lacks & (several > 1))


@dataclass(slots=True)
class _Kind:
    """Groups that ask for the same."""

    group: Group
    count: int
    slots: Counts  #: of each provider
    at_once: Counts  #: how many groups of one instance a provider takes


def _count_groups(arrays: Arrays, request: Request, tally: Tally, taken: dict[str, Flags]) -> None:
    keys = Counter(
        (tuple(sorted(one.resources.items())), one.required, one.forbidden)
        for one in request.groups
    )
    kinds = [
        _make_kind(arrays, Group(dict(key[0]), key[1], key[2]), count, isolate=request.isolate)
        for key, count in keys.items()
    ]
    for kind in kinds:
        for name in kind.group.resources:
            both = taken.get(name)
            if both is not None:
                _doubt(arrays, tally, both & (kind.slots > 0))
    for members in _join(kinds, isolate=request.isolate):
        same = all(one.group.resources == members[0].group.resources for one in members)
        if same and len(members) <= _MOST_KINDS:
            subsets = [
                chosen
                for length in range(1, len(members) + 1)
                for chosen in itertools.combinations(members, length)
            ]
        else:
            subsets = [(one,) for one in members]
            for one, other in itertools.combinations(members, 2):
                _doubt(arrays, tally, (one.slots > 0) & (other.slots > 0))
        best = np.full(len(arrays.hosts), UNBOUNDED, dtype=np.int64)
        for chosen in subsets:
            label = " and ".join(sorted({name for one in chosen for name in one.group.resources}))
            counts = _count_cut(arrays, chosen)
            tally.bound(label, counts)
            best = np.minimum(best, counts)
        tally.exact &= best <= _count_sure(arrays, members, best)


def _count_sure(arrays: Arrays, members: list[_Kind], best: Counts) -> Counts:
    """Return how many fit each host whichever providers Nova takes, of `best` if it takes the best.

    Nova takes the first way that Placement names, and that may use up for one group what another
    one needs.
    """
    size, groups = len(arrays.hosts), sum(one.count for one in members)
    sure = best
    for one in members:
        serving = (one.slots > 0) & (arrays.host_of >= 0)
        host, at_once = arrays.host_of[serving], np.minimum(one.at_once[serving], groups)
        total = _sum_at(host, one.slots[serving], size) // groups
        limited = np.bincount(host[at_once < groups], minlength=size) > 0
        forced = (_sum_at(host, at_once, size) == groups) & (len(members) == 1)
        sure = np.minimum(sure, np.where(limited, np.where(forced, best, 0), total))
    return sure


def _doubt(arrays: Arrays, tally: Tally, providers: Flags) -> None:
    """Call the counts of the hosts of these providers upper bounds."""
    hosts = arrays.host_of[providers]
    tally.exact[hosts[hosts >= 0]] = False


def _make_kind(arrays: Arrays, group: Group, count: int, *, isolate: bool) -> _Kind:
    slots = np.full(arrays.providers, UNBOUNDED, dtype=np.int64)
    at_once = np.full(arrays.providers, 1 if isolate else UNBOUNDED, dtype=np.int64)
    barred = arrays.has_any(group.forbidden) | ~arrays.has_all(group.required)
    for name, amount in group.resources.items():
        mine = np.zeros(arrays.providers, dtype=np.int64)
        offer = _offer(arrays, name, amount, barred)
        if offer is not None:
            rows = offer.usable & ~offer.column.shared
            mine[offer.column.provider[rows]] = offer.slots[rows]
            at_once[offer.column.provider] = np.minimum(
                at_once[offer.column.provider], offer.column.max_unit // amount
            )
        slots = np.minimum(slots, mine)
    return _Kind(group, count, slots, at_once)


def _join(kinds: list[_Kind], *, isolate: bool) -> list[list[_Kind]]:
    """Put kinds together that compete for a provider."""
    parts: list[list[_Kind]] = []
    for kind in kinds:
        near = [
            part
            for part in parts
            if any(
                (isolate or set(one.group.resources) & set(kind.group.resources))
                and bool(np.any((one.slots > 0) & (kind.slots > 0)))
                for one in part
            )
        ]
        parts = [part for part in parts if part not in near]
        parts.append([*itertools.chain.from_iterable(near), kind])
    return parts


def _count_cut(arrays: Arrays, chosen: tuple[_Kind, ...]) -> Counts:
    """Return the largest n with sum(min(slots, n * at_once)) >= n * groups, for each host."""
    size = len(arrays.hosts)
    groups = sum(one.count for one in chosen)
    slots = np.maximum.reduce([one.slots for one in chosen])
    at_once = np.maximum.reduce([np.where(one.slots > 0, one.at_once, 0) for one in chosen])
    serving = (slots > 0) & (arrays.host_of >= 0)
    host, slots, at_once = arrays.host_of[serving], slots[serving], at_once[serving]
    high = _sum_at(host, slots, size) // groups
    if np.all(at_once >= groups):
        return high
    low = np.zeros(size, dtype=np.int64)
    while np.any(low < high):
        middle = (low + high + 1) // 2
        served = _sum_at(host, np.minimum(slots, middle[host] * at_once), size)
        enough = served >= middle * groups
        low, high = np.where(enough, middle, low), np.where(enough, high, middle - 1)
    return low
