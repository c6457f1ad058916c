"""What the how-to pages tell a tenant to type, typed: each leaves nothing behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.lab.page import CLEAN_UP, Shell, parse_page, run_step
from tests.lab.person import Person
from tests.lab.preloaded import preloaded

from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(2400)]

DOCS = Path(__file__).parents[2] / "docs" / "howto"
PAGES = (
    "routers.md",
    "external.md",
    "floating-ip.md",
    "provider.md",
    "shared-fabric.md",
    "trunk.md",
    "qos.md",
    "names.md",
)
#: What a page may make, by the paths of Neutron's API.
RESOURCES = {
    "networks": "networks",
    "subnets": "subnets",
    "ports": "ports",
    "routers": "routers",
    "floatingips": "floatingips",
    "security-groups": "security_groups",
    "trunks": "trunks",
    "qos/policies": "policies",
}
DEFAULT = ("security_groups", "default")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the folder of the `openstack` that the pages use."""
    with preloaded(tmp_path_factory.mktemp("client")) as folder:
        yield folder


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_as_it_says_and_leaves_nothing(
    lab: OpenLab,
    client: Path,
    page: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    type_page(lab, client, page, tmp_path, record_property)


def type_page(
    lab: OpenLab,
    client: Path,
    page: str,
    folder: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Type a page, and see that nothing is left of it."""
    steps = parse_page((DOCS / page).read_text())
    cleaning = [step for step in steps if step.section == CLEAN_UP]
    assert cleaning, f"{page} ends with a section {CLEAN_UP!r}"
    assert steps[-len(cleaning) :] == cleaning
    before = list_ids(lab)
    shell = Shell(folder, environment(lab, client))
    took = {}
    try:
        for step in steps:
            if step is cleaning[0]:
                made = list_ids(lab) - before
            took[f"{step.line}: {step.command}"] = round(run_step(shell, step, page), 1)
    except BaseException:
        for step in cleaning:  # the pages that follow have this lab too
            shell.run(step.command)
        raise
    finally:
        shell.close()
    record_property("seconds", took)
    print(json.dumps(took, indent=1))  # noqa: T201
    assert made, "the page has made nothing"
    expect_gone(lab, made, page)
    assert lab.ledger.read().guests == {}
    assert lab.servers.list_rows() == []
    Person(lab.plan).agree()


def environment(lab: OpenLab, first: Path) -> dict[str, str]:
    """Give what a person's shell has who has brought up the lab."""
    folders = (str(first), str(Path(sys.executable).parent), os.environ["PATH"])
    return {
        "PATH": os.pathsep.join(folders),
        "ISTHMUS_LAB_NAME": lab.plan.name,
        "OS_CLIENT_CONFIG_FILE": str(lab.plan.clouds_file),
        "OS_CLOUD": "central",
    }


def list_ids(lab: OpenLab) -> set[str]:
    """List what every Neutron has; a project's default group comes by itself, and stays."""
    found = set()
    for tier in lab.plan.tiers:
        api = lab.tools.open_api(lab.plan.clouds_file, str(tier.name))
        for path, key in RESOURCES.items():
            rows = api.call("GET", f"/v2.0/{path}")[key]
            found |= {row["id"] for row in rows if (key, row.get("name")) != DEFAULT}
    return found


def expect_gone(lab: OpenLab, made: set[str], page: str) -> None:
    """Wait until nothing is left of what a page has made; otherwise say which rows are."""
    left: dict[str, list[str]] = {}

    def is_gone() -> bool:
        left.clear()
        left.update(find_left(lab, made))
        return not left

    try:
        until(is_gone, what=f"all of {page} is gone", timeout_s=300)
    except AssertionError as late:
        rows = [f"{place}: {row}" for place, found in left.items() for row in found]
        central = lab.tools.open_api(lab.plan.clouds_file, str(lab.plan.central.name))
        jobs = [str(row) for kind in ("site_job", "site_refusal") for row in central.get_all(kind)]
        # A summary shows the first line.
        said = [f"{late}; left in {', '.join(left)}", *rows, "jobs and refusals are", *jobs]
        said += ["and the logs say", *find_said(lab, made)]
        raise AssertionError("\n".join(said)) from late


def find_said(lab: OpenLab, made: set[str]) -> list[str]:
    """Find what the logs say of objects, what went wrong, and what Xjob did last."""
    said = []
    for log in sorted(lab.plan.log_dir.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        words = (" ERROR ", " WARNING ", *made)
        some = lines if log.name.endswith("xjob.log") else []
        some = some or [line for line in lines if any(word in line for word in words)]
        said += [f"{log.name}: {line[:500]}" for line in some[-60:]]
    return said


def find_left(lab: OpenLab, made: set[str]) -> dict[str, list[str]]:
    """Find the rows that are left of a page's in any Neutron, northbound or southbound database.

    Returns:
        The rows, as they are shown, of each place that has some.
    """
    left: dict[str, list[str]] = {}
    for tier in lab.plan.tiers:
        api = lab.tools.open_api(lab.plan.clouds_file, str(tier.name))
        for path, key in RESOURCES.items():
            rows = api.call("GET", f"/v2.0/{path}")[key]
            left[f"{path} of {tier.name}"] = [str(row) for row in rows if row["id"] in made]
    for site in lab.plan.sites:
        for name, schema in (("nb", "OVN_Northbound"), ("sb", "OVN_Southbound")):
            socket = lab.plan.tier_dir(site) / f"{name}.sock"
            words = ["ovsdb-client", "dump", f"unix:{socket}", schema]
            done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
            table = ""
            for line in done.stdout.splitlines():
                if line.endswith(" table"):
                    table = f"{line} of {name} of {site.name}"
                # Groups of ports are called by ids with other dashes.
                elif any(one in line.replace("_", "-") for one in made):
                    left.setdefault(table, []).append(" ".join(line.split()))
    return {place: rows for place, rows in left.items() if rows}
