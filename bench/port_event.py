"""A port event at central, with routers around the port's network and with none.

A site reports a port that it has made, that it has gone to another hypervisor, and that it is gone:
central takes each, and tells the other site. The routers, each with a network, a gateway, and a
floating IP of a server on it, are not on the port's network; what they cost is measured against
the same events of the same central before it had any.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from tests.neutron.central_server import CentralServer
from tests.neutron.server import ADMIN, tenant
from tests.neutron.test_central_report import Stretched

from bench.ground import say_machine

#: Routers elsewhere, and how much an event may cost with as many, over one with none.
COUNTS = (0, 10, 50)
TARGET_RATIO = 1.15
EVENTS = ("made", "moved", "gone")
_WARM_UP = 3


def make_routers(central: CentralServer, external: str, first: int, count: int) -> None:
    """Make routers with a network, a gateway, a server's port and its floating IP each."""
    user = tenant(uuid.uuid4().hex)
    for plural in ("routers", "networks", "subnets", "ports", "floatingips"):
        body = {"quota": {plural.removesuffix("s").replace("networks", "network"): -1}}
        central.call("PUT", f"/v2.0/quotas/{user.project}", body)
    for number in range(first, first + count):
        network = central.create("network", user, name=f"around-{number}")
        subnet = central.create(
            "subnet",
            user,
            network_id=network["id"],
            cidr=f"10.{100 + number}.0.0/24",
            ip_version=4,
        )
        gateway_info = {"network_id": external}
        router = central.create("router", user, external_gateway_info=gateway_info)
        path = f"/v2.0/routers/{router['id']}/add_router_interface"
        assert central.call("PUT", path, {"subnet_id": subnet["id"]}, user).status == 200
        port = central.create("port", user, network_id=network["id"])
        central.create("floatingip", user, floating_network_id=external, port_id=port["id"])


def make_external(central: CentralServer) -> str:
    """Make an external network at site1; gives its id."""
    network = central.create(
        "network",
        ADMIN,
        name="out",
        availability_zone_hints=["zone1"],
        **{
            "router:external": True,
            "provider:network_type": "flat",
            "provider:physical_network": "public",
        },
    )
    central.create(
        "subnet",
        ADMIN,
        network_id=network["id"],
        cidr="172.31.0.0/16",
        ip_version=4,
        enable_dhcp=False,
    )
    return str(network["id"])


def measure(central: CentralServer, world: Stretched, count: int) -> dict[str, float]:
    """Report ports; gives the median seconds of each event."""
    took: dict[str, list[float]] = {event: [] for event in EVENTS}
    for number in range(_WARM_UP + count):
        port = world.port()
        moved = {
            **port,
            "binding:host_id": "host2",
            "isthmus:base": port,
            "isthmus:location": {
                **port["isthmus:location"],
                "chassis": "chassis-2",
                "hostname": "host2",
                "encap_ip": "192.0.2.12",
            },
        }
        for event, state in zip(EVENTS, (port, moved, None), strict=True):
            item = {"type": "port", "id": port["id"], "state": state}
            began = time.perf_counter()
            (result,) = central.report("site1", item)
            lasted = time.perf_counter() - began
            assert not result["code"], (event, result)
            if number >= _WARM_UP:
                took[event].append(lasted)
        central.clear_journal()
    return {event: statistics.median(values) for event, values in took.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="What routers elsewhere cost a port event.")
    parser.add_argument("--count", type=int, default=40, help="ports for each number of routers")
    options = parser.parse_args()
    say_machine("before")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"sqlite:///{folder / 'template.db'}"
        command = [sys.executable, "-m", "isthmus.neutron.db.create", url]
        subprocess.run(command, check=True, capture_output=True)
        central = CentralServer(folder / "central", folder / "template.db")
        central.start()
        try:
            central.make_sites()
            worst = tell(central, options.count)
        finally:
            central.stop()
    say_machine("after")
    return int(worst > TARGET_RATIO)


def tell(central: CentralServer, count: int) -> float:
    """Measure with each number of routers; gives the greatest ratio."""
    external, made, worst = make_external(central), 0, 0.0
    before: dict[str, float] = {}
    for routers in COUNTS:
        make_routers(central, external, made, routers - made)
        made = routers
        found = measure(central, Stretched(central, prefix=16), count)
        before = before or found
        for event, seconds in found.items():
            ratio = seconds / before[event]
            worst = max(worst, ratio)
            print(
                f"{routers} routers elsewhere, port {event}: {seconds * 1e3:.1f} ms, "
                f"ratio {ratio:.2f} (target <= {TARGET_RATIO})",
                flush=True,
            )
    return worst
