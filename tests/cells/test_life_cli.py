"""`isthmus cell show`, `enable`, `disable` and `remove`."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.cells.test_health_cli import Nova

from isthmus import errors
from isthmus.cells.life import check_removal, get_cell
from isthmus.cli import main
from isthmus.config.nova import read_nova
from isthmus.model.compute.cloud import Cell, CellAddress, ComputeHost
from isthmus.model.compute.health import CellDetail, CellService, CellState
from isthmus.store.nova.detail import render_place
from isthmus.store.nova.life import delete_cell, set_enabled
from isthmus.wiring.compute import life


@pytest.fixture
def nova(tmp_path: Path) -> Nova:
    return Nova(tmp_path)


def call(nova: Nova, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main.run(["cell", *words, "--nova-conf", nova.file])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, " ".join(said.err.split())


def read(nova: Nova, sql: str) -> list[Any]:
    engine = sa.create_engine(nova.urls["api"])
    with engine.begin() as connection:
        found = [tuple(row) for row in connection.exec_driver_sql(sql)]
    engine.dispose()
    return found


def empty_cell(nova: Nova) -> None:
    """Leave nothing in the third cell but what deleted servers leave."""
    for table in ("compute_nodes", "services"):
        nova.run("c2", f"DELETE FROM {table}")
    nova.run("c2", "UPDATE instances SET deleted = id")
    nova.run("api", "UPDATE instance_mappings SET queued_for_delete = 1 WHERE cell_id = 3")


def test_a_cell_is_shown(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    nova.run("c1", "UPDATE services SET disabled = 1 WHERE host = 'h2'")
    nova.run("c1", "UPDATE instances SET vm_state = 'active', task_state = NULL")
    nova.run("api", "UPDATE cell_mappings SET transport_url = 'rabbit://n:S3cret@mq:5672/v'")
    code, out, said = call(nova, capsys, "show", "cell1", "-o", "json")
    row = json.loads(out)
    assert (code, said) == (0, "")
    assert row["services"] == {"nova-compute service is disabled": 1, "nova-compute up": 1}
    assert row["hosts"] == ["h1", "h2"]
    assert row["closed"] == ["h2: service is disabled"]
    assert row["servers"].keys() == {"ACTIVE"}
    assert (row["queue"], row["schema"]) == ("rabbit://mq:5672/v", "r1")
    assert row["database"].endswith("/c1.db")
    assert call(nova, capsys, "show", row["uuid"], "-o", "json")[1] == out
    url = "mysql+pymysql://nova:S3cret@127.0.0.1:1/gone"
    nova.run("api", f"UPDATE cell_mappings SET database_connection = '{url}' WHERE id = 3")
    code, out, _ = call(nova, capsys, "show", "cell2")
    assert code == 1
    assert "mysql+pymysql://127.0.0.1:1/gone" in out
    assert "S3cret" not in out
    code, _, said = call(nova, capsys, "show", "cell3")
    assert (code, "there is no cell 'cell3'" in said) == (2, True)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("rabbit://u:p@h1:5672,u:p@h2:5672/v", "rabbit://h1:5672,h2:5672/v"),
        ("rabbit://u:a@b:c,d@h1:5672/v", "rabbit://h1:5672/v"),
        ("mysql+pymysql://u:p%40@db/nova?charset=utf8", "mysql+pymysql://db/nova"),
        ("rabbit://u:p@[fe80::1]:5672,u:p@h2:5672/", "rabbit://[fe80::1]:5672,h2:5672/"),
        ("{scheme}://{username}:{password}@{hostname}:{port}/c1", ""),
        ("none:///", "none:///"),
        ("S3cret", ""),
        ("rabbit://[S3cret/", ""),
    ],
)
def test_a_place_says_nothing_of_who_logs_in(url: str, place: str) -> None:
    assert render_place(url) == place


def test_a_cell_is_disabled_and_enabled(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT disabled, database_connection FROM cell_mappings WHERE id = 3"
    url = nova.urls["c2"]
    code, _, said = call(nova, capsys, "disable", "cell2")
    assert code == 0
    assert said.startswith("Cell cell2 is disabled. Restart each nova-scheduler")
    assert read(nova, sql) == [(1, url)]
    assert "was disabled already" in call(nova, capsys, "disable", "cell2")[2]
    conf = Path(nova.file)
    weighers = "nova.scheduler.weights.all_weighers,isthmus.nova.fresh_cells.FreshCells"
    conf.write_text(conf.read_text() + f"[filter_scheduler]\nweight_classes = {weighers}\n")
    assert call(nova, capsys, "enable", "cell2") == (0, "", "Cell cell2 is enabled.")
    assert read(nova, sql) == [(0, url)]
    assert call(nova, capsys, "disable", "cell0")[0] == 2


def test_a_cell_is_removed_when_nothing_is_left(
    nova: Nova, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = ("remove", "cell2", "--yes", "--confirm", "cell2")
    code, _, said = call(nova, capsys, *remove)
    assert (code, "delete them first" in said) == (2, True)
    empty_cell(nova)
    assert "give --yes --confirm" in call(nova, capsys, "remove", "cell2")[2]
    assert "nothing was done" in call(nova, capsys, *remove[:-1], "cell1")[2]
    assert read(nova, "SELECT disabled FROM cell_mappings WHERE id = 3") == [(0,)]
    # It ends between two steps, and goes on when it is run again.
    where = "isthmus.store.nova.life.delete_cell"

    def end(_url: str, _cell: str, _timeout_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, end)
    assert call(nova, capsys, *remove)[0] == 130
    assert read(nova, "SELECT disabled FROM cell_mappings WHERE id = 3") == [(1,)]
    monkeypatch.setattr(where, delete_cell)
    code, _, said = call(nova, capsys, *remove)
    assert code == 0, said
    assert "Cell cell2 is removed." in said
    assert read(nova, "SELECT id FROM cell_mappings ORDER BY id") == [(1,), (2,)]
    assert read(nova, "SELECT count(*) FROM instance_mappings WHERE cell_id = 3") == [(0,)]
    assert read(nova, "SELECT count(*) FROM host_mappings WHERE cell_id = 3") == [(0,)]
    with pytest.raises(SystemExit) as ended:
        main.run(["cell", "verify", "--nova-conf", nova.file, "--placement-conf", nova.file])
    assert ended.value.code in {0, None}, capsys.readouterr()


def test_what_comes_while_a_cell_is_disabled_is_not_lost(
    nova: Nova, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_cell(nova)

    def boot(url: str, cell: str, timeout_s: float, *, enabled: bool) -> bool:
        nova.run("c2", "UPDATE instances SET deleted = 0 WHERE id = 1")
        return set_enabled(url, cell, timeout_s, enabled=enabled)

    monkeypatch.setattr("isthmus.store.nova.life.set_enabled", boot)
    with pytest.raises(errors.InUse, match="1 server"):
        life.remove_cell([Path(nova.file)], "cell2", 5.0)
    assert read(nova, "SELECT count(*) FROM cell_mappings") == [(3,)]


def test_a_cell_that_is_enabled_meanwhile_is_not_deleted(nova: Nova) -> None:
    (uuid,) = read(nova, "SELECT uuid FROM cell_mappings WHERE id = 3")[0]
    with pytest.raises(errors.Conflict, match="enabled meanwhile"):
        delete_cell(nova.urls["api"], uuid, 5.0)
    assert read(nova, "SELECT count(*) FROM host_mappings WHERE cell_id = 3") == [(1,)]


def make_detail(**changes: Any) -> CellDetail:
    cell = Cell(name="west", uuid="7", error=changes.pop("error", ""))
    services = changes.pop("services", ())
    return CellDetail(state=CellState(cell=cell, **changes), services=services)


def test_what_stands_against_a_removal() -> None:
    check_removal(make_detail())
    check_removal(
        make_detail(services=(CellService(binary="nova-conductor", host="c", closed=""),))
    )
    host = ComputeHost(name="h", node="h", uuid="n", cell="west")
    compute = CellService(binary="nova-compute", host="h", closed="service is down")
    for changes in ({"servers": frozenset({"a"})}, {"hosts": (host,)}, {"services": (compute,)}):
        with pytest.raises(errors.InUse):
            check_removal(make_detail(**changes))
    with pytest.raises(errors.Unreachable, match="nobody knows"):
        check_removal(make_detail(error="no answer"))


def test_which_cell_is_meant() -> None:
    cells = [
        CellAddress(id=number, cell=Cell(name=name, uuid=f"u{number}"), database="")
        for number, name in enumerate(("cell0", "a", "a", "u1"))
    ]
    assert get_cell(cells, "cell0").id == 0
    assert get_cell(cells, "u1").id == 1
    with pytest.raises(errors.Invalid, match="u1, u2"):
        get_cell(cells, "a")
    with pytest.raises(errors.NotFound, match="did you mean"):
        get_cell(cells, "cell1")


def test_the_scheduler_is_known_by_its_configuration(nova: Nova) -> None:
    assert not read_nova([Path(nova.file)]).sees_cells
