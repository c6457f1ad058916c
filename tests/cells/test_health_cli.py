"""`isthmus cell list` and `isthmus cell verify` on databases with the tables of Nova."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.cells.draw_servers import fill, insert
from tests.cells.test_numa import ask

from isthmus.cli import main
from isthmus.model.compute.cloud import Cell
from isthmus.model.compute.health import CellState
from isthmus.store.nova.cell import collect_state

HOSTS = ("h1", "h2", "h3")


class Nova:
    """Two cells and cell0, in which nothing is wrong but what a test does to them."""

    def __init__(self, folder: Path) -> None:
        names = ("api", "c0", "c1", "c2", "all", "placement")
        self.urls = {one: f"sqlite:///{folder}/{one}.db" for one in names}
        ask(["tables", *self.urls.values()], [])
        listed = [self.urls[one] for one in names[:-1]]
        fill(listed, 3, nulls=False, each=6)
        for name, rows in (("c1", ("h1", "h2")), ("c2", ("h3",))):
            insert(self.urls[name], "compute_nodes", [self._node(one) for one in rows])
            insert(self.urls[name], "services", [self._service(one) for one in rows])
            self.run(name, "UPDATE services SET last_seen_up = CURRENT_TIMESTAMP")
        insert(
            self.urls["api"],
            "host_mappings",
            [{"host": one, "cell_id": 3 if one == "h3" else 2} for one in HOSTS],
        )
        insert(
            self.urls["placement"],
            "resource_providers",
            [{"id": 1, "uuid": "node-h1", "name": "h1", "root_provider_id": 1}],
        )
        for name in ("c0", "c1", "c2"):
            self.run(name, "CREATE TABLE alembic_version (version_num VARCHAR(32))")
            self.run(name, "INSERT INTO alembic_version VALUES ('r1')")
            self.run(name, "UPDATE instances SET hidden = 0")
        (folder / "nova.conf").write_text(
            f"[DEFAULT]\nservice_down_time = 100000\n"
            f"[api_database]\nconnection = {self.urls['api']}\n"
            f"[placement_database]\nconnection = {self.urls['placement']}\n"
        )
        self.file = str(folder / "nova.conf")

    def copy_to(self, folder: Path) -> "Nova":
        """Return one like it, with databases of its own."""
        found = Nova.__new__(Nova)
        old = str(Path(self.file).parent)
        for name in self.urls:
            (folder / f"{name}.db").write_bytes((Path(old) / f"{name}.db").read_bytes())
        found.urls = {name: url.replace(old, str(folder)) for name, url in self.urls.items()}
        found.file = str(folder / "nova.conf")
        Path(found.file).write_text(Path(self.file).read_text().replace(old, str(folder)))
        moved = f"replace(database_connection, '{old}', '{folder}')"
        found.run("api", f"UPDATE cell_mappings SET database_connection = {moved}")
        return found

    @staticmethod
    def _node(name: str) -> dict[str, Any]:
        zeros = "vcpus memory_mb local_gb vcpus_used memory_mb_used local_gb_used"
        return {
            **dict.fromkeys(zeros.split(), 0),
            "hypervisor_type": "QEMU",
            "hypervisor_version": 1,
            "cpu_info": "",
            "uuid": f"node-{name}",
            "host": name,
            "hypervisor_hostname": name,
            "deleted": 0,
        }

    @staticmethod
    def _service(name: str) -> dict[str, Any]:
        return {
            "host": name,
            "binary": "nova-compute",
            "report_count": 1,
            "deleted": 0,
            "disabled": False,
            "forced_down": False,
            "version": 74,
        }

    def run(self, name: str, sql: str) -> None:
        engine = sa.create_engine(self.urls[name])
        with engine.begin() as connection:
            connection.exec_driver_sql(sql)
        engine.dispose()


@pytest.fixture
def nova(tmp_path: Path) -> Nova:
    return Nova(tmp_path)


def call(nova: Nova, capsys: pytest.CaptureFixture[str], verb: str) -> tuple[int, Any, str]:
    files = ["--nova-conf", nova.file]
    if verb != "list":
        files += ["--placement-conf", nova.file]
    with pytest.raises(SystemExit) as end:
        main.run(["cell", verb, *files, "-o", "json"])
    said = capsys.readouterr()
    assert said.out, said.err
    return int(end.value.code or 0), json.loads(said.out), said.err


def test_a_sound_cloud_then_one_with_every_fault(
    nova: Nova, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(nova, capsys, "verify") == (0, [], "")
    code, rows, _ = call(nova, capsys, "list")
    assert code == 0
    assert [(one["name"], one["database"], one["hosts"], one["open"]) for one in rows] == [
        ("cell0", "answers", 0, 0),
        ("cell1", "answers", 2, 2),
        ("cell2", "answers", 1, 1),
    ]
    assert all(0 < one["servers"] <= 6 for one in rows)
    nova.run("c2", "UPDATE alembic_version SET version_num = 'r0'")
    nova.run("c1", "UPDATE services SET forced_down = 1 WHERE host = 'h2'")
    nova.run("api", "DELETE FROM host_mappings WHERE host = 'h3'")
    nova.run(
        "c1",
        "DELETE FROM instances WHERE deleted = 0 AND id = (SELECT MIN(id) FROM "
        "instances WHERE deleted = 0)",
    )
    nova.run(
        "api",
        "UPDATE instance_mappings SET cell_id = 1 WHERE id = (SELECT MIN(id) FROM "
        "instance_mappings WHERE cell_id = 3 AND queued_for_delete = 0)",
    )
    insert(
        nova.urls["placement"],
        "allocations",
        [{"resource_provider_id": 1, "consumer_id": "g", "resource_class_id": 1, "used": 1}],
    )
    code, rows, said = call(nova, capsys, "verify")
    assert (code, said) == (1, "")
    assert {(one["code"], one["name"]) for one in rows} == {
        ("cell.schema", "cell2"),
        ("cell.service", "cell1"),
        ("cell.host", "cell2"),
        ("cell.server", "cell0"),
        ("cell.server", "cell1"),
        ("cell.server", "cell2"),
        ("cell.allocation", "placement"),
    }
    assert all(one["remedy"] and one["evidence"] for one in rows)


def test_two_mappings_to_one_database(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    nova.run("api", f"UPDATE cell_mappings SET database_connection = '{nova.urls['c1']}'")
    code, rows, _ = call(nova, capsys, "verify")
    assert code == 1
    twins = [one for one in rows if one["code"] == "cell.database"]
    assert [one["name"] for one in twins] == ["cell1", "cell2"]
    assert all(one["evidence"].endswith("c1.db") for one in twins)
    assert "without a mapping" not in str(rows)
    assert "cell.twice" not in {one["code"] for one in rows}


def test_cells_are_listed_without_placement(
    nova: Nova, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "nova.conf").write_text(f"[api_database]\nconnection = {nova.urls['api']}\n")
    code, rows, said = call(nova, capsys, "list")
    assert (code, len(rows), said) == (0, 3, "")
    placement = "mysql+pymysql://nova@127.0.0.1:1/placement"
    (tmp_path / "nova.conf").write_text(
        f"[api_database]\nconnection = {nova.urls['api']}\n"
        f"[placement_database]\nconnection = {placement}\n"
    )
    files = ["--nova-conf", nova.file, "--placement-conf", nova.file]
    with pytest.raises(SystemExit) as end:
        main.run(["cell", "verify", *files])
    assert end.value.code == 3
    assert "Placement's database does not answer" in capsys.readouterr().err


def test_a_cell_that_hangs_is_not_asked_a_second_time(
    nova: Nova, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "mysql+pymysql://nova@127.0.0.1:1/gone"
    nova.run("api", f"UPDATE cell_mappings SET database_connection = '{url}' WHERE id = 3")
    nova.run("c1", "DELETE FROM instances WHERE deleted = 0")
    asked: list[str] = []

    def collect(place: str, cell: Cell, *, down_time_s: int, timeout_s: float) -> CellState:
        asked.append(cell.name)
        return collect_state(place, cell, down_time_s=down_time_s, timeout_s=timeout_s)

    monkeypatch.setattr("isthmus.wiring.compute.health.collect_state", collect)
    code, rows, _ = call(nova, capsys, "verify")
    assert code == 1
    assert {(one["code"], one["name"]) for one in rows} == {
        ("cell.database", "cell2"),
        ("cell.server", "cell1"),
    }
    assert sorted(asked) == ["cell0", "cell0", "cell1", "cell1", "cell2"]


def test_a_cell_that_is_down(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    url = "mysql+pymysql://nova@127.0.0.1:1/gone"
    nova.run("api", f"UPDATE cell_mappings SET database_connection = '{url}' WHERE id = 3")
    code, rows, said = call(nova, capsys, "verify")
    assert code == 1
    assert [(one["code"], one["severity"], one["name"]) for one in rows] == [
        ("cell.database", "broken", "cell2")
    ]
    assert said.count("was not seen: cell cell2 does not answer") == 6
    code, rows, _ = call(nova, capsys, "list")
    assert code == 1
    assert "does not answer" in rows[2]["database"]
    assert rows[2]["servers"] is None
    nova.run("api", "UPDATE cell_mappings SET disabled = 1 WHERE id = 3")
    assert call(nova, capsys, "list")[0] == 0
