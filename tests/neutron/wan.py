"""The link from a site to central, in the test's own hands: counted, cut, slowed.

An HTTP relay on loopback. It puts the headers in that say which site speaks, as Keystone's
middleware would have.
"""

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.neutron.server import OnBehalf, User, read_token
from typing_extensions import override


class Wan(ThreadingHTTPServer):
    """One direction of one site's link."""

    daemon_threads = True
    request_queue_size = 128  #: a busy test takes connections late, and must refuse none

    def __init__(self, port: Callable[[], int], site: User) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self._port = port
        self.site = site
        self.headers = site.headers()
        self.calls: list[str] = []
        self.bodies: list[bytes] = []  #: of the calls, in the same order
        self.delay_s = 0.0
        #: Called with each call before it goes on to central, which may hold it.
        self.before: Callable[[str], object] = lambda call: None
        #: Tells of how many bytes of an answer arrive, whose whole length has been said.
        self.cuts: Callable[[int], int] = lambda length: length
        self._cut = threading.Event()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def target(self) -> int:
        return self._port()

    def passes(self) -> bool:
        return not self._cut.is_set()

    def cut(self) -> None:
        """Let nothing through, and close what is open, as a firewall that resets does."""
        self._cut.set()

    def heal(self) -> None:
        self._cut.clear()

    def count(self, word: str = "") -> int:
        return sum(word in call for call in self.calls)

    def asked(self) -> int:
        """Count what was asked for, which a tenant waits for; reports nobody waits for."""
        return self.count("bundles") + self.count("grants")

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Relay(BaseHTTPRequestHandler):
    server: Wan
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self._relay()

    def do_GET(self) -> None:
        self._relay()

    def _relay(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.server.passes():
            self.close_connection = True
            self.connection.close()
            return
        self.server.calls.append(f"{self.command} {self.path}")
        self.server.bodies.append(data)
        self.server.before(self.path)
        if self.server.delay_s:
            threading.Event().wait(self.server.delay_s)
        headers = {"Content-Type": "application/json", **self.server.headers}
        if self.headers.get("X-Service-Token"):  # what Keystone's middleware makes of it
            person = read_token(self.headers["X-Auth-Token"])
            headers = OnBehalf(person, self.server.site).headers()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=60)
        try:
            connection.request(self.command, self.path, data or None, headers)
            answer = connection.getresponse()
            body: Any = answer.read()
            status = answer.status
        except OSError:
            self.close_connection = True
            self.connection.close()
            return
        finally:
            connection.close()
        if not self.server.passes():  # the answer is lost on its way
            self.close_connection = True
            self.connection.close()
            return
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            arrives = self.server.cuts(len(body))
            self.wfile.write(body[:arrives])
            if arrives < len(body):
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

    @override
    def log_message(self, format: str, *arguments: object) -> None:
        pass
