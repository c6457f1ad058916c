"""The log of a build: what was written is there, whatever happened to the builder."""

from pathlib import Path

import pytest

from isthmus import errors
from isthmus.build.run.standing import fold_events
from isthmus.model.rack.build import BuildEvent, Happening, Stage
from isthmus.store.build_log import BuildLog, BuildLogReader


def event(kind: Happening, at: float = 1.0, **fields: str) -> BuildEvent:
    return BuildEvent(at=at, kind=kind, node="n1", fields=fields)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    reader = BuildLogReader(tmp_path)
    assert reader.read_new() == []
    first = BuildEvent(at=2.5, kind=Happening.STARTED, node="n1", detail="é\n", fields={"a": "b"})
    with BuildLog(tmp_path) as log:
        log.append(first)
        assert reader.read_new() == [first]
        log.append(event(Happening.POWERED))
        assert reader.read_new() == [event(Happening.POWERED)]
        assert reader.read_new() == []
        assert len(list(log.read_all())) == 2


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    with BuildLog(tmp_path) as log:
        log.append(event(Happening.STARTED))
    path = tmp_path / "events.jsonl"
    with path.open("ab") as sink:
        sink.write(b'{"at":2,"kin')
    assert len(BuildLogReader(tmp_path).read_new()) == 1
    with BuildLog(tmp_path) as log:
        log.append(event(Happening.POWERED))
        assert [one.kind for one in log.read_all()] == [Happening.STARTED, Happening.POWERED]


def test_a_garbled_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"at":1,"kind":"begun"}\n{"at":2,"kind":"x"}\n')
    with pytest.raises(errors.Inconsistent, match=r"line 2 of .*events.jsonl is not an event"):
        BuildLogReader(tmp_path).read_new()


def test_one_builder_at_a_time(tmp_path: Path) -> None:
    with BuildLog(tmp_path), pytest.raises(errors.Busy, match="another builder works in"):
        BuildLog(tmp_path)
    BuildLog(tmp_path).close()


def test_the_path_of_a_machine() -> None:
    kinds = [
        (Happening.STARTED, Stage.ENROLL),
        (Happening.POWERED, Stage.PROVISION),
        (Happening.ASKED, Stage.INSPECT),
        (Happening.ASKED, Stage.INSPECT),
        (Happening.WRITING, Stage.DEPLOY),
        (Happening.WRITTEN, Stage.VERIFY),
        (Happening.WRITTEN, Stage.VERIFY),
        (Happening.REPORTED, Stage.ACTIVE),
        (Happening.FAILED, Stage.ACTIVE),
    ]
    events = [event(kind, at=float(number)) for number, (kind, _) in enumerate(kinds)]
    for length, (_, stage) in enumerate(kinds, start=1):
        assert fold_events(events[:length])["n1"].stage is stage
    again = BuildEvent(at=9.0, kind=Happening.BEGUN)
    assert fold_events([*events[:2], again])["n1"].since == 9.0
    assert fold_events([*events, again])["n1"].since == 7.0
