"""Commands as processes, and a small cloud on loopback that they talk to."""

import contextlib
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.testing.cloud import Cloud, running_cloud

ISTHMUS = [sys.executable, "-c", "from isthmus.cli.main import run; run()"]
NET = "0a6b7c1e-0000-4000-8000-000000000001"
SUBNET = "0a6b7c1e-0000-4000-8000-000000000002"
HOLDS = ("leases", "addresses", "port_keys", "ports", "networks", "networks_only_here")


class Shell:
    """Runs commands as a person with a clouds.yaml would."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.cloud = cloud
        entry = {
            "auth": {
                "auth_url": f"{cloud.url}/v3",
                "username": "admin",
                "password": "secret",
                "project_name": "admin",
                "user_domain_id": "default",
                "project_domain_id": "default",
            },
            "region_name": "central",
            "api_timeout": 60,
        }
        nobody = json.loads(json.dumps(entry))
        nobody["auth"]["auth_url"] = "http://127.0.0.1:1/v3"
        self.path = folder / "clouds.yaml"
        self.entries = {"central": entry, "away": nobody}
        self.path.write_text(yaml.safe_dump({"clouds": self.entries}))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "OS_CLIENT_CONFIG_FILE": str(self.path),
        }

    @contextlib.contextmanager
    def mute(self) -> Iterator[None]:
        """Have a cloud, `mute`, that takes calls and answers none."""
        with socket.create_server(("127.0.0.1", 0)) as taking:
            mute = {**json.loads(json.dumps(self.entries["central"])), "api_timeout": 1}
            mute["auth"]["auth_url"] = f"http://127.0.0.1:{taking.getsockname()[1]}/v3"
            self.path.write_text(yaml.safe_dump({"clouds": {**self.entries, "mute": mute}}))
            yield

    def run(
        self, *arguments: str, code: int = 0, says: str = ""
    ) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            [*ISTHMUS, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert ran.returncode == code, (ran.stdout, ran.stderr)
        assert re.search(says, ran.stderr), ran.stderr
        assert "Traceback" not in ran.stderr
        return ran

    @contextlib.contextmanager
    def watching(self, *arguments: str) -> Iterator[Iterator[str]]:
        """Have a command run that goes on, and give the lines that it prints."""
        with subprocess.Popen(
            [*ISTHMUS, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        ) as one:
            assert one.stdout is not None
            try:
                yield one.stdout
            finally:
                one.send_signal(signal.SIGINT)
                assert one.wait(60) == 130

    def data(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "-o", "json", code=code).stdout)


@contextlib.contextmanager
def small_cloud() -> Iterator[Cloud]:
    """Run a cloud of two sites with a network and a subnet; sites that are made are as new."""
    with running_cloud("site1", "site2") as cloud:
        cloud.defaults["sites"] = lambda: {
            "reachability": "unknown",
            "last_seen_at": None,
            "last_error": "",
            "waits_for": "",
            "backlog": 0,
            "parked": 0,
            "holds": dict.fromkeys(HOLDS, 0),
        }
        cloud.defaults["site-presences"] = lambda: {
            "withdrawn": False,
            "datapath_key": 16711681,
            "created_at": "2026-01-01T00:00:00Z",
        }
        cloud.rows["networks"] = [
            {"id": NET, "name": "net1", "project_id": "p", "status": "ACTIVE", "subnets": [SUBNET]}
        ]
        cloud.rows["subnets"] = [{"id": SUBNET, "name": "sub1"}]
        epoch = {"epoch": 1, "recovered": True, "reason": ""}
        cloud.rows["site-holdings"] = [{"id": "central", "epoch": epoch}]
        for name, site in cloud.sites.items():
            site.holdings = {"id": name, "epoch": epoch}
        yield cloud


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Shell]:
    """A person whose commands are processes, each of which takes more than a second to start."""
    with small_cloud() as cloud:
        yield Shell(tmp_path, cloud)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A person whose commands run in this process."""
    from tests.acceptance.inside import Inside

    with small_cloud() as cloud:
        yield Inside(tmp_path, cloud)


def ago(**span: float) -> str:
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(**span)
    return then.replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def job(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"job-{number:04}",
        "site": "site1",
        "type": "port",
        "resource_id": f"port-{number:04}",
        "state": "waiting",
        "generation": 1,
        "attempts": 0,
        "age": number,
        "created_at": "2026-01-01T00:00:00Z",
        "last_error": "",
        **more,
    }


LEASE = {
    "id": "l1",
    "kind": "subnet",
    "pool_id": SUBNET,
    "site": "site1",
    "first": "2",
    "last": "9",
}


def audited(shell: Shell) -> None:
    """Two sites, and leases that agree."""
    shell.run("site", "create", "site1")
    shell.run("site", "create", "site2")
    shell.cloud.rows["site-holdings"] = [{"id": "central", "leases": [LEASE]}]
    for name, site in shell.cloud.sites.items():
        site.holdings = {"id": name, "leases": [LEASE] if name == "site1" else []}


def run_by_shell(shell: Shell, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `isthmus` is a command; no assertion is made."""
    command = " ".join(f"'{one}'" for one in ISTHMUS)
    return subprocess.run(
        line.replace("isthmus", command, 1),
        shell=True,
        executable="/bin/bash",
        env=shell.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
