"""What `isthmus cell capacity` says fits is what Nova builds: clouds that are booted full.

Each cloud is drawn from a seed; Nova's own code runs it (`mini_nova`), and boots each flavor in it
until a server is not built.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from tests.cells.draw_booted import draw_booted

from isthmus.cells.arrays import make_arrays
from isthmus.cells.capacity import Capacity, list_capacity
from isthmus.testing.needed import skip_without
from isthmus.wiring.compute.cells import collect_cloud, open_fit

ORACLE = Path(__file__).with_name("oracle_booted.py")
# Nova builds some dozens of servers in each cloud.
pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]


def boot(folder: Path, seeds: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Have Nova boot clouds; return what was drawn, and what came of it."""
    cases = [draw_booted(seed) for seed in seeds]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ORACLE), str(folder)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return cases, json.loads(done.stdout)


def say(folder: str, flavor: str) -> dict[str, Capacity]:
    """Return what is said of one flavor, by cell; without one where it cannot be counted."""
    conf = [Path(folder) / "nova.conf"]
    cloud = collect_cloud(conf, conf, 30.0)
    (named,) = [one for one in cloud.flavors if one.name == flavor]
    rows = list_capacity(make_arrays(cloud), [named], open_fit(cloud), "cell")
    return {one.scope: one for one in rows if not one.error}


@dataclass(frozen=True)
class Row:
    """One flavor in one cloud: what was said of each cell, and what was built there."""

    seed: int
    flavor: dict[str, Any]
    said: dict[str, int]
    built: dict[str, int]
    exact: bool
    fault: str

    @property
    def is_right(self) -> bool:
        """Tell whether all was built that was said; an upper bound may be more."""
        if self.exact:
            return self.said == self.built
        return all(self.said.get(cell, 0) >= count for cell, count in self.built.items())


def compare(case: dict[str, Any], answer: dict[str, Any]) -> list[Row]:
    """Hold what was said against what was built."""
    found = []
    for flavor in case["flavors"]:
        built = answer["flavors"][flavor["name"]]
        rows = say(answer["folder"], flavor["name"])
        found.append(
            Row(
                case["seed"],
                flavor,
                {one.scope: one.fits for one in rows.values() if one.fits},
                built["cells"],
                all(one.exact for one in rows.values()),
                (built["last"] or {}).get("fault", ""),
            )
        )
    return found


def compare_mixed(case: dict[str, Any], answer: dict[str, Any]) -> list[str]:
    """Return where a sequence of flavors was built, or was not, against what was said before."""
    wrong = []
    flavors = {one["name"]: one for one in case["flavors"]}
    for one in answer["mixed"]:
        rows = say(one["folder"], one["flavor"])
        fits, is_built = sum(row.fits for row in rows.values()), one["server"]["state"] == "active"
        may_differ = not all(row.exact for row in rows.values()) and not is_built
        if (fits > 0) != is_built and not may_differ:
            wrong.append(f"cloud {case['seed']}: {flavors[one['flavor']]}: {fits}, {one}")
    return wrong


@pytest.mark.parametrize("seed", range(20))
def test_a_cloud_is_booted_full_with_what_was_said(tmp_path: Path, seed: int) -> None:
    skip_without([one for one in ("nova", "placement") if util.find_spec(one) is None])
    (case,), (answer,) = boot(tmp_path, [seed])
    rows = compare(case, answer)
    assert [one for one in rows if not one.is_right] == []
    assert compare_mixed(case, answer) == []
    assert len(rows) == len(case["flavors"])
