"""What else a broken world is found to be, and that what looks alike and is well is not."""

import pytest
from tests.tables.machine_faults import ALL
from tests.tables.more_faults import BEHIND, Case

from isthmus.diagnose.evaluate.dhcp import HIDDEN, find_fault, hide
from isthmus.diagnose.judge import Diagnosis


def codes(found: Diagnosis) -> list[str]:
    return [one.verdict.code for one in found.blockers]


@pytest.mark.parametrize("code", ALL)
def test_it_is_named_first(code: str) -> None:
    case = ALL[code]
    found = case.build(case.change)
    assert codes(found)[:1] == [code], codes(found)
    assert found.word is case.word
    verdict = found.blockers[0].verdict
    assert verdict.subject.name
    assert verdict.message
    assert verdict.evidence
    assert verdict.remedy


@pytest.mark.parametrize("code", [*ALL, *BEHIND])
def test_what_looks_alike_and_is_well_is_not_told(code: str) -> None:
    case: Case = ALL[code] if code in ALL else BEHIND[code][0]
    found = case.build(case.twin)
    assert code not in codes(found)
    assert not [one for one in found.report.unseen if "failed" in one]


@pytest.mark.parametrize("code", BEHIND)
def test_it_is_named_behind_its_cause(code: str) -> None:
    case, cause = BEHIND[code]
    found = codes(case.build(case.change))
    assert found[0] == cause
    assert code in found


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("dns_server", "{192.0.2.1, 192.0.2.2}", True),
        ("dns_server", "192.0.2.1", True),
        ("dns_server", "ns.example.org", False),
        ("domain_name", '"example.org"', True),
        ("domain_name", "example.org", False),
        ("domain_name", '"example\n.org"', False),
        ("mtu", "1442", True),
        ("mtu", "70000", False),
        ("classless_static_route", "{10.1.0.0/16,10.0.0.1, 0.0.0.0/0,10.0.0.1}", True),
        ("classless_static_route", "10.1.0.0/16,10.0.0.1", True),
        ("classless_static_route", "10.1.0.0/16,10.0.0.1, 0.0.0.0/0,10.0.0.1", False),
        ("classless_static_route", "{10.1.0.0/16}", False),
        ("something_new", "whatever", True),
    ],
)
def test_which_values_ovn_can_read(name: str, value: str, good: bool) -> None:
    assert (find_fault(name, value) == "") is good
    kept = hide(name, value)
    assert kept is None or (find_fault(name, kept) == "") is good
    assert kept is None or "example" not in kept


def test_texts_of_persons_are_in_no_dump() -> None:
    assert hide("bootfile_name", '"http://user:secret@10.0.0.1/x"') == f'"{HIDDEN}"'
    assert hide("vendor_specific", "secret") is None
