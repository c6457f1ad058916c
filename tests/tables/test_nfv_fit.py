"""How many instances fit, held against what Nova itself answered (bench/nova_fit.py).

Each number draws a host of 1 to 8 nodes, a demand and a plan; Nova was asked about the planned
nova.conf, virtual functions and flavors. Where a plan has changed since, so has its digest: record
the answers anew.
"""

import json
from pathlib import Path

import pytest

from isthmus.testing.nfv import nfv_draw

RECORD = json.loads((Path(__file__).parent / "nfv" / "nova_fit.json").read_text())
#: Hosts a test; all that are recorded take some twenty seconds.
PART = 100


@pytest.mark.parametrize("start", range(0, len(RECORD["cases"]), PART))
def test_nova_fits_as_many(start: int) -> None:
    for number in range(start, min(start + PART, len(RECORD["cases"]))):
        host, demand, plan = nfv_draw.draw_plan(number)
        digest, answers = RECORD["cases"][number]
        asked = nfv_draw.digest(nfv_draw.describe(host, demand, plan))
        assert asked == digest, f"the plan of {number} is another: record Nova's answers anew"
        assert nfv_draw.answers_of(plan) == answers, f"host {number}"


def test_the_record_is_of_the_nova_that_was_read_and_has_every_kind() -> None:
    assert RECORD["nova"] == "34.0.0"
    assert len(RECORD["cases"]) == 2000
    answers = [pair for _, case in RECORD["cases"] for pair in case]
    assert sum(alone > 0 for alone, _ in answers) > 1000
    assert sum(alone != more for alone, more in answers) > 300


def test_the_dice_draw_every_policy() -> None:
    drawn = [nfv_draw.draw_plan(number) for number in range(150)]
    flavors = [flavor for _, demand, _ in drawn for flavor in demand.flavors]
    assert {str(flavor.cpu_policy) for flavor in flavors} == {"dedicated", "shared", "mixed"}
    assert {str(flavor.thread_policy) for flavor in flavors} == {"prefer", "require", "isolate"}
    assert {str(one.emulator_threads) for one in flavors} == {"share", "isolate", "none"}
    assert any(flavor.realtime for flavor in flavors)
    assert {len(host.nodes) for host, _, _ in drawn} >= {1, 2, 4, 8}
    policies = {
        flavor.extra_specs.get("hw:pci_numa_affinity_policy")
        for _, _, plan in drawn
        for flavor in plan.flavors
    }
    assert policies == {None, "required", "preferred", "legacy", "socket"}
    assert any(one.node is None for _, _, plan in drawn for one in plan.sriov)
