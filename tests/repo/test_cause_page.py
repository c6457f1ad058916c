"""The page of causes is as the code is, and the catalogue and the code name the same codes."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.tables.catalogue import CATALOGUE, list_codes, show
from tests.unit.test_diagnose_docs import list_literal_codes

ROOT = Path(__file__).resolve().parents[2]
#: Codes that tell of no class of their own: something a person knows, or cannot be told.
NO_CLASS = {
    "acl.not_understood", "network.admin_down", "router.admin_down", "router.interface_down",
    "external.admin_down", "exit.draining", "route.loop", "route.through_server",
    "external.no_next_hop", "floating.other_network", "floating.no_gateway",
    "floating.no_interface", "floating.other_way", "transit.range", "exit_route.missing",
    "exit_route.extra", "exit_route.subnet_missing", "return_policy.missing",
    "return_policy.foreign", "shadow.chassis", "shadow.disabled", "shadow.type", "probe.answered",
}  # fmt: skip


@pytest.mark.timeout(900)  # it makes every fault of the tables: seconds, and minutes under load
def test_the_page_is_as_the_code_is(tmp_path: Path) -> None:
    page = tmp_path / "causes.md"
    subprocess.run([sys.executable, ROOT / "tools/write_causes", page], check=True)
    written = (ROOT / "docs/reference/causes.md").read_text()
    assert written == page.read_text(), "run tools/write_causes"


def test_every_code_of_the_source_has_a_world_that_shows_it() -> None:
    assert list_literal_codes() - set(list_codes()) == set()


def test_every_code_is_of_one_class_or_of_none() -> None:
    named = Counter(
        code for faults in CATALOGUE.values() for one in faults for code in one.codes.split()
    )
    assert {code: count for code, count in named.items() if count > 1} == {}
    codes = set(list_codes())
    assert named.keys() - codes == set()
    assert codes - named.keys() == NO_CLASS


def test_the_catalogue_is_whole() -> None:
    within, between = CATALOGUE.values()
    assert len(within) >= 96
    assert len(between) >= 12


@pytest.mark.parametrize("code", list_codes())
def test_every_code_says_what_settles_it_and_what_repairs_it(code: str) -> None:
    found = show(code).verdict
    assert found.evidence
    assert found.remedy
