"""Lease arithmetic: who may give out which numbers of a pool. Pure.

A pool (the allocation pools of a subnet, or the port keys of a network) belongs to central, which
allocates blocks out of it for the sites and for itself. A site gives out numbers of its blocks with
no call to anybody. So the same number is never given twice if blocks never overlap, and that is all
that has to be kept true here.

Everything works on intervals: an IPv6 subnet holds more numbers than can be counted one by one.
"""

import bisect
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from isthmus import errors
from isthmus.model.lease import Block, Lease, LeaseId, rest_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SizePolicy:
    """How large the next block of a site is, and how much it may hold unused.

    Of these, `first` alone is an option (`first_lease`, `key_lease`); the others are fixed (ADR
    0011).
    """

    first: int = 64  #: where nothing is known of the site's use
    smallest: int = 4  #: a site that uses little ends up here; scarcity may go below
    largest: int = 1024  #: about what a site creates while a day-long cut lasts
    share: int = 4  #: never more than this fraction (1/share) of what is still free
    idle_share: int = 2  #: a site holds at most this fraction of the pool without known use ...
    idle_least: int = 8  #: ... or so many numbers, since reports come a little later than ports
    idle_most: int = (
        4096  #: nor more than this, or than it uses: half of an IPv6 subnet is no bound
    )


#: Most parts of leases that one call gives back, and most numbers of one part: central looks each
#: number up before it takes it.
MOST_RETURNS = 64
MOST_OF_A_RETURN = SizePolicy().largest


@dataclass(frozen=True, slots=True, kw_only=True)
class LowWater:
    """When a site asks for more, and what it keeps when it gives back."""

    fraction: int = 4  #: asks when less than 1/fraction of its blocks is free
    least: int = 2  #: asks when fewer than this are free, however small its blocks
    most: int = 16  #: keeps no more in reserve than 1/most of the pool: of a tiny one, nothing
    spare: int = 2  #: keeps free numbers up to this many times the low-water mark


@dataclass(frozen=True, slots=True)
class Return:
    """A block to give back, whole or in part."""

    block: Block  #: as it was leased
    keep: Block | None  #: what the site keeps of it

    @property
    def freed(self) -> Block:
        """The numbers that go back."""
        return self.block if self.keep is None else Block(self.keep.last + 1, self.block.last)


def merge(blocks: Iterable[Block]) -> list[Block]:
    """Join blocks that touch or overlap; the answer is sorted."""
    merged: list[Block] = []
    for block in sorted(blocks):
        if merged and block.first <= merged[-1].last + 1:
            if block.last > merged[-1].last:
                merged[-1] = Block(merged[-1].first, block.last)
        else:
            merged.append(block)
    return merged


def subtract(blocks: Iterable[Block], taken: Iterable[Block]) -> list[Block]:
    """Return what is left of the blocks, sorted and merged."""
    left: list[Block] = []
    holes = merge(taken)
    at = 0
    for block in merge(blocks):
        first = block.first
        while at < len(holes) and holes[at].last < first:
            at += 1
        look = at
        while look < len(holes) and holes[look].first <= block.last:
            if holes[look].first > first:
                left.append(Block(first, holes[look].first - 1))
            first = holes[look].last + 1
            look += 1
        if first <= block.last:
            left.append(Block(first, block.last))
    return left


def count(blocks: Iterable[Block]) -> int:
    """Count the numbers in blocks that do not overlap."""
    return sum(block.size for block in blocks)


def allocate_block(
    pools: Iterable[Block], taken: Iterable[Block], size: int, *, held: Iterable[Block] = ()
) -> Block:
    """Choose a block of at most `size` free numbers.

    Right behind a block that the same holder has already, if there is room, so that the two merge;
    else at the start of the first gap that is large enough; else the largest gap there is.

    Args:
        pools: what there is to give.
        taken: every block in anybody's hands.
        size: how many numbers are wanted, at least 1.
        held: the blocks of the holder.

    Raises:
        Exhausted: no number is free.
    """
    assert size >= 1, "a block holds at least one number"
    gaps = subtract(pools, taken)
    if not gaps:
        raise errors.Exhausted("every number of the pool is leased out")
    ends = {block.last + 1 for block in held}
    large_enough = [gap for gap in gaps if gap.size >= size]
    gap = next(
        (gap for gap in large_enough if gap.first in ends),
        large_enough[0] if large_enough else max(gaps, key=lambda one: one.size),
    )
    return Block(gap.first, min(gap.last, gap.first + size - 1))


def choose_size(free: int, policy: SizePolicy) -> int:
    """Choose the size of a holder's first block.

    Every block takes at most a share of what is still free, so blocks shrink as the pool does and a
    small subnet still serves several sites.

    Args:
        free: numbers of the pool that nobody holds.
        policy: the bounds.
    """
    size = min(max(policy.first, policy.smallest), policy.largest)
    return max(1, min(size, free // policy.share))


def limit_request(
    asked: int, *, free: int, size: int, idle: int, used: int, policy: SizePolicy
) -> int:
    """Choose how many numbers a site gets that asks for some, whatever it says it needs.

    At most a share of what is free, so that others find something too; and nothing to one that has
    half of the pool, or many numbers, in hand without a port on it that central has heard of.

    Args:
        asked: how many it asks for.
        free: numbers of the pool that nobody holds.
        size: numbers of the pool.
        idle: numbers that the site holds and that central knows no use of.
        used: numbers that it holds and that central knows ports of.
        policy: the bounds.
    """
    bound = min(size // policy.idle_share, max(policy.idle_most, used))
    allowed = max(policy.idle_least, bound) - idle
    wanted = max(asked, policy.smallest)
    return min(wanted, policy.largest, max(1, free // policy.share), max(0, allowed))


def low_mark(blocks: Iterable[Block], policy: LowWater, size: int | None = None) -> int:
    """Return the number of free numbers below which a holder of these blocks asks for more.

    Args:
        blocks: what the site holds of one pool.
        policy: the low-water mark.
        size: numbers of the whole pool, as far as that is known.
    """
    return _bounded(max(policy.least, count(blocks) // policy.fraction), policy, size)


def _bounded(mark: int, policy: LowWater, size: int | None) -> int:
    return mark if size is None else min(mark, size // policy.most)


def runs_dry(blocks: Sequence[Block], used: int, policy: LowWater, size: int | None = None) -> bool:
    """Tell whether it is time to ask for the next block.

    Args:
        blocks: what the site holds of one pool.
        used: how many numbers of them are in use.
        policy: the low-water mark.
        size: numbers of the whole pool, as far as that is known.
    """
    return count(blocks) - used < low_mark(blocks, policy, size)


def plan_returns(
    blocks: Iterable[Block], used: Iterable[int], policy: LowWater, size: int | None = None
) -> list[Return]:
    """Choose what a site gives back: the highest free numbers, down to a spare reserve.

    A block goes whole if nothing of it is in use, else its unused tail goes.

    Args:
        blocks: what the site holds of one pool.
        used: the numbers in use.
        policy: the low-water mark and the spare.
        size: numbers of the whole pool, as far as that is known.
    """
    held = sorted(blocks)
    busy = sorted(number for number in set(used) if any(number in block for block in held))
    # Measured against what is in use: against what is held, each return would allow another.
    floor = policy.spare * _bounded(max(policy.least, len(busy) // policy.fraction), policy, size)
    surplus = count(held) - len(busy) - floor
    returns: list[Return] = []
    for block in reversed(held):
        if surplus <= 0:
            break
        at = bisect.bisect_right(busy, block.last) - 1
        highest = busy[at] if at >= 0 and busy[at] >= block.first else block.first - 1
        keep_until = max(highest, block.last - surplus)
        if keep_until >= block.last:
            continue
        keep = Block(block.first, keep_until) if keep_until >= block.first else None
        returns.append(Return(block, keep))
        surplus -= block.last - keep_until
    return returns


def plan_recall(asked: Block, used: Iterable[int], count: int) -> list[Block]:
    """Choose what of a block goes back when central asks for it: the highest idle numbers.

    Args:
        asked: the part of a lease that is asked for.
        used: the numbers in use; others do not matter.
        count: how many are asked for at most.

    Returns:
        Runs of numbers, the highest first.
    """
    runs: list[Block] = []
    for gap in reversed(subtract([asked], (Block(one, one) for one in used if one in asked))):
        if count <= 0:
            break
        run = Block(max(gap.first, gap.last - count + 1), gap.last)
        runs.append(run)
        count -= run.size
    return runs


def split_return(part: Block) -> list[Block]:
    """Cut a part of a lease into pieces that a call may give back."""
    return [
        Block(first, min(first + MOST_OF_A_RETURN - 1, part.last))
        for first in range(part.first, part.last + 1, MOST_OF_A_RETURN)
    ]


def intersect(blocks: Iterable[Block], within: Iterable[Block]) -> list[Block]:
    """Return what of the blocks lies within others, in the order of the blocks."""
    bounds = merge(within)
    return [part for block in blocks for part in _clip(block, bounds)]


def _clip(block: Block, bounds: Sequence[Block]) -> list[Block]:
    """Return what of a block lies within others, which are sorted and do not overlap."""
    found = []
    for at in range(bisect.bisect_left(bounds, block.first, key=_last), len(bounds)):
        if bounds[at].first > block.last:
            break
        found.append(Block(max(block.first, bounds[at].first), min(block.last, bounds[at].last)))
    return found


def _last(block: Block) -> int:
    return block.last


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What becomes of a site's leases of a pool by what it says that it has."""

    delete: tuple[LeaseId, ...]
    insert: tuple[Lease, ...]
    freed: tuple[Block, ...]  #: what the site has no more


def narrow(held: Sequence[Lease], named: Sequence[Lease], taken: Collection[LeaseId]) -> Narrowed:
    """Choose under which ids a site holds what it says that it has of its leases of a pool.

    Under those that the site knows, so that what it gives back one day is found. Each id is used
    once: further parts of one lease have ids that the site makes in the same way.

    Args:
        held: the site's leases of the pool, which do not overlap.
        named: what the site names; of two that overlap the lower one counts.
        taken: ids among those named that other leases have.
    """
    bounds = merge(one.block for one in held)
    wanted: dict[LeaseId, Lease] = {}
    covered = -1
    for one in sorted(named, key=lambda one: one.block):
        if one.block.last <= covered:
            continue
        block = Block(max(one.block.first, covered + 1), one.block.last)
        covered = block.last
        for part in _clip(block, bounds):
            new, origin = one.id, one.origin
            if new in wanted or new in taken:
                new, origin = rest_id(one.root, part.first), one.root
            while new in wanted or new in taken:
                new, origin = rest_id(new, part.first), None
            kept = replace(one, id=new, block=part, origin=origin)
            wanted[new] = kept
    before = {one.id: one for one in held}
    return Narrowed(
        delete=tuple(one.id for one in held if wanted.get(one.id) != one),
        insert=tuple(one for one in wanted.values() if before.get(one.id) != one),
        freed=tuple(subtract(bounds, (one.block for one in named))),
    )
