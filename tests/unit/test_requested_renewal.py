"""A renewal that somebody asked for ends, whatever becomes of it, and says why."""

from typing import cast

import pytest

from isthmus import errors
from isthmus.federation.renewal import Found, Renewal, RequestedRenewal
from isthmus.model.intent import RenewalState


class Broken:
    """A renewal that nobody foresaw."""

    found = Found()

    def __init__(self, error: Exception) -> None:
        self._error = error

    def step(self) -> bool:
        raise self._error


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (KeyError("gone"), RenewalState.FAILED),
        (errors.Refused("a site says \ud800"), RenewalState.FAILED),
        (errors.Unreachable("away"), RenewalState.COMPARING),
    ],
)
def test_why_it_does_not_go_on_is_recorded(error: Exception, ends: RenewalState) -> None:
    said: list[tuple[RenewalState, str]] = []

    def record(state: RenewalState, *, pages: int, noted: int, error: str) -> None:
        assert (pages, noted) == (0, 0)
        said.append((state, error.encode().decode()))

    renewal = RequestedRenewal(cast(Renewal, Broken(error)), record)
    with pytest.raises(errors.IsthmusError):
        renewal.step()
    (one,) = said
    assert one[0] is ends
    assert one[1]
