"""Record how many instances Nova itself fits on planned hosts: the oracle of `test_nfv_fit`.

Run by a Python that has Nova installed (`python -m venv v && v/bin/pip install nova==34.0.0`), once
for each release that is followed; what it is asked comes from this project's own Python:

    python -m bench.nova_fit ask 2000 >asked.jsonl
    v/bin/python bench/nova_fit.py answer <asked.jsonl >tests/tables/nfv/nova_fit.json

Nothing of the planner's counting is in what is asked: nodes, cores and pages of a host, nova.conf
as planned, virtual functions, and flavors by their extra specs. From that Nova's objects are made
as its libvirt driver makes them, and each instance goes through `numa_get_constraints`,
`numa_fit_instance_to_host` with `PciDeviceStats`, and the inventories that Placement would have.
"""

# mypy: disable-error-code="import-not-found"

import copy
import json
import re
import sys
import uuid
from importlib import metadata
from typing import Any

MOST = 4096


def ask(count: int) -> None:
    """Write one line for each host: what Nova is asked, and its digest."""
    from isthmus.testing.nfv import nfv_draw

    for number in range(count):
        asked = nfv_draw.describe(*nfv_draw.draw_plan(number))
        sys.stdout.write(json.dumps({"digest": nfv_draw.digest(asked), "asked": asked}) + "\n")


class Host:
    """One host as Nova sees it."""

    def __init__(self, asked: dict[str, Any]) -> None:
        from nova.virt import hardware

        conf = asked["nova"]
        self.dedicated = hardware.parse_cpu_spec(conf.get("compute/cpu_dedicated_set", [""])[0])
        self.shared = hardware.parse_cpu_spec(conf.get("compute/cpu_shared_set", [""])[0])
        self.ratio = float(conf["DEFAULT/cpu_allocation_ratio"][0])
        self.reserved: dict[tuple[int, int], int] = {}
        for text in conf.get("DEFAULT/reserved_huge_pages", []):
            node, size, pages = map(int, re.findall(r":(\d+)", text))
            self.reserved[node, size] = pages
        self.topology = self._make_topology(asked)
        self.stats = self._make_stats(asked)
        memory = sum(node["memory_mib"] for node in asked["nodes"])
        #: What Placement has of the host.
        self.free = {
            "PCPU": len(self.dedicated),
            "VCPU": len(self.shared) * self.ratio,
            "MEMORY_MB": memory - int(conf["DEFAULT/reserved_host_memory_mb"][0]),
        }
        self.threads = max(
            (len(core) for node in asked["nodes"] for core in node["cores"]), default=1
        )

    def _make_topology(self, asked: dict[str, Any]) -> Any:
        from nova import objects

        conf, cells = asked["nova"], []
        for node in asked["nodes"]:
            cpus = {cpu for core in node["cores"] for cpu in core}
            mine = self.dedicated | self.shared
            siblings = [set(core) & mine for core in node["cores"]]
            pages = {int(size): count for size, count in node["pages"].items()}
            pages[4] = node["small_mib"] * 256
            physnets = {
                key.split("/")[0].removeprefix("neutron_physnet_")
                for key, values in conf.items()
                if key.startswith("neutron_physnet_") and str(node["id"]) in values[0].split(",")
            }
            tunnels = conf.get("neutron_tunnel/numa_nodes", [""])[0].split(",")
            cells.append(
                objects.NUMACell(
                    id=node["id"],
                    cpuset=cpus & self.shared,
                    pcpuset=cpus & self.dedicated,
                    siblings=[one for one in siblings if one],
                    memory=node["memory_mib"],
                    cpu_usage=0,
                    memory_usage=0,
                    pinned_cpus=set(),
                    mempages=[
                        objects.NUMAPagesTopology(
                            size_kb=size,
                            total=count,
                            used=0,
                            reserved=self.reserved.get((node["id"], size), 0),
                        )
                        for size, count in sorted(pages.items())
                    ],
                    network_metadata=objects.NetworkMetadata(
                        physnets=physnets, tunneled=str(node["id"]) in tunnels
                    ),
                    socket=node["sockets"][0] if len(node["sockets"]) == 1 else None,
                )
            )
        return objects.NUMATopology(cells=cells)

    def _make_stats(self, asked: dict[str, Any]) -> Any:
        from nova.pci import stats

        found = stats.PciDeviceStats(self.topology)
        counts: dict[tuple[str, int | None], int] = {}
        for network, node, count in asked["pools"]:
            counts[network, node] = counts.get((network, node), 0) + count
        found.pools = [
            {
                "vendor_id": "8086",
                "product_id": "154c",
                "numa_node": node,
                "dev_type": "type-VF",
                "physical_network": network,
                "count": count,
                "devices": [],
            }
            for (network, node), count in counts.items()
        ]
        return found


def make_requests(demand: dict[str, Any]) -> list[Any]:
    from nova import objects

    policy = demand["extra_specs"].get("hw:pci_numa_affinity_policy")
    return [
        objects.InstancePCIRequest(
            count=1,
            spec=[{"physical_network": network}],
            request_id=str(uuid.UUID(int=index)),
            numa_policy=policy,
        )
        for index, network in enumerate(demand["functions"])
    ]


def place(host: Host, demand: dict[str, Any]) -> bool:
    """Place one instance, or leave the host as it is."""
    # Beside this file, since Nova's Python knows nothing of this project.
    from nova import exception, objects
    from nova.virt import hardware
    from nova_flavor import make_flavor

    image = objects.ImageMeta(properties=objects.ImageMetaProps())
    topology = hardware.numa_get_constraints(make_flavor(demand), image)
    need = {"PCPU": 0, "VCPU": demand["vcpus"], "MEMORY_MB": demand["ram_mib"]}
    if topology is not None:
        pinned = sum(len(cell.pcpuset) for cell in topology.cells)
        isolated = topology.emulator_threads_isolated
        need |= {"PCPU": pinned + isolated, "VCPU": demand["vcpus"] - pinned}
        # Placement's trait HW_CPU_HYPERTHREADING.
        thread_policy = topology.cells[0].cpu_thread_policy
        if thread_policy == ("isolate" if host.threads > 1 else "require"):
            return False
    if any(host.free[name] < count for name, count in need.items()):
        return False
    requests = make_requests(demand)
    cells = None
    if topology is not None:
        limits = objects.NUMATopologyLimits(
            cpu_allocation_ratio=host.ratio,
            ram_allocation_ratio=1.0,
            network_metadata=objects.NetworkMetadata(
                physnets=set(demand["physnets"]), tunneled=False
            ),
        )
        fitted = hardware.numa_fit_instance_to_host(
            host.topology, topology, {}, limits, requests, host.stats
        )
        if fitted is None:
            return False
        cells = fitted.cells
        try:
            host.topology = hardware.numa_usage_from_instance_numa(host.topology, fitted)
        except (exception.CPUPinningUnknown, exception.CPUPinningInvalid, AttributeError):
            return False  # the claim fails, and the instance is not built
        host.stats.numa_topology = host.topology
    if requests:
        try:
            host.stats.apply_requests(requests, {}, cells)
        except exception.PciDeviceRequestFailed:
            return False
    for name, count in need.items():
        host.free[name] -= count
    return True


def fill(host: Host, demand: dict[str, Any], most: int = MOST) -> int:
    placed = 0
    while placed < most and place(host, demand):
        placed += 1
    return placed


def answer_one(asked: dict[str, Any]) -> list[list[int]]:
    """Give, for each flavor, how many fit alone, and how many more beside all that is wanted."""
    full = Host(asked)
    flavors = asked["flavors"]
    for demand in sorted(flavors, key=lambda one: (-one["vcpus"], -one["ram_mib"], one["name"])):
        if fill(full, demand, demand["wanted"]) != demand["wanted"]:
            return [[-1, -1]] * len(flavors)
    return [[fill(Host(asked), demand), fill(copy.deepcopy(full), demand)] for demand in flavors]


def answer() -> None:
    from nova import conf, objects

    objects.register_all()
    conf.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    lines = [json.loads(line) for line in sys.stdin]
    cases = []
    for line in lines:
        try:
            cases.append([line["digest"], answer_one(line["asked"])])
        except Exception as exc:  # noqa: BLE001 - it is an answer too
            cases.append([line["digest"], f"{type(exc).__name__}: {exc}"])
    sys.stdout.write(f'{{"nova": "{metadata.version("nova")}", "cases": [\n')
    sys.stdout.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
    sys.stdout.write("\n]}\n")


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(int(sys.argv[2]))
    else:
        answer()
