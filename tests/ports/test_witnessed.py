"""What central answers is witnessed as it is worked on, and not given in another life of it."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from isthmus import errors
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.tables import METADATA
from isthmus.store.tiers import epoch

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.central.site_api import caller, hello, parts, registration, service
    from isthmus.neutron.db.witness import Look, Witness


class Central:
    """Its database, seen by this process and by another."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self.engine = engine
        self.here = Witness(folder, "central")
        self.other = Witness(folder, "central")
        self.looks: list[Look] = []

    def look(self) -> Look:
        self.looks.append(self.here.advance(lambda: writing(self.engine)))
        return self.looks[-1]

    def look_elsewhere(self) -> Look:
        return self.other.advance(lambda: writing(self.engine))


@pytest.fixture
def central(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Central]:
    engine = open_engine(f"sqlite:///{tmp_path}/neutron.db")
    METADATA.create_all(engine)
    made = Central(engine, tmp_path)

    monkeypatch.setattr(caller, "look", made.look)
    made.look_elsewhere()
    yield made
    engine.dispose()


def set_back(central: Central, turn: int = 0) -> None:
    """Have the database be what it was before anything was said, or at a turn."""
    with writing(central.engine) as connection:
        connection.execute(sa.text("UPDATE isthmus_witnesses SET turn = :turn"), {"turn": turn})


def test_the_witness_advances_before_and_after_the_work(central: Central) -> None:
    with caller.witnessed():
        assert [look.restored for look in central.looks] == [False]
    assert [look.restored for look in central.looks] == [False] * 2


def test_a_database_that_goes_back_to_just_before_the_work_is_noticed(central: Central) -> None:
    """It has every turn but those of this call, and lacks what the call has committed."""

    def answer() -> None:
        with caller.witnessed():
            set_back(central, turn=1)

    with pytest.raises(errors.Busy, match="restored"):
        answer()


@pytest.mark.parametrize("first", ["here", "elsewhere", "by proof"])
def test_no_answer_of_an_old_database_is_given_whoever_finds_that(
    central: Central, first: str
) -> None:
    """Its work is committed: a lease that another site may have been granted before."""

    def answer() -> None:
        with caller.witnessed():
            set_back(central)
            if first == "elsewhere":
                assert central.look_elsewhere().restored
            elif first == "by proof":
                with writing(central.engine) as connection:
                    epoch.begin(connection, "a site has shown it")

    with pytest.raises(errors.Busy, match="restored"):
        answer()
    with caller.witnessed():
        pass


def test_an_error_of_the_work_is_told_as_it_is(central: Central) -> None:
    with pytest.raises(errors.Invalid, match="mine"), caller.witnessed():
        raise errors.Invalid("mine")


@pytest.mark.parametrize(
    ("leases", "behind", "relies"),
    [
        (None, epoch.Behind.NOT, False),  # from every site, periodically
        (None, epoch.Behind.NOT_SENT, True),
        (None, epoch.Behind.NOT_KNOWN, True),
        ((), epoch.Behind.NOT, True),
    ],
)
def test_a_hello_is_witnessed_where_the_site_relies_on_the_answer(
    monkeypatch: pytest.MonkeyPatch, leases: Any, behind: epoch.Behind, relies: bool
) -> None:
    """A restored site takes rows of others out of its OVN when central says that it has all."""
    done: list[str] = []

    @contextlib.contextmanager
    def witness() -> Iterator[None]:
        yield
        done.append("witnessed")

    def take(_context: Any, _site: Any, _said: Any) -> dict[str, Any]:
        done.append("taken")
        return {"void": []}

    said = SimpleNamespace(leases=leases, behind=behind)
    site = SimpleNamespace(name="site1")
    monkeypatch.setattr(service, "witnessed", witness)
    monkeypatch.setattr(service, "get_calling_site", lambda _context: site)
    monkeypatch.setattr(service, "while_there", lambda _context, _site: contextlib.nullcontext())
    monkeypatch.setattr(parts, "join", lambda _context, _site, body: body)
    monkeypatch.setattr(hello, "parse", lambda _site, _body: said)
    monkeypatch.setattr(registration, "take", take)
    monkeypatch.setattr(service, "_RATES", SimpleNamespace(count=lambda _site, _what: None))
    body = {"part": None, "parts": None, "leases": None}
    context = SimpleNamespace(elevated=lambda: None)
    service.SiteFacingApi().create_site_registration(context, {"site_registration": body})
    assert done == (["taken", "witnessed"] if relies else ["taken"])
