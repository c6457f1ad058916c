"""What a process remembers beside its witness, whatever becomes of the file meanwhile."""

import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.ports.witness_tier import KINDS, Tier, open_tier

from isthmus import errors
from isthmus.store.sql.engine import writing
from isthmus.store.sql.tables import WITNESSES
from isthmus.store.tiers import epoch

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.db import witness as witnesses


@pytest.fixture(params=KINDS)
def tier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tier]:
    with open_tier(request, tmp_path) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Tell where the witness of the host "a" is."""
    return tmp_path / "a" / "isthmus-site1.witness"


@contextlib.contextmanager
def unreadable(file: Path) -> Iterator[None]:
    """Have nobody read the file, not even root."""
    aside = file.rename(file.with_name("aside"))
    file.mkdir()
    yield
    file.rmdir()
    aside.rename(file)


@pytest.mark.parametrize("comes_back", [False, True])
def test_what_was_seen_while_the_file_could_not_be_read_counts(
    tier: Tier, file: Path, comes_back: bool
) -> None:
    """The file remembers none of it, and the database may have gone back to before it."""
    tier.look(tier.host("a"))
    here = tier.host("a")
    with unreadable(file):
        tier.look(here)
        backup = tier.back_up()
        tier.look(here)
        tier.restore(backup)
        if not comes_back:
            assert tier.look(here).restored
    if comes_back:
        assert tier.look(here).restored
    assert not tier.look(here).restored
    assert here.trouble == ""
    assert not tier.look(tier.host("a")).restored


@pytest.mark.parametrize("restored", [False, True])
def test_a_file_that_goes_is_told_and_nothing_is_forgotten(
    tier: Tier, file: Path, caplog: pytest.LogCaptureFixture, restored: bool
) -> None:
    here, other = tier.host("a"), tier.host("a")
    tier.look(other)
    tier.look(here)
    assert (here.trouble, caplog.text) == ("", "")
    backup = tier.back_up()
    tier.look(here)
    if restored:
        tier.restore(backup)
    file.unlink()
    assert tier.look(here).restored is restored
    assert "is gone" in caplog.text
    if restored:
        return
    assert "is gone" in here.trouble
    assert not tier.look(other).restored
    assert "is another one" in other.trouble, "each process of the host knows"
    assert "isthmus restored" in other.trouble
    assert [one.levelname for one in caplog.records] == ["ERROR", "ERROR"]
    for one in (here, other, here):
        assert not tier.look(one).restored
    assert len(caplog.records) == 2, "once each"
    with writing(tier.engine) as connection:
        epoch.begin(connection, "an operator says so")
    for one in (here, other):
        tier.look(one)
        assert one.trouble == "", "each process of the host knows that, too"
    assert tier.host("a").trouble == ""


def test_a_file_that_a_new_process_finds_gone_hides_nothing_from_the_others(
    tier: Tier, file: Path
) -> None:
    here = tier.host("a")
    tier.look(here)
    backup = tier.back_up()
    tier.look(here)
    tier.restore(backup)
    file.unlink()
    assert not tier.look(tier.host("a")).restored, "it cannot know"
    assert tier.look(here).restored


def foreign(tier: Tier, folder: Path, said: Mapping[str, object] = {}) -> str:
    """Return what the witness of another deployment says."""
    here = tier.host("elsewhere")
    backup = tier.back_up()
    tier.restore([[], []])
    tier.look(here)
    tier.restore(backup)
    text = (folder / "elsewhere" / "isthmus-site1.witness").read_text()
    return json.dumps({**json.loads(text), **said})


@pytest.mark.parametrize("said", [{}, {"epoch": 3}, {"epoch": 900_000}, {"tier": ""}])
def test_a_file_of_another_deployment_is_put_aside_and_told(
    tier: Tier, file: Path, caplog: pytest.LogCaptureFixture, said: dict[str, object]
) -> None:
    here, other = tier.host("a"), tier.host("a")
    for one in (here, other):
        tier.look(one)
    text = foreign(tier, file.parents[1], said)
    caplog.clear()
    file.write_text(text)
    assert not tier.look(here).restored
    assert tier.epoch() == 1
    assert file.with_suffix(".bad").read_text() == text
    assert "another deployment's" in here.trouble
    assert [one.levelname for one in caplog.records] == ["ERROR"]
    assert not tier.look(other).restored
    assert other.trouble
    # What was remembered is remembered, by a process too that has just begun.
    backup = tier.back_up()
    tier.look(other)
    tier.restore(backup)
    assert tier.look(tier.host("a")).restored


@pytest.mark.parametrize("begun", [True, False])
def test_a_file_of_another_deployment_that_cannot_be_put_aside_stops_nobody(
    tier: Tier, file: Path, caplog: pytest.LogCaptureFixture, begun: bool
) -> None:
    """Of a folder that can be read and not written, say."""
    here = tier.host("a")
    tier.look(here)
    if not begun:
        here = tier.host("a")
    text = foreign(tier, file.parents[1])
    in_the_way = [file.with_suffix(end) for end in (".bad", f".{os.getpid()}.new")]
    file.write_text(text)
    for one in in_the_way:
        one.mkdir()
    first = tier.look(here).own.epoch
    caplog.clear()
    for _ in range(3):
        look = tier.look(here)
        assert (look.own.epoch, look.restored) == (first, False)
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) <= 1, "said once"
    assert "cannot be put aside" in here.trouble
    assert file.read_text() == text
    backup = tier.back_up()
    tier.look(here)
    tier.restore(backup)
    assert tier.look(here).restored, "this process remembers"
    for one in in_the_way:
        one.rmdir()
    tier.look(here)
    assert file.with_suffix(".bad").read_text() == text
    assert "it is kept as" in here.trouble


def test_a_file_of_a_process_that_has_not_looked_yet_is_nobodys(tier: Tier, file: Path) -> None:
    here = tier.host("a")
    tier.look(here)
    new = {"witness": "f" * 32, "epoch": 0, "life": "", "turns": {}, "tier": ""}
    file.write_text(json.dumps(new))
    assert not tier.look(here).restored
    assert "is another one" in here.trouble
    assert not file.with_suffix(".bad").exists()


def test_a_process_that_finds_a_file_of_another_deployment_says_what_may_be(
    tier: Tier, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot know which of the two is wrong: so nothing is given out by this database."""
    tier.look(tier.host("a"))
    file.write_text(foreign(tier, file.parents[1]))
    look = tier.look(tier.host("a"))
    assert look.restored
    assert "made anew, or the file is another deployment's" in look.own.reason
    assert "made anew, or the file is another deployment's" in caplog.text


def test_an_older_file_of_another_deployment_is_told_and_begins_no_epoch(
    tier: Tier, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tier.look(tier.host("a"))
    text = foreign(tier, file.parents[1])
    with writing(tier.engine) as connection:
        epoch.begin(connection, "an operator says so")
        epoch.recover(connection)
    file.write_text(text)
    here = tier.host("a")
    assert not tier.look(here).restored
    assert "knew another database" in here.trouble
    assert "knew another database" in caplog.text


def test_a_file_of_an_older_version_is_taken(
    tier: Tier, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And processes of it run beside those of this one while the host is updated."""
    here = tier.host("a")
    tier.look(here)
    said = json.loads(file.read_text())
    del said["tier"]
    file.write_text(json.dumps(said))
    new = tier.host("a")
    for one in (here, new, here):
        assert not tier.look(one).restored
        assert one.trouble == ""
    assert caplog.text == ""
    assert json.loads(file.read_text())["tier"]


def test_a_new_host_is_told_where_the_database_knows_others(
    tier: Tier, caplog: pytest.LogCaptureFixture
) -> None:
    tier.look(tier.host("a"))
    assert caplog.text == ""
    here = tier.host("b")
    tier.look(here)
    tier.look(here)
    assert caplog.text.count("is new") == 1
    assert here.trouble == ""


def test_no_look_has_ever_succeeded(tier: Tier) -> None:
    here = tier.host("a")
    assert here.blindness == "", "nobody has asked yet"

    def away() -> contextlib.AbstractContextManager[sa.Connection]:
        raise OSError("the database is away")

    with pytest.raises(errors.Busy):
        here.advance(away)
    assert here.blindness == "the database is away"
    tier.look(here)
    assert here.blindness == ""
    with pytest.raises(errors.Busy):
        here.advance(away)
    assert here.blindness == ""


def test_what_cannot_be_read_is_a_trouble_while_it_lasts(tier: Tier, file: Path) -> None:
    here = tier.host("a")
    tier.look(here)
    with unreadable(file):
        tier.look(here)
        assert "cannot be read" in here.trouble
    tier.look(here)
    assert here.trouble == ""


def _rows(tier: Tier) -> dict[str, int]:
    with writing(tier.engine) as connection:
        return {row.id: row.turn for row in connection.execute(sa.select(WITNESSES))}


def _prune_all(tier: Tier, but: witnesses.Witness) -> None:
    """Look until the rows of all other hosts have gone."""
    for _ in range(7):
        tier.look(but)
    assert _rows(tier).keys() == {but.recall().witness, epoch.PRUNED}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rows go soon."""
    monkeypatch.setattr(witnesses, "_MOST_ROWS", 2)
    monkeypatch.setattr(witnesses, "_IDLE_LOOKS", 3)


@pytest.mark.usefixtures("small")
def test_rows_of_hosts_that_are_gone_go_and_nobody_misses_them(
    tier: Tier, caplog: pytest.LogCaptureFixture
) -> None:
    here, back, late = tier.host("a"), tier.host("b"), tier.host("c")
    for _ in range(5):
        tier.look(back)
    tier.look(late)
    tier.look(here)
    caplog.clear()
    _prune_all(tier, here)
    # Whoever comes back is the same as before, in a process that runs or a new one.
    for one in (here, back, tier.host("b"), late, tier.host("c"), here):
        assert not tier.look(one).restored
    assert tier.epoch() == 1
    assert caplog.text == ""
    backup = tier.back_up()
    tier.look(back)
    tier.restore(backup)
    assert tier.look(tier.host("b")).restored


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("who", ["a", "b", "c"])
def test_a_database_of_before_rows_went_is_an_old_one(tier: Tier, who: str) -> None:
    here, back, late = tier.host("a"), tier.host("b"), tier.host("c")
    for one in (here, back, late):
        tier.look(one)
    backup = tier.back_up()
    for one in (here, back, late):
        tier.look(one)
    _prune_all(tier, here)
    tier.restore(backup)
    assert tier.look(tier.host(who)).restored


@pytest.mark.usefixtures("small")
def test_a_host_that_came_after_rows_went_is_missed_where_the_database_is_old(tier: Tier) -> None:
    here = tier.host("a")
    for name in "bc":
        tier.look(tier.host(name))
    _prune_all(tier, here)
    backup = tier.back_up()
    tier.look(tier.host("new"))
    tier.restore(backup)
    assert tier.look(tier.host("new")).restored


@pytest.mark.usefixtures("small")
def test_few_rows_stay(tier: Tier) -> None:
    here = tier.host("a")
    tier.look(tier.host("b"))
    before = _rows(tier)
    for _ in range(20):
        tier.look(here)
    assert before.items() <= _rows(tier).items()
