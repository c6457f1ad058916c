"""What becomes of an item that ended in an error which nobody foresaw."""

import warnings

import pytest

from isthmus import errors
from isthmus.journal.decide import PATIENCE, judge
from isthmus.model.intent import Claim, IntentKey, Outcome
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.api.faults import from_any

pytestmark = pytest.mark.neutron


def become(error: errors.IsthmusError, attempts: int) -> Outcome:
    key = IntentKey(SiteName("site1"), ResourceType.PORT, "p")
    claim = Claim(id="c", key=key, generation=1, attempts=attempts, rank=1, owner="o")
    sent = errors.from_code(error.code, error.message)  # as it comes over the wire
    return judge(claim, Item(key.type, key.id, {}), sent, uniform=0.5).outcome


@pytest.mark.parametrize(
    "error", [KeyError("x"), TypeError("x"), ValueError("x"), AttributeError("x"), AssertionError()]
)
def test_it_is_tried_a_few_times_whatever_its_class(error: Exception) -> None:
    """It may be of an object that went in the midst of it: no fault of the item's."""
    ours = from_any(error)
    assert type(error).__name__ in ours.message
    assert become(ours, 0) is Outcome.AGAIN
    assert become(ours, PATIENCE - 1) is Outcome.PARKED


def test_a_form_that_was_looked_at_and_is_wrong_is_parked_at_once() -> None:
    assert become(from_any(errors.ProtocolError("not a shadow port")), 0) is Outcome.PARKED
    assert become(from_any(errors.Invalid("it lacks its id")), 0) is Outcome.PARKED
