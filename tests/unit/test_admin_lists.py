"""Lists of central's that change while they are read, page by page."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from isthmus import errors
from isthmus.clients.http.admin import MOST_BEGUN, AdminApi
from isthmus.clients.http.neutron import NeutronClient


class Central:
    """A list of rows, in the order of their ids; something happens between two pages."""

    name = "central"

    def __init__(self, ids: list[int], between: Callable[["Central"], object]) -> None:
        self.ids = ids
        self.calls = 0
        self._between = between

    def get_all(self, _resource: str, *, limit: int, marker: str = "") -> list[dict[str, Any]]:
        self.calls += 1
        if self.calls > 1:
            self._between(self)
        assert self.calls < 1000, "it comes to an end"
        if marker and int(marker) not in self.ids:
            raise errors.Invalid(f"there is no row {marker}")
        after = [one for one in self.ids if not marker or one > int(marker)]
        return [{"id": str(one)} for one in after[:limit]]


def read(central: Central, *, marker: str | None = None) -> list[int]:
    api = AdminApi(cast(NeutronClient, central))
    return [int(row["id"]) for row in api.iterate("site_job", marker=marker, page_size=3)]


def test_a_list_is_read_to_its_end() -> None:
    assert read(Central([*range(10)], lambda _: None)) == [*range(10)]


@pytest.mark.parametrize("marker", [None, "4"])
def test_a_row_that_goes_hides_none_and_shows_none_before_the_marker(marker: str | None) -> None:
    def go(central: Central) -> None:
        if central.calls == 2:
            central.ids.remove(2 if marker is None else 7)

    first = 0 if marker is None else 5
    assert read(Central([*range(10)], go), marker=marker) == [*range(first, 10)]


def test_a_list_that_changes_faster_than_it_is_read_comes_to_an_end() -> None:
    """All rows go between two pages, and others come."""

    def go(central: Central) -> None:
        central.ids = [one + 100 for one in central.ids]

    central = Central([0, 1], go)
    assert len(read(central)) == 2 * MOST_BEGUN
    assert central.calls <= 2 * MOST_BEGUN


def test_a_marker_that_goes_is_an_error() -> None:
    with pytest.raises(errors.Invalid):
        read(Central([*range(10)], lambda central: central.ids.clear()), marker="4")


def test_what_a_row_has_not_is_of_another_version_and_no_bug() -> None:
    (row,) = AdminApi(cast(NeutronClient, Central([1], lambda _: None))).list("site_job")
    assert row.get("attempts") is None
    says = "central says nothing of attempts in its /v2.0/site-jobs: it may run another version"
    with pytest.raises(errors.ProtocolError, match=says):
        row["attempts"]
