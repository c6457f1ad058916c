"""Waits grow, stay below their cap, and jitter only shortens them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.journal.backoff import Backoff


@pytest.mark.parametrize(
    ("failures", "delay"), [(0, 0.5), (1, 0.5), (2, 1), (3, 2), (8, 60), (10**6, 60)]
)
def test_delays_double_up_to_the_cap(failures: int, delay: float) -> None:
    assert Backoff(first_s=0.5, cap_s=60).delay_s(failures, 0) == delay


@given(st.integers(0, 10**9), st.floats(0, 1))
def test_jitter_takes_off_at_most_its_share(failures: int, uniform: float) -> None:
    backoff = Backoff(jitter=0.3)
    full = backoff.delay_s(failures, 0)
    assert 0.7 * full - 1e-9 <= backoff.delay_s(failures, uniform) <= full
