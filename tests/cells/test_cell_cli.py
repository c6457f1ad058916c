"""`isthmus cell capacity` on databases with the tables of Nova and Placement, in MariaDB."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from tests.cells.test_numa import ask

from isthmus.cli import main

pytestmark = pytest.mark.db
NAMES = ("nova_api", "nova_cell1", "nova_cell2", "placement")


@dataclass
class Nova:
    """Databases with the tables of Nova and Placement."""

    urls: dict[str, str]
    files: list[str]

    def insert(self, database: str, table: str, /, **row: Any) -> None:
        engine = sa.create_engine(self.urls[database])
        columns = ", ".join(f"`{one}`" for one in row)
        values = ", ".join(f":{one}" for one in row)
        with engine.begin() as connection:
            connection.execute(sa.text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), row)
        engine.dispose()

    def run(self, sql: str, name: str) -> None:
        engine = sa.create_engine(self.urls[name])
        with engine.begin() as connection:
            connection.exec_driver_sql(sql)
        engine.dispose()

    def make_cell(self, number: int, name: str, url: str) -> None:
        self.insert(
            "nova_api",
            "cell_mappings",
            id=number,
            uuid=str(uuid.UUID(int=number)),
            name=name,
            database_connection=url,
            disabled=False,
        )

    def make_host(
        self, cell: int, number: int, *, vcpus: int, used: int = 0, **service: Any
    ) -> None:
        """Make a host of a cell, with a service that was seen just now, and its provider."""
        own = str(uuid.UUID(int=1000 + number))
        host = f"host{number}"
        self.insert("nova_api", "host_mappings", id=number, cell_id=cell, host=host)
        zeros = ("vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used")
        self.insert(
            f"nova_cell{cell}",
            "compute_nodes",
            **dict.fromkeys(zeros, 0),
            hypervisor_type="QEMU",
            hypervisor_version=1,
            cpu_info="",
            uuid=own,
            host=host,
            hypervisor_hostname=host,
            deleted=0,
        )
        row = {"host": host, "binary": "nova-compute", "report_count": 1, "deleted": 0}
        self.insert(
            f"nova_cell{cell}", "services", **row, **{"disabled": 0, "forced_down": 0, **service}
        )
        if "last_seen_up" not in service:
            self.run(
                f"UPDATE services SET last_seen_up = UTC_TIMESTAMP() WHERE host = '{host}'",
                f"nova_cell{cell}",
            )
        self.insert(
            "placement",
            "resource_providers",
            id=number,
            uuid=own,
            name=host,
            root_provider_id=number,
        )
        for kind, total in ((1, vcpus), (2, 8192)):
            self.insert(
                "placement",
                "inventories",
                resource_provider_id=number,
                resource_class_id=kind,
                total=total,
                reserved=0,
                min_unit=1,
                max_unit=total,
                step_size=1,
                allocation_ratio=1.0,
            )
        if used:
            self.insert(
                "placement",
                "allocations",
                resource_provider_id=number,
                consumer_id=str(uuid.UUID(int=1)),
                resource_class_id=1,
                used=used,
            )


@pytest.fixture(scope="module")
def nova(mariadb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nova]:
    engine = sa.create_engine(mariadb_url)
    with engine.begin() as connection:
        for name in NAMES:
            connection.exec_driver_sql(f"CREATE DATABASE few_{name} CHARACTER SET utf8mb3")
    urls = {name: mariadb_url.replace("/isthmus?", f"/few_{name}?") for name in NAMES}
    ask(["tables", *urls.values()], [])
    folder = tmp_path_factory.mktemp("nova")
    (folder / "nova.conf").write_text(
        f"[DEFAULT]\nservice_down_time = 600\n[api_database]\nconnection = {urls['nova_api']}\n"
    )
    (folder / "placement.conf").write_text(
        f"[placement_database]\nconnection = {urls['placement']}\n"
    )
    files = ["--nova-conf", str(folder / "nova.conf")]
    found = Nova(urls, [*files, "--placement-conf", str(folder / "placement.conf")])
    found.insert("placement", "resource_classes", id=1, name="VCPU")
    found.insert("placement", "resource_classes", id=2, name="MEMORY_MB")
    found.make_cell(1, "east", urls["nova_cell1"])
    found.make_cell(2, "west", urls["nova_cell2"])
    found.make_host(1, 1, vcpus=7)
    found.make_host(1, 2, vcpus=3, used=1)
    found.make_host(1, 3, vcpus=64, disabled=1)
    found.make_host(2, 4, vcpus=5)
    found.make_host(2, 5, vcpus=64, last_seen_up="2020-01-01 00:00:00")
    row = {"root_gb": 0, "ephemeral_gb": 0, "swap": 0, "disabled": 0, "memory_mb": 512}
    found.insert("nova_api", "flavors", id=1, name="two", flavorid="2", vcpus=2, **row)
    found.insert("nova_api", "flavors", id=2, name="four", flavorid="4", vcpus=4, **row)
    yield found
    with engine.begin() as connection:
        for name in NAMES:
            connection.exec_driver_sql(f"DROP DATABASE few_{name}")
    engine.dispose()


def call(nova: Nova, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    with pytest.raises(SystemExit) as end:
        main.run(["cell", "capacity", *nova.files, "-o", "json", *words])
    said = capsys.readouterr()
    return int(end.value.code or 0), json.loads(said.out) if said.out else None, said.err


def fits(rows: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    return {(one["flavor"], one["scope"]): one["fits"] for one in rows}


def test_each_cell_says_how_many_more_fit(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows, said = call(nova, capsys)
    assert (code, said) == (0, "")
    assert fits(rows) == {
        ("four", "east"): 1,
        ("four", "west"): 1,
        ("two", "east"): 4,
        ("two", "west"): 2,
    }
    (row,) = [one for one in rows if (one["flavor"], one["scope"]) == ("four", "east")]
    # 9 free CPUs on open hosts would hold two.
    assert row["stranded"] == 1
    assert (row["hosts"], row["of_hosts"], row["largest"], row["exact"]) == (1, 3, 1, True)


def test_what_binds_is_explained(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    _, rows, _ = call(nova, capsys, "--flavor", "4", "--explain")
    found = {(one["scope"], one["bound_by"]): (one["hosts"], one["without"]) for one in rows}
    assert found == {
        ("east", "VCPU"): (2, 31),
        ("east", "service is disabled"): (1, 16),
        ("west", "VCPU"): (1, 15),
        ("west", "service is down"): (1, 16),
    }


def test_a_reservation_is_taken_off(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--flavor", "four", "--by", "cloud")
    _, before, _ = call(nova, capsys, *words)
    _, after, _ = call(nova, capsys, *words, "--reserve", "two=2", "--fill", "spread")
    _, packed, _ = call(nova, capsys, *words, "--reserve", "two=1", "--fill", "pack")
    assert [rows[0]["fits"] for rows in (before, after, packed)] == [2, 1, 2]
    _, _, said = call(nova, capsys, *words, "--reserve", "two=9")
    assert "Of 9 reserved two only 6 fit." in said


def test_sets_of_flavors(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    _, rows, _ = call(nova, capsys, "--set", "four=1,two=1")
    assert rows == [{"set": "four=1,two=1", "fits": 2, "at_most": 2}]


def test_a_cell_that_does_not_answer_is_named(
    nova: Nova, capsys: pytest.CaptureFixture[str]
) -> None:
    nova.make_cell(3, "north", "mysql+pymysql://root@127.0.0.1:1/north")
    try:
        code, rows, said = call(nova, capsys, "--flavor", "two")
    finally:
        nova.run("DELETE FROM cell_mappings WHERE id = 3", "nova_api")
    assert code == 1
    assert fits(rows) == {("two", "east"): 4, ("two", "west"): 2}
    assert "Cell north is not counted: the database does not answer" in said


def test_a_disabled_cell_that_is_gone_is_said_and_no_failure(
    nova: Nova, capsys: pytest.CaptureFixture[str]
) -> None:
    nova.make_cell(3, "gone", "mysql+pymysql://root@127.0.0.1:1/gone")
    nova.run("UPDATE cell_mappings SET disabled = 1 WHERE id = 3", "nova_api")
    try:
        code, rows, said = call(nova, capsys, "--flavor", "two")
    finally:
        nova.run("DELETE FROM cell_mappings WHERE id = 3", "nova_api")
    assert code == 0
    assert fits(rows) == {("two", "east"): 4, ("two", "west"): 2}
    assert "Disabled cell gone is not counted" in said


def test_an_odd_flavor_and_an_odd_host_cost_no_other_its_line(
    nova: Nova, capsys: pytest.CaptureFixture[str]
) -> None:
    nova.insert("nova_api", "flavor_extra_specs", flavor_id=2, key="hw:cpu_policy", value="odd")
    nova.run("UPDATE compute_nodes SET numa_topology = '{' WHERE host = 'host4'", "nova_cell2")
    try:
        code, rows, said = call(nova, capsys)
        named, _, _ = call(nova, capsys, "--flavor", "four")
    finally:
        nova.run("DELETE FROM flavor_extra_specs", "nova_api")
        nova.run("UPDATE compute_nodes SET numa_topology = NULL", "nova_cell2")
    assert (code, named) == (0, 1)
    assert fits(rows) == {("four", ""): None, ("two", "east"): 4, ("two", "west"): 0}
    assert "flavor four has hw:cpu_policy=odd" in said


def test_one_flavor_twice_in_a_set_adds_up(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    _, rows, _ = call(nova, capsys, "--set", "two=1,2=1")
    assert [(one["fits"], one["at_most"]) for one in rows] == [(3, 3)]


def test_a_wrong_flavor_is_answered_with_near_ones(
    nova: Nova, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = call(nova, capsys, "--flavor", "twoo")
    assert code == 2
    assert "there is no flavor 'twoo'" in said
    assert "two" in said
