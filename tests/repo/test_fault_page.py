"""The table of the fault matrix holds together, and its page is as the table is."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.lab.fault import print_remedy, print_step
from tests.lab.fault_table import BORNE, FAULTS
from tests.lab.fault_twice import ELSEWHERE
from tests.repo.test_reference_pages import ON_PAGE
from tests.repo.test_remedies import check, commands

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_as_the_table_is(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    subprocess.run([sys.executable, ROOT / "tools/write_faults", page], check=True)
    written = (ROOT / "docs/reference/faults.md").read_text()
    assert written == page.read_text(), "run tools/write_faults"


def test_there_are_at_least_40_states_that_are_named_and_no_two_of_a_name() -> None:
    assert sum(not one.gap for one in FAULTS) >= 40
    names = Counter(one.name for one in (*FAULTS, *BORNE))
    assert {name: count for name, count in names.items() if count > 1} == {}


def test_each_finding_is_one_that_the_page_of_the_audit_has() -> None:
    forms = set(map(_to_form, ON_PAGE))
    for one in FAULTS:
        if one.code and not one.gap:
            assert any(re.fullmatch(form, one.code) for form in forms), one.code


def test_each_finding_of_the_audit_has_a_state_or_the_reason_why_not_and_a_test() -> None:
    """A new finding is tried in the lab, or says why it cannot be."""
    injected = {one.code for one in FAULTS if one.code and not one.gap}
    exact = {code for code in ON_PAGE if not re.search("KIND|TYPE", code)}
    open_forms = {_to_form(code) for code in ON_PAGE - exact}
    lacking = exact - injected
    lacking |= {
        form
        for form in open_forms
        if not any(re.fullmatch(form, code) for code in injected - exact)
    }
    assert lacking == set(ELSEWHERE)
    for code, (why, where) in ELSEWHERE.items():
        assert len(why.split()) > 5, code
        file, _, name = where.partition("::")
        assert f"def {name}" in (ROOT / file).read_text(), where


def _to_form(code: str) -> str:
    return re.sub("KIND|TYPE", "[a-z_]+", code.replace(".", r"\."))


def test_each_state_can_be_undone_and_is_to_be_seen_somewhere() -> None:
    for one in FAULTS:
        assert one.undone_by, one.name
        assert bool(one.code) != bool(one.away), one.name


def test_each_command_can_be_run() -> None:
    for one in (*FAULTS, *BORNE):
        assert not (one.borne and (one.code or one.gap)), one.name
        for step in (*one.inject, *one.heals, *one.by_hand):
            for command in commands(print_step(step)):
                assert check(command) == "", step
            assert "{" not in print_remedy(step) or re.search(r"\{[a-z_]+\}", step)
