"""Clients of another tier against one that is hostile: nothing is followed or awaited for ever."""

import gzip
import json
import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from keystoneauth1 import exceptions, noauth, session
from keystoneauth1.identity import v3
from oslo_config import cfg

from isthmus import errors
from isthmus.clients.http import central_link, lab_cloud
from isthmus.clients.http.breaker import LAST_PROBE_S, Breaker
from isthmus.clients.http.central import CentralClient
from isthmus.clients.http.cloud import PersonalCloud
from isthmus.clients.http.neutron import NeutronClient
from isthmus.clients.http.transport import MIB, Timeouts, bound, hasty, open_session, patient

Answer = Callable[[socket.socket, threading.Event], None]
SHORT = Timeouts(connect_s=0.2, read_s=0.4, most_bytes=MIB)
#: Where an answer comes: on a busy machine it takes its time.
PATIENT = Timeouts(connect_s=30.0, read_s=60.0, most_bytes=MIB)
SOON = Timeouts(connect_s=1.0, read_s=3.0, most_bytes=MIB)
TOKEN = "the-token-of-a-carrier"


class Hostile:
    """Listens on loopback, reads a request and answers as it likes."""

    def __init__(self, answer: Answer) -> None:
        self.heard: list[str] = []
        self.over = threading.Event()
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self.over.is_set():
                sock.close()
                return
            self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                self.heard.append(_read_request(sock))
                self._answer(sock, self.over)
            except OSError:
                pass  # the client hung up

    def close(self) -> None:
        self.over.set()
        socket.create_connection(self._listener.getsockname()).close()
        for thread in self._threads:
            thread.join()
        self._listener.close()


def _read_request(sock: socket.socket) -> str:
    """Read all of a request: what is left unread would reset the connection."""
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if end and len(body) >= int(length[1] if length else 0):
            return data.decode()
        data += sock.recv(65536)


@pytest.fixture
def hostile() -> Iterator[Callable[[Answer], Hostile]]:
    made: list[Hostile] = []

    def make(answer: Answer) -> Hostile:
        made.append(Hostile(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


def say(text: str | bytes) -> Answer:
    data = text.encode() if isinstance(text, str) else text
    return lambda sock, _: sock.sendall(data)


def client(url: str, tmp_path: Path, timeouts: Timeouts = PATIENT) -> NeutronClient:
    """Open the client that Xjob has, with a token of its own."""
    file = tmp_path / "x.conf"
    file.write_text(f"[g]\nauth_type = admin_token\nendpoint = {url}\ntoken = {TOKEN}\n")
    conf = cfg.ConfigOpts()
    conf(args=[], default_config_files=[str(file)], default_config_dirs=[])
    return NeutronClient(open_session(conf, "g", timeouts), name="site1", region="", endpoint=url)


def test_a_registration_is_waited_for(hostile: Callable[[Answer], Hostile]) -> None:
    """Central looks at all that the site has: one that gave up would begin again for ever."""
    answer = {"registration": "r", "epoch": 1, "restored": False, "register": False}
    answer |= {"heard": 1, "proof": "p", "seen": 0, "void": [], "leases": []}
    text = json.dumps({"site_registration": {**answer, "port_keys": [], "aside": []}})
    late = threading.Event()

    def slow(sock: socket.socket, over: threading.Event) -> None:
        late.wait(3 * SHORT.total_s)
        say(f"HTTP/1.1 201 Created\r\nContent-Length: {len(text)}\r\n\r\n{text}")(sock, over)

    made = session.Session(auth=noauth.NoAuth(endpoint=(server := hostile(slow)).url))
    bound(made, SHORT)
    central = CentralClient(made, endpoint=server.url)
    assert central.register({"epoch": 1, "leases": []})["registration"] == "r"
    with pytest.raises(errors.Transient):
        central.register({"epoch": 1, "leases": None})
    late.set()


def _open_central(url: str, timeouts: Timeouts = PATIENT) -> CentralClient:
    made = session.Session(auth=noauth.NoAuth(endpoint=url))
    bound(made, timeouts)
    return CentralClient(made, endpoint=url)


def test_a_report_is_waited_for_and_sent_once(hostile: Callable[[Answer], Hostile]) -> None:
    """A busy central takes longer over it than over what people ask, which are answered beside."""
    text = json.dumps({"site_report": {"results": []}})
    late = threading.Event()

    def slow(sock: socket.socket, over: threading.Event) -> None:
        if "site-reports" in server.heard[-1]:
            late.wait(3 * SHORT.total_s)
        say(f"HTTP/1.1 201 Created\r\nContent-Length: {len(text)}\r\n\r\n{text}")(sock, over)

    central = _open_central((server := hostile(slow)).url, SHORT)
    assert central.send_reports([], sequence=1) == []
    assert len(server.heard) == 1
    assert not central.breaker.open
    late.set()


@pytest.mark.parametrize("there", [True, False], ids=["somebody answers", "nobody answers"])
def test_a_report_that_is_given_up_tells_nothing_of_the_link(
    hostile: Callable[[Answer], Hostile], monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """A small call does: where it is answered, people's calls go out."""
    monkeypatch.setattr(central_link, "_SLOW_S", SOON.read_s + 1)

    def slow(sock: socket.socket, over: threading.Event) -> None:
        if there and "site-reports" not in server.heard[-1]:
            say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")(sock, over)
        else:
            over.wait()

    central = _open_central((server := hostile(slow)).url, SOON)
    with pytest.raises(errors.TimedOut):
        central.send_reports([], sequence=1)
    assert ["site-reports" in one for one in server.heard] == [True, False]
    assert central.breaker.open is not there
    with pytest.raises(errors.Transient):
        central.send_reports([], sequence=2)
    # Where nobody is known to answer, no report goes out to be waited for in vain.
    assert sum("site-reports" in one for one in server.heard) == (2 if there else 1)


def test_a_report_waits_for_no_login(hostile: Callable[[Answer], Hostile]) -> None:
    """Patience is for one path: what is called on the way ends as soon as ever."""

    def silent(_: socket.socket, over: threading.Event) -> None:
        over.wait()

    server = hostile(silent)
    made = session.Session(auth=noauth.NoAuth(endpoint=server.url))
    bound(made, SHORT)
    with patient("/v2.0/site-reports", 600), pytest.raises(exceptions.ConnectTimeout):
        made.post(f"{server.url}/v3/auth/tokens", json={})


def test_who_is_in_haste_waits_for_no_login_either(hostile: Callable[[Answer], Hostile]) -> None:
    """One who asks how a cloud is, and not for much, hears soon of a Keystone that hangs."""

    def silent(_: socket.socket, over: threading.Event) -> None:
        over.wait()

    server = hostile(silent)
    made = session.Session(auth=noauth.NoAuth(endpoint=server.url))
    bound(made, Timeouts(read_s=3600))
    with hasty(SHORT.read_s), hasty(3600), hasty(SHORT.read_s):
        with pytest.raises(exceptions.ConnectTimeout):
            made.post(f"{server.url}/v3", json={})
        with pytest.raises(exceptions.ConnectTimeout) as second:  # all together have so long
            made.post(f"{server.url}/v3/auth/tokens", json={})
    assert "no time is left" in str(second.value.__context__)
    assert not any("tokens" in one for one in server.heard)
    bound(made, SHORT)
    with hasty(3600), pytest.raises(exceptions.ConnectTimeout):  # it is the most, not the least
        made.get(f"{server.url}/v2.0/sites")


@pytest.mark.parametrize(
    ("status", "said"), [(None, "no answer in time"), (200, ""), (300, ""), (302, ""), (503, "503")]
)
def test_whether_keystone_answers_is_asked_without_a_token(
    hostile: Callable[[Answer], Hostile], status: int | None, said: str
) -> None:
    """A token that is kept would do, and tell nothing of it."""

    def answer(sock: socket.socket, over: threading.Event) -> None:
        if status is None:
            over.wait()
        say(f"HTTP/1.1 {status} X\r\nLocation: /\r\nContent-Length: 2\r\n\r\n{{}}")(sock, over)

    server = hostile(answer)
    made = session.Session(auth=v3.Token(auth_url=f"{server.url}/v3", token=TOKEN))
    bound(made, PATIENT)
    client = NeutronClient(made, name="central", region="central")
    with hasty(SOON.read_s if status is None else PATIENT.read_s):
        if said:
            with pytest.raises(errors.Transient, match=said):
                client.ask_keystone()
        else:
            client.ask_keystone()
    (heard,) = server.heard
    assert heard.startswith("GET /v3 ")
    assert TOKEN not in heard


OK = "HTTP/1.1 201 Created\r\nContent-Length: 30\r\n\r\n" + '{"site_apply": {"results": []}}'[:30]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(
    hostile: Callable[[Answer], Hostile], tmp_path: Path, status: int
) -> None:
    victim = hostile(say(OK))
    evil = hostile(
        say(f"HTTP/1.1 {status} X\r\nLocation: {victim.url}/in\r\nContent-Length: 0\r\n\r\n")
    )
    with pytest.raises(errors.ProtocolError, match="redirect"):
        client(evil.url, tmp_path).post("site_apply", {"sequence": 1})
    assert len(evil.heard) == 1
    assert TOKEN in evil.heard[0]
    assert victim.heard == []


def _by_person(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NeutronClient:
    file = tmp_path / "clouds.yaml"
    cloud = {"auth_type": "admin_token", "auth": {"endpoint": url, "token": TOKEN}}
    more = {"region_name": "r", "network_endpoint_override": url}
    file.write_text(yaml.safe_dump({"clouds": {"c": {**cloud, **more}}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    return PersonalCloud("c").open_client(name="central")


# openstacksdk warns of itself, whatever one asks of it.
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nor_by_the_command_line(
    hostile: Callable[[Answer], Hostile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = hostile(say(OK))
    evil = hostile(say(f"HTTP/1.1 307 X\r\nLocation: {victim.url}\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(errors.ProtocolError, match="redirect"):
        _by_person(evil.url, tmp_path, monkeypatch).call("GET", "/v2.0/sites")
    assert victim.heard == []


def test_nor_by_the_lab(hostile: Callable[[Answer], Hostile], tmp_path: Path) -> None:
    victim = hostile(say(OK))
    evil = hostile(say(f"HTTP/1.1 307 X\r\nLocation: {victim.url}\r\nContent-Length: 0\r\n\r\n"))
    file = tmp_path / "clouds.yaml"
    auth = {"auth_url": f"{evil.url}/v3", "username": "u", "password": "p"}
    entry = {"auth": auth, "region_name": "r", "interface": "public"}
    file.write_text(yaml.safe_dump({"clouds": {"c": entry}}))
    with pytest.raises(errors.ProtocolError, match="redirect"):
        lab_cloud.open_cloud(file, "c").call("GET", "/")
    assert victim.heard == []


def test_nor_by_a_site(hostile: Callable[[Answer], Hostile]) -> None:
    victim = hostile(say(OK))
    evil = hostile(say(f"HTTP/1.1 307 X\r\nLocation: {victim.url}\r\nContent-Length: 0\r\n\r\n"))
    conf = cfg.ConfigOpts()
    conf([])
    client = CentralClient(open_session(conf, "g", PATIENT, endpoint=evil.url), endpoint=evil.url)
    with pytest.raises(errors.ProtocolError, match="redirect"):
        client.send_reports([], sequence=1)
    assert victim.heard == []


def _endless(sock: socket.socket, over: threading.Event) -> None:
    sock.sendall(b'HTTP/1.1 201 X\r\nConnection: close\r\n\r\n{"site_apply":{"results":["')
    for _ in range(300):
        if over.is_set():
            return
        sock.sendall(b"x" * MIB)


def test_a_huge_answer_is_not_read(hostile: Callable[[Answer], Hostile], tmp_path: Path) -> None:
    evil = hostile(_endless)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(errors.ProtocolError, match="larger than 1 MiB"):
        client(evil.url, tmp_path).post("site_apply", {})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_a_small_answer_that_would_be_huge(
    hostile: Callable[[Answer], Hostile], tmp_path: Path
) -> None:
    bomb = gzip.compress(b" " * 100 * MIB)
    head = f"HTTP/1.1 201 X\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    evil = hostile(say(head.encode() + bomb))
    with pytest.raises(errors.ProtocolError, match="compressed"):
        client(evil.url, tmp_path).post("site_apply", {})


def _drip(head: bytes, drop: bytes) -> Answer:
    def answer(sock: socket.socket, over: threading.Event) -> None:
        sock.sendall(head)
        while not over.wait(0.1):
            sock.sendall(drop)

    return answer


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 201 X\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 201 X\r\nContent-Length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 201 X\r\nConnection: close\r\n\r\n", b" "),
        (b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    ],
)
def test_an_answer_that_drips_in_ends_at_the_deadline(
    hostile: Callable[[Answer], Hostile], tmp_path: Path, head: bytes, drop: bytes
) -> None:
    evil = hostile(_drip(head, drop))
    began = time.monotonic()
    with pytest.raises(errors.TimedOut):
        client(evil.url, tmp_path, SHORT).post("site_apply", {})
    # Each drop comes sooner than the read time-out: without a deadline this never ends.
    assert time.monotonic() - began < 120


def test_a_good_answer_is_read_whole(hostile: Callable[[Answer], Hostile], tmp_path: Path) -> None:
    body = '{"site_apply": {"results": ["' + "x" * 500_000 + '"]}}'
    good = hostile(say(f"HTTP/1.1 201 Created\r\nContent-Length: {len(body)}\r\n\r\n{body}"))
    answer = client(good.url, tmp_path).post("site_apply", {})
    assert len(answer["results"][0]) == 500_000


def test_an_answer_nested_beyond_all_measure_is_none(
    hostile: Callable[[Answer], Hostile], tmp_path: Path
) -> None:
    """Python gives up on it with an error of its own."""
    body = "[" * 200_000 + "]" * 200_000
    evil = hostile(say(f"HTTP/1.1 201 Created\r\nContent-Length: {len(body)}\r\n\r\n{body}"))
    with pytest.raises(errors.ProtocolError, match="not JSON"):
        client(evil.url, tmp_path).post("site_apply", {})
    with pytest.raises(errors.ProtocolError, match="not JSON"):
        _open_central(evil.url).request_leases("subnet", "s", count=1)


def test_many_calls_over_a_link_that_is_down_cost_one() -> None:
    """A client with a breaker asks once; what follows at once fails with the same reason."""
    calls: list[str] = []

    class Adapter:
        def request(self, path: str, method: str, **_: object) -> None:
            calls.append(f"{method} {path}")
            raise exceptions.ConnectFailure("no route to host")

    now = [0.0]
    client = NeutronClient(
        session.Session(), name="site2", region="r", breaker=Breaker(lambda: now[0])
    )
    client._adapter = Adapter()
    for _ in range(5):
        with pytest.raises(
            errors.Unreachable, match=r"^site2 cannot be reached: no route to host$"
        ):
            client.ping()
    assert len(calls) == 1
    now[0] += LAST_PROBE_S
    with pytest.raises(errors.Unreachable):
        client.ping()
    assert len(calls) == 2
