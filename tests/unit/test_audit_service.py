"""What the audit says of sites while they change, and of who looks after them."""

import datetime
from typing import Any, cast

import pytest
from tests.unit.test_audit import world
from typing_extensions import override

from isthmus import errors
from isthmus.model.verdict import Severity, Verdict
from isthmus.operate.audit import collect_report
from isthmus.operate.cloud import Cloud

NOW = datetime.datetime(2026, 11, 28, 12, 0, 0, tzinfo=datetime.UTC)


class Tier:
    """A Neutron: what it holds."""

    def __init__(self, held: dict[str, Any]) -> None:
        self.name = held["id"]
        self._held = held

    def ask_keystone(self) -> None:
        pass

    def get_all(self, _resource: str, **_query: Any) -> list[dict[str, Any]]:
        return [self._held]


class Away(Tier):
    """One that cannot be reached."""

    @override
    def get_all(self, _resource: str, **_query: Any) -> Any:
        raise errors.Unreachable("no route")


class Tiers:
    """`isthmus.operate.cloud.Cloud`, and its Admin API."""

    def __init__(self, *sites: dict[str, Any]) -> None:
        self.api = self
        self._sites = sites
        self.opened: list[str] = []
        self.passing: dict[str, list[dict[str, Any]]] = {}  #: what one holds for a moment
        self.away: set[str] = set()
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
        self.opened.append(name)
        if name in self.away:
            return Away(self._world[name])
        states = self.passing.get(name)
        return Tier(states.pop(0) if states else self._world[name])


def site(name: str, ago_s: float, **more: Any) -> dict[str, Any]:
    seen = (NOW - datetime.timedelta(seconds=ago_s)).isoformat()
    row = {"name": name, "region": name, "state": "enabled", "reachability": "reachable"}
    return {**row, "last_seen_at": seen, "last_error": "", **more}


def find(*sites: dict[str, Any]) -> list[Verdict]:
    return list(collect_report(cast(Cloud, Tiers(*sites))).findings)


def test_sites_that_are_looked_after_are_fine() -> None:
    assert find(site("one", 2), site("two", -40)) == []


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


def without_port() -> dict[str, Any]:
    held = world()["one"]
    held["ports"] = []
    return held


def test_what_differs_for_a_moment_is_no_difference() -> None:
    """Central has given a site a port that was not there yet when the site was read."""
    tiers = Tiers(site("one", 2), site("two", 2))
    tiers.passing["one"] = [without_port()]
    assert collect_report(cast(Cloud, tiers)).findings == ()
    tiers.passing["one"] = [world()["one"], without_port()]
    assert collect_report(cast(Cloud, tiers)).findings == ()  # one look is enough


def test_what_still_differs_is_told_as_it_was_read_last() -> None:
    tiers = Tiers(site("one", 2), site("two", 2))
    tiers.passing["one"] = [without_port(), without_port()]
    found = {one.code for one in collect_report(cast(Cloud, tiers)).findings}
    assert "port.missing" in found
    # What only the second look finds may be passing as well.
    tiers.passing["one"] = [without_port(), without_port()]
    tiers.passing["two"] = [world()["two"], {**world()["two"], "shadows": []}]
    assert {one.code for one in collect_report(cast(Cloud, tiers)).findings} == found


def test_a_site_that_did_not_answer_is_waited_for_once() -> None:
    tiers = Tiers(site("one", 2), site("two", 2))
    tiers.away = {"two"}
    tiers.passing["one"] = [without_port(), without_port()]
    found = {one.code for one in collect_report(cast(Cloud, tiers)).findings}
    assert {"port.missing", "site.not_audited"} <= found
    assert tiers.opened == ["one", "two", "one"]
    tiers.passing["one"] = []
    (one,) = collect_report(cast(Cloud, tiers)).findings
    assert (one.code, tiers.opened[3:]) == ("site.not_audited", ["one", "two"])
