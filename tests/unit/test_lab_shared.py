"""What a second user of the machine may read of a lab, and for how long."""

import grp
import os
from pathlib import Path

import pytest

from isthmus import errors
from isthmus.lab.process import shared
from isthmus.wiring.lab import open_labs

GROUP = grp.getgrgid(os.getgid()).gr_name


def test_a_group_reads_the_copy_and_nobody_else(tmp_path: Path) -> None:
    file = shared.share(tmp_path, "lab", GROUP, "clouds: {}\n")
    assert file.read_text() == "clouds: {}\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o640, 0o750)
    assert file.stat().st_gid == file.parent.stat().st_gid == os.getgid()
    assert shared.find_shared(tmp_path) == ["lab"]
    assert shared.find_file(tmp_path, "lab") == file


def test_another_group_comes_in_the_place_of_the_first(tmp_path: Path) -> None:
    shared.share(tmp_path, "lab", GROUP, "old")
    assert shared.share(tmp_path, "lab", GROUP, "new").read_text() == "new"


def test_what_is_taken_back_is_gone(tmp_path: Path) -> None:
    shared.share(tmp_path, "lab", GROUP, "text")
    shared.remove(tmp_path, "lab")
    assert shared.find_file(tmp_path, "lab") is None
    assert shared.find_shared(tmp_path) == []
    shared.remove(tmp_path, "lab")  # nothing to take back is no error


def test_a_group_that_is_not_there_gets_nothing(tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match="groupadd no-such-group"):
        shared.share(tmp_path, "lab", "no-such-group", "text")
    assert shared.find_file(tmp_path, "lab") is None


def test_a_group_that_one_may_not_give_to_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError

    monkeypatch.setattr("shutil.chown", refuse)
    with pytest.raises(errors.Refused, match="become root"):
        shared.share(tmp_path, "lab", GROUP, "text")
    assert shared.find_file(tmp_path, "lab") is None


def test_who_shares_a_lab_is_told_why_by_its_clouds_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name that `isthmus lab` goes by kept `isthmus why` from answering."""

    def refuse(*_args: object) -> None:
        raise errors.Refused("may be read by who made it alone")

    labs = open_labs(tmp_path)
    monkeypatch.setattr(labs, "open", refuse)
    with pytest.raises(errors.Refused, match="who made it"):
        labs.open_own("lab")
    shared.share(tmp_path, "lab", GROUP, "text")
    assert labs.open_own("lab") is None
