"""Jobs of which some may not be cancelled: the others are."""

import pytest

from isthmus import errors
from isthmus.cli.cloud import job


class Api:
    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.done: list[str] = []

    def act(self, kind: str, one: str, action: str) -> None:
        if one in self.refused:
            raise errors.Conflict(f"{one} has to wait")
        self.done.append(one)


def test_a_job_that_is_refused_keeps_none_of_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    api = Api("b", "c")
    with pytest.raises(errors.Conflict, match="b has to wait"):
        job._act(api, ["a", "b", "c", "d"], "cancel", "dropped")
    assert api.done == ["a", "d"]
    said = capsys.readouterr().err
    assert "2 jobs are dropped" in said
    assert "c has to wait" in said


def test_none_is_said_to_be_done_where_all_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(errors.Conflict):
        job._act(Api("a"), ["a"], "cancel", "dropped")
    assert capsys.readouterr().err == ""
    job._act(Api(), [], "cancel", "dropped")
    assert "0 jobs are dropped" in capsys.readouterr().err
