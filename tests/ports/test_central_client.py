"""The client of central against a real HTTP server on loopback."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from oslo_config import cfg
from typing_extensions import override

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.clients.http.transport import Timeouts, open_session
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.testing.until import until


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, Any]] = []
        self.status = 201
        self.root_status = 200
        self.answer: Any = {}
        self.refusals: list[tuple[int, Any]] = []  #: given before the answer
        self.silent = threading.Event()
        self.release = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body))
        if self.server.silent.is_set():
            self.server.release.wait(60)
        if self.server.refusals:
            self._answer(*self.server.refusals.pop())
            return
        self._answer(self.server.status, self.server.answer)

    def do_GET(self) -> None:
        self.server.seen.append((self.path, None))
        self._answer(self.server.root_status, {"versions": []})

    def _answer(self, status: int, answer: Any) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    @override
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.release.set()
    made.shutdown()
    made.server_close()
    thread.join()


def _client(server: _Server, person: str | None = None, **timeouts: Any) -> CentralClient:
    conf = cfg.ConfigOpts()
    conf([])
    url = f"http://127.0.0.1:{server.server_address[1]}"
    auth_session = open_session(conf, "isthmus", Timeouts(**timeouts), endpoint=url)
    return CentralClient(auth_session, endpoint=url, person=lambda: person)


def test_a_bundle_comes_as_items(server: _Server) -> None:
    item = Item(ResourceType.NETWORK, "n", {"id": "n"})
    server.answer = {"site_bundle": {"items": [item.to_dict()]}}
    client = _client(server)
    bundle = client.ask_bundle("network", ["n"])
    assert bundle.items == [item]
    assert bundle.refused == {}
    assert server.seen == [
        (
            "/v2.0/site-bundles",
            {
                "site_bundle": {
                    "type": "network",
                    "ids": ["n"],
                    "show_only": False,
                }
            },
        )
    ]
    assert client.calls == 1


@pytest.mark.parametrize("has_registered", [True, False])
def test_a_call_that_overtakes_the_registration_is_made_again(
    server: _Server, has_registered: bool
) -> None:
    """Central has recorded the site's registration, and its answer is still on its way."""
    said = {"type": errors.Unregistered.code, "message": "register first", "detail": ""}
    server.refusals = [(503, {"NeutronError": said})]
    server.answer = {"site_bundle": {"items": []}}
    client = _client(server)
    incarnation = ["/1"]
    client.incarnation = lambda: incarnation[0]

    def register(wait: bool) -> bool:
        assert wait
        incarnation[0] = "row/1"
        return has_registered

    client.when_unregistered = register
    if has_registered:
        assert client.ask_bundle("network", ["n"]).items == []
    else:
        with pytest.raises(errors.Unregistered):
            client.ask_bundle("network", ["n"])
    calls = [body["site_bundle"]["incarnation"] for _, body in server.seen]
    assert calls == ["/1", "row/1"][: 1 + has_registered]


def test_a_call_is_not_made_again_as_another_incarnation_where_it_rests_on_one(
    server: _Server,
) -> None:
    """What an earlier database had set aside, the one that was put in its place may use."""
    said = {"type": errors.Unregistered.code, "message": "register first", "detail": ""}
    server.refusals = [(503, {"NeutronError": said})] * 2
    client = _client(server)
    client.incarnation = lambda: "row/2.new"
    client.when_unregistered = lambda _wait: True
    with pytest.raises(errors.Unregistered):
        client.request_leases("subnet", "s", give_back=["lease"], speaks="row/1.old")
    calls = [body["site_lease_request"]["incarnation"] for _, body in server.seen]
    assert calls == ["row/1.old"] * 2


def test_what_is_not_to_be_had_here_comes_with_its_reason(server: _Server) -> None:
    no = {"id": "n", "code": errors.Conflict.code, "message": "for zone b only"}
    server.answer = {"site_bundle": {"items": [], "refused": [no]}}
    bundle = _client(server).ask_bundle("network", ["n"])
    assert isinstance(bundle.refused["n"], errors.Conflict)
    assert bundle.refused["n"].message == "for zone b only"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (403, errors.Refused),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (503, errors.Busy),
        (418, errors.ProtocolError),
    ],
)
def test_a_refusal_keeps_its_sentence(
    server: _Server, status: int, kind: type[errors.IsthmusError]
) -> None:
    server.status = status
    server.answer = {
        "NeutronError": {"type": "X", "message": "10.0.0.9 belongs to b", "detail": ""}
    }
    with pytest.raises(kind, match=r"10\.0\.0\.9 belongs to b"):
        _client(server).request_leases("subnet", "s", address="10.0.0.9")


def test_one_of_our_own_errors_comes_back_as_itself(server: _Server) -> None:
    server.status = 409
    server.answer = {"NeutronError": {"type": errors.Exhausted.code, "message": "all gone"}}
    with pytest.raises(errors.Exhausted, match="all gone"):
        _client(server).request_leases("subnet", "s", count=1)


def test_an_answer_of_another_form_is_a_protocol_error(server: _Server) -> None:
    server.answer = {"site_report": {"results": [{"type": "port"}]}}
    with pytest.raises(errors.ProtocolError):
        _client(server).send_reports([Item(ResourceType.PORT, "p", None)], sequence=1)
    server.answer = ["what"]
    with pytest.raises(errors.ProtocolError):
        _client(server).send_reports([Item(ResourceType.PORT, "p", None)], sequence=1)


def test_after_one_silence_a_tenant_is_answered_without_a_call(server: _Server) -> None:
    server.silent.set()
    client = _client(server, read_s=0.2)
    with pytest.raises(errors.TimedOut):
        client.ask_bundle("network", ["n"])
    with pytest.raises(errors.Unreachable, match="cannot be reached"):
        client.ask_bundle("network", ["n"])
    until(lambda: server.seen, what="the first call is read")
    assert len(server.seen) == 1


@pytest.mark.parametrize("root_status", [200, 404])
def test_a_ping_closes_the_breaker(server: _Server, root_status: int) -> None:
    server.root_status = root_status  # behind a proxy there may be nothing
    now = [0.0]
    client = _client(server)
    client.breaker._clock = lambda: now[0]
    client.breaker.failed("cut")
    with pytest.raises(errors.Unreachable):
        client.ping()
    now[0] += 60
    client.ping()
    server.answer = {"site_lease_request": {"leases": []}}
    assert client.request_leases("subnet", "s", count=1).leases == []


def test_a_clock_that_is_set_back_holds_no_call(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = _client(server)
    server.answer = {"site_lease_request": {"leases": []}}
    slept: list[float] = []
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86400)
    monkeypatch.setattr(time, "sleep", slept.append)
    assert client.request_leases("subnet", "s", count=1).leases == []
    assert max(slept, default=0.0) < 60


def test_nobody_listens() -> None:
    made = _Server()
    made.server_close()
    with pytest.raises(errors.Unreachable):
        _client(made).request_leases("subnet", "s", count=1)


def test_what_a_person_may_see_is_asked_with_the_very_query(server: _Server) -> None:
    nobodys, client = _client(server), _client(server, person="token")
    assert nobodys.list_shown("/v2.0/networks", [("name", "a b")]) is None
    assert server.seen == []
    query = [("name", "a b"), ("router:external", "True")]
    assert client.list_shown("/v2.0/networks", query) == []
    assert server.seen == [("/v2.0/networks?name=a+b&router%3Aexternal=True", None)]
