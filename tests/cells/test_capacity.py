"""How many more instances fit: as many as Placement and Nova themselves find room for."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cells.draw import Cloud, draw_flavor
from tests.cells.test_numa import ask

from isthmus import errors
from isthmus.cells.arrays import make_arrays
from isthmus.cells.capacity import count_flavor, list_capacity
from isthmus.cells.request import STANDARD_CLASSES, Group, Request, plan_request
from isthmus.cells.traits import DISABLED_TRAIT
from isthmus.facts.cpuset import parse_vcpus
from isthmus.model.compute.cloud import (
    ComputeCloud,
    ComputeHost,
    Flavor,
    Provider,
    ResourceInventory,
    is_true,
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
        {"hw:cpu_policy": "mixed", "hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "^0,2"},
        {"hw:cpu_policy": "dedicated", "hw:cpu_realtime_mask": "^0"},
        {"hw:tpm_version": "2.0", "hw:tpm_secret_security": "host"},
        {"hw:tpm_version": "2.0", "hw:tpm_secret_security": "deployment"},
        {"hw:mem_encryption": "False", "hw:mem_encryption_model": "amd-sev"},
        {"hw:mem_encryption": "T", "hw:mem_encryption_model": "amd-sev-es"},
        {"hw:virtio_packed_ring": "1", "hw:sound_model": "ac97"},
        {"hw:ephemeral_encryption": "true", "hw:ephemeral_encryption_format": "luks"},
        {"hw:ephemeral_encryption": "0", "hw:ephemeral_encryption_format": "luks"},
        {"hw:maxphysaddr_mode": "emulate"},
        {"hw:maxphysaddr_mode": "passthrough"},
        {"resources:VGPU": "many", "resources:NO_SUCH": "1", "resources:FPGA": " 2 "},
        {"hw:pmem": "SMALL", "resources:CUSTOM_PMEM_NAMESPACE_SMALL": "4"},
    ]
    for number, specs in enumerate(more):
        flavors.append({**flavors[0], "vcpus": 3, "name": f"m{number}", "extra_specs": specs})
    case = {"providers": [], "inventories": [], "hosts": [], "flavors": flavors}
    (answer,) = ask(["placement", str(tmp_path)], [case])
    for described, asked in zip(flavors, answer["queries"], strict=True):
        request = plan_request(Flavor(**described))
        assert len(asked) == 1 + request.retried, described
        for pinned, pairs in zip((True, False), asked, strict=False):
            compare(plan_request(Flavor(**described), pinned=pinned), dict(pairs), described)


def compare(request: Request, query: dict[str, str], described: dict[str, Any]) -> None:
    suffixes = sorted(key.removeprefix("resources") for key in query if key.startswith("resources"))
    assert request.common == group_of(query, ""), described
    assert sorted(map(str, request.groups)) == sorted(
        str(group_of(query, one)) for one in suffixes if one
    ), described
    assert request.isolate == (query.get("group_policy") == "isolate")
    roots = query["root_required"].split(",")
    assert {f"!{DISABLED_TRAIT}", *request.root_required} == set(roots), described


def test_resource_classes_and_truths_and_masks_are_those_of_nova() -> None:
    from importlib import import_module

    assert frozenset(import_module("os_resource_classes").STANDARDS) == STANDARD_CLASSES
    dice = random.Random(3)
    masks = [("".join(dice.choices("0123^,- ", k=dice.randint(1, 7))), 4) for _ in range(3000)]
    masks += [("^0,2", 4), ("0-3:1/2", 8), ("0-99", 4), ("^1-2", 4), (" ^0", 4), ("3-1", 4)]
    truths = ["True", "TRUE", " yes", "on", "1", "t", "y", "False", "off", "0", "", "2", "maybe"]
    asked = {"flavor": draw_flavor(dice, 1), "masks": masks, "truths": truths}
    answer = ask(["masks"], asked)
    assert [is_true(one) for one in truths] == answer["truths"]
    wrong = []
    for (mask, count), cpus in zip(masks, answer["masks"], strict=True):
        try:
            found = sorted(parse_vcpus(mask, count))
        except errors.Invalid:
            found = None
        # A mask of none, or of all, Nova refuses for a mixed guest; as a list it is one.
        if found != cpus and not (cpus is None and found in ([], list(range(count)))):
            wrong.append((mask, found, cpus))
    assert wrong == []
    assert sum(bool(cpus) for cpus in answer["masks"]) > 300


@pytest.mark.parametrize(
    "specs",
    [
        {"hw:cpu_policy": "pinned"},
        {"hw:cpu_policy": "mixed"},
        {"hw:cpu_thread_policy": "isolate"},
        {"hw:emulator_threads_policy": "isolate"},
        {"hw:tpm_version": "3"},
        {"hw:tpm_version": "1.2", "hw:tpm_model": "tpm-crb"},
        {"hw:sound_model": "loud"},
        {"hw:mem_encryption": "1", "hw:mem_encryption_model": "sgx"},
        {"hw:maxphysaddr_mode": "wide"},
        {"accel:device_profile": "fpga"},
        {"resources:VCPU": "0", "resources:MEMORY_MB": "0", "resources:DISK_GB": "0"},
    ],
)
def test_a_flavor_that_cannot_be_counted_is_one_line(specs: dict[str, str]) -> None:
    dice = random.Random(1)
    arrays = make_arrays(to_cloud(draw_case(1)))
    odd, plain = (Flavor(**{**draw_flavor(dice, 1), "extra_specs": one}) for one in (specs, {}))
    first, *rest = list_capacity(arrays, [odd, plain], None, "cloud")
    assert first.error
    assert (first.fits, first.exact, first.scope) == (0, False, "")
    assert [(one.error, one.scope) for one in rest] == [("", "cloud")]
