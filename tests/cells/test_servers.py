"""Servers of several cells in one list: the rows and the order of Nova's own."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.cells.draw_servers import NULLED, draw_case, fill
from tests.cells.test_numa import ask

from isthmus import errors
from isthmus.cells.servers.breaker import Breakers
from isthmus.cells.servers.listing import Listing, find_after
from isthmus.cells.servers.order import plan_order
from isthmus.model.compute.server import ServerFilters, ServerQuery, ServerRow
from isthmus.store.nova.mappings import ApiMappings, collect_cells
from isthmus.store.nova.servers import CellServers

ORACLE = Path(__file__).with_name("oracle_servers.py")
CASES = 60


def make_sqlite(folder: Path) -> list[str]:
    """Make the tables of an API database, three cells, and one that has the rows of all."""
    urls = [f"sqlite:///{folder}/{name}.db" for name in ("api", "c0", "c1", "c2", "all")]
    ask(["tables", *urls, f"sqlite:///{folder}/placement.db"], [])
    return urls


def ask_nova(urls: list[str], cases: Any) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ORACLE), *urls],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: list[Any] = json.loads(done.stdout)
    return found


def to_query(case: dict[str, Any]) -> ServerQuery:
    filters = dict(case["filters"])
    return ServerQuery(
        order=plan_order([":".join(one) for one in case["sort"]]),
        filters=ServerFilters(
            project_id=filters.get("project_id", ""),
            host=filters.get("host", ""),
            vm_states=tuple(filters.get("vm_state", ())),
            locked=filters.get("locked"),
            patterns={key: filters[key] for key in ("display_name",) if key in filters},
            deleted=filters.get("deleted"),
        ),
        details=frozenset({"metadata"}),
    )


def list_ours(url: str, case: dict[str, Any]) -> list[ServerRow]:
    cells = collect_cells(url, "", 5.0)
    servers, query = CellServers(5.0), to_query(case)
    if case["marker"]:
        after = find_after(ApiMappings(url, 5.0), servers, cells, case["marker"], query)
        query = ServerQuery(
            order=query.order, filters=query.filters, details=query.details, after=after
        )
    listing = Listing(cells, servers, query, 20.0, Breakers(), case["limit"])
    rows = list(listing)
    assert listing.silent == []
    return rows


def shown(rows: list[ServerRow]) -> list[dict[str, Any]]:
    names = ("uuid", "display_name", "vm_state", "task_state", "host", "project_id", "power_state")
    return [
        {**{name: one.values[name] for name in names}, "metadata": one.values["metadata"]}
        for one in rows
    ]


def compare(urls: list[str], seed: int, *, count: int = CASES, without: str = "") -> None:
    """Hold drawn lists against Nova's; without NULL it answers all of them.

    Args:
        urls: of the databases.
        seed: of the dice.
        count: of lists.
        without: a column that nothing is sorted by.
    """
    uuids = fill(urls, seed, nulls=False)
    dice = random.Random(seed)
    cases = [leave_out(draw_case(dice, uuids), without) for _ in range(count)]
    wrong = []
    answers = ask_nova(urls, cases)
    for case, answer in zip(cases, answers, strict=True):
        ours = shown(list_ours(urls[0], case))
        if ours != answer:
            wrong.append((case, ours, answer))
    assert wrong == []
    assert sum(len(one) for one in answers) > 8 * count
    paged = [one for one, answer in zip(cases, answers, strict=True) if one["marker"] and answer]
    assert len(paged) > count / 6


def leave_out(case: dict[str, Any], column: str) -> dict[str, Any]:
    return {**case, "sort": [one for one in case["sort"] if one[0] != column]}


def compare_nulls(urls: list[str], seed: int, *, count: int = 40, without: str = "") -> None:
    """Hold lists by columns with NULL against the order of one database with all rows.

    Nova 34 cannot merge these: it compares None, and asks for what is greater than None.
    """
    fill(urls, seed, nulls=True)
    dice = random.Random(seed)
    cases = []
    columns = [one for one in NULLED if one != without]
    for number in range(count):
        case = leave_out(draw_case(dice, ["unused"]), without)
        if not any(key in columns for key, _ in case["sort"]):
            case["sort"] = [[columns[number % len(columns)], dice.choice(("asc", "desc"))]]
        cases.append({**case, "limit": None, "marker": None})
    whole = ask_nova(urls, [{**one, "one": True} for one in cases])
    merged = ask_nova(urls, cases)
    pages = failed = 0
    for case, expected, nova in zip(cases, whole, merged, strict=True):
        order = [one["uuid"] for one in expected]
        assert [one.values["uuid"] for one in list_ours(urls[0], case)] == order, case
        failed += isinstance(nova, str) and "TypeError" in nova
        # Page by page it is the same list.
        found: list[str] = []
        marker = None
        while True:
            page = list_ours(urls[0], {**case, "limit": 7, "marker": marker})
            found += [one.values["uuid"] for one in page]
            if len(page) < 7:
                break
            marker = found[-1]
            pages += 1
        assert found == order, case
    assert pages > 2 * count
    assert failed > count / 8  # else the oracle has learned it, and is to be asked


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_and_order_are_those_of_nova(tmp_path: Path, seed: int) -> None:
    compare(make_sqlite(tmp_path), seed)


def test_null_comes_before_every_value_in_all_cells(tmp_path: Path) -> None:
    compare_nulls(make_sqlite(tmp_path), 3)


def test_a_marker_of_nobody_is_not_found(tmp_path: Path) -> None:
    urls = make_sqlite(tmp_path)
    fill(urls, 1, nulls=False, each=2)
    case: dict[str, Any] = {"sort": [], "filters": {}, "limit": None, "marker": "nobody"}
    with pytest.raises(errors.NotFound, match="marker nobody not found"):
        list_ours(urls[0], case)


@pytest.fixture(scope="module")
def mariadb_urls(mariadb_url: str) -> Iterator[list[str]]:
    names = ("list_api", "list_c0", "list_c1", "list_c2", "list_all", "list_placement")
    engine = sa.create_engine(mariadb_url)
    with engine.begin() as connection:
        for name in names:
            connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb3")
    urls = [mariadb_url.replace("/isthmus?", f"/{name}?") for name in names]
    ask(["tables", *urls], [])
    yield urls[:-1]
    with engine.begin() as connection:
        for name in names:
            connection.exec_driver_sql(f"DROP DATABASE {name}")
    engine.dispose()


def empty(urls: list[str]) -> None:
    for url in urls:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            there = sa.inspect(connection).get_table_names()
            connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 0")
            for table in ("instance_metadata", "instances", "instance_mappings", "cell_mappings"):
                if table in there:
                    connection.exec_driver_sql(f"DELETE FROM {table}")
            connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 1")
        engine.dispose()


@pytest.mark.db
def test_mariadb_rows_and_order_are_those_of_nova(mariadb_urls: list[str]) -> None:
    # What is locked by whom is an ENUM: a cell gives it by number, and Nova merges it by text.
    empty(mariadb_urls)
    compare(mariadb_urls, 4, count=25, without="locked_by")


@pytest.mark.db
def test_mariadb_null_and_collation(mariadb_urls: list[str]) -> None:
    empty(mariadb_urls)
    compare_nulls(mariadb_urls, 5, count=16, without="locked_by")
    case: dict[str, Any] = {"sort": [["locked_by", "desc"]], "filters": {}, "limit": None}
    whole = [one.values["uuid"] for one in list_ours(mariadb_urls[0], {**case, "marker": None})]
    for at in (0, len(whole) // 3, len(whole) // 2, len(whole) - 2):
        rest = list_ours(mariadb_urls[0], {**case, "marker": whole[at]})
        assert [one.values["uuid"] for one in rest] == whole[at + 1 :]
    empty(mariadb_urls)
    # Names that differ in case, in accents and in blanks at their end are equal there: the uuid
    # decides, over all cells.
    fill(mariadb_urls, 6, nulls=False, each=0)
    names = ["Web", "web", "wéb", "web ", "WEB\t", "x", "wz", "v", "web!", "ß", "ss", "s"]
    rows = [
        {"uuid": f"{number:036}", "display_name": name, "deleted": 0, "hidden": False}
        for number, name in enumerate(names * 3)
    ]
    random.Random(1).shuffle(rows)
    from tests.cells.draw_servers import insert

    for number, url in enumerate(mariadb_urls[1:4]):
        insert(url, "instances", rows[number::3])
    insert(mariadb_urls[4], "instances", rows)
    for direction in ("asc", "desc"):
        case = {
            "one": True,
            "sort": [["display_name", direction]],
            "filters": {},
            "limit": None,
            "marker": None,
        }
        (answer,) = ask_nova(mariadb_urls, [case])
        assert [one.values["uuid"] for one in list_ours(mariadb_urls[0], case)] == [
            one["uuid"] for one in answer
        ]
