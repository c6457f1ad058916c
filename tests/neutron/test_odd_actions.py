"""Whatever is said to an action of a resource, with a body or without: no answer is a failure."""

import http.client
import json
import uuid
import warnings
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Server, User, tenant
from tests.neutron.test_odd_bodies import paths, put

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.api.body import actions

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]

_MISSING = "a key that is not there"
_ODD: tuple[Any, ...] = (
    *(_MISSING, None, True, 2**63, "", "x", "\ud800", "10.0.0.0/99"),
    *([], {}, [None], [{}], {"": []}),
)
#: Whole bodies; the first is none at all.
_BODIES = (b"", b"{}", b"[]", b"7", b'"x"', b"null", b'{"x": []}', b"{")


def send(server: Server, path: str, data: bytes, user: User) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("PUT", f"/v2.0/{path}", data, user.headers())
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _emptied(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body with nothing in its lists."""
    return {
        name: _emptied(value)
        if isinstance(value, dict)
        else []
        if isinstance(value, list)
        else value
        for name, value in body.items()
    }


class World:
    """One of each resource that has actions."""

    def __init__(self, server: Server) -> None:
        self.user = tenant(uuid.uuid4().hex)
        make = server.create
        self.group = make("address_group", self.user, name="a", addresses=["192.0.2.1/32"])["id"]
        self.router = make("router", self.user, name="r")["id"]
        self.network = make("network", self.user, name="n")["id"]
        outside = make("network", ADMIN, name="x", **{"router:external": True})["id"]
        self.outside = outside
        self.outside_subnet = make(
            "subnet", ADMIN, network_id=outside, cidr="10.7.0.0/24", ip_version=4
        )["id"]
        self.subnet = make(
            "subnet", self.user, network_id=self.network, cidr="10.0.0.0/24", ip_version=4
        )["id"]
        self.ports = [make("port", self.user, network_id=self.network)["id"] for _ in range(2)]
        self.trunk = make("trunk", self.user, port_id=self.ports[0], sub_ports=[])["id"]
        self.pool = make("subnetpool", self.user, name="p", prefixes=["10.8.0.0/16"])["id"]

    def actions(self) -> dict[str, dict[str, Any]]:
        """Give the actions with a body that each takes, or refuses for what it means."""
        addresses = {"addresses": ["198.51.100.0/24"]}
        routes = {"router": {"routes": [{"destination": "10.9.0.0/24", "nexthop": "10.0.0.9"}]}}
        gateways = {
            "router": {
                "external_gateways": [
                    {
                        "network_id": self.outside,
                        "enable_snat": True,
                        "external_fixed_ips": [
                            {"ip_address": "10.7.0.77", "subnet_id": self.outside_subnet}
                        ],
                    }
                ]
            }
        }
        subports = {
            "sub_ports": [
                {"port_id": self.ports[1], "segmentation_type": "vlan", "segmentation_id": 7}
            ]
        }
        prefixes = {"prefixes": ["10.10.0.0/16"]}
        found: dict[str, dict[str, Any]] = {}
        for path, names, body in (
            (f"address-groups/{self.group}", "add_addresses remove_addresses", addresses),
            (
                f"routers/{self.router}",
                "add_router_interface remove_router_interface",
                {"subnet_id": self.subnet, "port_id": self.ports[1]},
            ),
            (f"routers/{self.router}", "add_extraroutes remove_extraroutes", routes),
            (
                f"routers/{self.router}",
                "add_external_gateways update_external_gateways remove_external_gateways",
                gateways,
            ),
            (f"trunks/{self.trunk}", "add_subports remove_subports", subports),
            (f"subnetpools/{self.pool}", "add_prefixes remove_prefixes", prefixes),
            (f"networks/{self.network}", "tags", {"tags": ["red", "blue"]}),
        ):
            first, *others = names.split()
            found[f"{path}/{first}"] = body
            # Their bodies have the same form: one is enough to go into it.
            found |= {f"{path}/{name}": _emptied(body) for name in others}
        return found


def find_failures(
    server: Server, path: str, body: dict[str, Any], user: User, odd_values: tuple[Any, ...]
) -> list[Any]:
    """Try each odd value in each place of a body, and bodies that are wrong as a whole."""
    # Neutron's own controller of tags fails without a body, and nothing of ours is in its way.
    tried = [body for body in _BODIES if body or not path.endswith("/tags")]
    for at in paths(body):
        tried += [json.dumps(put(body, at, odd)).encode() for odd in odd_values]
    failed = []
    for data in tried:
        status, text = send(server, path, data, user)
        if status >= 500:
            failed.append((data[:150], status, text[:120]))
    return failed


def check(server: Server, odd_values: tuple[Any, ...]) -> None:
    """Try every action."""
    world = World(server)
    failed = {
        path.partition("/")[0] + "/" + path.rpartition("/")[2]: found
        for path, body in world.actions().items()
        # Only an administrator says where SNAT is.
        if (found := find_failures(server, path, body, ADMIN, odd_values))
    }
    assert not failed, "\n".join(f"{name} {one}" for name, some in failed.items() for one in some)


def test_at_central(central: CentralServer) -> None:
    check(central, _ODD)


def test_at_a_site(site1: LocalServer) -> None:
    """With what is the site's own; the same code looks at it."""
    check(site1, (_MISSING, None, [None]))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("198.51.100.7", "198.51.100.7/32"),
        ("198.51.100.7/24", "198.51.100.0/24"),
        ("::1", "::1/128"),
    ],
)
def test_what_neutron_takes_is_taken(central: CentralServer, said: str, kept: str) -> None:
    user = tenant(uuid.uuid4().hex)
    path = f"/v2.0/address-groups/{central.create('address_group', user, name='a')['id']}"
    for action, expected in (("add_addresses", [kept]), ("remove_addresses", [])):
        reply = central.call("PUT", f"{path}/{action}", {"addresses": [said]}, user)
        assert reply.only()["addresses"] == expected


@pytest.mark.parametrize(
    ("action", "body", "wrong"),
    [
        ("add_addresses", None, "None is not an object"),
        ("add_addresses", {"address_group": {"addresses": []}}, "'addresses' is missing"),
        ("add_addresses", {"addresses": "::1"}, "'addresses': '::1' is not a list"),
        (
            "add_addresses",
            {"addresses": ["::1", 7]},
            "'addresses': 7 is not an address or a network",
        ),
        ("add_addresses", {"addresses": ["::1"], "router": 7}, "'router': 7 is not an object"),
        ("add_extraroutes", {"router": {}}, "'router': 'routes' is missing"),
        ("remove_extraroutes", {"router": {"routes": []}}, ""),
        ("remove_extraroutes", {"router": {"routes": [{"destination": "x", "nexthop": "y"}]}}, ""),
        ("add_router_interface", {}, ""),
        ("add_external_gateways", {"router": {}}, ""),
        ("remove_external_gateways", {"router": {"external_gateways": {}}}, ""),  # openstackclient
        ("remove_prefixes", {}, ""),
        ("add_subports", {"sub_ports": [{"segmentation_id": "x"}]}, ""),
    ],
)
def test_what_is_wrong_is_said(action: str, body: Any, wrong: str) -> None:
    """And what Neutron takes, or refuses by itself, is left to it."""
    assert actions.find_wrong(action, "router", body) == wrong
