"""What the conformance run of compute says of tests that did not pass."""

from tests.conformance.compute import judge
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
