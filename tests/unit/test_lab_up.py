"""Sites are made known to a central that may not be quite there yet."""

from collections.abc import Mapping
from typing import Any

import pytest

from isthmus import errors
from isthmus.lab.up import insist


class Api:
    """Answers with one error after the other, and then well."""

    def __init__(self, *answers: errors.IsthmusError) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, str, Any]] = []

    def get_all(self, resource: str, **query: Any) -> list[Mapping[str, Any]]:
        raise AssertionError(resource)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        self.calls.append((method, path, body))
        if self.answers:
            raise self.answers.pop(0)


BUSY = errors.StepFailed("central answered 500")


def test_a_call_is_made_again_until_it_is_taken() -> None:
    api = Api(BUSY, errors.Unreachable("nobody"))
    insist(api, "/v2.0/sites", {"site": 1})
    assert api.calls == [("POST", "/v2.0/sites", {"site": 1})] * 3


def test_one_whose_answer_was_lost_is_there() -> None:
    api = Api(errors.TimedOut("no answer"), errors.Exists("there is one"))
    insist(api, "/v2.0/sites", {})
    assert len(api.calls) == 2


def test_a_refusal_is_not_asked_for_again() -> None:
    api = Api(errors.Invalid("no such zone"))
    with pytest.raises(errors.Invalid):
        insist(api, "/v2.0/sites", {})
    assert len(api.calls) == 1


def test_in_the_end_it_is_said_what_is_wrong() -> None:
    with pytest.raises(errors.StepFailed, match="500"):
        insist(Api(BUSY), "/v2.0/sites", {}, timeout_s=-1)
