"""Lease arithmetic against sets of numbers, which are slow but cannot be wrong."""

import itertools
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import errors
from isthmus.federation.leases.lease import (
    LowWater,
    Narrowed,
    SizePolicy,
    allocate_block,
    choose_size,
    count,
    intersect,
    limit_request,
    low_mark,
    merge,
    narrow,
    plan_recall,
    plan_returns,
    runs_dry,
    subtract,
)
from isthmus.model.lease import Block, Lease, LeaseId, PoolKind, rest_id
from isthmus.model.site import SiteName
from isthmus.testing.strategies import block_lists


def numbers(blocks: list[Block]) -> set[int]:
    return {number for block in blocks for number in range(block.first, block.last + 1)}


def is_tidy(blocks: list[Block]) -> bool:
    return all(left.last + 1 < right.first for left, right in itertools.pairwise(blocks))


@given(block_lists())
def test_merge_keeps_every_number_and_joins_neighbours(blocks: list[Block]) -> None:
    merged = merge(blocks)
    assert numbers(merged) == numbers(blocks)
    assert is_tidy(merged)


@given(block_lists(), block_lists())
def test_subtract_is_the_difference_of_sets(blocks: list[Block], taken: list[Block]) -> None:
    left = subtract(blocks, taken)
    assert numbers(left) == numbers(blocks) - numbers(taken)
    assert is_tidy(left)
    assert count(left) == len(numbers(left))


@given(block_lists(), block_lists(), block_lists(), st.integers(1, 100))
def test_an_allocated_block_is_free_and_in_the_pool(
    pools: list[Block], taken: list[Block], held: list[Block], size: int
) -> None:
    everything = taken + held
    free = numbers(pools) - numbers(everything)
    if not free:
        with pytest.raises(errors.Exhausted):
            allocate_block(pools, everything, size, held=held)
        return
    block = allocate_block(pools, everything, size, held=held)
    assert numbers([block]) <= free
    assert block.size <= size
    if block.size < size:
        gaps = subtract(pools, everything)
        assert block.size == max(gap.size for gap in gaps), "smaller only if nothing larger is left"


@given(block_lists(), block_lists(), st.lists(st.integers(1, 40), min_size=1))
def test_carving_until_exhausted_gives_every_number_exactly_once(
    pools: list[Block], taken: list[Block], sizes: list[int]
) -> None:
    given_out: list[Block] = []
    for turn in range(10_000):
        try:
            block = allocate_block(pools, taken + given_out, sizes[turn % len(sizes)])
        except errors.Exhausted:
            break
        given_out.append(block)
    assert count(given_out) == len(numbers(given_out))
    assert numbers(given_out) == numbers(pools) - numbers(taken)


def test_a_holder_gets_the_block_behind_its_own() -> None:
    pool = [Block(1, 100)]
    mine, other = Block(21, 30), Block(1, 20)
    assert allocate_block(pool, [mine, other], 10, held=[mine]) == Block(31, 40)
    third = Block(31, 40)
    assert allocate_block(pool, [mine, other, third], 10, held=[mine]) == Block(41, 50)


def test_an_ipv6_subnet_is_no_trouble() -> None:
    pool = [Block(2**127, 2**127 + 2**64 - 1)]
    first = allocate_block(pool, [], choose_size(count(pool), SizePolicy()))
    assert first == Block(2**127, 2**127 + 63)
    assert count(subtract(pool, [first])) == 2**64 - 64


@given(st.integers(1, 10**6), st.integers(1, 5000))
def test_sizes_stay_in_their_bounds_and_leave_some_for_others(free: int, first: int) -> None:
    policy = SizePolicy(first=first)
    size = choose_size(free, policy)
    assert 1 <= size <= policy.largest
    assert size == 1 or size <= free / policy.share
    if free >= policy.share * policy.smallest:
        assert size >= policy.smallest


def test_where_nothing_is_known_a_block_has_the_first_size() -> None:
    assert choose_size(100_000, SizePolicy()) == 64


def test_a_small_subnet_serves_several_sites() -> None:
    """A /28 with its gateway taken: central and three sites all get some at their first ask."""
    pool = [Block(2, 14)]
    taken: list[Block] = []
    for _ in range(4):
        size = choose_size(count(subtract(pool, taken)), SizePolicy())
        taken.append(allocate_block(pool, taken, size))
    assert [block.size for block in taken] == [3, 2, 2, 1]
    assert count(subtract(pool, taken)) == 5


@st.composite
def holdings(draw: st.DrawFn) -> tuple[list[Block], set[int]]:
    """Blocks of one site that do not overlap, and the numbers in use."""
    blocks: list[Block] = []
    at = 0
    for _ in range(draw(st.integers(1, 5))):
        first = at + draw(st.integers(0, 5))
        blocks.append(Block(first, first + draw(st.integers(0, 60))))
        at = blocks[-1].last + 1
    used = draw(st.sets(st.integers(0, at), max_size=80))
    return draw(st.permutations(blocks)), used


@given(holdings())
def test_returns_are_free_numbers_and_leave_enough(
    holding: tuple[list[Block], set[int]],
) -> None:
    blocks, used = holding
    policy = LowWater()
    returns = plan_returns(blocks, used, policy)
    freed = numbers([one.freed for one in returns])
    assert not freed & used
    assert all(one.block in blocks for one in returns)
    for one in returns:
        kept = numbers([one.keep]) if one.keep else set()
        assert kept | numbers([one.freed]) == numbers([one.block])
    kept_blocks = subtract(blocks, [one.freed for one in returns])
    busy = len(numbers(blocks) & used)
    if returns:
        assert not runs_dry(kept_blocks, busy, policy), "or it would ask for them back at once"
        assert plan_returns(kept_blocks, used, policy) == [], "once is enough"


def test_a_whole_unused_block_goes_whole() -> None:
    returns = plan_returns([Block(1, 64), Block(65, 128)], range(1, 40), LowWater())
    assert [(one.block, one.keep) for one in returns] == [
        (Block(65, 128), None),
        (Block(1, 64), Block(1, 57)),
    ]


@pytest.mark.parametrize(
    ("size", "used", "dry"),
    [(64, 48, False), (64, 49, True), (4, 2, False), (3, 2, True), (0, 0, True)],
)
def test_when_a_site_asks(size: int, used: int, *, dry: bool) -> None:
    blocks = [Block(1, size)] if size else []
    assert runs_dry(blocks, used, LowWater()) is dry


@given(
    used=st.lists(st.integers(0, 120), max_size=20),
    first=st.integers(0, 60),
    size=st.integers(1, 64),
)
def test_a_recall_takes_idle_numbers_alone(used: list[int], first: int, size: int) -> None:
    asked = Block(first, first + size - 1)
    for wanted in (1, 3, size):
        runs = plan_recall(asked, used, wanted)
        given_back = [number for run in runs for number in range(run.first, run.last + 1)]
        idle = [number for number in range(asked.first, asked.last + 1) if number not in used]
        assert sorted(given_back) == idle[max(0, len(idle) - wanted) :]
        assert runs == sorted(runs, reverse=True)


@given(
    asked=st.integers(0, 10**7),
    free=st.integers(1, 70000),
    size=st.integers(1, 70000),
    idle=st.integers(0, 70000),
    used=st.integers(0, 70000),
)
def test_a_lease_request_is_bounded(asked: int, free: int, size: int, idle: int, used: int) -> None:
    policy = SizePolicy()
    got = limit_request(asked, free=free, size=size, idle=idle, used=used, policy=policy)
    assert 0 <= got <= min(policy.largest, max(1, free // 4))
    assert got + idle <= max(8, min(size // 2, max(4096, used))) or got == 0


def test_a_large_subnet_does_not_let_a_site_take_numbers_for_ever() -> None:
    """Of a /64 a quarter of what is free, and half of all, are no bounds."""
    idle = calls = 0
    while got := limit_request(
        1024, free=2**64 - idle, size=2**64, idle=idle, used=0, policy=SizePolicy()
    ):
        idle, calls = idle + got, calls + 1
        assert calls < 100
    assert idle == 4096


@given(size=st.integers(1, 31))
def test_of_a_tiny_pool_nothing_is_kept_in_reserve(size: int) -> None:
    low = LowWater()
    block = [Block(0, size - 1)]
    assert low_mark(block, low, size) <= 1
    if size < low.most:
        assert not runs_dry(block, size, low, size)
        assert plan_returns(block, [], low, size)[0].keep is None


@given(block_lists(), block_lists())
def test_intersect_is_what_is_in_both(left: list[Block], right: list[Block]) -> None:
    assert numbers(intersect(left, right)) == numbers(left) & numbers(right)


def lease(first: int, last: int, name: int, *, root: int | None = None) -> Lease:
    """Give a site's lease with an id made of a number."""
    return Lease(
        id=ID[name],
        kind=PoolKind.SUBNET,
        pool_id="subnet",
        site=SiteName("site1"),
        block=Block(first, last),
        origin=None if root is None else ID[root],
    )


ID = [LeaseId(str(uuid.UUID(int=one))) for one in range(64)]


@pytest.mark.parametrize(
    ("held", "named", "then", "freed"),
    [
        # Both went back since the backup, in part, and a new lease lies over both.
        ([(1, 16, 1), (17, 32, 2)], [(9, 24, 3)], [(9, 24, 3)], [(1, 8), (25, 32)]),
        # All is still the site's, but granted anew: what goes back of it names the new lease.
        ([(1, 16, 1)], [(1, 8, 1), (9, 16, 3)], [(1, 8, 1), (9, 16, 3)], []),
        ([(1, 16, 1)], [(1, 16, 1)], [(1, 16, 1)], []),
        ([(1, 16, 1)], [], [], [(1, 16)]),
        # What central never leased to it is not its own by this.
        ([(1, 16, 1)], [(9, 40, 3)], [(9, 16, 3)], [(1, 8)]),
    ],
)
def test_a_site_holds_its_leases_as_it_names_them(
    held: list[tuple[int, int, int]],
    named: list[tuple[int, int, int]],
    then: list[tuple[int, int, int]],
    freed: list[tuple[int, int]],
) -> None:
    before = [lease(*one) for one in held]
    plan = narrow(before, [lease(*one) for one in named], ())
    assert after(before, plan) == [lease(*one) for one in then]
    assert [(one.first, one.last) for one in plan.freed] == freed


def after(before: list[Lease], plan: Narrowed) -> list[Lease]:
    kept = [one for one in before if one.id not in plan.delete]
    return sorted([*kept, *plan.insert], key=lambda one: one.block)


def test_an_id_stands_for_one_lease() -> None:
    """The site names one lease over a hole, an id twice, and one that another site's lease has."""
    before = [lease(1, 4, 1), lease(9, 12, 2)]
    plan = narrow(before, [lease(1, 12, 3), lease(20, 24, 1)], ())
    assert plan.insert == (
        lease(1, 4, 3),
        Lease(
            id=rest_id(ID[3], 9),
            kind=PoolKind.SUBNET,
            pool_id="subnet",
            site=SiteName("site1"),
            block=Block(9, 12),
            origin=ID[3],
        ),
    )
    foreign = narrow(before, [lease(1, 4, 3), lease(9, 12, 3)], {ID[3]})
    ids = [one.id for one in foreign.insert]
    assert len(set(ids)) == 2
    assert ID[3] not in ids


@given(block_lists(), block_lists())
def test_what_a_site_holds_afterwards_is_what_both_say(
    held: list[Block], named: list[Block]
) -> None:
    before = [lease(one.first, one.last, at) for at, one in enumerate(merge(held))]
    said = [lease(one.first, one.last, 32 + at) for at, one in enumerate(merge(named))]
    plan = narrow(before, said, ())
    left = after(before, plan)
    assert numbers([one.block for one in left]) == numbers(held) & numbers(named)
    assert numbers(list(plan.freed)) == numbers(held) - numbers(named)
    assert len({one.id for one in left}) == len(left)
    again = narrow(left, said, ())
    assert (again.delete, again.insert) == ((), ())
