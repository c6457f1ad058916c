"""Nova itself, asked how many instances with PCI devices fit a host; a process of its own.

    python tests/cells/oracle_devices.py <cases.json

Each case is a host as for `oracle.py numa`, with pools of devices and what aliases stand for. For
each flavor the answer has how many are fitted to nodes and devices, one after another, and what the
database of a cell would have of the host.
"""

# mypy: disable-error-code="import-not-found"

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.cells.oracle import Host, make_flavor


def make_pools(case: dict[str, Any]) -> Any:
    from nova import objects
    from nova.objects import pci_device_pool

    return pci_device_pool.PciDevicePoolList(
        objects=[
            objects.PciDevicePool(
                vendor_id=one["vendor_id"],
                product_id=one["product_id"],
                numa_node=one["numa_node"],
                count=one["count"],
                tags={"dev_type": one["dev_type"], "address": one["address"], **one["tags"]},
            )
            for one in case["pools"]
        ]
    )


def count(case: dict[str, Any], flavor: dict[str, Any]) -> int:
    from nova import exception, objects
    from nova.pci import request, stats
    from nova.virt import hardware

    host = Host(case)
    devices = stats.PciDeviceStats(host.topology, make_pools(case))
    image = objects.ImageMeta(properties=objects.ImageMetaProps())
    made = make_flavor(flavor)
    policy = hardware.get_pci_numa_policy_constraint(made, image)
    asked = request.get_pci_requests_from_flavor(made, affinity_policy=policy).requests
    for number in range(int(case["most"])):
        wanted = hardware.numa_get_constraints(made, image)
        cells = None
        if wanted is not None:
            fitted = hardware.numa_fit_instance_to_host(
                host.topology, wanted, {}, host.limits, asked, devices
            )
            if fitted is None:
                return number
            cells = fitted.cells
        if not devices.support_requests(asked, {}, cells):
            return number
        devices.apply_requests(asked, {}, cells)
        if wanted is not None:
            try:
                host.topology = hardware.numa_usage_from_instance_numa(host.topology, fitted)
            except (exception.CPUPinningUnknown, exception.CPUPinningInvalid, AttributeError):
                return number  # the claim fails
            devices.numa_topology = host.topology
    return int(case["most"])


def main() -> None:
    from nova import conf, objects
    from nova.pci import request

    objects.register_all()
    conf.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    answers = []
    for case in json.load(sys.stdin):
        conf.CONF.set_override("alias", case["aliases"], "pci")
        request.get_alias_from_config.cache_clear()
        host = Host(case)
        answers.append(
            {
                "numa": json.dumps(host.topology.obj_to_primitive()),
                "pci": json.dumps(make_pools(case).obj_to_primitive()),
                "counts": [count(case, one) for one in case["flavors"]],
            }
        )
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
