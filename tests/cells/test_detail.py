"""`GET /servers/detail` with our list before Nova's API: Nova's own answers, field by field."""

import json
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.cells.draw_detail import fill_details
from tests.cells.test_numa import ask

ORACLE = Path(__file__).with_name("oracle_detail.py")
#: One for each change of what is shown, and the newest.
VERSIONS = (
    *("2.1", "2.3", "2.9", "2.16", "2.19", "2.26", "2.47", "2.63", "2.66", "2.69", "2.73", "2.75"),
    *("2.90", "2.96", "2.98", "2.100"),
)
ADMIN = {"project": "p9", "roles": ["admin", "reader"]}
MEMBER = {"project": "p1", "roles": ["member", "reader"]}
READER = {"project": "p2", "roles": ["reader"]}
NOBODY = {"project": "p1", "roles": []}
NAMES = ("d_api", "d_c0", "d_c1", "d_c2", "d_all", "d_placement")


class Asked:
    """Nova's API in a process of its own, with and without our list."""

    def __init__(self, urls: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(ORACLE), *urls[:2]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def say(self, **question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def ask(self, which: str, query: str = "", *, who: Any = ADMIN, **rest: Any) -> Any:
        """Ask; the newest microversion where nothing is said."""
        path = f"/servers/detail?{query}"
        return self.say(do="ask", which=which, path=path, who=who, **{"version": "2.100", **rest})

    def compare(self, query: str = "", **rest: Any) -> Any:
        """Hold ours against Nova's own; give Nova's."""
        nova, ours = (self.ask(one, query, **rest) for one in ("nova", "ours"))
        assert ours["status"] == nova["status"], (query, rest, ours, nova)
        rows, other = (one["body"].get("servers", []) for one in (ours, nova))
        assert [one["id"] for one in rows] == [one["id"] for one in other], (query, rest)
        for row, peer in zip(rows, other, strict=True):
            odd = {key: (row.get(key), peer.get(key)) for key in {*row, *peer}}
            assert {key: pair for key, pair in odd.items() if pair[0] != pair[1]} == {}, query
        assert ours == nova, (query, rest)
        return nova

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


#: The same once more, in minutes.
MARIADB = pytest.param("mariadb", marks=[pytest.mark.db, pytest.mark.stress])


@pytest.fixture(scope="module", params=["sqlite", MARIADB])
def urls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("detail")
        found = [f"sqlite:///{folder}/{name}.db" for name in NAMES]
        ask(["tables", *found], [])
        yield found[:-1]
        return
    url = request.getfixturevalue("mariadbd")
    engine = sa.create_engine(url)
    found = [url.replace("/isthmus?", f"/{name}?") for name in NAMES]
    with engine.begin() as connection:
        for name in NAMES:
            connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb3")
    ask(["tables", *found], [])
    yield found[:-1]
    with engine.begin() as connection:
        for name in NAMES:
            connection.exec_driver_sql(f"DROP DATABASE {name}")
    engine.dispose()


@pytest.fixture(scope="module")
def servers(urls: list[str]) -> list[str]:
    asked = Asked(urls)
    texts = asked.say(do="texts")
    asked.close()
    return fill_details(urls, 7, texts)


@pytest.fixture(scope="module")
def nova(urls: list[str], servers: list[str]) -> Iterator[Asked]:
    assert servers
    found = Asked(urls)
    yield found
    found.close()


def test_each_microversion_shows_what_nova_shows(nova: Asked) -> None:
    shown = set()
    for version in VERSIONS:
        others = ((MEMBER, ""), (READER, "")) if version in {"2.1", "2.73", "2.100"} else ()
        for who, query in ((ADMIN, "all_tenants=1"), *others):
            answer = nova.compare(query, who=who, version=version)
            assert answer["status"] == 200
            assert len(answer["body"]["servers"]) > 5
            shown |= {key for one in answer["body"]["servers"] for key in one}
    assert {
        "fault",
        "tags",
        "host_status",
        "security_groups",
        "trusted_image_certificates",
        "locked_reason",
        "pinned_availability_zone",
        "scheduler_hints",
        "OS-EXT-SRV-ATTR:user_data",
        "os-extended-volumes:volumes_attached",
    } < shown


def test_policy_is_novas(nova: Asked) -> None:
    assert nova.compare(who=NOBODY)["status"] == 403
    assert nova.compare("all_tenants=1", who=MEMBER)["status"] == 403
    other = nova.compare("tenant_id=p2", who=MEMBER)
    assert {one["tenant_id"] for one in other["body"]["servers"]} == {"p1"}


def test_what_is_asked_wrongly_is_refused_as_nova_does(nova: Asked) -> None:
    for query in ("status=odd", "sort_key=odd", "sort_dir=up", "limit=-1", "changes-since=x"):
        assert nova.compare(query)["status"] == 400, query
    assert nova.compare("marker=nobody")["status"] == 400
    assert nova.compare("limit=1", version="2.1000")["status"] == 406
    assert nova.compare("host=h1&sort_key=host", who=MEMBER)["status"] in {400, 403}
    assert nova.compare("flavor=nobody&all_tenants=1")["body"] == {"servers": []}


def test_drawn_filters_orders_and_pages_are_answered_as_nova_does(nova: Asked) -> None:
    dice = random.Random(3)
    filters = (
        *("", "host=h1", "status=ACTIVE", "status=ERROR", "status=SOFT_DELETED", "name=web"),
        *("name=%5Ea", "deleted=1", "tags=blue", "tags=blue,red", "tags-any=blue,red", "locked=1"),
        *("not-tags=blue", "flavor=1", "image=70a599e0-31e7-49b7-b260-868f441e862b", "user_id=u1"),
        *("changes-since=2026-01-01T00:02:00Z", "project_id=p1", "node=h2", "ip=10.0", "odd=1"),
        *("availability_zone=az1", "vm_state=active", "key_name=key", "hidden=1"),
    )
    keys = ("created_at", "display_name", "host", "vm_state", "uuid", "updated_at", "project_id")
    answered = 0
    for one in filters:
        sort = "".join(
            f"&sort_key={key}&sort_dir={dice.choice(('asc', 'desc'))}"
            for key in dice.sample(keys, dice.randint(0, 2))
        )
        query = f"all_tenants=1&limit={dice.choice((3, 7, 50))}{sort}&{one}"
        answer = nova.compare(query)
        if answer["status"] != 200:
            continue
        answered += 1
        found = answer["body"]["servers"]
        if found:
            nova.compare(f"{query}&marker={dice.choice(found)['id']}")
    assert answered > len(filters) / 2


def test_pages_are_one_list(nova: Asked) -> None:
    whole = [one["id"] for one in nova.ask("ours", "all_tenants=1")["body"]["servers"]]
    found: list[str] = []
    query = "all_tenants=1&limit=7"
    while query:
        page = nova.compare(query)["body"]
        found += [one["id"] for one in page["servers"]]
        query = "".join(one["href"].partition("?")[2] for one in page.get("servers_links", ()))
    assert found == whole
    assert len(found) > 50


def test_the_most_is_novas_own(nova: Asked) -> None:
    answer = nova.compare("all_tenants=1", max_limit=9)
    assert len(answer["body"]["servers"]) == 9
    assert answer["body"]["servers_links"]


def test_a_cell_that_hangs_costs_the_budget_and_its_servers_are_unknown(
    urls: list[str], servers: list[str]
) -> None:
    assert servers
    engine = sa.create_engine(urls[0])
    sql = "UPDATE cell_mappings SET database_connection = '{}' WHERE id = 3"
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hole:
        here = f"mysql+pymysql://nova@127.0.0.1:{hole.getsockname()[1]}/nova"
        with engine.begin() as connection:
            connection.exec_driver_sql(sql.format(here))
        nova = Asked(urls)
        try:
            nova.ask("ours", "limit=1", max_limit=1, budget=6)
            answer = nova.ask("ours", "all_tenants=1", budget=6, fresh=True)
            states = [one["status"] for one in answer["body"]["servers"]]
            # It is answered, though that cell never does: Nova's stubs, where Nova puts them, and
            # the servers of the others.
            unknown = states.count("UNKNOWN")
            assert unknown > 20
            assert set(states[:unknown]) == {"UNKNOWN"}
            assert len(states) > unknown + 30
            first = answer["body"]["servers"][0]
            own = {"id", "status", "tenant_id", "created", "links", "security_groups"}
            assert set(first) == own
            # Nobody knows where in a page they would be, and older clients know no stubs.
            page = nova.ask("ours", "all_tenants=1&limit=1000")
            assert "UNKNOWN" not in {one["status"] for one in page["body"]["servers"]}
            old = nova.ask("ours", "all_tenants=1", version="2.60")
            assert len(old["body"]["servers"]) == len(states) - unknown
            marker = nova.ask("ours", f"all_tenants=1&limit=5&marker={first['id']}")
            assert marker["status"] == 503
            assert "cell2, which does not answer" in json.dumps(marker["body"])
            other = next(one for one in answer["body"]["servers"] if one["tenant_id"] == "p1")
            told = nova.ask("ours", f"limit=5&marker={other['id']}", who=MEMBER)
            assert told["status"] == 503
            assert "does not answer" in json.dumps(told["body"])
            assert "cell2" not in json.dumps(told["body"])
        finally:
            nova.close()
            with engine.begin() as connection:
                connection.exec_driver_sql(sql.format(urls[3]))
    engine.dispose()
