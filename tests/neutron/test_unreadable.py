"""Requests whose text is no text are refused with a reason, by stock resources as by ours."""

import socket

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Server

pytestmark = pytest.mark.neutron

#: By each of the ways in which Neutron serves a resource: its own, extensions', and ours.
PATHS = ("networks", "security-groups", "routers", "qos/policies", "sites", "site-holdings")
ADDRESSES = (
    "?name=%ff",
    "?%ff=1",
    "?fields=%ff",
    "?limit=%ff",
    "?name=%ed%a0%80",
    "/%ff",
    "/%C3%28?name=x",
)


def status_of(server: Server, method: str, path: str, body: bytes = b"") -> int:
    """Give the status of a request that no client library would send."""
    headers = {**ADMIN.headers(), "Host": "tier", "Connection": "close"}
    headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{method} /v2.0/{path} HTTP/1.1", *(f"{key}: {headers[key]}" for key in headers)]
    with socket.create_connection(("127.0.0.1", server.port), server.call_timeout_s) as to:
        to.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        with to.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def test_an_address_that_is_not_utf8(central: CentralServer, site1: LocalServer) -> None:
    for server in (central, site1):
        found = {
            f"{path}{address}": status_of(server, "GET", f"{path}{address}")
            for path in PATHS
            for address in ADDRESSES
        }
        assert {path: status for path, status in found.items() if status != 400} == {}


def test_the_answer_says_what_is_wrong(central: CentralServer) -> None:
    reply = central.call("GET", "/v2.0/networks?name=%ff")
    assert reply.refusal() == (400, "isthmus.refused.invalid")
    assert "query string of the request is not UTF-8: b'\\xff'" in reply.text.replace("\\\\", "\\")


def test_an_address_in_utf8_is_served(central: CentralServer) -> None:
    network = central.create("network", name="Süd €")
    for name in ("S%C3%BCd%20%E2%82%AC", "S%C3%BCd+%E2%82%AC"):
        (found,) = central.call("GET", f"/v2.0/networks?name={name}").only()
        assert found["id"] == network["id"]


def test_a_body_that_is_no_text(central: CentralServer, site1: LocalServer) -> None:
    texts = (b"\xff", b"\\ud800", b"\xed\xa0\x80")
    for server in (central, site1):
        for attribute in (b"name", b"description"):
            for text in texts:
                body = b'{"network": {"%s": "%s"}}' % (attribute, text)
                assert status_of(server, "POST", "networks", body) == 400, body
        assert status_of(server, "POST", "networks", b"\xff") == 400
    for text in texts:
        body = b'{"site": {"name": "s", "description": "%s"}}' % text
        assert status_of(central, "POST", "sites", body) == 400, body
