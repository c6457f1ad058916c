"""Xjob as a process between a real central and a real site, killed at every step of a pass."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.front import Front, isthmus
from tests.neutron.local_server import LocalServer

from isthmus.journal import crash
from isthmus.testing.cloud import running
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.ovn, pytest.mark.timeout(600)]

XJOB = [sys.executable, "-c", "from isthmus.worker.main import run; run()"]


class Cloud:
    """A real central, a real site, and what Xjob and a person need to reach them."""

    def __init__(
        self, central: CentralServer, site: LocalServer, front: Front, folder: Path
    ) -> None:
        self.central, self.site = central, site
        self.folder = folder
        self.person = front.write_clouds(folder)
        self.log = folder / "xjob.log"
        self.config = folder / "xjob.conf"
        self.config.write_text(
            f"[database]\nconnection = {central.url}\n[isthmus_xjob]\n"
            f"auth_type = v3password\nauth_url = {front.url}/v3\nusername = isthmus-xjob\n"
            "password = x\nuser_domain_id = default\nproject_name = service\n"
            "project_domain_id = default\npoll_interval_s = 0.1\nprobe_interval_s = 0.5\n"
            "connect_timeout_s = 60\ncall_timeout_s = 60\nclaim_s = 3600\n"
            "[isthmus_xjob:site1]\n"
            f"auth_type = v3password\nauth_url = {front.url}/v3\nusername = isthmus-xjob-site1\n"
            "password = x\nuser_domain_id = default\nproject_name = service\n"
            "project_domain_id = default\n"
        )

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*XJOB, "--config-file", str(self.config)],
                stderr=log,
                env={**os.environ, **environment},
            )

    def make_network(self) -> str:
        """Make a network with a subnet at central and have it placed at the site."""
        name = f"net-{uuid.uuid4()}"
        network = str(self.central.create("network", name=name)["id"])
        self.central.create("subnet", network_id=network, ip_version=4, cidr="10.99.0.0/24")
        isthmus(self.person, "network", "extend", name, "site1")
        return network

    def jobs(self) -> list[Any]:
        ran = isthmus(self.person, "job", "list", "--site", "site1", "-o", "json")
        return list(json.loads(ran.stdout))

    def at_site(self, network: str) -> Any:
        """Find the site's row: a GET by id would fetch the network from central."""
        return next((row for row in self.site.rows("networks") if row["id"] == network), None)

    def settled(self, network: str, *, gone: bool = False) -> None:
        """Wait until nothing is under way and the site has, or has not, the network."""

        def state() -> tuple[bool, bool]:
            return not self.central.jobs("site1"), (self.at_site(network) is None) == gone

        try:
            until(lambda: all(state()), timeout_s=120, every_s=0.3)
        except AssertionError as error:
            raise AssertionError((state(), self.jobs(), self.log.read_text()[-3000:])) from error


@pytest.fixture
def cloud(central: CentralServer, site1: LocalServer, tmp_path: Path) -> Iterator[Cloud]:
    central.clear_journal()
    with running(Front(central=central.call, Region1=site1.call)) as front:
        yield Cloud(central, site1, front, tmp_path)
    central.clear_journal()


@pytest.fixture
def xjob(cloud: Cloud) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(**environment: str) -> subprocess.Popen[bytes]:
        started.append(cloud.start(**environment))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(120)


def test_a_network_goes_out_and_comes_back_in(
    cloud: Cloud, xjob: Callable[..., subprocess.Popen[bytes]]
) -> None:
    xjob()
    network = cloud.make_network()
    cloud.settled(network)
    here = cloud.site.get(f"networks/{network}").only()
    there = cloud.central.call("GET", f"/v2.0/networks/{network}").only()
    assert (here["name"], here["mtu"], here["subnets"]) == (
        there["name"],
        there["mtu"],
        there["subnets"],
    )
    rows = json.loads(isthmus(cloud.person, "status", "-o", "json", code=1).stdout)
    states = {row["name"]: (row["reachability"], row["backlog"]) for row in rows}
    assert states["site1"] == ("reachable", 0)
    assert states["site2"][0] == "unreachable", "it has no endpoint in this catalogue"
    isthmus(cloud.person, "network", "withdraw", network, "site1")
    cloud.settled(network, gone=True)
    assert cloud.central.call("DELETE", f"/v2.0/networks/{network}").status == 204


@pytest.mark.parametrize(
    "point", [name for name, _ in crash.POINTS if name.startswith("delivery.")]
)
def test_xjob_that_is_killed_anywhere_loses_nothing(
    cloud: Cloud, xjob: Callable[..., subprocess.Popen[bytes]], point: str
) -> None:
    dead = xjob(**{crash.VARIABLE: point})
    network = cloud.make_network()
    assert dead.wait(240) == crash.EXIT_CODE
    dead = xjob(**{crash.VARIABLE: f"{point}:2"})
    cloud.central.call("PUT", f"/v2.0/networks/{network}", {"network": {"name": "changed"}})
    isthmus(cloud.person, "network", "show", network)
    until(lambda: dead.poll() is not None or not cloud.central.jobs("site1"))
    xjob()
    cloud.settled(network)
    assert cloud.at_site(network)["name"] == "changed"
    assert cloud.central.call("DELETE", f"/v2.0/networks/{network}").status == 204
    cloud.settled(network, gone=True)
