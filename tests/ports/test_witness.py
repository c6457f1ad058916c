"""The witness on real databases: which of them it takes for restored, and which not."""

import contextlib
import errno
import fcntl
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_db import exception as db_exc
from tests.ports.witness_tier import KINDS, Tier, open_tier

from isthmus import errors
from isthmus.model.site import SiteName
from isthmus.store.delivery import lane
from isthmus.store.sql.engine import writing
from isthmus.store.tiers import epoch

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.db import witness_file
    from isthmus.neutron.db.witness import Look, Seen, Witness


@pytest.fixture(params=KINDS)
def tier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tier]:
    with open_tier(request, tmp_path) as opened:
        yield opened


def test_one_look_since_the_backup_is_enough(tier: Tier) -> None:
    here = tier.host("a")
    assert not tier.look(here).restored
    backup = tier.back_up()
    assert not tier.look(here).restored
    tier.restore(backup)
    found = tier.look(tier.host("a"))
    assert found.restored
    assert (found.own.epoch, found.own.recovered) == (2, False)
    assert not tier.look(tier.host("a")).restored
    assert not tier.look(here).restored


def test_a_process_that_runs_on_knows_it_too(tier: Tier) -> None:
    """As where a replica that lags takes the place of the database."""
    here = tier.host("a")
    tier.look(here)
    backup = tier.back_up()
    tier.look(here)
    tier.restore(backup)
    assert tier.look(here).restored


def test_what_nobody_relied_on_is_not_missed(tier: Tier) -> None:
    here = tier.host("a")
    tier.look(here)
    backup = tier.back_up()
    tier.restore(backup)
    assert not tier.look(tier.host("a")).restored


@pytest.mark.parametrize("seen", [False, True])
def test_no_host_hides_from_another_how_old_the_database_is(tier: Tier, seen: bool) -> None:
    first, second = tier.host("a"), tier.host("b")
    for one in (first, second):
        tier.look(one)
    backup = tier.back_up()
    tier.look(first)
    if seen:
        tier.look(second)
        first = tier.host("is gone for good")
    tier.restore(backup)
    for _ in range(5):
        assert tier.look(second).restored is seen, "of what the other said it has not seen"
        seen = False
    tier.look(first)
    assert tier.epoch() == 2


def test_a_database_that_never_knew_the_host_is_an_old_one(tier: Tier) -> None:
    tier.look(tier.host("a"))
    backup = tier.back_up()
    assert not tier.look(tier.host("new")).restored, "its first look"
    tier.restore(backup)
    assert tier.look(tier.host("new")).restored


def test_a_database_that_was_made_anew_is_an_old_one(tier: Tier) -> None:
    here = tier.host("a")
    tier.look(here)
    tier.restore([[], []])
    look = tier.look(here)
    assert look.restored
    assert not look.own.recovered
    assert not tier.look(here).restored


def test_the_same_backup_twice(tier: Tier) -> None:
    here = tier.host("a")
    tier.look(here)
    backup = tier.back_up()
    for number in (2, 3, 4):
        tier.look(here)
        tier.restore(backup)
        assert tier.look(here).own.epoch == number


def test_processes_that_start_at_once_agree_on_one_witness(tier: Tier) -> None:
    """None of them waits for another for ever, and none takes another's look for a restore."""
    many = [tier.host("a") for _ in range(8)]
    together = threading.Barrier(len(many))

    def start(one: Witness) -> list[Look]:
        together.wait()
        return [tier.look(one) for _ in range(3)]

    with futures.ThreadPoolExecutor(len(many)) as pool:
        looks = [look for looks in pool.map(start, many) for look in looks]
    assert not any(look.restored for look in looks)
    assert len({one.recall().witness for one in many}) == 1
    backup = tier.back_up()
    tier.look(many[0])
    tier.restore(backup)
    assert tier.look(many[-1]).restored, "each remembers what another one of the host has seen"


def test_hosts_that_find_it_at_once_begin_one_epoch(tier: Tier) -> None:
    many = [tier.host(str(number)) for number in range(4)]
    for one in many:
        tier.look(one)
    backup = tier.back_up()
    for one in many:
        tier.look(one)
    tier.restore(backup)
    together = threading.Barrier(len(many))

    def look(one: Witness) -> Look:
        together.wait()
        return tier.look(one)

    with futures.ThreadPoolExecutor(len(many)) as pool:
        looks = list(pool.map(look, many))
    assert sum(one.restored for one in looks) == 1
    assert {one.own.epoch for one in looks} == {2}
    assert len({one.own.life for one in looks}) == 1, "each learns that its epoch has ended"
    assert tier.epoch() == 2


def _counted(tier: Tier, before: Callable[[int], object]) -> Callable[[], Any]:
    """Give a way to open transactions that calls something first, with how many there were."""
    count = 0

    @contextlib.contextmanager
    def opened() -> Iterator[sa.Connection]:
        nonlocal count
        count += 1
        before(count)
        with writing(tier.engine) as connection:
            yield connection

    return opened


class _Announced:
    """A lock that says who comes to it."""

    def __init__(self, lock: threading.Lock, came: threading.Semaphore) -> None:
        self._lock = lock
        self._came = came

    def acquire(self, timeout: float) -> bool:
        self._came.release()
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        self._lock.release()


@contextlib.contextmanager
def _held(tier: Tier, here: Witness, many: int, step: Callable[[int], object]) -> Iterator[Any]:
    """Hold a first look until so many others have come; give it, them, and how to open one.

    The first began before they came, so it serves none of them.
    """
    entered, go = threading.Event(), threading.Event()

    def wait(count: int) -> None:
        if count == 1:
            entered.set()
            assert go.wait(60)
        step(count)

    opened = _counted(tier, wait)
    with futures.ThreadPoolExecutor(many + 1) as pool:
        first = pool.submit(here.advance, opened)
        assert entered.wait(60)
        came = threading.Semaphore(0)
        setattr(here, "_looking", _Announced(here._looking, came))  # noqa: B010
        others = [pool.submit(here.advance, opened) for _ in range(many)]
        for _ in others:
            assert came.acquire(timeout=60)
        go.set()
        yield first, others, opened


def test_threads_share_a_look_that_begins_after_they_came(tier: Tier) -> None:
    counts: list[int] = []
    with _held(tier, tier.host("a"), 16, counts.append) as (first, others, _):
        looks = {id(one.result(60)) for one in others}
    assert counts == [1, 2]
    assert looks != {id(first.result())}
    assert len(looks) == 1


def test_a_look_that_failed_fails_for_all_who_wait_for_it(tier: Tier) -> None:
    """Else each of them would wait in turn as long as the database takes to answer nothing."""
    here = tier.host("a")
    counts: list[int] = []

    def fail(count: int) -> None:
        counts.append(count)
        if count <= 2:
            raise OSError("the database is away")

    with _held(tier, here, 8, fail) as (first, others, opened):
        assert {type(one.exception(60)) for one in [first, *others]} == {errors.Busy}
    assert counts == [1, 2]
    assert not here.advance(opened).restored


def test_no_statement_is_told_to_other_tiers(tier: Tier) -> None:
    def away() -> contextlib.AbstractContextManager[sa.Connection]:
        raise db_exc.DBConnectionError("(2013, 'Lost connection')\n[SQL: INSERT INTO witnesses]")

    with pytest.raises(errors.Busy, match=r"old it is: \(2013, 'Lost connection'\)$"):
        tier.host("a").advance(away)


def test_a_look_that_collides_begins_again(tier: Tier) -> None:
    def collide(count: int) -> None:
        if count < 3:
            raise db_exc.DBDeadlock

    assert not tier.host("a").advance(_counted(tier, collide)).restored


def test_a_database_that_began_the_same_epoch_once_more_is_an_old_one(tier: Tier) -> None:
    """An operator put it back, said so, and put another backup back, which does not know that."""
    here = tier.host("a")
    tier.look(here)
    backup = tier.back_up()
    for _ in range(2):
        tier.restore(backup)
        with writing(tier.engine) as connection:
            epoch.begin(connection, "an operator says so")
        look = tier.look(here)
    assert look.restored
    assert look.own.epoch == 3


def test_a_database_that_has_caught_up_is_none(tier: Tier) -> None:
    """The node that was asked first had not applied what this host wrote at another one."""
    here = tier.host("a")
    tier.look(here)
    before = tier.back_up()
    tier.look(here)
    now = tier.back_up()

    def lag(count: int) -> None:
        tier.restore(before if count == 1 else now)

    look = here.advance(_counted(tier, lag))
    assert not look.restored
    assert look.own.epoch == 1
    assert not tier.look(here).restored


def test_processes_that_find_a_database_made_anew_begin_one_epoch(tier: Tier) -> None:
    many = [tier.host("a") for _ in range(4)]
    tier.look(many[0])
    tier.restore([[], []])
    together = threading.Barrier(len(many))

    def look(one: Witness) -> Look:
        together.wait()
        return tier.look(one)

    with futures.ThreadPoolExecutor(len(many)) as pool:
        looks = list(pool.map(look, many))
    assert sum(one.restored for one in looks) == 1
    assert tier.epoch() == 2


def test_a_restore_that_is_found_while_others_say_hello(tier: Tier) -> None:
    """A hello changes what an epoch changes when it begins."""
    site = "site-of-witnesses"
    here = tier.host("a")
    with writing(tier.engine) as connection:
        lane.tell(connection, SiteName(site))
    tier.look(here)
    backup = tier.back_up()
    tier.look(here)
    tier.restore(backup)
    opened = 0

    @contextlib.contextmanager
    def busy() -> Iterator[sa.Connection]:
        nonlocal opened
        opened += 1
        with writing(tier.engine) as connection:
            yield connection
            if tier.engine.dialect.name != "sqlite" and opened == 1:
                with writing(tier.engine) as other:
                    lane.tell(other, SiteName(site))

    assert here.advance(busy).restored
    with writing(tier.engine) as connection:
        lane.forget(connection, SiteName(site))


@pytest.mark.parametrize("locks", [True, False])
def test_it_goes_only_forwards_whoever_is_late(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, locks: bool
) -> None:
    """Processes remember what each of them has seen, all at once."""
    if not locks:
        _spoil_lock(tmp_path)
    witness = Witness(tmp_path, "site1")
    name = witness.recall().witness
    states = [Seen(name, 1, "life", {name: turn, "other": 7}) for turn in range(1, 200)]
    others = [Witness(tmp_path, "site1") for _ in range(8)]
    witness.remember(states[0])
    with futures.ThreadPoolExecutor(8) as pool:
        for turn in range(0, len(states), 8):
            some = zip(others, states[turn:], strict=False)
            list(pool.map(lambda pair: pair[0].remember(pair[1]), some))
    witness.remember(states[0])
    assert Witness(tmp_path, "site1").recall() == states[-1]
    assert len(caplog.messages) == (0 if locks else len(others) + 1), "each process says it once"
    names = ["isthmus-site1.lock", "isthmus-site1.witness"]
    assert sorted(one.name for one in tmp_path.iterdir()) == names


def _spoil_lock(folder: Path) -> None:
    """Have nobody open the file of the lock, not even root."""
    folder.mkdir(exist_ok=True)
    (folder / "isthmus-site1.lock").symlink_to("isthmus-site1.lock")


_ODD = '{"witness": "w", "life": "", "epoch": %s, "turns": %s}'


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "7", "{}", "[" * 9_999),
        *(_ODD % ('"x"', "{}"), _ODD % ("1e999", "{}"), _ODD % (1, "[1]")),
        *((_ODD % (1, "{}")).replace('"w"', odd) for odd in (f'"{"x" * 33}"', '""', "7", "null")),
    ],
)
def test_a_file_that_is_none_is_kept_and_written_again(
    tier: Tier, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """People are told: what it remembered may have been of a newer database."""
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "isthmus-site1.witness").write_text(text)
    here = tier.host("a")
    assert not tier.look(here).restored
    assert tier.host("a").recall() == here.recall()
    assert (folder / "isthmus-site1.bad").read_text() == text
    assert not tier.look(tier.host("a")).restored
    assert caplog.text.count("isthmus restored") == 1


def test_a_file_of_another_tier_is_named(tier: Tier, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "isthmus-site1.witness").write_text(_ODD % (900000, "{}"))
    with pytest.raises(errors.Inconsistent, match=r"isthmus-site1\.witness"):
        tier.look(tier.host("a"))


def test_where_no_file_can_be_written_the_process_remembers(
    tier: Tier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_text("no folder")
    here = tier.host("a")
    tier.look(here)
    assert caplog.text.count("cannot be written") == 1
    backup = tier.back_up()
    tier.look(here)
    tier.restore(backup)
    assert tier.look(here).restored


def test_a_file_that_cannot_be_read_is_left_alone(
    tier: Tier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What it remembers is worth more than what a process does that has just started."""
    file = tmp_path / "a" / "isthmus-site1.witness"
    first = tier.host("a")
    tier.look(first)
    aside = file.rename(tmp_path / "a" / "aside")
    file.mkdir()  # nobody reads that, not even root
    here = tier.host("a")
    for _ in range(3):
        assert not tier.look(here).restored
    assert caplog.text.count("cannot be read") == 1
    assert file.is_dir()
    backup = tier.back_up()
    tier.look(here)
    file.rmdir()
    aside.rename(file)
    assert not tier.look(here).restored
    assert tier.host("a").recall().witness == first.recall().witness
    tier.restore(backup)
    assert tier.look(tier.host("a")).restored


def test_what_cannot_be_locked_by_its_file_is_said_once(
    tier: Tier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _spoil_lock(tmp_path / "a")
    here = tier.host("a")
    for _ in range(3):
        tier.look(here)
    assert len(caplog.messages) == 1
    assert tier.host("a").recall() == here.recall(), "it is written all the same"


@pytest.mark.parametrize("hour", [False, True])
def test_a_full_disk_is_said_again_each_hour(
    tier: Tier,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    hour: bool,
) -> None:
    """While it is full a restored backup may go unnoticed."""
    here = tier.host("a")
    if hour:
        monkeypatch.setattr(witness_file, "_SAID_AGAIN_S", 0.0)
    with monkeypatch.context() as patch:

        def fail(_handle: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(os, "fsync", fail)
        for _ in range(3):
            tier.look(here)
        assert caplog.text.count("cannot be written") == (6 if hour else 1)
        assert [one.name for one in (tmp_path / "a").iterdir()] == ["isthmus-site1.lock"]
    tier.look(here)
    assert tier.host("a").recall() == here.recall()


def test_no_process_waits_for_ever_for_one_that_has_the_file(tier: Tier, tmp_path: Path) -> None:
    tier.look(tier.host("a"))
    here = Witness(tmp_path / "a", "site1", patience_s=0.05)
    with (tmp_path / "a" / "isthmus-site1.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(errors.Busy, match="does not let go"):
            tier.look(here)
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert not tier.look(here).restored


def test_no_thread_waits_for_ever_for_the_look_of_another(tier: Tier, tmp_path: Path) -> None:
    here = Witness(tmp_path / "a", "site1", patience_s=0.05)
    entered, go = threading.Event(), threading.Event()

    def hang(_count: int) -> None:
        entered.set()
        assert go.wait(60)

    with futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(here.advance, _counted(tier, hang))
        assert entered.wait(60)
        try:
            with pytest.raises(errors.Busy, match="another thread"):
                tier.look(here)
        finally:
            go.set()
        assert not first.result(60).restored
    assert not Witness(tmp_path / "a", "site1").advance(lambda: writing(tier.engine)).restored


@pytest.mark.parametrize("foreseen", [False, True])
def test_a_bug_in_a_look_is_told_with_its_traceback(
    tier: Tier, caplog: pytest.LogCaptureFixture, foreseen: bool
) -> None:
    """Others are told no more than that the database could not be asked."""

    def fail(_count: int) -> None:
        raise db_exc.DBConnectionError("away") if foreseen else KeyError("bug")

    with pytest.raises(errors.Busy, match=r"old it is: (away|'bug')$"):
        tier.host("a").advance(_counted(tier, fail))
    assert ("Traceback" in caplog.text) is not foreseen
