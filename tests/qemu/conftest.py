"""One machine for all tests here: planned, the plan applied, rebooted.

The files run in the order of their names: what is broken is put right by its own test, and only the
last file takes the plan away.
"""

import os
import shutil
from collections.abc import Iterator

import pytest
from tests.qemu.machine import Guest, Wires
from tests.qemu.tuned import DEMAND, Tuned

from isthmus.facts.gather import inspect_host
from isthmus.nfv.apply import apply_plan
from isthmus.nfv.check.live import check_host
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.refusal import plan_or_refuse
from isthmus.testing.needed import skip_without

PROGRAMS = (
    *("qemu-system-x86_64", "mmdebstrap", "mke2fs", "ssh", "ssh-keygen", "chroot"),
    *("ip", "iperf3", "ping"),
)


def _need() -> None:
    missing = [
        name
        for name in PROGRAMS
        if shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin") is None
    ]
    if os.geteuid() != 0:
        missing.append("root")
    skip_without(missing, "./dev test all installs it")


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    _need()
    folder = tmp_path_factory.mktemp("nfv-guest")
    with Wires.made() as wires, Guest(folder, wires).running() as running:
        yield running


@pytest.fixture(scope="session")
def tuned(guest: Guest) -> Tuned:
    inventory = inspect_host(guest.client)
    assert [(nic.pci_address, nic.node) for nic in inventory.nics if nic.node is not None] == [
        ("0000:41:00.0", 0),
        ("0000:81:00.0", 1),
    ]
    plan = plan_or_refuse(inventory, parse_demand(DEMAND))
    before = check_host(guest.client, plan).findings
    first = apply_plan(guest.client, plan, may_reboot=True)
    return Tuned(guest, plan, before, first)
