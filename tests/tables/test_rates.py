"""Of two faults at once both are named, mostly, and one of them first; so says another seed."""

import pytest
from tests.tables.rates import WORLDS, count_pairs

PAIRS = 150
#: Shares of pairs of which both are named.
BOTH = {"on one network": 0.85, "through routers": 0.8}
#: How far two seeds may be from each other.
SEEDS_DIFFER = 0.12


@pytest.mark.parametrize("world", WORLDS)
def test_two_at_once(world: str) -> None:
    rates = [count_pairs(world, seed, PAIRS) for seed in (11, 12)]
    for rate in rates:
        assert rate.both >= BOTH[world], rate.lacks
        assert rate.leads >= 0.95, rate.lacks
        assert rate.excluded <= PAIRS / 8
    assert abs(rates[0].both - rates[1].both) <= SEEDS_DIFFER
