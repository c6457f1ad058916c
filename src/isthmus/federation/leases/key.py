"""Which port key the next port of a site gets.

A key that was given back is not used again while another is left: the other sites may not yet have
heard that its former holder is gone, and where two ports ask for one key northd silently gives one
of them another.
"""

from collections.abc import Callable, Iterable

from isthmus.model.lease import Block

#: Ask for the next block when this many keys have never been used.
LOW_WATER = 16


def choose_fresh(blocks: Iterable[Block], highest_in: Callable[[Block], int | None]) -> int | None:
    """Find a key that nobody ever had.

    Args:
        blocks: the site's blocks of the network.
        highest_in: gives the greatest key of a block that has been given out, None for none.

    Returns:
        The least unused key above all used ones of a block, or None where every block is used up.
    """
    for block in sorted(blocks, reverse=True):
        highest = highest_in(block)
        if highest is None:
            return block.first
        if highest < block.last:
            return highest + 1
    return None


def count_fresh(blocks: Iterable[Block], highest_in: Callable[[Block], int | None]) -> int:
    """Count the keys that nobody ever had."""
    fresh = 0
    for block in blocks:
        highest = highest_in(block)
        fresh += block.size if highest is None else block.last - highest
    return fresh
