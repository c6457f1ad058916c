"""What the conformance run of compute says of tests that did not pass."""

from pathlib import Path

from tests.conformance.compute import as_class, choose_part, judge, read_results, render_table
from tests.conformance.run import Ended

TOLD = {
    "skips": [{"reason": "no disks", "said": ["Cinder is not available"]}],
    "fails": [{"reason": "no rescue", "tests": ["tempest.a.Rescue", "tempest.a.Life.test_two"]}],
}


def test_what_is_listed_is_known_by_its_reason_its_class_or_its_name() -> None:
    results = {
        "tempest.a.Life.test_one[id-1]": Ended("success", ""),
        "tempest.a.Life.test_two[id-2,smoke]": Ended("fail", ""),
        "tempest.a.Rescue.test_it[id-3]": Ended("fail", ""),
        "tempest.a.Disk.test_it[id-4]": Ended("skip", "Disk: Cinder is not available"),
    }
    assert [(word, status) for word, status, _ in judge(results, TOLD)] == [
        ("listed", "skip"),
        ("listed", "fail"),
        ("listed", "fail"),
    ]


def test_what_is_not_listed_is_new_and_what_passes_is_listed_no_more() -> None:
    results = {
        "tempest.a.Life.test_one[id-1]": Ended("fail", ""),
        "tempest.a.Life.test_two[id-2]": Ended("success", ""),
        "tempest.a.Disk.test_it[id-4]": Ended("skip", "skipped until a bug is gone"),
    }
    assert list(judge(results, TOLD)) == [
        ("NEW", "skip", "tempest.a.Disk.test_it[id-4]  skipped until a bug is gone"),
        ("NEW", "fail", "tempest.a.Life.test_one[id-1]"),
        ("STALE", "success", "tempest.a.Life.test_two[id-2]"),
    ]


def test_a_part_is_of_whole_classes_that_have_not_ended() -> None:
    tests = [f"tempest.{one}.test_{two}[id-{one}{two}]" for one in "ABC" for two in "xyz"]
    assert choose_part(tests, set(), 1) == tests[:3]
    assert choose_part(tests, set(), 4) == tests[:6]
    assert choose_part(tests, {"tempest.A", tests[4]}, 2) == [tests[3], tests[5]]
    assert choose_part(tests, set(tests), 9) == []


def test_a_class_that_was_not_set_up_is_a_result_of_its_own(tmp_path: Path) -> None:
    assert as_class("setUpClass (tempest.a.Disk)") == "tempest.a.Disk"
    assert as_class("tempest.a.Life.test_one[id-1]") == "tempest.a.Life.test_one[id-1]"
    file = tmp_path / "results"
    assert read_results(file) == {}
    file.write_text('{"tempest.a.Life.test_one[id-1]": {"status": "skip", "reason": "no"}}')
    assert read_results(file) == {"tempest.a.Life.test_one[id-1]": Ended("skip", "no")}


def test_the_table_has_a_row_for_each_class_and_the_number_of_each_reason() -> None:
    results = {
        "tempest.a.Life.test_one[id-1]": Ended("success", ""),
        "tempest.a.Life.test_two[id-2]": Ended("fail", ""),
        "tempest.a.Life.test_six[id-3]": Ended("skip", "Cinder is not available"),
        "setUpClass (tempest.a.Disk)": Ended("skip", "Cinder is not available"),
        "tempest.a.Odd.test_it[id-4]": Ended("skip", "who knows"),
    }
    assert list(render_table(results, TOLD))[2:] == [
        "| `a.Disk` | 0 | 0 | all skipped (1) |",
        "| `a.Life` | 1 | 1 | 1 (1) |",
        "| `a.Odd` | 0 | 0 | 1 (0) |",
    ]
