"""A real site: ML2/OVN with our plugin in a process of its own, and OVN's databases with northd."""

import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.neutron.server import ADMIN, Reply, Server, User, carrier
from tests.neutron.wan import Wan
from typing_extensions import override

from isthmus.model import number
from isthmus.services import render
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until


@dataclass
class LocalServer(Server):
    """The process."""

    call_timeout_s = 240
    prepare = ("isthmus.neutron.db.sqlite:install",)

    ovn: OvnDatabases
    site: str
    wan: Wan | None
    flavour: render.Flavour = render.Flavour.LOCAL
    isthmus: Mapping[str, object] = field(default_factory=dict)

    @override
    def configuration(self, paste_file: Path) -> render.NeutronServer:
        settings = {
            "site": self.site,
            "carrier_user": carrier(self.site).name,
            "central_url": self.wan.url if self.wan else "http://127.0.0.1:1",
            "connect_timeout_s": 20,
            "read_timeout_s": 60,
            "relay_poll_s": 0.2,
            "ovn_pulse_s": 0,  # its hypervisors are rows: there is no ovn-controller to answer
            # No hello, no sweep of leases comes between two lines of a test.
            "lease_sweep_s": 3600,
            **self.isthmus,
        }
        number = int(self.site[-1]) if self.site[-1].isdigit() else 0
        return render.NeutronServer(
            flavour=self.flavour,
            host=f"{self.site}-neutron",
            state_dir=self.folder,
            database=self.url,
            paste_file=paste_file,
            base_mac=f"fa:16:4{number}:00:00:00",
            ovn=render.Ovn(northbound=self.ovn.nb_remote, southbound=self.ovn.sb_remote),
            isthmus=settings,
            extra=self.extra,
        )

    @override
    def start(self, **environment: str) -> None:
        super().start(**{"ASGI_WORKERS": "1", **environment})

    @override
    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(120)
        self._process = None

    def wait_registered(self) -> None:
        """Wait until central has registered the site, and the site knows it.

        In between each of its calls is refused, and made once more.
        """

        def knows() -> bool:
            return any(row["registration"] for row in self.rows("isthmus_epochs"))

        until(knows, what=f"{self.site} has registered")

    def get(self, path: str, user: User = ADMIN) -> Reply:
        return self.call("GET", f"/v2.0/{path}", user=user)

    def update(self, kind: str, one: str, user: User = ADMIN, **values: Any) -> Reply:
        return self.call("PUT", f"/v2.0/{kind.replace('_', '-')}s/{one}", {kind: values}, user)

    def delete(self, kind: str, one: str, user: User = ADMIN) -> Reply:
        return self.call("DELETE", f"/v2.0/{kind.replace('_', '-')}s/{one}", user=user)

    def apply(self, *items: Any, sequence: int | None = None) -> dict[str, str]:
        """Send items as Xjob does; gives the code of each by id."""
        sequence = sequence or self.next_sequence()
        results: list[dict[str, Any]] = []
        left = list(items)
        while left:  # a busy site answers what it has reached
            body = {"site_apply": {"sequence": sequence, "items": left}}
            answer = self.call("POST", "/v2.0/site-applies", body, carrier(self.site)).only()
            assert answer["results"]
            results += answer["results"]
            done = {(one["type"], one["id"]) for one in results}
            left = [one for one in left if (one["type"], one["id"][:64]) not in done]
        self.messages = {one["id"]: one["message"] for one in results}
        return {one["id"]: one["code"] for one in results}

    def next_sequence(self) -> int:
        """Number a batch above all that this site may have seen."""
        self._sequence = max(self._sequence + 1, number.make(1, time.time_ns() // 10**7))
        return self._sequence

    def holdings(self, *parts: str) -> dict[str, Any]:
        query = "&".join(f"fields={part}" for part in parts)
        (one,) = self.call("GET", f"/v2.0/site-holdings?{query}").only()
        return dict(one)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Read a table, ours or Neutron's."""
        with self.database() as connection:
            return [
                dict(row._mapping) for row in connection.execute(sa.text(f"SELECT * FROM {table}"))
            ]


def add_chassis(ovn: OvnDatabases, name: str, host: str, encap_ip: str) -> None:
    """Put a hypervisor into the southbound database, as its ovn-controller would."""
    ovn.sbctl("chassis-add", name, "geneve", encap_ip)
    ovn.sbctl("set", "Chassis", name, f"hostname={host}", "other_config:datapath-type=system")
    row = ovn.sbctl("get", "Chassis", name, "_uuid")
    ovn.sbctl("create", "Chassis_Private", f"name={name}", f"chassis={row}")
