"""One site of Neutron (ML2/OVN with our drivers) for tests that drive it over a pipe."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from isthmus.testing.ovn import OvnDatabases

CONFIG = """
[DEFAULT]
core_plugin = ml2
service_plugins = ovn-router,segments
transport_url = fake:/
enable_traditional_dhcp = False
notify_nova_on_port_status_changes = False
notify_nova_on_port_data_changes = False
state_path = {folder}
api_paste_config =
host = test
base_mac = fa:16:01:00:00:00
[database]
connection = sqlite:///{folder}/neutron.db
[oslo_concurrency]
lock_path = {folder}/lock
[ml2]
mechanism_drivers = ovn,isthmus_local
extension_drivers = port_security,isthmus_keys
type_drivers = geneve
tenant_network_types = geneve
[ml2_type_geneve]
vni_ranges = 1:1000
max_header_size = 38
[ovn]
ovn_nb_connection = {nb}
ovn_sb_connection = {sb}
ovsdb_connection_timeout = 10
ovn_metadata_enabled = True
neutron_sync_mode = off
[isthmus]
site = site1
carrier_user = id-of-isthmus-xjob-site1
ovn_sweep_s = 3600
ovn_pulse_s = 0.5
"""


class RefusedError(Exception):
    """A call was refused."""


class Server:
    """One Neutron process."""

    def __init__(self, folder: Path, worker: str = "api") -> None:
        environment = {
            name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        }
        self._log = (folder / f"{worker}.log").open("a")
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("site_process.py"), folder / "conf", worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**environment, "ASGI_WORKERS": "1"},
        )

    def ready(self) -> "Server":
        assert self._answer() == "ready"
        return self

    def __call__(self, call: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"call": call, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"Neutron ended; see {self._log.name}"
        answer = json.loads(line)
        if "error" in answer:
            raise RefusedError(f"{answer['kind']}: {answer['error']}")
        return answer["result"]

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._log.close()


class Site:
    """OVN, the database and one or more Neutron processes."""

    def __init__(self, folder: Path, ovn: OvnDatabases) -> None:
        self.folder = folder
        self.ovn = ovn
        self._servers: list[Server] = []
        text = CONFIG.format(folder=folder, nb=ovn.nb_remote, sb=ovn.sb_remote)
        (folder / "conf").write_text(text)
        subprocess.run(
            [sys.executable, "-m", "isthmus.neutron.db.create", f"sqlite:///{folder}/neutron.db"],
            check=True,
            capture_output=True,
        )

    def start(self, worker: str = "api") -> Server:
        server = Server(self.folder, worker)
        self._servers.append(server)
        return server

    def close(self) -> None:
        for server in self._servers:
            server.close()
