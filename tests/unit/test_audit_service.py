"""What the audit says of who looks after the sites, in a cloud that agrees."""

import datetime
from typing import Any, cast

import pytest
from tests.unit.test_audit import world

from isthmus.model.verdict import Severity, Verdict
from isthmus.operate.audit import collect_report
from isthmus.operate.cloud import Cloud

NOW = datetime.datetime(2026, 11, 28, 12, 0, 0, tzinfo=datetime.UTC)


class Tier:
    """A Neutron: what it holds."""

    def __init__(self, held: dict[str, Any]) -> None:
        self.name = held["id"]
        self._held = held

    def get_all(self, _resource: str, **_query: Any) -> list[dict[str, Any]]:
        return [self._held]


class Tiers:
    """`isthmus.operate.cloud.Cloud`, and its Admin API."""

    def __init__(self, *sites: dict[str, Any]) -> None:
        self.api = self
        self._sites = sites
        self._world = world()

    def list(self, _resource: str, **_query: Any) -> tuple[dict[str, Any], ...]:
        return self._sites

    def iterate(self, _resource: str, **_query: Any) -> tuple[Any, ...]:
        return ()

    def read_clock(self) -> datetime.datetime:
        return NOW

    def open_central(self) -> Tier:
        return Tier(self._world["central"])

    def open_site(self, name: str, _region: str) -> Tier:
        return Tier(self._world[name])


def site(name: str, ago_s: float, **more: Any) -> dict[str, Any]:
    seen = (NOW - datetime.timedelta(seconds=ago_s)).isoformat()
    row = {"name": name, "region": name, "state": "enabled", "reachability": "reachable"}
    return {**row, "last_seen_at": seen, "last_error": "", **more}


def find(*sites: dict[str, Any]) -> list[Verdict]:
    return list(collect_report(cast(Cloud, Tiers(*sites))).findings)


def test_sites_that_are_looked_after_are_fine() -> None:
    assert find(site("one", 2), site("two", -50)) == []


@pytest.mark.parametrize(
    ("ago_s", "severity", "evidence"),
    [
        (90, Severity.BROKEN, "last looked at 1m30s ago"),
        (-7200, Severity.UNKNOWN, "its last answer is 2h in the future"),
    ],
)
def test_a_site_that_none_looks_after_or_may_not_is_named(
    ago_s: float, severity: Severity, evidence: str
) -> None:
    (one,) = find(site("one", 2), site("two", ago_s))
    assert (one.code, one.severity, one.subject.name) == ("site.not_served", severity, "two")
    assert evidence in one.evidence
    assert "isthmus-xjob" in one.remedy
