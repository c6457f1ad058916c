"""Port create at central in a subnet with many addresses in use, against one with none.

Both subnets are of one central, and the calls are taken in turns; what is compared is the one run.
Half of the addresses are central's own, half lie in blocks of a site, 64 numbers each, so that
neither can be told in few words.
"""

import argparse
import contextlib
import ipaddress
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.server import tenant

from bench.journal_claim import make_database, open_mariadb
from isthmus.model.lease import Block, PoolKind
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.leases import lease
from isthmus.store.sql import clock

TARGET_RATIO = 1.3
_BLOCK = 64
_CHUNK = 5000


def fill(central: CentralServer, subnet_id: str, size: int) -> None:
    """Make as if so many addresses of a subnet were in use."""
    base = int(ipaddress.ip_address("10.0.4.0"))
    with central.database(write=True) as connection:
        ipam = connection.execute(
            sa.text("SELECT id FROM ipamsubnets WHERE neutron_subnet_id = :id"), {"id": subnet_id}
        ).scalar_one()
        rows = [
            {"ip": str(ipaddress.ip_address(base + number)), "ipam": ipam} for number in range(size)
        ]
        for start in range(0, size, _CHUNK):
            connection.execute(
                sa.text("INSERT INTO ipamallocations VALUES (:ip, 'ALLOCATED', :ipam)"),
                rows[start : start + _CHUNK],
            )
        now = clock.read(connection)
        for start in range(0, size, _BLOCK):
            holder = SiteName("site1") if start // _BLOCK % 2 else CENTRAL
            block = Block(base + start, base + min(start + _BLOCK, size) - 1)
            lease.insert(connection, PoolKind.SUBNET, subnet_id, holder, block, now=now)


def measure(central: CentralServer, size: int, count: int) -> float:
    """Make ports in turns and give the ratio of the medians."""
    project = uuid.uuid4().hex
    user = tenant(project)
    central.call("PUT", f"/v2.0/quotas/{project}", {"quota": {"port": -1}})
    networks: dict[str, Any] = {}
    for name in ("empty", "full"):
        networks[name] = central.create("network", user, name=name)
        subnet = central.create(
            "subnet",
            user,
            network_id=networks[name]["id"],
            cidr="10.0.0.0/15",
            ip_version=4,
        )
        central.bundle("site1", "network", networks[name]["id"], project=project)
        if name == "full":
            fill(central, subnet["id"], size)
    took: dict[str, list[float]] = {"empty": [], "full": []}
    for number in range(count):
        for name in ("empty", "full") if number % 2 else ("full", "empty"):
            began = time.perf_counter()
            central.create("port", user, network_id=networks[name]["id"])
            if number >= 2:  # the first ones import and connect
                took[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in took.items()}
    ratio = medians["full"] / medians["empty"]
    print(f"empty subnet: {medians['empty'] * 1000:.0f} ms")
    print(f"{size} addresses in use: {medians['full'] * 1000:.0f} ms")
    print(f"ratio of medians: {ratio:.2f} (target <= {TARGET_RATIO})")
    return ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=50_000, help="addresses in use")
    parser.add_argument("--count", type=int, default=30, help="ports made in each subnet")
    parser.add_argument("--mariadb", action="store_true", help="on a MariaDB of its own")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"sqlite:///{folder / 'template.db'}"
        if options.mariadb:
            form = stack.enter_context(open_mariadb(folder))
            make_database(form, "neutron")
            url = form.format("neutron")
        command = [sys.executable, "-m", "isthmus.neutron.db.create", url]
        subprocess.run(command, check=True, capture_output=True)
        central = CentralServer(
            folder / "central", folder / "template.db", url=url if options.mariadb else ""
        )
        central.start()
        try:
            central.make_sites()
            ratio = measure(central, options.size, options.count)
        finally:
            central.stop()
    return int(ratio > TARGET_RATIO)
