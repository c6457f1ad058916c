"""Where a port may go, decided from what is known of its home."""

import pytest

from isthmus.federation.home import Situation, Step, decide


@pytest.mark.parametrize(
    ("now", "step"),
    [
        (Situation(home=None), Step.COMES),
        (Situation(home="a"), Step.STAYS),
        (Situation(home="a", bound=True, heard=False), Step.STAYS),
        (Situation(home="a", leaving=True), Step.WAIT),
        (Situation(home="b"), Step.ASK),
        (Situation(home="b", leaving=True), Step.WAIT),
        (Situation(home="b", bound=True), Step.REFUSE_BOUND),
        (Situation(home="b", bound=True, leaving=True), Step.REFUSE_BOUND),
        (Situation(home="b", bound=True, disabled=True), Step.REFUSE_BOUND),
        (Situation(home="b", heard=False), Step.REFUSE_SILENT),
        (Situation(home="b", heard=False, leaving=True), Step.REFUSE_SILENT),
        (Situation(home="b", heard=False, disabled=True), Step.COMES),
        (Situation(home="b", leaving=True, disabled=True), Step.COMES),
        (Situation(home="a", heard=False, disabled=True), Step.STAYS),
    ],
)
def test_decide(now: Situation, step: Step) -> None:
    assert decide("a", now) is step
