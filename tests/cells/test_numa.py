"""Instances on the NUMA nodes of live hosts: as many as Nova itself fits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cells.draw import draw_numa

from isthmus.model.compute.cloud import ComputeHost, Flavor
from isthmus.nfv.compute.numa import NumaFit
from isthmus.testing.needed import skip_without

ORACLE = Path(__file__).with_name("oracle.py")
HOSTS = 250


def ask(command: list[str], cases: Any) -> Any:
    skip_without([name for name in ("nova", "placement") if not _is_there(name)])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ORACLE), *command],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def _is_there(name: str) -> bool:
    from importlib import util

    return util.find_spec(name) is not None


def host(number: int, case: dict[str, Any], numa: str) -> ComputeHost:
    return ComputeHost(
        name=f"h{number}",
        node=f"h{number}",
        uuid=str(number),
        cell="c",
        numa=numa,
        cpu_ratio=case["cpu_ratio"],
        ram_ratio=case["ram_ratio"],
    )


def test_as_many_fit_as_nova_fits() -> None:
    cases = [draw_numa(seed) for seed in range(HOSTS)]
    answers = ask(["numa"], cases)
    wrong, seen, some = [], 0, 0
    for number, (case, answer) in enumerate(zip(cases, answers, strict=True)):
        fit = NumaFit([host(number, case, answer["numa"])])
        for flavor, count in zip(case["flavors"], answer["counts"], strict=True):
            found = min(int(fit.count(Flavor(**flavor))[0]), case["most"])
            seen += 1
            some += count > 0
            if found != count:
                wrong.append(
                    (
                        number,
                        flavor["vcpus"],
                        flavor["ram_mib"],
                        flavor["extra_specs"],
                        found,
                        count,
                    )
                )
    assert seen == HOSTS * 8
    assert some > seen / 4
    assert wrong == []
