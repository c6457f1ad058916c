"""A host moves to another cell: nothing is lost or changed, wherever it is interrupted."""

import contextlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from tests.cells.draw_host import Drawing, dump
from tests.cells.draw_servers import insert
from tests.cells.test_numa import ask
from typing_extensions import override

from isthmus import errors
from isthmus.cells.moving import procedure
from isthmus.cells.moving.rows import diff_copies
from isthmus.model.compute.host_tables import LEFT, MOVED, is_accounted
from isthmus.model.compute.move import HostMove, HostRows, Phase
from isthmus.store.nova.mappings import collect_cells
from isthmus.store.nova.moving import CellTables, MoveDatabases

FILLED = {one.name for one in MOVED} | {
    "allocations",
    "cell_mappings",
    "host_mappings",
    "instance_mappings",
    "resource_providers",
}
NAMES = ("api", "old", "new", "placement")
OLD, NEW = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
DOWN_S = 60


class Crash(Exception):
    """What stands for the end of the process."""


class Fragile(MoveDatabases):
    """Databases whose process ends at a commit: before it, or after it."""

    left = 10**9
    after = True
    commits = 0

    def _count(self, *, done: bool) -> None:
        if done:
            type(self).commits += 1
        if self.commits + (0 if done else 1) == self.left and done is self.after:
            raise Crash

    @override
    @contextlib.contextmanager
    def cell(self, uuid: str) -> Iterator[CellTables]:
        with super().cell(uuid) as found:
            yield found
            self._count(done=False)
        self._count(done=True)

    @override
    def switch(self, host: str, servers: Sequence[str], cell: str) -> None:
        self._count(done=False)
        super().switch(host, servers, cell)
        self._count(done=True)


class Cloud:
    """Two cells, each with hosts of its own, and one host that moves."""

    def __init__(self, urls: dict[str, str], seed: int, *, servers: int = 4) -> None:
        self.urls = urls
        self._opened: Fragile | None = None
        for url in urls.values():
            empty(url)
        insert(
            urls["api"],
            "cell_mappings",
            [
                {
                    "id": number,
                    "uuid": one,
                    "name": name,
                    "transport_url": "none:///",
                    "database_connection": urls[name],
                    "disabled": False,
                }
                for number, (one, name) in enumerate(((OLD, "old"), (NEW, "new")), start=1)
            ],
        )
        self.rows: dict[str, HostRows] = {}
        self._fill("old", seed, (("h1", 100, servers), ("h2", 300, 2)))
        self._fill("new", seed + 1, (("h3", 500, 2),))

    def _fill(self, name: str, seed: int, hosts: Sequence[tuple[str, int, int]]) -> None:
        engine = sa.create_engine(self.urls[name])
        number = {"old": 1, "new": 2}[name]
        with engine.begin() as connection:
            drawing = Drawing(connection, seed)
            for host, first, servers in hosts:
                drawing.insert(drawing.draw_host(host, first, servers))
                self.rows[host] = CellTables(connection, DOWN_S).read(host)
        engine.dispose()
        for host, _, _ in hosts:
            insert(self.urls["api"], "host_mappings", [{"host": host, "cell_id": number}])
            mappings = [
                {"instance_uuid": one["uuid"], "cell_id": number, "project_id": "p"}
                for one in self.rows[host]["instances"]
            ]
            insert(self.urls["api"], "instance_mappings", mappings)

    def open(self) -> Fragile:
        if self._opened is None:
            api, placement = self.urls["api"], self.urls["placement"]
            cells = collect_cells(api, "", 5.0)
            self._opened = Fragile(api, placement, cells, down_time_s=DOWN_S, timeout_s=5.0)
        return self._opened

    def run(self, name: str, sql: str) -> None:
        self._opened = None
        engine = sa.create_engine(self.urls[name])
        with engine.begin() as connection:
            connection.exec_driver_sql(sql)
        engine.dispose()

    def ask(self, name: str, sql: str) -> list[Any]:
        engine = sa.create_engine(self.urls[name])
        with engine.begin() as connection:
            found = [tuple(row) for row in connection.exec_driver_sql(sql)]
        engine.dispose()
        return found

    def dump(self) -> dict[str, Any]:
        return {name: dump(url) for name, url in self.urls.items()}

    def read(self, cell: str, host: str) -> HostRows:
        with self.open().cell(cell) as tables:
            return tables.read(host)


def empty(url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        if engine.dialect.name != "sqlite":
            connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 0")
        for name in set(sa.inspect(connection).get_table_names()) & FILLED:
            connection.exec_driver_sql(f"DELETE FROM `{name}`")
    engine.dispose()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def urls(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("move")
        files = {name: f"sqlite:///{folder}/{name}.db" for name in NAMES}
        ask(["tables", *files.values()], [])
        yield files
        return
    mariadb_url: str = request.getfixturevalue("mariadb_url")
    engine = sa.create_engine(mariadb_url)
    with engine.begin() as connection:
        for name in NAMES:
            connection.exec_driver_sql(f"CREATE DATABASE move_{name} CHARACTER SET utf8mb3")
    found = {name: mariadb_url.replace("/isthmus?", f"/move_{name}?") for name in NAMES}
    ask(["tables", *found.values()], [])
    yield found
    with engine.begin() as connection:
        for name in NAMES:
            connection.exec_driver_sql(f"DROP DATABASE move_{name}")
    engine.dispose()


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    yield
    Fragile.left, Fragile.commits, Fragile.after = 10**9, 0, True


def start(cloud: Cloud, *, renumbers: bool = False) -> HostMove:
    databases = cloud.open()
    move = procedure.check_move(databases, "h1", NEW, renumbers=renumbers)
    procedure.begin(databases, move)
    return go_on(cloud, renumbers=renumbers)


def go_on(cloud: Cloud, *, renumbers: bool = False) -> HostMove:
    return procedure.run_to(cloud.open(), "h1", renumbers=renumbers, tell=lambda _: None)


def go_all_back(cloud: Cloud) -> None:
    while (move := procedure.find_move(cloud.open(), "h1")) is not None:
        procedure.go_back(cloud.open(), move)


def audit(cloud: Cloud) -> None:
    """Check that the host is in the new cell alone, as it was, and all others where they were."""
    there = cloud.read(NEW, "h1")
    assert diff_copies(cloud.rows["h1"], there) == []
    assert not any(cloud.read(OLD, "h1").values())
    assert diff_copies(cloud.rows["h2"], cloud.read(OLD, "h2")) == []
    assert diff_copies(cloud.rows["h3"], cloud.read(NEW, "h3")) == []
    servers = {one["uuid"] for one in cloud.rows["h1"]["instances"]}
    cells = dict(cloud.ask("api", "SELECT instance_uuid, cell_id FROM instance_mappings"))
    assert {one for one in servers if cells[one] == 2} == servers
    others = {one["uuid"] for host in ("h2", "h3") for one in cloud.rows[host]["instances"]}
    assert cells.keys() == servers | others
    hosts = dict(cloud.ask("api", "SELECT host, cell_id FROM host_mappings"))
    assert hosts == {"h1": 2, "h2": 1, "h3": 2}
    assert {one["hidden"] for one in there["instances"]} == {0}
    for one in there["instances"]:  # Nova's own mark
        assert one["deleted"] in {0, one["id"]}
    for name in ("old", "new"):
        (orphans,) = cloud.ask(
            name,
            "SELECT count(*) FROM instance_actions_events e LEFT JOIN instance_actions a "
            "ON a.id = e.action_id WHERE a.id IS NULL",
        )
        assert orphans == (0,)


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_a_host_moves_with_all_that_it_has(urls: dict[str, str], seed: int) -> None:
    cloud = Cloud(urls, seed, servers=1 + seed)
    move = start(cloud)
    assert move.phase is Phase.MOVED
    audit(cloud)
    ids = {one["uuid"]: one["id"] for one in cloud.rows["h1"]["instances"]}
    assert {one["uuid"]: one["id"] for one in cloud.read(NEW, "h1")["instances"]} == ids
    with pytest.raises(errors.InUse, match="start nova-compute"):
        procedure.advance(cloud.open(), move, renumbers=False)
    cloud.run("new", "UPDATE services SET last_seen_up = CURRENT_TIMESTAMP WHERE host = 'h1'")
    procedure.advance(cloud.open(), move, renumbers=False)
    assert procedure.find_move(cloud.open(), "h1") is None
    sql = "SELECT disabled, disabled_reason FROM services WHERE host = 'h1'"
    assert cloud.ask("new", sql) == [(0, None)]
    (seen,) = [one["last_seen_up"] for one in cloud.rows["h1"]["services"]]
    cloud.run("new", f"UPDATE services SET last_seen_up = '{seen}' WHERE host = 'h1'")
    audit(cloud)


def count_commits(cloud: Cloud) -> int:
    move = procedure.check_move(cloud.open(), "h1", NEW, renumbers=False)
    Fragile.commits = 0
    procedure.begin(cloud.open(), move)
    go_on(cloud)
    return Fragile.commits


def begin_and_go_on(cloud: Cloud, move: HostMove) -> None:
    procedure.begin(cloud.open(), move)
    go_on(cloud)


def interrupt(urls: dict[str, str], number: int, *, after: bool, back: bool) -> None:
    """End the process at one commit of a move, and go on or back: nothing is lost, or changed."""
    cloud = Cloud(urls, 11, servers=1)
    before = cloud.dump()
    move = procedure.check_move(cloud.open(), "h1", NEW, renumbers=False)
    Fragile.commits, Fragile.left, Fragile.after = 0, number, after
    with pytest.raises(Crash):
        begin_and_go_on(cloud, move)
    Fragile.left = 10**9
    found = procedure.find_move(cloud.open(), "h1")
    if found is None:
        assert cloud.dump() == before
    elif back and found.phase is not Phase.MOVED:
        go_all_back(cloud)
        assert cloud.dump() == before
    else:
        go_on(cloud)
        audit(cloud)


def test_interrupted_here_and_there_it_goes_on_or_back(urls: dict[str, str]) -> None:
    commits = count_commits(Cloud(urls, 11, servers=1))
    assert commits > 10
    for number in range(2, commits + 1, 4):
        interrupt(urls, number, after=number % 8 == 2, back=number % 8 != 2)


@pytest.mark.stress  # the same at each commit, in each way: minutes
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("back", [False, True])
def test_interrupted_anywhere_it_goes_on_or_back(
    urls: dict[str, str], after: bool, back: bool
) -> None:
    for number in range(1, count_commits(Cloud(urls, 11, servers=1)) + 1):
        interrupt(urls, number, after=after, back=back)


def test_moved_and_moved_back_it_is_as_it_was(urls: dict[str, str]) -> None:
    cloud = Cloud(urls, 21)
    before = cloud.dump()
    move = start(cloud)
    procedure.go_back(cloud.open(), move)
    found = go_on(cloud)
    assert (found.source, found.target, found.phase) == (NEW, OLD, Phase.MOVED)
    assert not any(cloud.read(NEW, "h1").values())
    assert diff_copies(cloud.rows["h1"], cloud.read(OLD, "h1")) == []
    now = cloud.dump()
    assert now["new"] == before["new"]
    assert now["api"] == before["api"]


def test_ids_that_names_derive_from_are_kept_or_the_move_is_refused(urls: dict[str, str]) -> None:
    cloud = Cloud(urls, 31)
    before = cloud.dump()
    cloud.run("new", "UPDATE instance_id_mappings SET id = 100 WHERE id = 500")
    with pytest.raises(errors.Conflict, match="instance_id_mappings would need another id"):
        start(cloud)
    changed = cloud.dump()
    assert changed["old"] == before["old"]
    start(cloud, renumbers=True)
    audit(cloud)
    assert min(one["id"] for one in cloud.read(NEW, "h1")["instances"]) > 1000


def test_what_stands_against_a_move(urls: dict[str, str]) -> None:
    cloud = Cloud(urls, 41)
    server = cloud.rows["h1"]["instances"][0]["uuid"]
    node = cloud.rows["h1"]["compute_nodes"][0]["uuid"]
    cloud.run("old", f"UPDATE instances SET deleted = 0 WHERE uuid = '{server}'")
    consumer = {"resource_provider_id": 1, "resource_class_id": 1, "used": 1}
    faults: tuple[tuple[str, str, str], ...] = (
        ("old", "UPDATE services SET last_seen_up = CURRENT_TIMESTAMP WHERE host = 'h1'", "is up"),
        ("old", f"UPDATE instances SET task_state = 'x' WHERE uuid = '{server}'", "in the middle"),
        (
            "old",
            "UPDATE migrations SET deleted = 0, status = 'finished', dest_compute = 'h1' "
            f"WHERE instance_uuid = '{server}'",
            "a migration",
        ),
        ("new", "UPDATE services SET host = 'h1' WHERE host = 'h3'", "is in that cell too"),
        ("new", "ALTER TABLE instances ADD COLUMN later INT", "tables differ"),
    )
    for name, sql, text in faults:
        cloud.run(name, sql)
        with pytest.raises(errors.Refused, match=text):
            start(cloud)
        if "ALTER" in sql:
            cloud.run(name, "ALTER TABLE instances DROP COLUMN later")
        cloud = Cloud(urls, 41)
    cloud.run("old", f"UPDATE instances SET deleted = 0 WHERE uuid = '{server}'")
    provider = {"id": 1, "uuid": node, "name": "h1", "root_provider_id": 1}
    insert(urls["placement"], "resource_providers", [provider])
    insert(urls["placement"], "allocations", [{**consumer, "consumer_id": "coming"}])
    before = cloud.dump()
    with pytest.raises(errors.InUse, match="on its way to h1"):
        start(cloud)
    assert cloud.dump() == before
    for host, cell, text in (("h9", NEW, "mapped to no cell"), ("h1", OLD, "is in that cell")):
        with pytest.raises(errors.Refused, match=text):
            procedure.check_move(cloud.open(), host, cell, renumbers=False)


def test_what_changes_on_the_way_is_not_lost(urls: dict[str, str]) -> None:
    cloud = Cloud(urls, 51)
    server = cloud.rows["h1"]["instances"][0]["uuid"]
    cloud.run("old", f"UPDATE instances SET deleted = 0 WHERE uuid = '{server}'")
    before = cloud.dump()
    procedure.begin(cloud.open(), procedure.check_move(cloud.open(), "h1", NEW, renumbers=False))
    move = procedure.get_move(cloud.open(), "h1")
    procedure.advance(cloud.open(), move, renumbers=False)
    cloud.run("old", f"UPDATE instances SET display_name = 'other' WHERE uuid = '{server}'")
    with pytest.raises(errors.Conflict, match="changed in its old cell"):
        go_on(cloud)
    cloud.run(
        "old",
        f"UPDATE instances SET display_name = '{name_of(cloud, server)}' WHERE uuid = '{server}'",
    )
    assert procedure.get_move(cloud.open(), "h1").phase is Phase.COPIED
    procedure.advance(cloud.open(), procedure.get_move(cloud.open(), "h1"), renumbers=False)
    # Nova deletes in the database alone where nova-compute is down.
    cloud.run("old", f"UPDATE instances SET deleted = id WHERE uuid = '{server}'")
    with pytest.raises(errors.Conflict, match="was deleted in the old cell"):
        go_on(cloud)
    cloud.run("old", f"UPDATE instances SET deleted = 0 WHERE uuid = '{server}'")
    go_all_back(cloud)
    assert cloud.dump() == before


def name_of(cloud: Cloud, server: str) -> str:
    rows = cloud.rows["h1"]["instances"]
    return str(next(one["display_name"] for one in rows if one["uuid"] == server))


def test_what_a_service_was_disabled_for_is_given_back(urls: dict[str, str]) -> None:
    cloud = Cloud(urls, 61)
    cloud.run("old", "UPDATE services SET disabled = 1, disabled_reason = '' WHERE host = 'h1'")
    move = start(cloud)
    assert (move.was_disabled, move.reason) == (True, "")
    cloud.run("new", "UPDATE services SET last_seen_up = CURRENT_TIMESTAMP WHERE host = 'h1'")
    procedure.advance(cloud.open(), move, renumbers=False)
    sql = "SELECT disabled, disabled_reason FROM services WHERE host = 'h1'"
    assert cloud.ask("new", sql) == [(1, "")]
    with pytest.raises(errors.Invalid, match="shorten it"):
        procedure.begin(cloud.open(), replace(move, reason="x" * 250))


def test_every_table_of_nova_is_accounted_for() -> None:
    script = (
        "import json; from nova.db.main import models; "
        "print(json.dumps({t.name: [[c.name, str(c.type)] for c in t.columns] "
        "for t in models.BASE.metadata.tables.values()}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    tables: dict[str, list[list[str]]] = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in tables if not is_accounted(name)] == []
    moved = {one.name: one for one in MOVED}
    assert moved.keys() <= tables.keys()
    assert LEFT.keys() - {"alembic_version"} <= tables.keys()
    # What names a host or a server moves, unless it is known why not.
    for name, columns in tables.items():
        named = {one for one, _ in columns} & {"instance_uuid", "host", "compute_node_id"}
        assert name in moved or not named or name == "security_group_instance_association", name
    # What refers to a row by its number is numbered anew, or is no number of a row of this cell.
    others = {
        "instances": {"internal_id", "instance_type_id"},
        "migrations": {"old_instance_type_id", "new_instance_type_id"},
        "virtual_interfaces": {"network_id"},  # of nova-network
    }
    for name, one in moved.items():
        numbers = {c for c, kind in tables[name] if c.endswith("_id") and "INT" in kind.upper()}
        assert numbers - {c for c, _ in one.refers} - others.get(name, set()) == set(), name
