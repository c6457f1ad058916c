"""What `isthmus status` calls trouble, and what it tells to do."""

import dataclasses
import datetime
from typing import Any

import pytest

from isthmus.operate.status import Standing, Status, judge
from isthmus.operate.trouble import judge_service

NOW = datetime.datetime(2026, 11, 27, 12, 0, 0, tzinfo=datetime.UTC)
SETTLED = Standing(recovered=True)


def ago(seconds: float) -> str:
    return (NOW - datetime.timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


ROW: dict[str, Any] = {
    "name": "site1",
    "state": "enabled",
    "reachability": "reachable",
    "last_seen_at": ago(2),
    "backlog": 0,
    "parked": 0,
    "waits_for": "",
    "ports_due": 0,
    "last_error": "",
}
OTHER = {**ROW, "name": "site2"}


def status(
    *rows: dict[str, Any],
    own: Standing = SETTLED,
    central: Standing = SETTLED,
    oldest: int | None = None,
    refused: str = "",
    awaited: tuple[str, ...] = (),
) -> Status:
    job = None if oldest is None else {"age": oldest, "last_error": refused}
    sites = tuple(judge(row, own, central, job, NOW) for row in rows)
    return Status(sites=sites, central=central, awaited=awaited, now=NOW)


@pytest.mark.parametrize(
    ("change", "served"),
    [
        ({}, "yes"),
        ({"last_seen_at": ago(44)}, "yes"),
        ({"last_seen_at": ago(46)}, "no"),
        ({"last_seen_at": ago(-44)}, "yes"),
        ({"last_seen_at": ago(-3600)}, "unknown"),  # the clocks disagree: nothing can be told
        ({"last_seen_at": ago(3600), "reachability": "unreachable"}, "unknown"),
        ({"last_seen_at": None, "reachability": "unknown"}, "unknown"),
        ({"state": "disabled"}, "no"),
        ({"state": "draining"}, "yes"),
    ],
)
def test_who_is_looked_after(change: dict[str, Any], served: str) -> None:
    assert judge_service({**ROW, **change}, NOW) == served


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (ROW, OTHER),
        ({**ROW, "state": "draining"},),
        ({**ROW, "state": "disabled", "reachability": "unreachable", "last_seen_at": ago(9e5)},),
        ({**ROW, "backlog": 900},),
    ],
)
def test_what_is_as_it_should_be_is_no_trouble(rows: Any) -> None:
    assert status(*rows, oldest=5).troubles == []


@pytest.mark.parametrize(
    ("found", "place", "what", "step"),
    [
        (
            status({**ROW, "last_seen_at": ago(200)}, {**OTHER, "last_seen_at": ago(203)}),
            "xjob",
            "none has looked at any site for 3m20s",
            "isthmus lab start central.xjob",
        ),
        (
            status({**ROW, "last_seen_at": ago(4000)}, OTHER),
            "site1",
            "No Xjob has looked at site1 for 1h6m",
            "[isthmus_xjob:site1]",
        ),
        (
            status(
                {**ROW, "reachability": "unreachable", "last_seen_at": ago(200),
                 "last_error": "no route"},
                OTHER,
            ),
            "site1",
            "site1 is not reachable; it last answered 3m20s ago: no route",
            "what hangs is killed first (`isthmus lab kill site1.neutron`, `isthmus lab kill ",
        ),
        (
            status({**ROW, "reachability": "unreachable", "last_seen_at": None}),
            "site1",
            "it has never answered",
            "and that isthmus-xjob runs",
        ),
        (
            status({**ROW, "reachability": "unknown", "last_seen_at": None}),
            "site1",
            "no Xjob has ever tried it",
            "isthmus-xjob runs",
        ),
        (
            status({**ROW, "parked": 3}),
            "site1",
            "site1 has 3 parked or refused",
            "isthmus job list --state parked",
        ),
        (
            status({**ROW, "backlog": 2, "last_error": "its database is away"}, oldest=200),
            "site1",
            "has not taken what it was sent for 3m20s: its database is away",
            "isthmus job list --site site1",
        ),
        (  # each object by itself, and no batch: the site shows no error
            status({**ROW, "backlog": 2}, oldest=200, refused="over quota"),
            "site1",
            "has not taken what it was sent for 3m20s: over quota",
            "isthmus job list --site site1",
        ),
        (
            status(ROW, own=Standing(recovered=False, reason="restored")),
            "site1",
            "site1 gives out no addresses: restored",
            "registers by itself",
        ),
        (
            status(ROW, own=Standing(recovered=True, behind=1)),
            "site1",
            "keeps what its OVN has",
            "--type shadow",
        ),
        (
            status(ROW, own=Standing(silence="it hangs")),
            "site1",
            "Whether site1 gives out addresses is not known",
            "it hangs",
        ),
        (
            status(ROW, central=Standing(recovered=False, reason="two databases")),
            "central",
            "Central gives out no addresses: two databases",
            "",
        ),
        (
            status(ROW, own=Standing(recovered=True, witness="The witness w is gone")),
            "site1",
            "site1 may not notice a restore of its database: The witness w is gone",
            "isthmus.neutron.db.witness",
        ),
        (
            status(ROW, central=Standing(recovered=True, witness="The witness w is gone")),
            "central",
            "central may not notice a restore of its database: The witness w is gone",
            "isthmus.neutron.db.witness",
        ),
        (
            status(ROW, central=Standing(silence="it hangs")),
            "central",
            "Central did not say whether it gives out addresses (it hangs)",
            "ask again",
        ),
        (
            status({**ROW, "last_seen_at": ago(-3600)}),
            "site1",
            "Whether an Xjob looks after site1 cannot be told: its last answer is 1h in the future",
            "see that isthmus-xjob runs",
        ),
        (
            status(ROW, awaited=("site1",)),
            "central",
            "waits for site1 to register",
            "isthmus site go-on-without",
        ),
    ],
)  # fmt: skip
def test_each_trouble_is_named_with_its_place_and_what_to_do(
    found: Status, place: str, what: str, step: str
) -> None:
    (one,) = found.troubles
    assert one.place == place
    assert what in one.what
    assert step in one.next_step


def test_a_delivery_that_failed_just_now_is_no_trouble() -> None:
    row = {**ROW, "backlog": 2, "last_error": "busy"}
    assert status(row, oldest=5).troubles == []
    assert status(row, oldest=None).troubles == []


def test_of_a_disabled_site_parked_jobs_are_named_alone() -> None:
    row = {**ROW, "state": "disabled", "parked": 1, "last_error": "gone", "last_seen_at": None}
    assert [one.what for one in status(row).troubles] == ["site1 has 1 parked or refused"]


def test_a_trouble_is_a_value() -> None:
    (one,) = status({**ROW, "parked": 1}).troubles
    assert dataclasses.asdict(one)["place"] == "site1"
