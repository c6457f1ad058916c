"""What a site names in one registration may be longer than a call: it comes in parts."""

import hashlib
import ipaddress
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from keystoneauth1 import noauth, session
from tests.neutron.central_server import CentralServer
from tests.neutron.server import Reply, site_user
from tests.neutron.test_after_restore import settle
from tests.neutron.test_central_report import Stretched
from tests.neutron.test_registration import (
    known_as,
    own_site_epoch,
    register,
    restored,
)
from tests.neutron.wan import Wan

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.clients.http.transport import Timeouts, bound
from isthmus.store.sql.tables import NAMED_NUMBERS, NAMED_PORTS, REGISTRATION_PARTS
from isthmus.store.tiers import parts

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]

#: What no call may be larger than (`docs/explanation/trust.md`).
MOST_BODY = 8 * 2**20


@pytest.fixture
def wan(central: CentralServer) -> Iterator[Wan]:
    link = Wan(lambda: central.port, site_user("site1"))
    yield link
    link.close()


def open_client(wan: Wan) -> CentralClient:
    made = session.Session(auth=noauth.NoAuth(endpoint=wan.url))
    bound(made, Timeouts(read_s=240))
    return CentralClient(made, endpoint=wan.url)


def name_all(central: CentralServer, net: Stretched, count: int) -> dict[str, Any]:
    """Give a registration that names so many ports of its own and of another site."""
    network, subnet = net.network["id"], net.subnet["id"]
    zero = int(ipaddress.ip_network(net.subnet["cidr"]).network_address)
    ports = [str(uuid.uuid4()) for _ in range(count)]
    places = range(count) if count < 200 else ()
    return {
        "life": None,
        "heard": 0,
        "proof": None,
        **known_as(central, "site1"),
        "leases": [],
        "datapaths": {},
        "ports": ports,
        "addresses": {subnet: [(place, str(zero + 9 + place)) for place in places]},
        "shadows": [
            ("site2", str(uuid.uuid4()), network, 7, [str(zero + 250)]) for _ in range(count)
        ],
        "holdings": {"port": ports},
    }


def kept(central: CentralServer) -> int:
    with central.database() as connection:
        query = sa.select(sa.func.count()).select_from(REGISTRATION_PARTS)
        return int(connection.scalar(query) or 0)


def count(central: CentralServer, table: sa.Table) -> int:
    with central.database() as connection:
        query = sa.select(sa.func.count()).select_from(table).where(table.c.site == "site1")
        return int(connection.scalar(query) or 0)


def test_a_registration_longer_than_any_call(central: CentralServer, wan: Wan) -> None:
    net = Stretched(central)
    register(central, "site1")
    with restored(central):
        body = name_all(central, net, 46_000)
        assert len(json.dumps(body)) > MOST_BODY
        client = open_client(wan)
        answer = client.register(body)
        assert (answer["register"], answer["void"]) == (False, [])
        assert client.calls > len(json.dumps(body)) / 2**20
        assert count(central, NAMED_PORTS) == len(body["ports"])
        # An address and a key of each.
        assert count(central, NAMED_NUMBERS) == 2 * len(body["shadows"])
        assert kept(central) == 0
    settle(central)
    assert count(central, NAMED_NUMBERS) == 0


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_link_that_fails_between_parts(
    central: CentralServer, wan: Wan, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Each part, and the last call, lost on its way there or back: the site says all again."""
    monkeypatch.setattr("isthmus.clients.http.central._MOST_TEXT", 1000)
    net = Stretched(central)
    register(central, "site1")
    calls = 0
    fails_at: int | None = None

    def passes() -> bool:
        nonlocal calls
        calls += 1
        return fails_at is None or calls != fails_at + (lost == "answer")

    monkeypatch.setattr(wan, "passes", passes)
    with restored(central):
        client = open_client(wan)
        body = name_all(central, net, 20)
        before = own_site_epoch(central, "site1")
        for turn in range(1, 200, 2):  # each call passes there and back
            calls, fails_at = 0, turn
            body["epoch"] = before + turn
            failed = False
            try:
                client.register(body)
            except errors.Transient:
                failed = True
            if not failed:
                break
            client.breaker.succeeded()
            fails_at = None
            answer = client.register(body)
            assert (answer["register"], answer["void"]) == (False, []), answer
            assert count(central, NAMED_PORTS) == 20
        assert calls > 8, "it had parts"
    assert kept(central) == 0
    settle(central)


def send(central: CentralServer, site: str = "site1", **said: Any) -> Reply:
    body = {"site_registration": {"epoch": 1, **said}}
    return central.call("POST", "/v2.0/site-registrations", body, site_user(site))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_parts_that_are_not_all_there_register_nothing(central: CentralServer) -> None:
    text = json.dumps({"leases": [], "ports": []})
    whole = digest(text)
    said = {**known_as(central, "site2"), "parts": {"digest": whole, "count": 2}}
    for number, piece in ((1, text[9:]), (0, "something else")):
        assert send(central, "site2", **said).status == 503
        part = {"digest": whole, "number": number, "text": piece}
        assert send(central, "site2", part=part).status == 201
    assert send(central, "site2", **said).status == 503
    # Nor are another site's taken for them.
    assert send(central, part={**part, "text": text[:9]}).status == 201
    assert send(central, "site2", **said).status == 503
    assert send(central, "site2", part={**part, "text": text[:9]}).status == 201
    assert send(central, "site2", **said).status == 201


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"epoch": 7}',
        '{"leases": 7}',
        '{"ports": "\\ud800"}',
        '{"leases": []} 7',
        '{"leases": ' + "[" * 200 + "]" * 200 + "}",
        '{"leases": [' + "[]," * 340_000 + "[]]}",
    ],
)
def test_parts_of_what_is_no_registration(central: CentralServer, text: str) -> None:
    """They are refused as the same in one call would be."""
    pieces = [text[start : start + 2**20] for start in range(0, len(text), 2**20)] or [""]
    for number, piece in enumerate(pieces):
        part = {"digest": digest(text), "number": number, "text": piece}
        assert send(central, part=part).status == (201 if piece else 400)
    if text:
        said = {"digest": digest(text), "count": len(pieces)}
        assert send(central, **known_as(central, "site1"), parts=said).status == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"digest": "x"},
        {"digest": "\ud800" * 64},
        {"digest": None},
        {"digest": "A" * 64},
        {"number": -1},
        {"number": parts.MOST_PARTS},
        {"number": True},
        {"number": "1"},
        {"number": 1e400},
        {"text": ""},
        {"text": 7},
        {"text": "\u00e9"},
        {"text": "\ud800"},
        {"text": "x" * (parts.MOST_TEXT + 1)},
    ],
)
def test_what_is_no_part(central: CentralServer, wrong: Any) -> None:
    fine = {"digest": "a" * 64, "number": 0, "text": "x"}
    assert send(central, part={**fine, **wrong}).status == 400


@pytest.mark.parametrize("name", ["part", "parts"])
@pytest.mark.parametrize("wrong", [[], 7, "x", {}])
def test_what_is_no_object(central: CentralServer, name: str, wrong: Any) -> None:
    assert send(central, **{name: wrong}).status == 400


def test_a_site_keeps_central_from_nothing_by_what_it_never_finishes(
    central: CentralServer, tmp_path: Path
) -> None:
    """Its oldest texts go; those of others stay."""
    other = {"digest": "f" * 64, "number": 0, "text": "x"}
    assert send(central, "site2", part=other).status == 201
    site1 = REGISTRATION_PARTS.c.site == "site1"
    with central.database(write=True) as connection:
        connection.execute(sa.delete(REGISTRATION_PARTS).where(site1))
        rows = [
            {"site": "site1", "digest": f"{text:064x}", "number": 0, "turn": text, "text": "x"}
            for text in range(parts.MOST_KEPT)
        ]
        connection.execute(sa.insert(REGISTRATION_PARTS), rows)
    for number in range(3):
        part = {"digest": "b" * 64, "number": number, "text": "y"}
        assert send(central, part=part).status == 201
    with central.database() as connection:
        query = sa.select(REGISTRATION_PARTS.c.digest).where(site1)
        found = sorted(connection.scalars(query))
        assert len(found) == parts.MOST_KEPT
        assert found[-3:] == ["b" * 64] * 3
        assert found[0] == f"{3:064x}"
    register(central, "site1", epoch=own_site_epoch(central, "site1") + 1)
    with central.database(write=True) as connection:
        assert set(connection.scalars(sa.select(REGISTRATION_PARTS.c.site))) == {"site2"}
        connection.execute(sa.delete(REGISTRATION_PARTS))
