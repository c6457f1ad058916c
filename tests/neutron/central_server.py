"""A real central Neutron in a process of its own, spoken to over HTTP.

The pipeline is Neutron's for Keystone with the token check left out: who calls is said in the
headers that the check would have set.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from isthmus.lab.tier import render
from isthmus.store.engine import open_engine, reading, writing

START_S = 120
PASTE = """
[composite:neutron]
use = egg:Paste#urlmap
/v2.0: api
[pipeline:api]
pipeline = request_id catch_errors context extensions app
[filter:request_id]
paste.filter_factory = oslo_middleware:RequestId.factory
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

    def headers(self) -> dict[str, str]:
        return {
            "X-User-Id": f"id-of-{self.name}",
            "X-User-Name": self.name,
            "X-Project-Id": self.project,
            "X-Roles": ",".join(self.roles),
            "Content-Type": "application/json",
        }


ADMIN = User("admin", "admin-project", ("admin", "manager", "member", "reader"))
CARRIER = User("isthmus-xjob", "service", ("isthmus_carrier",))
READER = User("watcher", "ops", ("isthmus_reader", "reader"))


def tenant(project: str) -> User:
    return User(f"user-of-{project}", project, ("member", "reader"))


def speaker(site: str) -> User:
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
class CentralServer:
    """The process."""

    folder: Path
    template: Path
    extra: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    url: str = ""
    port: int = 0
    _process: "subprocess.Popen[bytes] | None" = None
    _sequence: int = 0

    def start(self, **environment: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        database = self.folder / "neutron.db"
        if not self.url:
            database.write_bytes(self.template.read_bytes())
            self.url = render.sqlite_url(database)
        paste = self.folder / "paste.ini"
        paste.write_text(PASTE)
        conf = self.folder / "neutron.conf"
        conf.write_text(
            render.render_neutron(
                render.NeutronServer(
                    flavour=render.Flavour.CENTRAL,
                    host="central",
                    state_dir=self.folder,
                    database=self.url,
                    paste_file=paste,
                    base_mac="fa:16:3e:00:00:00",
                    extra=self.extra,
                )
            )
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        env = {**os.environ, "OS_NEUTRON_CONFIG_FILES": str(conf), **environment}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "isthmus.lab.process.serve", "--port", str(self.port)]
        command += ["--application", "neutron.wsgi.api:application"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError):
                if self.call("GET", "/v2.0/extensions").status == 200:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "log").read_text()[-6000:])
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.2)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(20)
        self._process = None

    def wait_dead(self) -> int:
        assert self._process is not None
        return self._process.wait(60)

    def call(self, method: str, path: str, body: Any = None, user: User = ADMIN) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, user.headers())
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        return Reply(response.status, json.loads(raw) if raw else None)

    def create(self, kind: str, user: User = ADMIN, **values: Any) -> dict[str, Any]:
        path = "/v2.0/" + _plural(kind).replace("_", "-")
        made: dict[str, Any] = self.call("POST", path, {kind: values}, user).only()
        return made

    def make_sites(self) -> None:
        """Make site1 and site2."""
        for number in (1, 2):
            self.create(
                "site",
                name=f"site{number}",
                region=f"Region{number}",
                availability_zones=[f"zone{number}"],
                service_user=f"isthmus-site{number}",
            )

    def bundle(self, site: str, kind: str, *ids: str, project: str | None, **more: Any) -> Any:
        body = {"type": kind, "ids": list(ids), "asking_project": project, **more}
        return self.call("POST", "/v2.0/site-bundles", {"site_bundle": body}, speaker(site)).only()

    def grant(self, site: str, **values: Any) -> Reply:
        return self.call("POST", "/v2.0/site-grants", {"site_grant": values}, speaker(site))

    def report(self, site: str, *items: Any, sequence: int | None = None) -> list[dict[str, str]]:
        self._sequence += 1
        body = {"sequence": sequence or self._sequence, "items": list(items)}
        answer = self.call("POST", "/v2.0/site-reports", {"site_report": body}, speaker(site))
        results: list[dict[str, str]] = answer.only()["results"]
        return results

    def snapshot(self, site: str, *keys: tuple[str, str]) -> dict[tuple[str, str], Any]:
        body = {"site": site, "keys": [{"type": kind, "id": one} for kind, one in keys]}
        answer = self.call("POST", "/v2.0/site-snapshots", {"site_snapshot": body}, CARRIER)
        return {(item["type"], item["id"]): item["state"] for item in answer.only()["items"]}

    def jobs(self, site: str, kind: str | None = None) -> set[tuple[str, str]]:
        path = f"/v2.0/site-jobs?site={site}" + (f"&type={kind}" if kind else "")
        return {(job["type"], job["resource_id"]) for job in self.call("GET", path).only()}

    @contextlib.contextmanager
    def database(self, *, write: bool = False) -> Iterator[sa.Connection]:
        engine = open_engine(self.url)
        try:
            with (writing if write else reading)(engine) as connection:
                yield connection
        finally:
            engine.dispose()

    def clear_journal(self) -> None:
        """Make as if every site had taken everything so far, whatever it was."""
        from isthmus.store.tables import JOURNAL

        with self.database(write=True) as connection:
            connection.execute(sa.delete(JOURNAL))

    def acknowledge_all(self) -> None:
        """Do what Xjob does: read what is wanted, have it taken, settle it."""
        from isthmus.model.intent import IntentKey, ResourceType
        from isthmus.model.site import SiteName
        from isthmus.store import removal
        from isthmus.store.tables import JOURNAL

        with self.database() as connection:
            rows = connection.execute(sa.select(JOURNAL)).all()
        gone = []
        for row in rows:
            state = self.snapshot(row.lane, (row.type, row.resource_id))
            if state[(row.type, row.resource_id)] is None:
                gone.append(IntentKey(SiteName(row.lane), ResourceType(row.type), row.resource_id))
        with self.database(write=True) as connection:
            connection.execute(sa.delete(JOURNAL).where(JOURNAL.c.id.in_([r.id for r in rows])))
            removal.forget(connection, gone)


def _plural(kind: str) -> str:
    return kind[:-1] + "ies" if kind.endswith("y") else kind + "s"


def by_type(items: Iterable[Mapping[str, Any]], kind: str) -> list[Any]:
    return [item["state"] for item in items if item["type"] == kind]
