"""How many more instances fit: as many as Placement and Nova themselves find room for."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.cells.draw import Cloud, draw_flavor
from tests.cells.test_numa import ask

from isthmus.cells.arrays import make_arrays
from isthmus.cells.capacity import count_flavor
from isthmus.cells.request import Group, plan_request
from isthmus.model.compute.cloud import (
    ComputeCloud,
    ComputeHost,
    Flavor,
    Provider,
    ResourceInventory,
)
from isthmus.store.nova.placement import collect_providers

CLOUDS = 12
FLAVORS = 6


def to_cloud(case: dict[str, Any]) -> ComputeCloud:
    return ComputeCloud(
        cells=(),
        hosts=tuple(
            ComputeHost(name=uuid, node=uuid, uuid=uuid, cell="c") for uuid in case["hosts"]
        ),
        providers=tuple(
            Provider(
                id=one["id"],
                uuid=one["uuid"],
                name=one["name"],
                root=one["root"],
                traits=frozenset(one["traits"]),
                aggregates=frozenset(one["aggregates"]),
            )
            for one in case["providers"]
        ),
        inventories=tuple(
            ResourceInventory(
                provider=one["provider"],
                resource_class=one["resource_class"],
                capacity=int((one["total"] - one["reserved"]) * one["allocation_ratio"]),
                used=one["used"],
                min_unit=one["min_unit"],
                max_unit=one["max_unit"],
                step_size=one["step_size"],
            )
            for one in case["inventories"]
        ),
    )


def by_uuid(
    providers: tuple[Provider, ...], inventories: tuple[ResourceInventory, ...]
) -> set[tuple[str, ResourceInventory]]:
    uuids = {one.id: one.uuid for one in providers}
    return {(uuids[one.provider], replace(one, provider=0)) for one in inventories}


def draw_case(seed: int) -> dict[str, Any]:
    dice = random.Random(seed + 7000)
    return Cloud(seed).to_case([draw_flavor(dice, number) for number in range(FLAVORS)])


def group_of(query: dict[str, str], suffix: str) -> Group:
    """Read one group of what Nova asks Placement."""
    pairs = query.get(f"resources{suffix}", "").split(",")
    traits = [one for one in query.get(f"required{suffix}", "").split(",") if one]
    return Group(
        {name: int(amount) for name, _, amount in (one.partition(":") for one in pairs if one)},
        frozenset(one for one in traits if not one.startswith("!")),
        frozenset(one[1:] for one in traits if one.startswith("!")),
    )


def test_as_many_fit_as_placement_finds_ways_for(tmp_path: Path) -> None:
    cases = [draw_case(seed) for seed in range(CLOUDS)]
    answers = ask(["placement", str(tmp_path)], cases)
    wrong, exact, some = [], 0, 0
    for seed, (case, answer) in enumerate(zip(cases, answers, strict=True)):
        providers, inventories = collect_providers(f"sqlite:///{tmp_path / str(seed)}.sqlite", 5.0)
        cloud = to_cloud(case)
        assert by_uuid(providers, inventories) == by_uuid(cloud.providers, cloud.inventories)
        arrays = make_arrays(replace(cloud, providers=providers, inventories=inventories))
        for described, counts in zip(case["flavors"], answer["counts"], strict=True):
            counted = count_flavor(arrays, Flavor(**described), None)
            for host, count in enumerate(counts):
                found = int(counted.fits[host])
                exact += bool(counted.tally.exact[host])
                some += count > 0
                low = count if counted.tally.exact[host] else 0
                if not (
                    low <= count <= found and (found == count or not counted.tally.exact[host])
                ):
                    wrong.append((seed, host, described, found, count))
    total = CLOUDS * FLAVORS * 3
    assert wrong == []
    assert some > total / 4
    assert exact > total * 0.9


def test_nova_asks_placement_for_what_is_planned_here(tmp_path: Path) -> None:
    dice = random.Random(5)
    flavors = [draw_flavor(dice, number) for number in range(60)]
    more: list[dict[str, str]] = [
        {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0", "hw:numa_nodes": "1"},
        {"hw:pmem": "4GB,4GB,SMALL"},
        {"hw:tpm_version": "2.0", "hw:tpm_model": "tpm-crb"},
        {"hw:tpm_version": "1.2"},
        {"os:secure_boot": "required"},
        {"hw:pci_numa_affinity_policy": "socket"},
        {"resources:VCPU": "0", "resources:CUSTOM_BAREMETAL": "1", "resources:MEMORY_MB": "0"},
        {"resources1:DISK_GB": "7"},
    ]
    for number, specs in enumerate(more):
        flavors.append({**flavors[0], "vcpus": 3, "name": f"m{number}", "extra_specs": specs})
    case = {"providers": [], "inventories": [], "hosts": [], "flavors": flavors}
    (answer,) = ask(["placement", str(tmp_path)], [case])
    for described, pairs in zip(flavors, answer["queries"], strict=True):
        query = dict(pairs)
        suffixes = sorted(
            key.removeprefix("resources") for key in query if key.startswith("resources")
        )
        request = plan_request(Flavor(**described))
        assert request.common == group_of(query, ""), described
        assert sorted(map(str, request.groups)) == sorted(
            str(group_of(query, one)) for one in suffixes if one
        ), described
        assert request.isolate == (query.get("group_policy") == "isolate")
