"""The registrar against what central may answer, on a real database."""

import contextlib
import sqlite3
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows
from typing_extensions import override

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.model import number
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import lane as lane_store
from isthmus.store.leases import resting
from isthmus.store.ports import port_key
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.tables import DATAPATHS, JOURNAL, METADATA, PORT_KEYS, WITNESSES
from isthmus.store.tiers import epoch
from isthmus.testing.until import until

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.db.witness import find as find_witness
    from isthmus.neutron.local.registrar import Registrar


def open_site(folder: Path) -> sa.Engine:
    """Open a site's database with all tables."""
    engine = open_engine(f"sqlite:///{folder}/neutron.db")
    METADATA.create_all(engine)
    neutron_rows.METADATA.create_all(engine)
    return engine


def open_restored(folder: Path, *, port: str | None = None) -> sa.Engine:
    """Open the database of a restored site, with a network and perhaps a port that has key 7."""
    engine = open_site(folder)
    with writing(engine) as connection:
        epoch.begin(connection, "restored")
        connection.execute(sa.insert(DATAPATHS).values(network_id="network", datapath_key=16711999))
        if port is not None:
            port_key.insert(connection, port, "network", 7)
            row = {"id": port, "network_id": "network", "device_owner": "compute:nova"}
            connection.execute(sa.insert(neutron_rows.TABLES["ports"]).values(row))
    return engine


def registrar_of(engine: sa.Engine, folder: Path, central: Any, **values: Any) -> Registrar:
    """Make a registrar of a site's database, which registers with this."""
    client, site = cast(CentralClient, central), SiteName("site1")
    given = {"every_s": 1.0, **values}
    return Registrar(site, lambda: client, lambda: engine, folder=folder, **given)


def accept(body: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """Answer a registration as a central does that knows the site, and had nothing to say of it."""
    said = {"restored": False, "register": False, "epoch": body["epoch"], "seen": 0, "pending": 0}
    known = {"registration": "row", "heard": number.make(1, 7), "proof": "x"}
    lists = dict[str, Any](void=[], leases=[], port_keys=[], aside=[])
    return {**said, **known, **lists, **values}


@pytest.mark.parametrize(("ahead", "begins"), [(0, False), (1, True)])
def test_a_batch_that_overtakes_a_hello_is_no_restore(
    tmp_path: Path, ahead: int, begins: bool
) -> None:
    """Central has seen a batch that was sent after the hello had been written, or one more."""
    engine = open_site(tmp_path)

    class Client:
        def register(self, body: dict[str, Any]) -> dict[str, Any]:
            with writing(engine) as connection:
                seen = lane_store.next_sequence(connection, CENTRAL) + ahead
            return {"restored": False, "register": True, "epoch": body["epoch"], "seen": seen}

    registrar = registrar_of(engine, tmp_path, Client())
    assert not registrar.turn()
    assert not registrar.greeted, "it has not registered, so nothing is reported yet"
    with writing(engine) as connection:
        assert epoch.read(connection).epoch == 1 + begins
        assert epoch.read(connection).recovered is not begins
        assert lane_store.peek(connection, CENTRAL)[0] >= number.make(1 + begins)
    engine.dispose()


@pytest.mark.parametrize("pending", [0, 1])
def test_what_is_parked_is_set_aside_until_it_is_told(tmp_path: Path, pending: int) -> None:
    """The site recovers without it, and gives none of its addresses out."""
    engine = open_restored(tmp_path, port="here")
    aside = {"kind": "subnet", "pool_id": "subnet", "number": "167772170", "port_id": "parked"}
    keys = [
        {"kind": "port_key", "pool_id": pool, "number": str(key), "port_id": port}
        for pool, key, port in (
            ("network", 5, "gone"),
            ("network", 7, "also gone"),  # this site knows better: a port has it
            ("network", 9, "here"),
            ("not here", 5, "there"),
        )
    ]

    class Client:
        def register(self, body: dict[str, Any]) -> dict[str, Any]:
            return accept(body, aside=[aside, *keys], pending=pending)

    registrar = registrar_of(engine, tmp_path, Client())
    before = registrar.greeted
    assert registrar.turn() is (not pending)
    assert (before, registrar.greeted) == (False, True)
    with writing(engine) as connection:
        assert epoch.read(connection).recovered is (not pending)
        assert resting.list_numbers(connection, "subnet") == {167772170}
        assert [port for _, port in port_key.list_resting(connection, "network", 9)] == ["gone"]
        assert port_key.list_keys(connection) == {"here": ("network", 7)}
        assert connection.scalar(sa.select(sa.func.count()).select_from(PORT_KEYS)) == 2
    engine.dispose()


def test_what_ovn_alone_knows_is_set_aside_before_the_site_recovers(tmp_path: Path) -> None:
    """While OVN cannot be asked, the site does not recover."""
    engine = open_restored(tmp_path)
    asked = []

    def list_strays() -> list[dict[str, str]]:
        asked.append(1)
        if len(asked) == 1:
            raise errors.Unreachable("no connection to OVN yet")
        places = (("subnet", "subnet", "167772170"), ("port_key", "network", "5"))
        return [
            {"kind": kind, "pool_id": pool, "number": number, "port_id": "stray"}
            for kind, pool, number in places
        ]

    class Client:
        def register(self, body: dict[str, Any]) -> dict[str, Any]:
            return accept(body)

    registrar = registrar_of(engine, tmp_path, Client(), list_strays=list_strays)
    with pytest.raises(errors.Unreachable):
        registrar.turn()
    with writing(engine) as connection:
        assert not epoch.read(connection).recovered
    assert registrar.turn()
    with writing(engine) as connection:
        assert epoch.read(connection).recovered
        assert resting.list_numbers(connection, "subnet") == {167772170}
        assert [port for _, port in port_key.list_resting(connection, "network", 9)] == ["stray"]
    assert registrar.turn()
    assert len(asked) == 2, "a site that has recovered asks OVN nothing"
    engine.dispose()


def test_a_backup_that_lacks_what_was_reported_is_known_before_any_hello(tmp_path: Path) -> None:
    """Nothing was said but a report since the backup: the database does not recover by itself."""
    engine = open_site(tmp_path)

    def begin(database: sa.Engine) -> Registrar:
        find_witness.cache_clear()  # as in a process of its own
        return registrar_of(database, tmp_path, None)  # nobody is asked

    registrar = begin(engine)
    registrar.compare_witness()
    backup = tmp_path / "backup.db"
    with contextlib.closing(sqlite3.connect(tmp_path / "neutron.db")) as connection:
        connection.execute("VACUUM INTO ?", (str(backup),))
    registrar.compare_witness()  # as before a report is sent
    engine.dispose()
    engine = open_engine(f"sqlite:///{backup}")
    own = begin(engine).compare_witness()
    assert own.epoch == 2
    assert not own.recovered
    engine.dispose()


def _hello(tmp_path: Path, during: Callable[[sa.Connection], None]) -> tuple[sa.Engine, Registrar]:
    """Make a registrar, to whose hello something else happens while central answers."""
    engine = open_site(tmp_path)
    with writing(engine) as connection:
        epoch.begin(connection, "restored")

    class Client:
        def register(self, body: dict[str, Any]) -> dict[str, Any]:
            if body["leases"] is not None:
                with writing(engine) as connection:
                    during(connection)
            return accept(body, void=["void"], proof="old")

    return engine, registrar_of(engine, tmp_path, Client())


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"pending": 7}, "restored; waits for 7 ports that central knows and has yet to send"),
        (
            {"pending": 1, "recovered": False},
            "restored; waits until central, which was restored too",
        ),
        (errors.Unreachable("central cannot be reached"), "restored; central cannot be reached"),
        (errors.Invalid("site1 names " + "x" * 999), "restored; site1 names xxx"),
    ],
)
def test_what_a_restored_site_waits_for_is_kept_for_people(
    tmp_path: Path, answer: Any, says: str
) -> None:
    engine = open_site(tmp_path)
    with writing(engine) as connection:
        epoch.begin(connection, "restored")

    class Client:
        def register(self, body: dict[str, Any]) -> dict[str, Any]:
            if isinstance(answer, errors.IsthmusError):
                raise answer
            return accept(body, **answer)

    registrar = registrar_of(engine, tmp_path, Client())
    for _ in range(2):  # the cause stays, whatever else changes
        assert not registrar._attempt()
        with writing(engine) as connection:
            own = epoch.read(connection)
        assert not own.recovered
        assert own.reason.startswith(says), own.reason
        assert len(own.reason) <= 500
    with pytest.raises(errors.Busy, match="restored; "), writing(engine) as connection:
        epoch.require_recovered(connection)
    engine.dispose()


def test_a_site_that_waits_for_its_ports_asks_how_many_are_left(tmp_path: Path) -> None:
    """It registers when it has to, and once more when it has all: each time names all it has."""
    engine = open_restored(tmp_path, port="port")
    left = [2, 2, 1, 0]
    registered = []

    class Client:
        def register(self, body: dict[str, Any]) -> dict[str, Any]:
            registered.append(body["leases"] is not None)
            return accept(body, void=["void"] if registered[-1] else [], pending=left[0])

    registrar = registrar_of(engine, tmp_path, Client())
    generations: list[int] = []
    while left:
        assert registrar.turn() is (left.pop(0) == 0)
        with writing(engine) as connection:
            generations += connection.scalars(sa.select(JOURNAL.c.generation))
    assert registered == [False, True, False, False, False, True]
    assert generations == [1, 1, 1, 2], "every port is reported anew after each registration"
    engine.dispose()


def _begin_another(connection: sa.Connection) -> None:
    epoch.begin(connection, "restored again")


def _stand_down(connection: sa.Connection) -> None:
    epoch.stand_down(connection, 9, "a copy runs")


@pytest.mark.parametrize("during", [_begin_another, _stand_down])
def test_an_answer_to_another_incarnation_changes_nothing(
    tmp_path: Path, during: Callable[[sa.Connection], None]
) -> None:
    """Another process began an epoch, or stood down, between the question and the answer."""
    engine, registrar = _hello(tmp_path, during)
    assert not registrar.turn()
    assert not registrar.greeted
    with writing(engine) as connection:
        assert not epoch.read(connection).recovered
        assert epoch.read(connection).registration is None
    engine.dispose()


def test_a_late_answer_takes_nothing_back_that_a_newer_one_proved(tmp_path: Path) -> None:
    """Another process asked later, and was answered sooner."""

    def newer(connection: sa.Connection) -> None:
        epoch.join(connection, "row", number.make(1, 8), "new", epoch=2)

    engine, registrar = _hello(tmp_path, newer)
    assert registrar.turn()
    with writing(engine) as connection:
        own = epoch.read(connection)
        assert (own.heard, own.proof, own.recovered) == (number.make(1, 8), "new", True)
    engine.dispose()


def test_the_keys_that_come_back_are_written_behind_the_networks_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    engine, registrar = _hello(tmp_path, lambda _: None)
    answer = registrar._client().register

    def with_keys(body: dict[str, Any]) -> dict[str, Any]:
        keys = [
            {"port_id": port, "network_id": network, "port_key": 3}
            for port, network in (("b", "two"), ("a", "one"))
        ]
        return {**answer(body), "port_keys": keys}

    monkeypatch.setattr(registrar._client(), "register", with_keys)
    lock, restore = port_key.lock_network, port_key.restore

    def locking(connection: sa.Connection, network_id: str) -> bool:
        done.append(("lock", network_id))
        return lock(connection, network_id)

    def restoring(connection: sa.Connection, network_id: str, keys: dict[str, int]) -> None:
        done.append(("restore", network_id))
        restore(connection, network_id, keys)

    monkeypatch.setattr(port_key, "lock_network", locking)
    monkeypatch.setattr(port_key, "restore", restoring)
    assert registrar.turn()
    assert done == [(what, one) for one in ("one", "two") for what in ("lock", "restore")]
    engine.dispose()


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (errors.Invalid("no registration"), [2.0, 4.0, 8.0, 10.0, 10.0]),
        (errors.Unreachable("away"), [1.0] * 5),
    ],
)
def test_what_is_refused_is_said_less_and_less_often(
    tmp_path: Path, error: errors.IsthmusError, waits: list[float]
) -> None:
    """A registration may be fifty megabytes, and central waits for the site."""
    engine = open_site(tmp_path)

    class Client:
        def register(self, _body: dict[str, Any]) -> dict[str, Any]:
            raise error

    class Stopped(threading.Event):
        def __init__(self) -> None:
            super().__init__()
            self.waited: list[float] = []

        @override
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            registrar.hurry()  # as each call does that central does not answer
            self.waited.append(timeout)
            if len(self.waited) == len(waits):
                self.set()
            return False

    registrar = registrar_of(engine, tmp_path, Client(), every_s=10.0)
    registrar._stopped = stopped = Stopped()
    registrar._run()
    assert stopped.waited == waits
    engine.dispose()


@pytest.mark.parametrize(
    ("recovered", "behind"),
    [(False, epoch.Behind.NOT_KNOWN), (True, epoch.Behind.NOT_SENT)],
)
def test_an_answer_to_a_database_that_went_back_is_not_believed(
    tmp_path: Path, recovered: bool, behind: epoch.Behind
) -> None:
    """Whether it gives numbers out, and whether OVN's rows are older, is said of a newer one."""
    engine = open_site(tmp_path)
    with writing(engine) as connection:
        epoch.begin(connection, "restored")
        epoch.join(connection, "row", 0, "", epoch=2)
        if recovered:
            epoch.recover(connection)
        epoch.follow(connection, behind)

    class Client:
        def register(self, body: dict[str, Any]) -> dict[str, Any]:
            with writing(engine) as connection:  # a replica that lags takes over
                connection.execute(sa.update(WITNESSES).values(turn=WITNESSES.c.turn - 1))
            said = {"restored": False, "register": False, "epoch": body["epoch"], "seen": 0}
            given: dict[str, Any] = {"void": [], "leases": [], "port_keys": [], "aside": []}
            known = {"registration": "row", "heard": number.make(1, 7), "proof": "x"}
            return {**said, **given, **known, "pending": 0, "behind": 0}

    client = cast(CentralClient, Client())
    registrar = Registrar(
        SiteName("site1"), lambda: client, lambda: engine, folder=tmp_path, every_s=1
    )
    registrar.compare_witness()
    assert not registrar.turn()
    with writing(engine) as connection:
        own = epoch.read(connection)
    assert (own.epoch, own.recovered, own.behind) == (3, False, epoch.Behind.NOT_KNOWN)
    engine.dispose()


@pytest.mark.parametrize("of_another", [False, True])
def test_a_look_that_fails_at_the_start_is_repeated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, of_another: bool
) -> None:
    """Else this process would have no registrar, no keeper and no relay for ever."""
    engine = open_site(tmp_path)
    file = tmp_path / "isthmus-site1.witness"
    may_be_asked = threading.Event()
    if of_another:
        file.write_text('{"witness": "w", "life": "", "epoch": 900000, "turns": {}}')
        may_be_asked.set()

    def ask() -> sa.Engine:
        if not may_be_asked.is_set():
            raise errors.Unreachable("the database is away")
        return engine

    class Client:
        def register(self, body: dict[str, Any]) -> dict[str, Any]:
            return accept(body)

    client = cast(CentralClient, Client())
    registrar = Registrar(SiteName("site1"), lambda: client, ask, folder=tmp_path, every_s=0.1)
    registrar.start()
    try:
        if of_another:
            until(
                lambda: "This site says nothing to central" in caplog.text, what="people are told"
            )
        until(lambda: registrar._turns > 1, what="it tries again")
        assert not registrar.greeted, "nothing is reported"
        file.unlink(missing_ok=True)
        may_be_asked.set()
        until(lambda: registrar.greeted, what="the site says hello")
    finally:
        registrar.stop()
    assert "Traceback" not in caplog.text, "none of this is a bug"
    engine.dispose()
