"""A real Neutron in a process of its own, spoken to over HTTP.

The pipeline is Neutron's for Keystone with the token check left out: who calls is said in the
headers that the check would have set.
"""

import base64
import contextlib
import http.client
import json
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from tests.neutron import forked

from isthmus.lab.process.zygote import Birth
from isthmus.services import render
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.testing.port import find_port

START_S = 600
_PASTE = """
[composite:neutron]
use = egg:Paste#urlmap
/v2.0: api
[pipeline:api]
pipeline = request_id isthmus_refusals sizelimit catch_errors context extensions app
[filter:request_id]
paste.filter_factory = oslo_middleware:RequestId.factory
[filter:isthmus_refusals]
paste.filter_factory = isthmus.neutron.api.refusals:filter_factory
[filter:sizelimit]
paste.filter_factory = oslo_middleware:RequestBodySizeLimiter.factory
[filter:catch_errors]
paste.filter_factory = oslo_middleware:CatchErrors.factory
[filter:context]
paste.filter_factory = neutron.auth:NeutronKeystoneContext.factory
[filter:extensions]
paste.filter_factory = neutron.api.extensions:plugin_aware_extension_middleware_factory
[app:app]
paste.app_factory = neutron.api.v2.router:APIRouter.factory
"""


@dataclass(frozen=True)
class User:
    """Who calls."""

    name: str
    project: str
    roles: tuple[str, ...]
    #: In Keystone; where a test says nothing, the name will do for it.
    id: str = ""

    @property
    def token(self) -> str:
        """Give what stands for a token where there is no Keystone: it says who it is."""
        return base64.b64encode(json.dumps(asdict(self)).encode()).decode()

    def headers(self) -> dict[str, str]:
        return {
            "X-User-Id": self.id or self.name,
            "X-User-Name": self.name,
            "X-Project-Id": self.project,
            "X-Roles": ",".join(self.roles),
            "X-Auth-Token": self.token,
            "Content-Type": "application/json",
        }


ADMIN = User("admin", "admin-project", ("admin", "manager", "member", "reader"))
#: Xjob at central.
CARRIER = User("isthmus-xjob", "service", ("isthmus_xjob",))
READER = User("watcher", "ops", ("isthmus_reader", "reader"))


def tenant(project: str) -> User:
    return User(f"user-of-{project}", project, ("member", "reader"))


@dataclass(frozen=True)
class OnBehalf:
    """A service that calls with a person's token beside its own."""

    person: User
    service: User

    def headers(self) -> dict[str, str]:
        own = self.service.headers()
        return {
            **self.person.headers(),
            "X-Service-User-Id": own["X-User-Id"],
            "X-Service-User-Name": own["X-User-Name"],
            "X-Service-Roles": own["X-Roles"],
        }


def read_token(token: str) -> User:
    """Say whose token it is, as Keystone would."""
    who = json.loads(base64.b64decode(token))
    return User(**{**who, "roles": tuple(who["roles"])})


def carrier(site: str) -> User:
    """Give Xjob at a site."""
    return User(f"isthmus-xjob-{site}", "service", ("isthmus_carrier",))


def site_user(site: str) -> User:
    return User(f"isthmus-{site}", "service", ("isthmus_site",))


@dataclass(frozen=True)
class Reply:
    """What the API answered."""

    status: int
    body: Any

    def only(self) -> Any:
        """Give the one thing in the envelope of a call that went well."""
        assert 200 <= self.status < 300, (self.status, self.body)
        (value,) = self.body.values()
        return value

    def refusal(self) -> tuple[int, str]:
        """Give the status and the type of an error."""
        assert self.status >= 400, (self.status, self.body)
        return self.status, self.body["NeutronError"]["type"]

    @property
    def text(self) -> str:
        return json.dumps(self.body)


@dataclass
class Server:
    """The process; a subclass says what its configuration is."""

    #: How long a call may take.
    call_timeout_s: ClassVar[float] = 180
    #: MODULE:FUNCTION, each called before Neutron is loaded.
    prepare: ClassVar[tuple[str, ...]] = ()

    folder: Path
    template: Path
    extra: Mapping[str, Mapping[str, object]] = field(default_factory=dict, kw_only=True)
    url: str = field(default="", kw_only=True)
    port: int = field(default=0, init=False)
    _process: forked.Forked | None = field(default=None, init=False)
    _sequence: int = field(default=0, init=False)

    def configuration(self, paste_file: Path) -> render.NeutronServer:
        raise AssertionError("a subclass has one")

    def start(self, **environment: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        database = self.folder / "neutron.db"
        if not self.url:
            database.write_bytes(self.template.read_bytes())
            self.url = render.sqlite_url(database)
        paste = self.folder / "paste.ini"
        paste.write_text(_PASTE)
        conf = self.folder / "neutron.conf"
        conf.write_text(render.render_neutron(self.configuration(paste)))
        self.port = find_port()
        self._process = self._fork({"OS_NEUTRON_CONFIG_FILES": str(conf), **environment})
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError):
                if self.call("GET", "/v2.0/extensions").status == 200:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self.log()[-6000:])
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.2)

    def _fork(self, settings: Mapping[str, str]) -> forked.Forked:
        birth = Birth(
            name=self.folder.name,
            log=str(self.folder / "log"),
            env=settings,
            prepare=("tests.neutron.forked:die_with_parent", *self.prepare),
            application="neutron.wsgi.api:application",
            bind="127.0.0.1",
            port=self.port,
        )
        return forked.Forked(forked.find_parent(), birth)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(120)
        self._process = None

    def kill(self) -> None:
        """End the process as a crash would: at the end of a test nobody waits for it."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(120)
        self._process = None

    def wait_dead(self) -> int:
        assert self._process is not None
        return self._process.wait(240)

    def call(
        self, method: str, path: str, body: Any = None, user: User | OnBehalf = ADMIN
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.call_timeout_s)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, user.headers())
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        return Reply(response.status, json.loads(raw) if raw else None)

    def create(self, kind: str, user: User = ADMIN, **values: Any) -> dict[str, Any]:
        return dict(self.try_create(kind, user, **values).only())

    def try_create(self, kind: str, user: User = ADMIN, **values: Any) -> Reply:
        plural = kind[:-1] + "ies" if kind.endswith("y") else f"{kind}s"
        return self.call("POST", f"/v2.0/{plural.replace('_', '-')}", {kind: values}, user)

    @contextlib.contextmanager
    def database(self, *, write: bool = False) -> Iterator[sa.Connection]:
        engine = open_engine(self.url)
        try:
            with (writing if write else reading)(engine) as connection:
                yield connection
        finally:
            engine.dispose()

    def log(self) -> str:
        return (self.folder / "log").read_text()
