"""Which of its leased numbers a site gives out next. Pure.

The blocks are used in their order, so that later ones stay whole and can be given back. Within a
block the search starts at a random place: several threads and processes choose at once, none sees
what the others are about to take, and two that chose the same would have to start over.
"""

from collections.abc import Callable, Iterator, Sequence

from isthmus import errors
from isthmus.model.lease import Block


def pick(
    blocks: Sequence[Block],
    is_used: Callable[[int], bool],
    wanted: int,
    *,
    uniform: Callable[[], float],
    in_order: bool = False,
) -> list[int]:
    """Choose free numbers.

    Args:
        blocks: what the site holds, in the order in which it is to be used up.
        is_used: tells whether a number is taken; asked of as few numbers as will do.
        wanted: how many.
        uniform: gives random numbers from 0 (inclusive) to 1 (exclusive).
        in_order: take the lowest ones instead of random ones.

    Raises:
        Exhausted: fewer than `wanted` are free.
    """
    found: list[int] = []
    for block in blocks:
        start = 0 if in_order else int(uniform() * block.size)
        for number in _round(block, start):
            if not is_used(number):
                found.append(number)
                if len(found) == wanted:
                    return found
    raise errors.Exhausted(f"{len(found)} of {wanted} numbers are free", free=len(found))


def _round(block: Block, start: int) -> Iterator[int]:
    yield from range(block.first + start, block.last + 1)
    yield from range(block.first, block.first + start)
