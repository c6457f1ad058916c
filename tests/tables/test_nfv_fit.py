"""How many instances fit, held against what Nova itself answered (bench/record_nova_fit.py)."""

import json
from pathlib import Path
from typing import Any

import pytest

from isthmus.model.nfv_intent import CpuPolicy, EmulatorThreads, FlavorWish, ThreadPolicy
from isthmus.nfv.plan.capacity import Room, Ties, fill

RECORD = json.loads((Path(__file__).parent / "nfv" / "nova_fit.json").read_text())
RATIO = 4.0


def make_room(node: dict[str, Any]) -> Room:
    return Room(
        node["node"],
        list(node["cores"]),
        {int(size): count for size, count in node["pages"].items()},
        node["shared_cpus"] * RATIO,
        node["shared_cpus"],
    )


def make_flavor(body: dict[str, Any]) -> FlavorWish:
    return FlavorWish(
        name=body["name"],
        vcpus=body["vcpus"],
        ram_mib=body["ram_mib"],
        numa_nodes=body["numa_nodes"],
        cpu_policy=CpuPolicy(body["cpu_policy"]),
        thread_policy=ThreadPolicy(body["thread_policy"]),
        emulator_threads=EmulatorThreads(body["emulator_threads"]),
        page_size=body["page_size"],
    )


@pytest.mark.parametrize("number", range(len(RECORD["cases"])))
def test_nova_fits_as_many(number: int) -> None:
    case = RECORD["cases"][number]
    rooms = [make_room(node) for node in case["nodes"]]
    reach = {
        name: frozenset(node["node"] for node in case["nodes"] if name in node["physnets"])
        for name in ("left", "right")
    }
    answers = []
    for body in case["flavors"]:
        ties = Ties(reach={name: reach[name] for name in body["networks"]})
        count, rooms, _ = fill(rooms, make_flavor(body), ties, most=body["most"])
        answers.append(count)
    assert answers == case["nova"]


def test_the_record_is_of_the_nova_that_was_read() -> None:
    assert RECORD["nova"] == "34.0.0"
    assert len(RECORD["cases"]) == 300
    assert sum(sum(case["nova"]) for case in RECORD["cases"]) > 500
