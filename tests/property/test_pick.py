"""Picking from leased blocks: never outside, never twice, nothing left over unseen."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import errors
from isthmus.federation.leases.lease import merge
from isthmus.federation.leases.pick import pick
from isthmus.model.lease import Block

_BLOCKS = st.lists(
    st.builds(
        lambda first, size: Block(first, first + size), st.integers(0, 200), st.integers(0, 9)
    ),
    max_size=5,
).map(merge)


@given(_BLOCKS, st.sets(st.integers(0, 220)), st.integers(1, 60), st.randoms(), st.booleans())
def test_picks_are_free_and_different_or_there_are_too_few(
    blocks: list[Block], used: set[int], wanted: int, chance: random.Random, in_order: bool
) -> None:
    free = {n for block in blocks for n in range(block.first, block.last + 1)} - used
    if len(free) < wanted:
        with pytest.raises(errors.Exhausted):
            pick(blocks, used.__contains__, wanted, uniform=chance.random, in_order=in_order)
        return
    found = pick(blocks, used.__contains__, wanted, uniform=chance.random, in_order=in_order)
    assert len(found) == len(set(found)) == wanted
    assert set(found) <= free
    if in_order:
        assert found == sorted(free)[:wanted]


def test_an_ipv6_block_is_not_walked() -> None:
    asked: list[int] = []

    def is_used(number: int) -> bool:
        asked.append(number)
        return len(asked) < 3

    pick([Block(1 << 64, (1 << 65) - 1)], is_used, 1, uniform=lambda: 0.5)
    assert len(asked) == 3
