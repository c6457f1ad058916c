"""How a site stands, and what an operator does about it."""

import datetime
import threading
from typing import Any, cast

import pytest

from isthmus import errors
from isthmus.operate.cloud import Cloud
from isthmus.operate.status import Standing, collect_status, judge

NOW = datetime.datetime(2026, 11, 27, 12, 0, 0, tzinfo=datetime.UTC)
ROW = {
    "name": "site1",
    "region": "site1",
    "state": "enabled",
    "reachability": "reachable",
    "last_seen_at": None,
    "backlog": 0,
    "parked": 0,
    "waits_for": "",
    "ports_due": 3,
    "last_error": "",
}
SETTLED, SILENT = Standing(recovered=True), Standing()
WAITS = Standing(recovered=False, reason="restored; waits for 3 ports")
AWAITED = {**ROW, "waits_for": "central was restored and this site has yet to register"}


@pytest.mark.parametrize(
    ("row", "own", "central", "allocates", "due", "says"),
    [
        (ROW, SETTLED, SETTLED, "yes", 0, ""),
        (ROW, SILENT, SETTLED, "unknown", 0, ""),
        (ROW, Standing(silence="it hangs"), SETTLED, "unknown", 0, "(it hangs): ask again"),
        (ROW, WAITS, SETTLED, "no", 3, "isthmus-xjob"),
        ({**ROW, "ports_due": 0}, WAITS, SETTLED, "no", 0, "see the log of Neutron at site1"),
        (ROW, WAITS, WAITS, "no", 3, "it waits for central"),
        (AWAITED, SETTLED, WAITS, "yes", 0, "isthmus site go-on-without site1"),
        (AWAITED, SILENT, WAITS, "unknown", 0, "isthmus site go-on-without site1"),
        (ROW, Standing(recovered=False, stands_down=True), SETTLED, "no", 3, "isthmus restored"),
        (ROW, Standing(recovered=False, blind=True), WAITS, "no", 3, "isthmus-site1.witness in Ne"),
        (ROW, Standing(recovered=True, behind=1), SETTLED, "yes", 0, "--site site1 --type shadow"),
        (ROW, Standing(recovered=True, behind=2), WAITS, "yes", 0, "isthmus site disable NAME"),
    ],
)
def test_what_is_waited_for_and_what_to_do(
    row: Any, own: Standing, central: Standing, allocates: str, due: int, says: str
) -> None:
    found = judge(row, own, central, None, NOW)
    assert (found.allocates, found.ports_due) == (allocates, due)
    assert says in found.next_step
    assert bool(says) == bool(found.next_step)


def test_both_reasons_are_said_of_a_site_that_is_waited_for_and_waits_itself() -> None:
    found = judge(AWAITED, WAITS, WAITS, None, NOW)
    assert found.waits_for == f"{AWAITED['waits_for']}; {WAITS.reason}"


def test_why_a_site_keeps_rows_of_others_is_said() -> None:
    assert judge(ROW, SETTLED, SETTLED, None, NOW).keeps == ""
    assert "send" in judge(ROW, Standing(recovered=True, behind=1), SETTLED, None, NOW).keeps
    assert "report" in judge(ROW, Standing(recovered=True, behind=2), SETTLED, None, NOW).keeps


class Tier:
    """A Neutron: what it says of itself, or why it says nothing."""

    def __init__(self, said: Any) -> None:
        self.said = said

    def ask_keystone(self) -> None:
        pass

    def get_all(self, resource: str, **query: Any) -> Any:
        assert (resource, query) == ("site_holding", {"fields": ["epoch", "pulse"]})
        if isinstance(self.said, threading.Event):
            self.said.wait(60)
        if isinstance(self.said, errors.IsthmusError):
            raise self.said
        return [{"epoch": self.said}]


class World:
    """A cloud whose sites say what they are told to."""

    def __init__(self, **tiers: Any) -> None:
        self.tiers = {name: Tier(said) for name, said in tiers.items()}
        self.api = self

    def list(self, resource: str, **_: Any) -> Any:
        assert resource == "site"
        return [{**ROW, "name": name} for name in self.tiers if name != "central"]

    def read_clock(self) -> datetime.datetime:
        return NOW

    def open_central(self) -> Any:
        return self.tiers["central"]

    def open_site(self, name: str, region: str) -> Any:
        return self.tiers[name]


def test_a_site_that_hangs_or_refuses_is_unknown_and_delays_nobody() -> None:
    hung = threading.Event()
    waits = {"recovered": False, "reason": "restored"}
    world = World(
        central=waits,
        site1=waits,
        site2=hung,
        site3=errors.Refused("forbidden"),
        site4={"recovered": True},
    )
    try:
        for answer_s in (1.0, 9.0, 45.0):  # on a busy machine the others may come late, too
            found = collect_status(cast(Cloud, world), answer_s=answer_s)
            said = {one.name: one.allocates for one in found.sites}
            if (said["site1"], said["site4"]) == ("no", "yes"):
                break
    finally:
        hung.set()
    assert said == {"site1": "no", "site2": "unknown", "site3": "unknown", "site4": "yes"}
    steps = {one.name: one.next_step for one in found.sites}
    assert f"no answer within {answer_s:g} seconds" in steps["site2"]
    assert "(forbidden)" in steps["site3"]
    assert not steps["site4"]
    assert found.central == Standing(recovered=False, reason="restored")
