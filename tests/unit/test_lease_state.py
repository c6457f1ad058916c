"""The life of a lease at its site: the table of transitions."""

import itertools

import pytest

from isthmus import errors
from isthmus.model.lease import LEASE_TRANSITIONS, LeaseEvent, LeaseState, next_state

ABSENT, IN_USE = LeaseState.ABSENT, LeaseState.IN_USE
SET_ASIDE, ACKNOWLEDGED = LeaseState.SET_ASIDE, LeaseState.ACKNOWLEDGED


@pytest.mark.parametrize(("state", "event"), list(itertools.product(LeaseState, LeaseEvent)))
def test_what_is_not_in_the_table_is_refused(state: LeaseState, event: LeaseEvent) -> None:
    if (state, event) in LEASE_TRANSITIONS:
        assert next_state(state, event) is LEASE_TRANSITIONS[state, event]
    else:
        with pytest.raises(errors.Inconsistent, match=f"{state.value}: {event.value}"):
            next_state(state, event)


def test_a_lease_goes_one_way() -> None:
    """In use, set aside, acknowledged, forgotten; no step may be left out."""
    state = IN_USE
    for event, after in (
        (LeaseEvent.SET_ASIDE, SET_ASIDE),
        (LeaseEvent.ACKNOWLEDGE, ACKNOWLEDGED),
        (LeaseEvent.FORGET, ABSENT),
    ):
        state = next_state(state, event)
        assert state is after


@pytest.mark.parametrize("state", [SET_ASIDE, ACKNOWLEDGED])
def test_what_was_set_aside_is_not_taken_into_use_before_it_is_forgotten(
    state: LeaseState,
) -> None:
    reached, left = set(), {state}
    while left:
        one = left.pop()
        reached.add(one)
        after = {LEASE_TRANSITIONS.get((one, event), one) for event in LeaseEvent}
        left |= after - reached - {ABSENT}
    assert IN_USE not in reached
