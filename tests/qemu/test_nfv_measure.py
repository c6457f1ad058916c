"""`isthmus nfv measure` as a command: a generator's packets through both planned DPDK ports."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.qemu.machine import FAR_ADDRESS, SSH_OPTIONS, Guest, Wires
from tests.qemu.tuned import Tuned

from isthmus.clients.machine import shell

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(2400)]


@contextlib.contextmanager
def joined(tuned: Tuned) -> Iterator[None]:
    """Join the two planned bridges, so that what comes in at one port leaves by the other."""
    pairs = (("br-left", "to-right", "to-left"), ("br-right", "to-left", "to-right"))
    words = " -- ".join(
        f"add-port {bridge} {name} -- set Interface {name} type=patch options:peer={peer}"
        for bridge, name, peer in pairs
    )
    tuned.run(f"ovs-vsctl --timeout=60 {words}")
    try:
        yield
    finally:
        tuned.run("ovs-vsctl --timeout=60 del-port to-left -- del-port to-right")


@contextlib.contextmanager
def serving(wires: Wires) -> Iterator[None]:
    """Run iperf3's server behind the data path, and wait until the path is open."""
    server = subprocess.Popen(
        shell.inside(wires.far, ["iperf3", "-s"]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        ping = ["ping", "-n", "-c", "1", "-w", "5", FAR_ADDRESS]
        while shell.run(ping, netns=wires.near, check=False).exit_code != 0:
            assert time.monotonic() < deadline, "no packet passed"
        yield
    finally:
        server.terminate()
        server.wait(timeout=10)


def measure(guest: Guest, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command where the generator is."""
    argv = [
        *(str(Path(sys.executable).parent / "isthmus"), "nfv", "measure", guest.target),
        *("--identity", str(guest.key)),
        *(word for option in SSH_OPTIONS for word in ("--ssh-option", option)),
        *words,
    ]
    return subprocess.run(
        shell.inside(guest.wires.near, argv),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_packets_and_latency_through_the_planned_path(tuned: Tuned) -> None:
    guest = tuned.guest
    words = ("--from", "local", "--to", FAR_ADDRESS, "--seconds", "5", "-o", "json")
    with joined(tuned), serving(guest.wires):
        done = measure(guest, *words)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    generated = said["generated"]
    assert generated["received_pps"] > 0
    assert 0 < generated["latency_p50_us"] <= generated["latency_p99_us"]
    ports = {one["name"]: one for one in said["ports"]}
    assert ports["dpdk0"]["rx_pps"] > 0
    assert ports["dpdk1"]["tx_pps"] > 0
    polled = {cpu for port in tuned.plan.dpdk_ports for cpu in port.rxq_affinity.values()}
    passed = {one["cpu"]: one for one in said["pmds"] if one["packets_pps"] > 0}
    assert passed
    assert set(passed) <= polled
    assert all(one["cycles_per_packet"] > 0 for one in passed.values())
    assert tuned.until_clean() == {}
