"""A cloud as arrays: one row for each thing that a provider offers to a host.

A provider that shares by aggregate has a row for each host that it serves; those rows speak of the
same stock, so totals over hosts treat them apart (`count.Pool`).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from isthmus.cells.protocols import Counts, Flags
from isthmus.cells.traits import DISABLED_TRAIT, OWNER_TRAIT, OWNER_VERSION
from isthmus.model.compute.cloud import ComputeCloud, ComputeHost
from isthmus.model.compute.device import NO_RULES, DeviceRules

_SHARES = "MISC_SHARES_VIA_AGGREGATE"
MISSING = "Placement has no provider of it"


@dataclass(slots=True)
class Column:
    """What is offered of one resource class."""

    provider: Counts  #: by position
    host: Counts  #: by position
    shared: Flags
    free: Counts
    min_unit: Counts
    max_unit: Counts
    step_size: Counts


@dataclass(slots=True)
class Arrays:
    """A cloud as arrays."""

    hosts: tuple[ComputeHost, ...]
    closed: tuple[str, ...]  #: for each host why nothing is built there; empty where it is
    host_of: Counts  #: provider -> host that it is a part of, -1 for none
    root_of: Counts  #: host -> provider that it is itself, -1 for none
    columns: dict[str, Column]
    traits: dict[str, Flags]  #: trait -> which providers have it
    root_required: frozenset[str] = frozenset()  #: what Nova asks of every compute node
    devices: DeviceRules = NO_RULES
    trait_names: frozenset[str] | None = None  #: that Placement knows; None: not read
    retries_pinned: bool = True  #: Nova asks for VCPU where a pinned instance finds no PCPU

    @property
    def providers(self) -> int:
        """Count the providers."""
        return len(self.host_of)

    def has(self, trait: str) -> Flags:
        """Tell for each provider whether it has a trait."""
        found = self.traits.get(trait)
        return np.zeros(self.providers, dtype=bool) if found is None else found

    def has_any(self, traits: Iterable[str]) -> Flags:
        """Tell for each provider whether it has one of these traits."""
        found = np.zeros(self.providers, dtype=bool)
        for one in traits:
            found |= self.has(one)
        return found

    def has_all(self, traits: Iterable[str]) -> Flags:
        """Tell for each provider whether it has all of these traits."""
        found = np.ones(self.providers, dtype=bool)
        for one in traits:
            found &= self.has(one)
        return found


def make_arrays(cloud: ComputeCloud) -> Arrays:
    """Lay out a cloud; hosts and providers keep their order."""
    position = {one.id: number for number, one in enumerate(cloud.providers)}
    roots = {one.uuid: one.id for one in cloud.providers if one.root == one.id}
    host_by_root = _choose_hosts(cloud, roots)
    host_of = np.array([host_by_root.get(one.root, -1) for one in cloud.providers], dtype=np.int64)
    traits = _list_traits(cloud)
    serves = _find_served(cloud, host_of)
    rows: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for one in cloud.inventories:
        at = position.get(one.provider)
        if at is None:
            continue
        for host, shared in serves[at]:
            rows[one.resource_class].append(
                (
                    at,
                    host,
                    shared,
                    max(0, one.capacity - one.used),
                    one.min_unit,
                    one.max_unit,
                    one.step_size,
                )
            )
    return Arrays(
        hosts=cloud.hosts,
        closed=_find_closed(cloud, roots, position, traits, host_by_root),
        host_of=host_of,
        root_of=np.array(
            [position[roots[one.uuid]] if one.uuid in roots else -1 for one in cloud.hosts],
            dtype=np.int64,
        ),
        columns={name: _make_column(found) for name, found in rows.items()},
        traits=traits,
        root_required=_list_root_required(cloud),
        devices=cloud.devices,
        trait_names=cloud.trait_names,
        retries_pinned=cloud.retries_pinned,
    )


def _list_traits(cloud: ComputeCloud) -> dict[str, Flags]:
    found: dict[str, Flags] = {}
    for number, provider in enumerate(cloud.providers):
        for trait in provider.traits:
            if trait not in found:
                found[trait] = np.zeros(len(cloud.providers), dtype=bool)
            found[trait][number] = True
    return found


def _list_root_required(cloud: ComputeCloud) -> frozenset[str]:
    """Return what Nova asks of every compute node: its own trait, once all services report it."""
    versions = [one.version for one in cloud.cells if one.version]
    upgraded = bool(versions) and min(versions) >= OWNER_VERSION
    return frozenset({OWNER_TRAIT} if upgraded else ())


def _choose_hosts(cloud: ComputeCloud, roots: dict[str, int]) -> dict[int, int]:
    """Return for each root provider its host; of two in two cells the one that is open."""
    found: dict[int, int] = {}
    for number, one in enumerate(cloud.hosts):
        root = roots.get(one.uuid)
        if root is not None and (
            root not in found or (cloud.hosts[found[root]].closed and not one.closed)
        ):
            found[root] = number
    return found


def _make_column(rows: list[tuple[int, ...]]) -> Column:
    provider, host, shared, *rest = np.array(rows, dtype=np.int64).T
    return Column(provider, host, shared.astype(bool), *rest)


def _find_served(cloud: ComputeCloud, host_of: Counts) -> list[list[tuple[int, bool]]]:
    """Return for each provider the hosts that may take of it, and whether it is shared."""
    members: dict[str, set[int]] = defaultdict(set)
    for provider, host in zip(cloud.providers, host_of.tolist(), strict=True):
        if host >= 0:
            for aggregate in provider.aggregates:
                members[aggregate].add(host)
    served = []
    for provider, host in zip(cloud.providers, host_of.tolist(), strict=True):
        found = [(host, False)] if host >= 0 else []
        if _SHARES in provider.traits:
            near = set().union(*(members[one] for one in provider.aggregates)) - {host}
            found += [(one, True) for one in sorted(near)]
        served.append(found)
    return served


def _find_closed(
    cloud: ComputeCloud,
    roots: dict[str, int],
    position: dict[int, int],
    traits: dict[str, Flags],
    host_by_root: dict[int, int],
) -> tuple[str, ...]:
    disabled = traits.get(DISABLED_TRAIT)
    found = []
    for number, host in enumerate(cloud.hosts):
        why = host.closed
        root = roots.get(host.uuid)
        if root is None:
            why = why or MISSING
        elif host_by_root[root] != number:
            why = why or f"counted in cell {cloud.hosts[host_by_root[root]].cell}"
        elif not why and disabled is not None and disabled[position[root]]:
            why = f"trait {DISABLED_TRAIT}"
        found.append(why)
    return tuple(found)
