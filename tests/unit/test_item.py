"""What another tier says of a batch is read up to a limit."""

from typing import Any

import pytest

from isthmus import errors
from isthmus.model.item import Item, ItemResult, read_results
from isthmus.model.resource import ResourceType

ITEMS = [Item(ResourceType.PORT, "p", None)]
RESULT = {"type": "port", "id": "p", "code": "isthmus.refused", "message": "no"}


def test_results_are_no_more_than_the_items() -> None:
    assert read_results([RESULT], ITEMS) == [
        ItemResult(ResourceType.PORT, "p", "isthmus.refused", "no")
    ]
    wrongs: list[Any] = [[RESULT, RESULT], {}, None, "results", [{}], [None]]
    for wrong in wrongs:
        with pytest.raises(errors.ProtocolError):
            read_results(wrong, ITEMS)


def test_words_are_cut() -> None:
    long = {**RESULT, "id": "i" * 10**6, "code": "c" * 10**6, "message": "m" * 10**6}
    (result,) = read_results([{**long, "attributes": ["a" * 10**6] * 1000}], ITEMS)
    assert (len(result.id), len(result.code), len(result.message)) == (64, 64, 2000)
    assert len(result.attributes) == 64
    assert {len(one) for one in result.attributes} == {64}


@pytest.mark.parametrize("seen", [-1, 2**62 - 1, 2**70, "soon", float("inf"), float("nan")])
def test_an_answer_with_a_number_that_cannot_be_is_none(seen: Any) -> None:
    """It fails the lane of who sends it, and never becomes a lane's number."""
    body = {"type": "port", "id": "p", "code": "isthmus.transient.stale", "message": ""}
    assert ItemResult.from_dict({**body, "seen": 2**62 - 2}).seen == 2**62 - 2
    with pytest.raises(errors.ProtocolError, match="not an item result"):
        ItemResult.from_dict({**body, "seen": seen})
