"""Clouds and flavors by dice: small enough that every way to fill a host can be tried."""

import random
import uuid
from typing import Any

TRAITS = ("HW_CPU_X86_AVX2", "CUSTOM_GOLD", "HW_CPU_HYPERTHREADING")
#: Traits of compute nodes that Nova asks for by extra specs.
ROOT_TRAITS = {
    "COMPUTE_NET_VIRTIO_PACKED": {"hw:virtio_packed_ring": "yes"},
    "COMPUTE_SOUND_MODEL_VIRTIO": {"hw:sound_model": "virtio"},
    "HW_CPU_X86_AMD_SEV": {"hw:mem_encryption": "on"},
}
ENCRYPTED = "MEM_ENCRYPTION_CONTEXT"
NETWORKS = ("CUSTOM_PHYSNET_A", "CUSTOM_PHYSNET_B")
VF, GPU = "CUSTOM_VF", "VGPU"


class Cloud:
    """What is drawn, in the words of `isthmus.model.compute.cloud`; a dictionary for the oracle."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.providers: list[dict[str, Any]] = []
        self.inventories: list[dict[str, Any]] = []
        self.hosts: list[str] = []
        shared = self._shared() if self.dice.random() < 0.25 else None
        for number in range(3):
            self._host(number, shared)

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.dice.getrandbits(128), version=4))

    def _provider(
        self, name: str, root: int | None, traits: list[str], aggregates: list[str]
    ) -> int:
        own = len(self.providers) + 1
        self.providers.append(
            {
                "id": own,
                "uuid": self._uuid(),
                "name": name,
                "root": root or own,
                "traits": traits,
                "aggregates": aggregates,
            }
        )
        return own

    def _offer(self, provider: int, name: str, total: int, **more: Any) -> None:
        row = {
            "provider": provider,
            "resource_class": name,
            "total": total,
            "reserved": 0,
            "min_unit": 1,
            "max_unit": total,
            "step_size": 1,
            "allocation_ratio": 1.0,
            **more,
        }
        capacity = int((row["total"] - row["reserved"]) * row["allocation_ratio"])
        row["used"] = self.dice.choice((0, 0, self.dice.randint(0, capacity // 2)))
        self.inventories.append(row)

    def _shared(self) -> str:
        aggregate = self._uuid()
        own = self._provider("share", None, ["MISC_SHARES_VIA_AGGREGATE"], [aggregate])
        self._offer(own, "DISK_GB", self.dice.randint(20, 90))
        return aggregate

    def _host(self, number: int, shared: str | None) -> None:
        dice = self.dice
        traits = [one for one in (*TRAITS, *ROOT_TRAITS) if dice.random() < 0.6]
        if dice.random() < 0.1:
            traits.append("COMPUTE_STATUS_DISABLED")
        sharing = shared is not None and dice.random() < 0.7
        root = self._provider(f"host{number}", None, traits, [shared] if sharing and shared else [])
        self.hosts.append(self.providers[-1]["uuid"])
        homes = [root]
        if dice.random() < 0.3:  # CPUs and memory at nested NUMA nodes
            homes = [
                self._provider(
                    f"host{number}-numa{node}",
                    root,
                    [one for one in (*TRAITS[:2], "HW_NUMA_ROOT") if dice.random() < 0.7],
                    [],
                )
                for node in range(2)
            ]
        for home in homes:
            self._offer(
                home,
                "VCPU",
                dice.randint(2, 8) // len(homes) + 1,
                reserved=dice.randint(0, 1),
                allocation_ratio=dice.choice((1.0, 1.5, 2.0, 1.3)),
                max_unit=dice.choice((2, 4, 8)),
            )
            if dice.random() < 0.5:
                self._offer(home, "PCPU", dice.randint(2, 8))
            self._offer(
                home,
                "MEMORY_MB",
                512 * dice.randint(4, 16),
                reserved=dice.choice((0, 512)),
                step_size=dice.choice((1, 1, 256, 768)),
                min_unit=dice.choice((1, 1, 1024)),
            )
        self._offer(root, ENCRYPTED, dice.randint(1, 3))
        if not sharing or dice.random() < 0.3:
            self._offer(root, "DISK_GB", dice.randint(10, 80))
        self._devices(number, root)

    def _devices(self, number: int, root: int) -> None:
        dice = self.dice
        for card in range(dice.choice((0, 1, 2, 3))):
            traits = [dice.choice(NETWORKS)] + (["CUSTOM_FAST"] if dice.random() < 0.3 else [])
            own = self._provider(f"host{number}-nic{card}", root, traits, [])
            total = dice.randint(1, 3)
            self._offer(own, VF, total, max_unit=dice.randint(1, total))
        if dice.random() < 0.4:
            own = self._provider(f"host{number}-gpu", root, [], [])
            self._offer(own, GPU, dice.randint(1, 3))

    def to_case(self, flavors: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "providers": self.providers,
            "inventories": self.inventories,
            "hosts": self.hosts,
            "flavors": flavors,
        }


def _draw_devices(dice: random.Random) -> dict[str, str]:
    specs: dict[str, str] = {}
    if dice.random() < 0.15:
        specs[f"resources:{GPU}"] = "1"
    if dice.random() < 0.1:
        specs[f"resources:{VF}"] = "1"
        specs[f"trait:{dice.choice(NETWORKS)}"] = "required"
    elif dice.random() < 0.4:
        specs["group_policy"] = dice.choice(("none", "isolate"))
        for group in range(1, dice.randint(1, 3) + 1):
            specs[f"resources{group}:{VF}"] = "1"
            if dice.random() < 0.6:
                specs[f"trait{group}:{dice.choice(NETWORKS)}"] = "required"
            if dice.random() < 0.15:
                specs[f"trait{group}:CUSTOM_FAST"] = "forbidden"
    return specs


def draw_flavor(dice: random.Random, number: int) -> dict[str, Any]:
    """Draw a flavor as Placement sees it."""
    specs: dict[str, str] = {}
    if dice.random() < 0.25:
        specs["hw:cpu_policy"] = "dedicated"
        if dice.random() < 0.4:
            specs["hw:cpu_thread_policy"] = dice.choice(("require", "isolate", "prefer"))
        if dice.random() < 0.3:
            specs["hw:emulator_threads_policy"] = "isolate"
    if dice.random() < 0.3:
        specs |= dice.choice(list(ROOT_TRAITS.values()))
    if dice.random() < 0.2:
        specs[dice.choice(("hw:mem_encryption", "hw:virtio_packed_ring"))] = "False"
    specs |= _draw_devices(dice)
    for trait in TRAITS[:2]:
        if dice.random() < 0.2:
            specs[f"trait:{trait}"] = dice.choice(("required", "required", "forbidden"))
    return {
        "name": f"f{number}",
        "flavorid": f"f{number}",
        "vcpus": dice.choice((1, 1, 2, 3)),
        "ram_mib": dice.choice((512, 768, 1024, 1536)),
        "disk_gib": dice.choice((0, 5, 10)),
        "ephemeral_gib": dice.choice((0, 0, 3)),
        "swap_mib": dice.choice((0, 0, 1500)),
        "extra_specs": specs,
    }


def draw_numa(seed: int) -> dict[str, Any]:
    """Draw a host with NUMA nodes, what fills it, and flavors that are counted."""
    dice = random.Random(seed)
    threads = dice.choice((1, 2, 2))
    nodes, cpu = [], 0
    shares = dice.random() < 0.6
    for number in range(dice.choice((1, 2, 2, 4))):
        cores = []
        for _ in range(dice.choice((4, 8))):
            cores.append(list(range(cpu, cpu + threads)))
            cpu += threads
        kept = 2 if shares else 0
        memory = 1024 * dice.choice((8, 16, 32))
        huge = dice.randint(0, memory // 2 // 1024)
        pages = [[4, (memory - huge * 1024) * 256, dice.choice((0, 256 * 512))]]
        if huge:
            pages.append([1048576, huge, dice.choice((0, 1)) if huge > 1 else 0])
        nodes.append(
            {
                "id": number,
                "cores": cores,
                "shared": [one for core in cores[:kept] for one in core],
                "dedicated": [one for core in cores[kept:] for one in core],
                "memory": memory,
                "pages": pages,
            }
        )
    flavors = [_draw_guest(dice, number, len(nodes)) for number in range(8)]
    return {
        "nodes": nodes,
        "cpu_ratio": dice.choice((1.0, 2.0, 4.0)),
        "ram_ratio": dice.choice((1.0, 1.0, 1.5)),
        "filled": [_draw_guest(dice, number, len(nodes)) for number in range(dice.randint(0, 5))],
        "flavors": flavors,
        "most": 200,
    }


def _draw_guest(dice: random.Random, number: int, most: int) -> dict[str, Any]:
    nodes = dice.choice([one for one in (1, 1, 2, 4) if one <= most])
    specs = {"hw:numa_nodes": str(nodes)}
    vcpus = dice.choice((1, 2, 3, 4)) * nodes
    policy = dice.choice(("shared", "dedicated", "dedicated", "mixed"))
    if policy == "mixed" and vcpus < 2:
        policy = "dedicated"
    specs["hw:cpu_policy"] = policy
    if policy == "mixed":
        specs["hw:cpu_dedicated_mask"] = "^0"
    if policy != "shared":
        if dice.random() < 0.4:
            specs["hw:cpu_thread_policy"] = dice.choice(("require", "isolate", "prefer"))
        if dice.random() < 0.3:
            specs["hw:emulator_threads_policy"] = "isolate"
    pages = dice.choice(("", "large", "small", "1048576", "1GB", "4"))
    if pages:
        specs["hw:mem_page_size"] = pages
    return {
        "name": f"g{number}",
        "flavorid": f"g{number}",
        "vcpus": vcpus,
        "ram_mib": dice.choice((512, 1024, 2048)) * nodes,
        "disk_gib": 0,
        "ephemeral_gib": 0,
        "swap_mib": 0,
        "extra_specs": specs,
    }
