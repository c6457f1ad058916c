"""When another site knows a server that Nova boots: before its port is ACTIVE, or after.

Within a site a port is known to every hypervisor from its binding on, before it is plugged. Across
sites it is announced by a report as soon as it is bound, so that the other site's OVN should have
it by the time that Nova has plugged it and Neutron says ACTIVE. The peer is the site's own OVN:
when its southbound database had the port bound.

`first_reply` plugs a port by itself, some hundredths of a second after it was created, which no
hypervisor does; here Nova does what it does for a user.
"""

import argparse
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openstack

from bench.ground import PATIENCE_S, Spread, api, make_network, open_lab, say_machine
from isthmus import errors
from isthmus.lab.opened import OpenLab
from isthmus.wiring.compute.lab_nova import request_compute

TOPOLOGY = """
sites:
- {name: site1, hosts: 1}
- {name: site2, hosts: 1}
"""
TARGET_BEFORE = 0.9
_BATCH = 25
_SWITCH_PORTS = ("OVN_Northbound", "Logical_Switch_Port", "name")
_BINDINGS = ("OVN_Southbound", "Port_Binding", "logical_port,up")


@contextlib.contextmanager
def watching(socket: Path, database: tuple[str, str, str], file: Path) -> Iterator[None]:
    """Have an OVN database tell with its time what changes, into a file."""
    words = ["ovsdb-client", "monitor", "--timestamp", "-f", "csv", f"unix:{socket}", *database]
    with file.open("w") as out:
        env = {**os.environ, "TZ": "UTC"}
        one = subprocess.Popen(words, stdout=out, stderr=subprocess.DEVNULL, env=env)
        try:
            yield
        finally:
            one.terminate()
            one.wait()


def first_seen(file: Path, port_id: str, *, word: str = "") -> float | None:
    """Return when a database first had a row of a port, in seconds since the epoch."""
    when = None
    for line in file.read_text().splitlines():
        with contextlib.suppress(ValueError):
            when = datetime.fromisoformat(line.strip()).replace(tzinfo=UTC).timestamp()
            continue
        if port_id in line and word in line:
            return when
    return None


def await_active(lab: OpenLab, server: str) -> tuple[str, float]:
    """Wait until Neutron says that the port of a server is ACTIVE; gives its id and when."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        asked = time.time()
        found = api(lab, "site1").call("GET", f"/v2.0/ports?device_id={server}")["ports"]
        if found and found[0]["status"] == "ACTIVE":
            return str(found[0]["id"]), asked
        time.sleep(0.01)
    raise errors.TimedOut(f"no port of server {server} is ACTIVE after {PATIENCE_S} s")


def await_shadow(file: Path, port_id: str) -> float:
    """Wait until the other site's OVN has a port; gives when."""
    deadline = time.monotonic() + PATIENCE_S
    while (seen := first_seen(file, port_id)) is None:
        if time.monotonic() > deadline:
            raise errors.TimedOut(f"site2 does not know port {port_id} after {PATIENCE_S} s")
        time.sleep(0.05)
    return seen


def boot(cloud: Any, network: str, number: int) -> str:
    """Have Nova boot a server; gives its id."""
    image, flavor = cloud.image.find_image("guest"), cloud.compute.find_flavor("m1.nano")
    server = cloud.compute.create_server(
        name=f"bench{number}",
        image_id=image.id,
        flavor_id=flavor.id,
        networks=[{"uuid": network}],
    )
    return str(server.id)


def main() -> int:
    parser = argparse.ArgumentParser(description="When another site knows a server of Nova's.")
    parser.add_argument("--servers", type=int, default=50)
    parser.add_argument("--name", default="benchbo", help="of the lab")
    options = parser.parse_args()
    say_machine("before")
    with open_lab(options.name, TOPOLOGY, compute=request_compute()) as lab:
        os.environ["OS_CLIENT_CONFIG_FILE"] = str(lab.plan.clouds_file)
        cloud = openstack.connect(cloud="demo-site1")
        network = make_network(lab, "demo-central", "bench")
        lab.create_server(name="far", site="site2", network=network)
        tier, folder = lab.plan.folder / "tier", lab.plan.folder
        near, far = folder / "seen-site1", folder / "seen-site2"
        took: list[tuple[float, float]] = []
        booted: list[str] = []
        with (
            watching(tier / "site2" / "nb.sock", _SWITCH_PORTS, far),
            watching(tier / "site1" / "sb.sock", _BINDINGS, near),
        ):
            for number in range(options.servers + 1):
                server = boot(cloud, network, number)
                port_id, active = await_active(lab, server)
                own = first_seen(near, port_id)
                took.append((await_shadow(far, port_id) - active, (own or active) - active))
                booted.append(server)
                if len(booted) == _BATCH:  # one hypervisor holds so many
                    _delete(cloud, booted)
        tell(took[1:])
    say_machine("after")
    return 0


def _delete(cloud: Any, booted: list[str]) -> None:
    for server in booted:
        cloud.compute.delete_server(server)
    for server in booted:
        cloud.compute.wait_for_delete(openstack.compute.v2.server.Server(id=server), wait=120)
    booted.clear()


def tell(took: list[tuple[float, float]]) -> None:
    """Print what was measured; the first server, for which the site makes things, is left out."""
    before = sum(one <= 0 for one, _ in took)
    print(f"the other site knew the port before ACTIVE was seen: {before} of {len(took)}", end="")
    print(f" (target: {TARGET_BEFORE:.0%})")
    print(f"other site's OVN, after ACTIVE: {Spread.of([one for one, _ in took])}")
    print(f"the site's own OVN, after ACTIVE: {Spread.of([one for _, one in took])}")
    print(f"latest five: {[round(one, 2) for one in sorted(one for one, _ in took)[-5:]]} s")


if __name__ == "__main__":
    raise SystemExit(main())
