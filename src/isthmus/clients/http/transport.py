"""HTTP to other tiers: nothing that the other side does takes more than was meant to be given.

A tier on the far side may be slow, broken or hostile. So no redirect is followed (it would carry a
token to wherever the other side likes), an answer is read up to a limit, and a call as a whole ends
at a deadline, however slowly its answer drips in.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import requests
import urllib3
from keystoneauth1 import exceptions, loading, noauth, plugin, session
from oslo_config import cfg
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3 import connection as urllib3_connection
from urllib3 import connectionpool

from isthmus import errors

MIB = 2**20
#: Statuses that ask a client to go elsewhere.
_REDIRECTS = frozenset({301, 302, 303, 305, 307, 308})
#: How long a connection is silent before the system looks whether the other side is there.
_LOOKS_S = 5
#: Who waits long bears that some of what it sends is lost: a probe that is not answered counts as
#: such data, and one alone would end the call (Source: tcp_keepalive_timer in Linux).
_UNHEARD_PATIENT_S = 30.0
#: And takes so many times as much: the answer to a registration of a hundred thousand ports.
_MOST_PATIENT = 4
#: Read at a time, in bytes.
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds, and for how much."""

    connect_s: float = 2.0
    read_s: float = 10.0
    most_bytes: int = 16 * MIB  #: of one answer

    @property
    def total_s(self) -> float:
        """Longest that one call may take."""
        return self.connect_s + self.read_s


class _Deadline:
    """Cuts the connection of one call when its time is over."""

    def __init__(self, total_s: float, unheard_s: float) -> None:
        self._unheard_ms = int(unheard_s * 1000)
        self.passed = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(total_s, self._cut)
        self._timer.daemon = True

    def watch(self, sock: socket.socket | None) -> None:
        """Watch the connection that the call uses."""
        with self._lock:
            self._socket = sock
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._unheard_ms)
            if self.passed:
                self._shut()

    def start(self) -> None:
        self._timer.start()

    def end(self) -> None:
        with self._lock:
            self._socket = None
        self._timer.cancel()

    def _cut(self) -> None:
        with self._lock:
            self.passed = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not close(): the thread that reads from it has to be woken.
                self._socket.shutdown(socket.SHUT_RDWR)


_under_way = threading.local()


@contextlib.contextmanager
def patient(path: str, read_s: float) -> Iterator[None]:
    """Have this thread's calls of one path wait longer for their answers than others do.

    Calls that are made on the way, to Keystone for a token, wait no longer than ever.

    Args:
        path: how the path of the calls ends.
        read_s: how long to wait, in seconds.
    """
    before = getattr(_under_way, "patience", None)
    _under_way.patience = (path, read_s)
    try:
        yield
    finally:
        _under_way.patience = before


@contextlib.contextmanager
def hasty(total_s: float) -> Iterator[None]:
    """Have all calls of this thread in the block, those to Keystone as well, end within one time.

    A call for which nothing is left of it is not made.

    Args:
        total_s: how long all of them may take together, in seconds.
    """
    before = getattr(_under_way, "ends_at", None)
    ends_at = time.monotonic() + total_s
    _under_way.ends_at = ends_at if before is None else min(before, ends_at)
    try:
        yield
    finally:
        _under_way.ends_at = before


def _find_left(request: requests.PreparedRequest) -> float | None:
    """Return what is left of the time of one who is in haste, in seconds; None: nobody is.

    Raises:
        requests.exceptions.ReadTimeout: nothing is.
    """
    ends_at: float | None = getattr(_under_way, "ends_at", None)
    if ends_at is None:
        return None
    left_s = ends_at - time.monotonic()
    if left_s <= 0:
        raise requests.exceptions.ReadTimeout("no time is left for it", request=request)
    return left_s


def _find_patience(request: requests.PreparedRequest) -> float:
    path, read_s = getattr(_under_way, "patience", None) or ("", 0.0)
    return read_s if path and request.path_url.partition("?")[0].endswith(path) else 0.0


def _watch(sock: Any) -> None:
    deadline: _Deadline | None = getattr(_under_way, "deadline", None)
    if deadline is not None:
        deadline.watch(sock)


class _Connection(urllib3_connection.HTTPConnection):
    @override
    def connect(self) -> None:
        super().connect()
        _watch(self.sock)

    @override
    def request(self, *arguments: Any, **options: Any) -> None:
        _watch(self.sock)
        super().request(*arguments, **options)


class _SecureConnection(_Connection, urllib3_connection.HTTPSConnection):
    """The same over TLS: by the order of the bases, `super()` above is HTTPSConnection here."""


class _Pool(connectionpool.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(connectionpool.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class BoundedAdapter(HTTPAdapter):
    """Keeps connect and read apart, which keystoneauth has one number for, and bounds both.

    A connection of the pool over a link that was cut since would swallow a request and be silent
    for the whole read time-out. So it breaks when its data is not acknowledged within the time that
    a new connection would have (TCP_USER_TIMEOUT, RFC 5482).
    """

    def __init__(self, timeouts: Timeouts) -> None:
        """Bind it.

        Args:
            timeouts: for every call.
        """
        self._timeouts = timeouts
        super().__init__(pool_maxsize=16)

    @override
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        unheard_ms = int(self._timeouts.connect_s * 1000)
        options["socket_options"] = [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unheard_ms),
            # Who waits long for an answer looks whether the other side is still there.
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _LOOKS_S),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _LOOKS_S),
        ]
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    @override
    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        """Make a call and read its whole answer.

        Raises:
            ProtocolError: the answer is a redirect, or too large.
            requests.exceptions.RequestException: as always; a read time-out where the deadline
                has passed.
        """
        read_s = max(self._timeouts.read_s, _find_patience(request))
        timeouts = replace(self._timeouts, read_s=read_s)
        total_s = timeouts.total_s
        left_s = _find_left(request)
        if left_s is not None:
            connect_s, read_s = min(timeouts.connect_s, left_s), min(read_s, left_s)
            timeouts = replace(timeouts, connect_s=connect_s, read_s=read_s)
            total_s = min(timeouts.total_s, left_s)
        options["timeout"] = (timeouts.connect_s, timeouts.read_s)
        # Compressed, an answer could be a thousand times what is read of it.
        request.headers["Accept-Encoding"] = "identity"
        is_patient = read_s > self._timeouts.read_s
        if is_patient:
            timeouts = replace(timeouts, most_bytes=_MOST_PATIENT * self._timeouts.most_bytes)
        unheard_s = _UNHEARD_PATIENT_S if is_patient else timeouts.connect_s
        with self._deadline(request, total_s, unheard_s) as deadline:
            response = super().send(request, **{**options, "stream": True})
            try:
                self._refuse(response, request)
                body = self._read(response, request, timeouts.most_bytes)
                if deadline.passed:  # what was cut off may look like the end
                    raise requests.exceptions.ReadTimeout(request=request)
            finally:
                if deadline.passed:
                    response.close()
        response._content = body  # noqa: SLF001  (requests has no other way in)
        response._content_consumed = True  # noqa: SLF001
        return response

    @contextlib.contextmanager
    def _deadline(
        self, request: requests.PreparedRequest, total_s: float, unheard_s: float
    ) -> Iterator[_Deadline]:
        deadline = _under_way.deadline = _Deadline(total_s, unheard_s)
        deadline.start()
        try:
            yield deadline
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            if deadline.passed:
                raise requests.exceptions.ReadTimeout(
                    f"no whole answer in {total_s:.3g} s", request=request
                ) from error
            raise
        finally:
            _under_way.deadline = None
            deadline.end()

    @staticmethod
    def _refuse(response: requests.Response, request: requests.PreparedRequest) -> None:
        wrong = ""
        if response.status_code in _REDIRECTS:
            wrong = (
                f"a redirect to {response.headers.get('Location', '')[:200]!r}: none is followed"
            )
        elif response.headers.get("Content-Encoding", "identity") != "identity":
            wrong = "compressed, which nobody asked for"
        if wrong:
            response.close()
            raise errors.ProtocolError(f"the answer of {request.url} is {wrong}")

    @staticmethod
    def _read(response: requests.Response, request: requests.PreparedRequest, most: int) -> bytes:
        body = bytearray()
        try:
            while chunk := response.raw.read(_CHUNK, decode_content=False):
                body += chunk
                if len(body) > most:
                    response.close()
                    raise errors.ProtocolError(
                        f"the answer of {request.url} is larger than {most // MIB} MiB"
                    )
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.exceptions.ReadTimeout(error, request=request) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise requests.exceptions.ConnectionError(error, request=request) from error
        return bytes(body)


def read_json(response: requests.Response) -> Any:
    """Return what an answer says; an empty object where it says nothing.

    Raises:
        ValueError: it is not JSON, or nested as no answer of ours is.
    """
    try:
        return response.json() if response.content else {}
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def bound(auth_session: session.Session, timeouts: Timeouts) -> None:
    """Bound every call of a session that something else has opened."""
    for scheme in ("http://", "https://"):
        auth_session.session.mount(scheme, BoundedAdapter(timeouts))
    auth_session.redirect = False


class _NoLogin(plugin.BaseAuthPlugin):
    """Fails each login, saying why."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self._why = why

    @override
    def get_token(self, session: Any, **_: Any) -> str:
        raise exceptions.AuthPluginException(self._why)

    @override
    def get_endpoint(self, session: Any, **_: Any) -> str:
        raise exceptions.AuthPluginException(self._why)


def closed_session(why: str) -> session.Session:
    """Open a session that can make no call; each one says why."""
    return session.Session(auth=_NoLogin(why))


def find_login(conf: cfg.ConfigOpts, group: str) -> tuple[object, ...] | None:
    """Find who a group logs in as; None where it says nothing of a login.

    Two groups that give equal answers are one user.
    """
    loading.register_auth_conf_options(conf, group)
    if not conf[group].auth_type:
        return None
    group = conf[group].auth_section or group
    loading.register_auth_conf_options(conf, group)
    loader = loading.get_plugin_loader(conf[group].auth_type)
    conf.register_opts(loading.get_auth_plugin_conf_options(loader), group=group)
    names = ("auth_url", "user_id", "username", "user_domain_id", "user_domain_name")
    more = ("application_credential_id", "application_credential_name", "token")
    options = conf[group]
    known = [name for name in (*names, *more) if name in options]  # each plugin has its own
    return tuple((name, options[name]) for name in known)


def open_session(
    conf: cfg.ConfigOpts, group: str, timeouts: Timeouts, *, endpoint: str | None = None
) -> session.Session:
    """Open a session that logs in as the options of a group say.

    Args:
        conf: where the options stand.
        group: whose `auth_type`, `auth_url`, `username` ... to use.
        timeouts: for every call of the session, the one for a token included.
        endpoint: where to go if `auth_type` is not set, which means with no login at all.
    """
    loading.register_auth_conf_options(conf, group)
    loading.register_session_conf_options(conf, group)
    if conf[group].auth_type:
        auth = loading.load_auth_from_conf_options(conf, group)
    else:
        auth = noauth.NoAuth(endpoint=endpoint)
    made: session.Session = loading.load_session_from_conf_options(
        conf, group, auth=auth, session=requests.Session()
    )
    bound(made, timeouts)
    return made
