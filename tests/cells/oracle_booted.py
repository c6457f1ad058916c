"""Nova itself boots drawn clouds full; a process of its own.

    python tests/cells/oracle_booted.py FOLDER

Each case (`draw_booted`), a line of JSON, becomes a Nova in FOLDER/SEED, and a line says what came
of it; so Nova is imported, and tables are made, once for all. Before anything is booted, and while
the mixed sequence is, its databases are copied, with a `nova.conf` that leads to them, to where the
answer says; what is counted in a copy is what was said before. Then each flavor is booted, in an
empty cloud, until a server is not built.
"""

# mypy: disable-error-code="import-not-found"

import json
import logging
import os
import shutil
import sqlite3
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.cells.draw_booted import DEVICES
from tests.cells.mini_nova import MiniNova, load

SMALL: dict[str, Any] = {
    "name": "small",
    "flavorid": "small",
    "vcpus": 1,
    "ram_mib": 64,
    "disk_gib": 1,
    "ephemeral_gib": 0,
    "swap_mib": 0,
    "extra_specs": {},
}
#: Nobody boots more of one flavor.
MOST = 200


def make_conf(case: dict[str, Any]) -> str:
    lines = [
        "[DEFAULT]",
        f"cpu_allocation_ratio = {case['cpu_ratio']}",
        f"ram_allocation_ratio = {case['ram_ratio']}",
        "[pci]",
        f"report_in_placement = {str(case['in_placement']).lower()}",
    ]
    for name, policy in case["aliases"].items():
        vendor, product, kind = DEVICES[name]
        ids = {"vendor_id": vendor, "product_id": product}
        lines.append(f"device_spec = {json.dumps(ids)}")
        alias = {"name": name, "device_type": kind, "numa_policy": policy, **ids}
        lines.append(f"alias = {json.dumps(alias)}")
    lines += ["[filter_scheduler]", f"pci_in_placement = {str(case['in_placement']).lower()}"]
    return "\n".join(lines) + "\n"


def make_topology(nodes: list[dict[str, Any]]) -> str | None:
    from nova import objects

    if not nodes:
        return None
    found = objects.NUMATopology(
        cells=[
            objects.NUMACell(
                id=one["id"],
                cpuset=set(one["shared"]),
                pcpuset=set(one["dedicated"]),
                siblings=[set(core) for core in one["cores"]],
                memory=one["memory"],
                cpu_usage=0,
                memory_usage=0,
                pinned_cpus=set(),
                socket=one["socket"],
                network_metadata=objects.NetworkMetadata(physnets=set(), tunneled=False),
                mempages=[
                    objects.NUMAPagesTopology(size_kb=size, total=total, used=0, reserved=left)
                    for size, total, left in one["pages"]
                ],
            )
            for one in nodes
        ]
    )
    return str(found._to_json())


def make_driver(host: dict[str, Any], case: dict[str, Any]) -> Any:
    """Return a virt driver that reports what was drawn."""
    import uuid

    from nova.virt import fake

    class Drawn(fake.FakeDriver):  # type: ignore[misc]
        capabilities = {**fake.FakeDriver.capabilities, "supports_pcpus": True}  # noqa: RUF012

        def get_available_resource(self, nodename: str) -> dict[str, Any]:
            own = super().get_available_resource(nodename)
            inventory = host["inventory"]
            return {
                **own,
                "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{case['seed']}-{nodename}")),
                "vcpus": sum(inventory.get(one, {"total": 0})["total"] for one in ("VCPU", "PCPU")),
                "memory_mb": inventory["MEMORY_MB"]["total"],
                "local_gb": inventory["DISK_GB"]["total"],
                "numa_topology": make_topology(host["nodes"]),
                "pci_passthrough_devices": json.dumps(host["devices"]),
            }

        def update_provider_tree(self, tree: Any, nodename: str, allocations: Any = None) -> None:
            ratios = {"VCPU": case["cpu_ratio"], "MEMORY_MB": case["ram_ratio"]}

            def inventory(drawn: dict[str, Any]) -> dict[str, Any]:
                return {
                    name: {
                        **one,
                        "min_unit": 1,
                        "max_unit": one["total"],
                        "step_size": 1,
                        "allocation_ratio": ratios.get(name, 1.0),
                    }
                    for name, one in drawn.items()
                }

            tree.update_inventory(nodename, inventory(host["inventory"]))
            tree.add_traits(nodename, *host["traits"])
            for child in host["children"]:
                name = f"{nodename}-{child['name']}"
                if not tree.exists(name):
                    own = uuid.uuid5(uuid.NAMESPACE_DNS, f"{case['seed']}-{name}")
                    tree.new_child(name, nodename, uuid=str(own))
                tree.update_inventory(name, inventory(child["inventory"]))
                tree.update_traits(name, child["traits"])

    return Drawn


class Booting:
    """One drawn cloud."""

    def __init__(self, folder: Path, case: dict[str, Any]) -> None:
        self.case, self.folder = case, folder
        self.run = folder / "run"
        self.run.mkdir(parents=True)
        self.nova = MiniNova(self.run, make_conf(case))
        for number in (1, 2):
            self.nova.add_cell(f"cell{number}")
        for host in case["hosts"]:
            self.nova.add_host(host["cell"], host["name"], make_driver(host, case))
        self.nova.report()
        for flavor in (SMALL, *case["flavors"]):
            self.nova.make_flavor(flavor)
        # What was compiled for this one serves all processes that are forked later.
        self.nova.delete(self.nova.boot(SMALL["name"]))
        self.nova.report()

    def copy(self, name: str) -> str:
        """Copy the databases; return where."""
        there = self.folder / name
        there.mkdir()
        for file in self.run.glob("*.sqlite"):
            shutil.copyfile(file, there / file.name)
        conf = (self.run / "nova.conf").read_text()
        (there / "nova.conf").write_text(conf.replace(str(self.run), str(there)))
        database = sqlite3.connect(there / "api.sqlite")
        with database:
            database.execute(
                "UPDATE cell_mappings SET database_connection = replace(database_connection, ?, ?)",
                (str(self.run), str(there)),
            )
        database.close()
        return str(there)

    def boot(self, flavor: str) -> dict[str, Any]:
        from nova import exception

        try:
            return self.nova.show(self.nova.boot(flavor))
        except exception.NovaException as exc:
            return {"cell": None, "host": None, "state": "refused", "fault": str(exc)}

    def fill(self, flavor: str) -> dict[str, Any]:
        """Boot a flavor until a server is not built."""
        cells: Counter[str] = Counter()
        for _ in range(MOST):
            one = self.boot(flavor)
            if one["state"] != "active":
                return {"count": sum(cells.values()), "cells": cells, "last": one}
            cells[one["cell"]] += 1
        return {"count": MOST, "cells": cells, "last": None}

    def mix(self) -> list[dict[str, Any]]:
        """Boot flavors in turn; copy what is there before each."""
        found = []
        for number, flavor in enumerate(self.case["mixed"]):
            where = self.copy(f"mixed{number}")
            one = self.boot(flavor)
            found.append({"folder": where, "flavor": flavor, "server": one})
        return found

    def answer(self) -> dict[str, Any]:
        first = self.copy("first")
        (self.folder / "keep").mkdir()
        for file in self.run.glob("*.sqlite"):
            shutil.copyfile(file, self.folder / "keep" / file.name)
        found: dict[str, Any] = {"folder": first, "flavors": {}}
        for flavor in self.case["flavors"]:
            found["flavors"][flavor["name"]] = self._apart(partial(self.fill, flavor["name"]))
        found["mixed"] = self._apart(self.mix)
        return found

    def _apart(self, work: Callable[[], Any]) -> Any:
        """Do it in a process of its own, and put everything back."""
        try:
            return apart(work)
        finally:
            for file in (self.folder / "keep").glob("*.sqlite"):
                shutil.copyfile(file, self.run / file.name)


def apart(work: Callable[[], Any]) -> Any:
    """Do something in a process of its own; return what it returned."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        code = 1
        try:
            found = work()
            with os.fdopen(write, "w") as out:
                json.dump(found, out)
            code = 0
        except BaseException:  # noqa: BLE001 - said here, and known by the code
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as got:
        text = got.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"it ended with {status}"
    return json.loads(text)


def answer(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Make a Nova of a case, and boot it full."""
    return Booting(folder, case).answer()


def main() -> None:
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    logging.disable(logging.CRITICAL)
    folder = Path(sys.argv[1])
    load()
    for line in sys.stdin:
        case = json.loads(line)
        # Nova has one configuration a process.
        found = apart(partial(answer, folder / str(case["seed"]), case))
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
