"""What `isthmus cell capacity` says fits is what Nova builds: clouds that are booted full.

Each cloud is drawn from a seed; Nova's own code runs it (`mini_nova`), and boots each flavor in it
until a server is not built.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
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


class Oracle:
    """Has Nova boot clouds."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        with self.log.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(ORACLE), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )

    def boot(self, case: dict[str, Any]) -> dict[str, Any]:
        """Boot one full; return what came of it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.log.read_text()[-4000:]
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    skip_without([one for one in ("nova", "placement") if util.find_spec(one) is None])
    made = Oracle(tmp_path_factory.mktemp("booted"))
    yield made
    made.close()


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


def render_row(case: dict[str, Any], answer: dict[str, Any], rows: list[Row]) -> str:
    """Write the row of a cloud as `docs/explanation/capacity.md` has it."""
    hosts, mixed = case["hosts"], answer["mixed"]
    nodes = sum(bool(one["nodes"]) for one in hosts)
    built = sum(one["server"]["state"] == "active" for one in mixed)
    words = (
        f"{sum(row.said.values())}/{sum(row.built.values())}{' (upper bound)' * (not row.exact)}"
        for row in rows
    )
    return (
        f"| {case['seed']} | {len(hosts)} ({nodes}) | {sum(len(one['devices']) for one in hosts)} "
        f"| {'yes' if case['in_placement'] else 'no'} | {', '.join(words)} "
        f"| {built} of {len(mixed)} |"
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_cloud_is_booted_full_with_what_was_said(oracle: Oracle, seed: int) -> None:
    case = draw_booted(seed)
    answer = oracle.boot(case)
    rows = compare(case, answer)
    print(render_row(case, answer, rows))  # noqa: T201
    assert [one for one in rows if not one.is_right] == []
    assert compare_mixed(case, answer) == []
    assert len(rows) == len(case["flavors"])
