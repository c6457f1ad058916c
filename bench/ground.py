"""What the measurements of a lab share: a lab of their own, the machine's state, and numbers."""

import contextlib
import functools
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

from isthmus import errors
from isthmus.lab.opened import OpenLab
from isthmus.lab.topology import parse_topology
from isthmus.wiring.lab import open_labs

CIDR = "10.77.0.0/16"
#: Longest wait for something to come about, in seconds.
PATIENCE_S = 90


class Quiet:
    """Hears of a lab's progress and says nothing."""

    def begin(self, phase: str) -> None:
        """Hear it."""

    def end(self, phase: str, seconds: float) -> None:
        """Hear it."""


@contextlib.contextmanager
def open_lab(name: str, topology: str, *, compute: Any = None) -> Iterator[OpenLab]:
    """Bring a lab up, with Nova if its request is given, and take it away whatever happens."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    labs = open_labs()
    try:
        yield labs.up(name, parse_topology(topology), reporter=Quiet(), compute=compute)
    finally:
        with contextlib.suppress(errors.NotFound):
            labs.down(name)


def say_machine(moment: str) -> None:
    """Print what the machine is doing: numbers of a busy one are no promise."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown processor",
    )
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"# {moment}: {os.cpu_count()} cores, {model}; load {load}", flush=True)


@functools.cache
def _open(tools: Any, file: Path, cloud: str) -> Any:
    return tools.open_api(file, cloud)


def api(lab: OpenLab, cloud: str) -> Any:
    """Open the Neutron of one tier, once: reading clouds.yaml must not be measured."""
    return _open(lab.tools, lab.plan.clouds_file, cloud)


def make_network(lab: OpenLab, cloud: str, name: str, *, dhcp: bool = True) -> str:
    """Make a network with one IPv4 subnet; gives its id."""
    client = api(lab, cloud)
    network = client.call("POST", "/v2.0/networks", body={"network": {"name": name}})["network"]
    subnet = {"network_id": network["id"], "ip_version": 4, "cidr": CIDR, "enable_dhcp": dhcp}
    client.call("POST", "/v2.0/subnets", body={"subnet": subnet})
    return str(network["id"])


def make_port(lab: OpenLab, cloud: str, network: str, **fields: Any) -> Any:
    """Make a port; gives it."""
    body = {"port": {"network_id": network, **fields}}
    return api(lab, cloud).call("POST", "/v2.0/ports", body=body)["port"]


def await_shown(lab: OpenLab, cloud: str, path: str) -> None:
    """Wait until a tier knows something."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(errors.NotFound):
            api(lab, cloud).call("GET", path)
            return
        if time.monotonic() > deadline:
            raise errors.TimedOut(f"{cloud} does not show {path} after {PATIENCE_S} s")
        time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and 99th percentile of what was measured, in seconds."""

    count: int
    median: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise."""
        ordered = sorted(values)
        worst = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
        return cls(len(ordered), statistics.median(ordered), worst)

    @override
    def __str__(self) -> str:
        return f"median {self.median * 1e3:.1f} ms, p99 {self.p99 * 1e3:.1f} ms, n {self.count}"
