"""Builds that fail in a cell, in a real Nova; a process of its own.

    python tests/cells/oracle_retry.py FOLDER CASE

`cell1` is chosen first, and its hosts build nothing; `cell2` has less memory, and one host. What
came of one server is answered as JSON.
"""

# mypy: disable-error-code="import-not-found"

import contextlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

from typing_extensions import override

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.cells.mini_nova import PROJECT, MiniNova, Networks

PORT = "6c1e7ed2-4f0b-4c43-a2a3-6a2b8d6f7a10"
FLAVOR: dict[str, Any] = {
    "name": "f",
    "flavorid": "f",
    "vcpus": 1,
    "ram_mib": 512,
    "disk_gib": 1,
    "ephemeral_gib": 0,
    "swap_mib": 0,
    "extra_specs": {},
}


class Ports(Networks):
    """Ports that are bound to hosts, and are the user's own."""

    def __init__(self) -> None:
        self.bound: dict[str, str] = {}
        self.history: list[str] = []

    @override
    def allocate_for_instance(
        self, _context: Any, instance: Any, requested: Any = None, *_: Any, **words: Any
    ) -> Any:
        from nova.network import model

        found = model.NetworkInfo()
        for one in requested or words.get("requested_networks") or ():
            self.bound[one.port_id] = instance.host
            self.history.append(instance.host)
            found.append(model.VIF(id=one.port_id, address="fa:16:3e:00:00:01", network=NETWORK()))
        return found

    def deallocate_for_instance(self, _context: Any, _instance: Any, **words: Any) -> None:
        for one in words.get("requested_networks") or ():
            self.bound.pop(one.port_id, None)

    @override
    def get_instance_nw_info(self, context: Any, instance: Any, **_: Any) -> Any:
        return instance.get_network_info()


def NETWORK() -> Any:  # noqa: N802
    from nova.network import model

    return model.Network(id="n", bridge="br-int", label="net", subnets=[])


class Retrying:
    """A Nova of two cells."""

    def __init__(self, folder: Path, *, ours: tuple[str, ...], fails: tuple[str, ...]) -> None:
        """Start it.

        Args:
            folder: of files.
            ours: whose conductors have our tasks: `super`, `cell`.
            fails: hosts that build nothing.
        """
        from nova.conductor import manager

        plain = manager.ComputeTaskManager
        from isthmus.nova.retry.tasks import Tasks

        self.fails = fails
        manager.ComputeTaskManager = Tasks if "super" in ours else plain
        self.nova = MiniNova(
            folder, "[isthmus]\nretry_patience = 100000\nretry_interval = 100000\n"
        )
        self.nova.networks = self.ports = Ports()
        for part in (self.nova.task, self.nova.api):
            part.network_api = self.ports
        manager.ComputeTaskManager = Tasks if "cell" in ours else plain
        for cell, host, memory in (
            ("cell1", "a1", 9000),
            ("cell1", "a2", 8000),
            ("cell2", "b1", 2000),
        ):
            if cell not in self.nova.cells:
                self.nova.add_cell(cell)
            self.nova.add_host(cell, host, self.make_driver(host, memory))
        self.nova.report()
        self.nova.make_flavor(FLAVOR)

    def make_driver(self, host: str, memory: int) -> Any:
        from nova.virt import fake

        outer = self

        class Failing(fake.FakeDriver):  # type: ignore[misc]
            vcpus, memory_mb, local_gb = 4, memory, 50

            def spawn(self, *args: Any, **words: Any) -> None:
                if host in outer.fails:
                    raise RuntimeError(f"{host} builds nothing")
                super().spawn(*args, **words)

        return Failing

    def boot(self) -> str:
        from nova import objects

        port = objects.NetworkRequest(port_id=PORT)
        return self.nova.boot("f", objects.NetworkRequestList(objects=[port]))

    def look(self) -> None:
        with self.nova.inside("cell0"):
            self.nova.task.look()
        self.nova.drain()

    def answer(self, server: str) -> dict[str, Any]:
        """Tell all that there is of a server."""
        from nova import context, exception, objects, quota

        found: dict[str, Any] = {"port": self.ports.bound.get(PORT)}
        found["bound"] = dict(self.ports.bound)
        try:
            found |= self.nova.show(server)
        except exception.NotFound:
            found |= {"cell": None, "state": "gone"}
        found["tried"] = list(self.ports.history)
        allocations = self.nova.ask_placement("GET", f"/allocations/{server}", None, "1.28").json()
        nodes = {}
        rows: dict[str, list[Any]] = {}
        for name in ("cell1", "cell2"):
            with context.target_cell(self.nova.admin, self.nova.cells[name][0]) as there:
                for node in objects.ComputeNodeList.get_all(there):
                    nodes[node.uuid] = node.host
                for one in objects.InstanceList.get_by_filters(there, {"deleted": False}):
                    rows.setdefault(name, []).append([one.hidden, sorted(one.system_metadata)])
        found["rows"] = rows
        found["allocated"] = sorted(nodes[one] for one in allocations["allocations"])
        counts = quota._instances_cores_ram_count(self.nova.admin, PROJECT)
        found["quota"] = counts["project"]["instances"]
        actions = []
        if found["cell"] in rows:
            mapping = self.nova.cells[found["cell"]][0]
            with context.target_cell(self.nova.admin, mapping) as there:
                for action in objects.InstanceActionList.get_by_instance_uuid(there, server):
                    events = objects.InstanceActionEventList.get_by_action(there, action.id)
                    actions.append([action.action, len(events)])
                volumes = objects.BlockDeviceMappingList.get_by_instance_uuid(there, server)
                found["volumes"] = len(volumes)
        return {**found, "actions": actions}


class Gone(BaseException):
    """The super conductor is gone, in the middle of something."""


def crash_at(number: int, work: Any) -> None:
    """Do something that ends before its nth commit from now on; fewer are fine."""
    import sqlalchemy as sa

    left = [number]

    def commit(_connection: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Gone

    sa.event.listen(sa.Engine, "commit", commit)
    try:
        with contextlib.suppress(Gone):
            work()
    finally:
        sa.event.remove(sa.Engine, "commit", commit)


def run(folder: Path, case: str) -> dict[str, Any]:
    from nova import objects

    ours = {"nova": (), "super": ("super",)}.get(case, ("super", "cell"))
    fails = ("a1", "a2", "b1") if case == "nowhere" else ("a1", "a2")
    cloud = Retrying(folder, ours=ours, fails=fails)
    server = cloud.boot()
    first = cloud.answer(server)
    if case == "patience":
        with cloud.nova.inside("cell1"):
            one = objects.Instance.get_by_uuid(cloud.nova.admin, server)
            cloud.nova.conductors["cell1"]._lose_patience(cloud.nova.admin, one)
        cloud.look()
    elif case == "deleted":
        cloud.nova.delete(server)
        cloud.look()
        return cloud.answer(server)
    elif case.startswith("crash"):
        crash_at(int(case.removeprefix("crash")), cloud.look)
        cloud.nova.sent.clear()
    if case not in {"nova", "patience"}:
        for _ in range(3):
            cloud.look()
    return {"first": first, "last": cloud.answer(server)}


def main() -> None:
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    logging.disable(logging.CRITICAL)
    folder = Path(sys.argv[1]) / "a" / "run"
    folder.mkdir(parents=True)
    json.dump(run(folder, sys.argv[2]), sys.stdout)


if __name__ == "__main__":
    main()
