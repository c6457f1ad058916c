"""A real site: ML2/OVN with our plugin in a process of its own, and OVN's databases with northd."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.neutron.central_server import ADMIN, CARRIER, PASTE, START_S, Reply, User
from tests.neutron.wan import Wan

from isthmus.lab.tier import render
from isthmus.store.engine import open_engine, reading, writing
from isthmus.testing.ovn import OvnDatabases


@dataclass
class LocalServer:
    """The process."""

    folder: Path
    template: Path
    ovn: OvnDatabases
    site: str
    wan: Wan | None
    flavour: render.Flavour = render.Flavour.LOCAL
    isthmus: Mapping[str, object] = field(default_factory=dict)
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
        settings = {
            "site": self.site,
            "central_url": self.wan.url if self.wan else "http://127.0.0.1:1",
            "read_timeout_s": 60,
            "relay_poll_s": 0.2,
            **self.isthmus,
        }
        number = int(self.site[-1]) if self.site[-1].isdigit() else 0
        conf.write_text(
            render.render_neutron(
                render.NeutronServer(
                    flavour=self.flavour,
                    host=f"{self.site}-neutron",
                    state_dir=self.folder,
                    database=self.url,
                    paste_file=paste,
                    base_mac=f"fa:16:4{number}:00:00:00",
                    ovn=render.Ovn(northbound=self.ovn.nb_remote, southbound=self.ovn.sb_remote),
                    isthmus=settings,
                    extra=self.extra,
                )
            )
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        env = {**os.environ, "OS_NEUTRON_CONFIG_FILES": str(conf), "ASGI_WORKERS": "1"}
        env |= environment
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "isthmus.lab.process.serve", "--port", str(self.port)]
        command += ["--application", "neutron.wsgi.api:application"]
        command += ["--prepare", "isthmus.neutron.db.sqlite:install"]
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
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
        self._process = None

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(20)
        self._process = None

    def wait_dead(self) -> int:
        assert self._process is not None
        return self._process.wait(60)

    def call(self, method: str, path: str, body: Any = None, user: User = ADMIN) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, user.headers())
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        return Reply(response.status, json.loads(raw) if raw else None)

    def get(self, path: str, user: User = ADMIN) -> Reply:
        return self.call("GET", f"/v2.0/{path}", user=user)

    def create(self, kind: str, user: User = ADMIN, **values: Any) -> dict[str, Any]:
        return dict(self.try_create(kind, user, **values).only())

    def try_create(self, kind: str, user: User = ADMIN, **values: Any) -> Reply:
        plural = kind[:-1] + "ies" if kind.endswith("y") else f"{kind}s"
        return self.call("POST", f"/v2.0/{plural.replace('_', '-')}", {kind: values}, user)

    def update(self, kind: str, one: str, user: User = ADMIN, **values: Any) -> Reply:
        return self.call("PUT", f"/v2.0/{kind.replace('_', '-')}s/{one}", {kind: values}, user)

    def delete(self, kind: str, one: str, user: User = ADMIN) -> Reply:
        return self.call("DELETE", f"/v2.0/{kind.replace('_', '-')}s/{one}", user=user)

    def apply(self, *items: Any, sequence: int | None = None) -> dict[str, str]:
        """Send items as Xjob does; gives the code of each by id."""
        if sequence is None:
            self._sequence = max(self._sequence + 1, time.time_ns() // 1000)
            sequence = self._sequence
        body = {"site_apply": {"sequence": sequence, "items": list(items)}}
        answer = self.call("POST", "/v2.0/site-applies", body, CARRIER).only()
        self.messages = {one["id"]: one["message"] for one in answer["results"]}
        return {one["id"]: one["code"] for one in answer["results"]}

    def inventory(self, *parts: str) -> dict[str, Any]:
        query = "&".join(f"fields={part}" for part in parts)
        (one,) = self.call("GET", f"/v2.0/site-inventories?{query}").only()
        return dict(one)

    @contextlib.contextmanager
    def database(self, *, write: bool = False) -> Iterator[sa.Connection]:
        engine = open_engine(self.url)
        try:
            with (writing if write else reading)(engine) as connection:
                yield connection
        finally:
            engine.dispose()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Read a table, ours or Neutron's."""
        with self.database() as connection:
            return [
                dict(row._mapping) for row in connection.execute(sa.text(f"SELECT * FROM {table}"))
            ]

    def log(self) -> str:
        return (self.folder / "log").read_text()


def add_chassis(ovn: OvnDatabases, name: str, host: str, encap_ip: str) -> None:
    """Put a hypervisor into the southbound database, as its ovn-controller would."""
    ovn.sbctl("chassis-add", name, "geneve", encap_ip)
    ovn.sbctl("set", "Chassis", name, f"hostname={host}", "other_config:datapath-type=system")
    row = ovn.sbctl("get", "Chassis", name, "_uuid")
    ovn.sbctl("create", "Chassis_Private", f"name={name}", f"chassis={row}")
