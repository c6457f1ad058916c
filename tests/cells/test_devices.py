"""PCI devices of live hosts, with and without NUMA nodes: as many fit as Nova itself fits."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cells.draw import draw_numa
from tests.cells.draw_booted import POLICIES
from tests.cells.test_numa import host

from isthmus import errors
from isthmus.config.devices import read_devices
from isthmus.model.compute.cloud import Flavor
from isthmus.model.compute.device import NO_RULES, list_device_requests
from isthmus.nfv.compute.device import parse_devices
from isthmus.nfv.compute.numa import NumaFit
from isthmus.testing.needed import skip_without

ORACLE = Path(__file__).with_name("oracle_devices.py")
HOSTS = 60
ALIASES = {"1001": "gpu", "2002": "vf", "2003": "smart", "2004": "moves"}
#: (vendor, product, type) and what a pool of them says besides.
KINDS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("10de", "1001", "type-PCI", {}),
    ("8086", "2002", "type-VF", {"remote_managed": "false"}),
    ("8086", "2003", "type-VF", {"remote_managed": "true"}),
    ("8086", "2004", "vdpa", {"live_migratable": "true"}),
)


def draw(seed: int) -> dict[str, Any]:
    """Draw a host with devices, aliases, and flavors that ask for them."""
    dice = random.Random(seed + 90_000)
    case = draw_numa(seed)
    nodes = [*range(len(case["nodes"])), None]
    case["filled"], case["most"] = [], 40
    case["pools"] = []
    for card in range(dice.randint(2, 6)):
        vendor, product, kind, tags = dice.choice(KINDS)
        case["pools"].append(
            {
                "vendor_id": vendor,
                "product_id": product,
                "dev_type": kind,
                "numa_node": dice.choice(nodes),
                "count": dice.randint(1, 6),
                "address": f"0000:{card:02x}:00.0",
                "tags": dict(tags),
            }
        )
    ids = {"vendor_id": "8086", "product_id": "2002"}
    case["aliases"] = [
        json.dumps({"name": name, "numa_policy": dice.choice(POLICIES), **spec})
        for name, spec in (
            ("gpu", {"vendor_id": "10de", "product_id": "1001"}),
            ("vf", {**ids, "device_type": "type-VF"}),
            ("smart", {**ids, "product_id": "2003"}),
            ("moves", {**ids, "product_id": "2004", "live_migratable": "true"}),
        )
    ]
    for flavor in case["flavors"]:
        if dice.random() < 0.3:  # bound to no node
            flavor["extra_specs"] = {}
        there = sorted({ALIASES[one["product_id"]] for one in case["pools"]})
        asked = dice.sample(there, min(len(there), dice.choice((0, 1, 1, 1, 2))))
        if asked:
            text = ",".join(f"{one}:{dice.choice((1, 1, 1, 2, 3))}" for one in asked)
            flavor["extra_specs"]["pci_passthrough:alias"] = text
            if dice.random() < 0.4:
                flavor["extra_specs"]["hw:pci_numa_affinity_policy"] = dice.choice(POLICIES)
    return case


def test_as_many_fit_as_nova_fits() -> None:
    skip_without([] if _is_there() else ["nova"])
    cases = [draw(seed) for seed in range(HOSTS)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ORACLE)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    wrong, some = [], 0
    for number, (case, answer) in enumerate(zip(cases, json.loads(done.stdout), strict=True)):
        rules = read_devices(case["aliases"], in_placement=False)
        one = host(number, case, answer["numa"])
        fit = NumaFit([type(one)(**{**_fields(one), "pci": answer["pci"]})], rules)
        for flavor, count in zip(case["flavors"], answer["counts"], strict=True):
            found = min(int(fit.count(Flavor(**flavor))[0]), case["most"])
            asks = "pci_passthrough:alias" in flavor["extra_specs"]
            some += asks and count > 0
            if found != count:
                wrong.append((number, flavor, found, count))
    assert wrong == []
    assert some > HOSTS


def _fields(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in type(one).__slots__}


def _is_there() -> bool:
    from importlib import util

    return util.find_spec("nova") is not None


def test_what_makes_no_sense_is_said() -> None:
    for text in ("{", "[]", '{"vendor_id": "1"}'):
        with pytest.raises(errors.Invalid, match="not as Nova reads it"):
            read_devices([text], in_placement=False)
    with pytest.raises(errors.Unsupported, match="gpu, which no"):
        list_device_requests("f", {"pci_passthrough:alias": "gpu:1"}, NO_RULES)
    rules = read_devices(['{"name": "gpu", "vendor_id": "1"}'], in_placement=False)
    with pytest.raises(errors.Invalid, match="gpu=1"):
        list_device_requests("f", {"pci_passthrough:alias": "gpu=1"}, rules)
    with pytest.raises(errors.ProtocolError, match="pci_stats of compute node h"):
        parse_devices("[1]", host="h")
    assert parse_devices("", host="h").pools == ()
