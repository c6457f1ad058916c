"""Instances of the plan's flavors on the machine, placed and started by Nova's own driver."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.qemu.tree import NOVA
from tests.qemu.tuned import DEMAND, Tuned

from isthmus.nfv.plan.demand import parse_demand

#: What runs there, with Nova's own Python.
SCRIPTS = (
    Path(__file__).with_name("nova_host.py"),
    Path(__file__).parents[2] / "bench/nova_flavor.py",
)
#: Ends them, and takes away the bridge that os-vif made for their ports.
END_ALL = """
python3 -c 'import libvirt
for domain in libvirt.open("qemu:///system").listAllDomains():
    domain.destroy() if domain.isActive() else None
    domain.undefine()'
ovs-vsctl --timeout=60 --if-exists del-br br-int
rm -rf /var/lib/nova/instances/* /root/nova_*.py
"""


def start(
    tuned: Tuned, more: Mapping[str, Mapping[str, Any]] | None = None, *, timeout_s: float = 1200
) -> dict[str, Any]:
    """Start one instance of each flavor of the plan.

    Args:
        tuned: the planned machine.
        more: what a flavor's instance has besides, by flavor (`port`, `boot`: see `nova_host.py`).
        timeout_s: how long Nova may take.

    Returns:
        What Nova says: its inventory, its cells and the domains.
    """
    networks = {flavor.name: flavor.networks for flavor in parse_demand(DEMAND).flavors}
    demands = [
        {
            "name": flavor.name,
            "vcpus": flavor.vcpus,
            "ram_mib": flavor.ram_mib,
            "extra_specs": dict(flavor.extra_specs),
            "networks": networks[flavor.name],
            **(more or {}).get(flavor.name, {}),
        }
        for flavor in tuned.plan.flavors
    ]
    for script in SCRIPTS:
        tuned.run(f"cat >/root/{script.name} <<'END'\n{script.read_text()}\nEND\n")
    run = (
        f"PYTHONPATH={NOVA} python3 -W ignore /root/nova_host.py {shlex.quote(json.dumps(demands))}"
    )
    said: dict[str, Any] = json.loads(tuned.run(run, timeout_s=timeout_s).splitlines()[-1])
    return said


def end_all(tuned: Tuned) -> None:
    """End all instances, and take away what was made for them."""
    tuned.run(END_ALL)
