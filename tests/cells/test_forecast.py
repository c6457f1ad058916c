"""`isthmus cell capacity --after`: what fits in some days, if servers go on to come as they did."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from tests.cells.draw_servers import insert
from tests.cells.test_cell_cli import NAMES, Nova
from tests.cells.test_numa import ask

from isthmus import errors
from isthmus.cells.advice.forecast import plan_growth
from isthmus.cli import main
from isthmus.model.compute.growth import CellHistory


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def ago(days: float) -> datetime.datetime:
    return now() - datetime.timedelta(days=days)


@pytest.fixture
def nova(tmp_path: Path) -> Nova:
    urls = {name: f"sqlite:///{tmp_path}/{name}.db" for name in NAMES}
    ask(["tables", *urls.values()], [])
    (tmp_path / "nova.conf").write_text(
        f"[DEFAULT]\nservice_down_time = 600\n[api_database]\nconnection = {urls['nova_api']}\n"
        f"[placement_database]\nconnection = {urls['placement']}\n"
    )
    conf = str(tmp_path / "nova.conf")
    found = Nova(urls, ["--nova-conf", conf, "--placement-conf", conf])
    found.insert("placement", "resource_classes", id=1, name="VCPU")
    found.insert("placement", "resource_classes", id=2, name="MEMORY_MB")
    row = {"root_gb": 0, "ephemeral_gb": 0, "swap": 0, "disabled": 0, "memory_mb": 1}
    for number, name in ((1, "one"), (2, "two")):
        found.insert(
            "nova_api", "flavors", id=number, name=name, flavorid=name, vcpus=number, **row
        )
    for cell in (1, 2):
        found.make_cell(cell, f"cell{cell}", urls[f"nova_cell{cell}"])
        found.make_host(cell, cell, vcpus=20, last_seen_up=now())
    return found


def make_servers(
    nova: Nova,
    cell: int,
    count: int,
    *,
    flavor: int,
    came: float,
    went: float | None = None,
    ran: bool = True,
) -> None:
    """Make servers that came, and perhaps went, so many days ago."""
    rows = [
        {
            "uuid": f"{flavor}-{came}-{went}-{ran}-{number}",
            "instance_type_id": flavor,
            "created_at": ago(came),
            "launched_at": ago(came) if ran else None,
            "deleted_at": None if went is None else ago(went),
            "deleted": 0 if went is None else 1,
        }
        for number in range(count)
    ]
    insert(nova.urls[f"nova_cell{cell}"], "instances", rows)


def count(
    nova: Nova, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[dict[str, int], list[str]]:
    with pytest.raises(SystemExit) as end:
        main.run(["cell", "capacity", "--by", "cloud", "-o", "json", *nova.files, *words])
    assert not end.value.code
    said = capsys.readouterr()
    found: list[dict[str, Any]] = json.loads(said.out)
    return {one["flavor"]: one["fits"] for one in found}, said.err.splitlines()


def test_what_came_in_the_last_days_comes_again(
    nova: Nova, capsys: pytest.CaptureFixture[str]
) -> None:
    make_servers(nova, 1, 9, flavor=1, came=40)  # before, so that there is a history
    make_servers(nova, 1, 6, flavor=1, came=10)
    make_servers(nova, 2, 4, flavor=2, came=20)
    make_servers(nova, 2, 2, flavor=1, came=40, went=5)
    make_servers(nova, 2, 7, flavor=1, came=3, ran=False)  # none was ever built
    assert count(nova, capsys) == ({"one": 40, "two": 20}, [])
    # In 30 days four more of one and four more of two: 12 of 40 CPUs.
    found, said = count(nova, capsys, "--after", "30")
    assert found == {"one": 28, "two": 14}
    assert said == ["4 more two in 30 days.", "4 more one in 30 days."]
    assert count(nova, capsys, "--after", "60")[0] == {"one": 16, "two": 8}
    # In the last 15 days there came no two, and more of one.
    found, said = count(nova, capsys, "--after", "15", "--history", "15")
    assert (found["one"], said) == (36, ["4 more one in 15 days."])


def test_when_it_is_full_is_said(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    make_servers(nova, 1, 20, flavor=1, came=29.99)
    make_servers(nova, 1, 1, flavor=9, came=1)
    found, said = count(nova, capsys, "--after", "120")
    assert found == {"one": 0, "two": 0}
    assert said == [
        "81 more one in 120 days, of which 40 fit: full in 59.",
        "5 more servers of flavors that are gone are not counted.",
    ]


def test_without_a_history_there_is_no_forecast(
    nova: Nova, capsys: pytest.CaptureFixture[str]
) -> None:
    make_servers(nova, 1, 3, flavor=1, came=0.5)
    with pytest.raises(SystemExit) as end:
        main.run(["cell", "capacity", "--after", "30", *nova.files])
    assert end.value.code
    assert "the oldest server is 12.0 h old" in " ".join(capsys.readouterr().err.split())


def test_leavers_of_one_cell_are_those_that_came_in_another() -> None:
    history = [
        CellHistory(came={1: 10}, went={1: 2, 2: 3}, days=30),
        CellHistory(came={2: 1}, went={1: 8}, days=2),
    ]
    assert plan_growth(history, 30) == {}
    with pytest.raises(errors.Unsupported):
        plan_growth([], 30)
