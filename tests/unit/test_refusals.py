"""Which answers of an API are written down, with who and what."""

import types
from typing import Any

import pytest

from isthmus.neutron.api import refusals


def environ(roles: str, method: str, path: str, *, own: bool = True) -> dict[str, Any]:
    return {
        "HTTP_X_ROLES": roles,
        "HTTP_X_USER_ID": "u1",
        "HTTP_X_USER_NAME": "somebody",
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "/v2.0",
        "PATH_INFO": path,
        "REMOTE_ADDR": "192.0.2.1",
        "openstack.request_id": "req-1",
        "neutron.context": types.SimpleNamespace(is_service_role=own),
    }


@pytest.mark.parametrize(
    ("roles", "method", "path", "status", "own", "verdict"),
    [
        ("isthmus_site", "POST", "/site-reports", 201, True, ""),
        ("isthmus_site", "POST", "/site-reports", 404, True, "refused"),
        ("isthmus_site", "GET", "/ports", 200, True, "unexpected"),
        ("isthmus_site", "GET", "/extensions/isthmus", 200, True, ""),
        ("isthmus_site", "GET", "/extensions/isthmus", 503, True, "refused"),
        ("isthmus_carrier", "GET", "/extensions/isthmus-local", 200, True, ""),
        ("isthmus_site", "GET", "/extensions", 200, True, "unexpected"),
        ("isthmus_site", "PUT", "/extensions/isthmus", 200, True, "unexpected"),
        ("isthmus_carrier", "GET", "/site-holdings", 200, True, "unexpected"),
        ("isthmus_reader", "GET", "/site-holdings", 200, True, ""),
        ("service", "GET", "/ports", 200, True, ""),
        ("service", "GET", "/ports", 200, False, "unexpected"),
        ("service", "GET", "/ports/x", 404, True, "refused"),
        ("member,reader", "GET", "/ports/x", 404, True, ""),
        ("member,reader", "GET", "/sites/x", 404, True, "refused"),
        ("member,reader", "PUT", "/ports/x", 403, True, "refused"),
        ("", "GET", "/ports", 401, True, "refused"),
    ],
)
def test_what_is_written_down(
    roles: str, method: str, path: str, status: int, own: bool, verdict: str
) -> None:
    assert refusals.find_verdict(environ(roles, method, path, own=own), status) == verdict


def test_a_line_says_who_and_what() -> None:
    line = refusals.render_line(environ("service", "GET", "/ports/x"), 404, "no\nsuch port")
    assert line == (
        "user=u1 name=somebody roles=service request=req-1 from=192.0.2.1: "
        "GET /v2.0/ports/x -> 404 no such port"
    )


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("/networks", "", ""),
        ("/networks/\xc3\xa9", "name=%C3%A9&name=a+b&%F0%9F%98%80", ""),
        ("/networks", "name=%", ""),  # no %XX: it stands for itself
        ("/networks/\xff", "", "path"),
        ("/networks", "name=%ff", "query string"),
        ("/networks", "%ff=1", "query string"),
        ("/networks", "name=\xff", "query string"),
        ("/networks", "name=%ed%a0%80", "query string"),
        ("/networks", "name=%C3", "query string"),
    ],
)
def test_which_addresses_can_be_read(path: str, query: str, said: str) -> None:
    asked = environ("", "GET", path) | {"QUERY_STRING": query}
    found = refusals.find_unreadable(asked)
    assert found.startswith(f"the {said} of the request is not UTF-8: ") if said else found == ""
