"""Whatever JSON comes in: it is refused with a reason, and nothing behind it fails."""

import copy
import http.client
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import CARRIER, OnBehalf, Server, User, carrier, site_user, tenant
from tests.neutron.test_central_report import Stretched, item

from isthmus.clients.http.neutron import collection_path

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]

_MISSING = "a key that is not there"
#: Written into the JSON as a list in a list, so many deep.
_DEEP = {"@200@": 200, "@9999@": 9_999}
_ODD: tuple[Any, ...] = (
    _MISSING,
    *_DEEP,
    *(None, True, 0, -1, 0.5, 2**63, 10**60, float("inf")),
    *("", "x", "\0", "\ud800", "²", "x" * 3000),
    *([], {}, [None], [[]], [{}], {"": []}),
)
#: For what is within an item, of which each costs a transaction or more.
_ODD_VALUES: tuple[Any, ...] = (_MISSING, None, 7, [None])


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List the ways to what a body is made of, but for the whole."""
    inner: list[tuple[Any, Any]] = list(value.items()) if isinstance(value, dict) else []
    if isinstance(value, list):
        inner = list(enumerate(value))
    for name, one in inner:
        yield (*at, name)
        yield from paths(one, (*at, name))


def put(body: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """Put an odd value into a copy of a body."""
    body = copy.deepcopy(body)
    inner = body
    for name in path[:-1]:
        inner = inner[name]
    if isinstance(odd, str) and odd == _MISSING:
        del inner[path[-1]]
    else:
        inner[path[-1]] = odd
    return body


def post(server: Server, resource: str, body: Any, user: User | OnBehalf) -> tuple[int, str]:
    text = json.dumps({resource: body})
    for word, depth in _DEEP.items():
        text = text.replace(f'"{word}"', "[" * depth + "]" * depth)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        path = collection_path(resource)
        connection.request("POST", path, text, user.headers())
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def find_failures(
    server: Server, resource: str, body: dict[str, Any], user: User | OnBehalf
) -> list[tuple[Any, ...]]:
    """Try a body with each odd value in each place."""
    assert post(server, resource, body, user)[0] == 201
    failed = []
    for path in paths(body):
        for odd in _ODD:
            status, text = post(server, resource, put(body, path, odd), user)
            if status >= 500:
                failed.append((path, repr(odd)[:40], text[:200]))
    return failed


def bodies(net: Stretched) -> dict[str, tuple[str, dict[str, Any], User | OnBehalf]]:
    network, subnet, one = net.network["id"], net.subnet["id"], str(uuid.uuid4())
    return {
        "desired states": (
            "site_desired_state",
            {"site": "site1", "keys": [{"type": "network", "id": network}]},
            CARRIER,
        ),
        "digests": (
            "site_digest",
            {"site": "site1", "type": "port", "after": "", "attributes": ["name"]},
            CARRIER,
        ),
        "lease requests": (
            "site_lease_request",
            {
                "kind": "subnet",
                "pool_id": subnet,
                "count": 1,
                "address": "10.0.0.9",
                "give_back": [{"lease": one, "first": "1", "last": "2"}],
                "resting": [{"number": "1", "port": one}],
                "answered": [one],
            },
            site_user("site1"),
        ),
        "bundles": (
            "site_bundle",
            {"type": "network", "ids": [network], "show_only": False},
            OnBehalf(tenant(net.project), site_user("site1")),
        ),
        "MACs": (
            "site_bundle",
            {
                "type": "network",
                "ids": [network],
                "mac_address": "fa:16:3e:00:00:01",
                "port_id": one,
            },
            site_user("site1"),
        ),
    }


@pytest.mark.parametrize("call", ["desired states", "digests", "lease requests", "bundles", "MACs"])
def test_odd_json_is_no_failure(central: CentralServer, call: str) -> None:
    resource, body, user = bodies(Stretched(central))[call]
    assert find_failures(central, resource, body, user) == []


@pytest.mark.parametrize("home", ["\ud800", "", "two words", 3, None])
def test_a_shadow_is_of_a_site(central: CentralServer, home: Any) -> None:
    one = str(uuid.uuid4())
    body = {"epoch": 1, "shadows": [[home, one, one, 9, ["5"]]]}
    assert post(central, "site_registration", body, site_user("site1"))[0] == 400


@pytest.mark.parametrize("key", [10**60, -1, 1 << 15, "x", None, [], 1e400])
def test_a_shadow_has_the_key_of_a_port(central: CentralServer, key: Any) -> None:
    """One with more digits than its column has is an error of MariaDB's."""
    one = str(uuid.uuid4())
    body = {"epoch": 1, "shadows": [["site2", one, one, key, ["5"]]]}
    assert post(central, "site_registration", body, site_user("site1"))[0] == 400


def test_a_first_report_that_lacks_something(central: CentralServer) -> None:
    """It is refused with what it lacks, or taken; the next item of the batch is."""
    net = Stretched(central)
    whole = net.port(**{"isthmus:location": None, "fixed_ips": []})
    for name in set(whole) - {"id"}:
        one, fine = (
            {**whole, **net.port(), "fixed_ips": [], "isthmus:location": None} for _ in range(2)
        )
        del one[name]
        lacks, taken = central.report("site1", item(one), item(fine))
        assert taken["code"] == "", (name, taken)
        assert lacks["code"] in ("", "isthmus.refused.invalid"), (name, lacks)
        assert not lacks["code"] or name in lacks["message"], (name, lacks)


@pytest.mark.stress
def test_odd_json_at_a_site(central: CentralServer, site1: LocalServer) -> None:
    """What is wrong with one item is no matter of the others."""
    net, xjob, one = Stretched(central), carrier("site1"), str(uuid.uuid4())
    page = {"type": "network", "after": "", "until": "", "digest": "", "digests": {one: ""}}
    assert find_failures(site1, "site_comparison", page, xjob) == []
    group = central.create("security_group", net.user, name="g")["id"]
    address = central.create("address_group", net.user, name="a", addresses=["192.0.2.1/32"])["id"]
    central.bundle("site1", "security_group", group, project=net.project)
    named = [("security_group", group), ("network", net.network["id"])]
    items = central.wanted("site1", *named, ("subnet", net.subnet["id"]))
    items.append({"type": "address_group", "id": address, "state": {"id": address}})
    batch = {"sequence": site1.next_sequence(), "items": [{**items[0], "state": None}]}
    assert find_failures(site1, "site_apply", batch, xjob) == []
    fine = items[0]
    for whole in items[1:]:
        for name in whole["state"]:
            for odd in _ODD_VALUES:
                item = put({**whole, "id": one}, ("state", name), odd)
                codes = site1.apply(item, fine)
                assert codes[fine["id"]] == "", (whole["type"], name, odd, codes)
