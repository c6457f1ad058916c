"""`isthmus status`: who is away, and since when."""

from typing import Any

import pytest
from tests.acceptance.shell import Shell, ago, job, shell

__all__ = ["shell"]


def test_status_of_no_sites_does_not_call_them_reachable(shell: Shell) -> None:
    ran = shell.run("status", says="no site yet; add one with: isthmus site create NAME")
    assert "reachable" not in ran.stderr
    assert shell.data("status") == []
    shell.cloud.rows["site-holdings"].clear()  # as who has not the role sees it
    shell.run("status", code=2, says="central shows you nothing.*role admin or isthmus_reader")


def test_status_counts_and_names_who_is_away(shell: Shell) -> None:
    shell.run("site", "create", "site1")
    shell.run("site", "create", "site2")
    one, two = shell.cloud.rows["sites"]
    one.update(reachability="reachable", last_seen_at=ago(seconds=1), backlog=2, parked=1)
    two.update(reachability="unreachable", last_seen_at=ago(hours=2), last_error="no route")
    shell.cloud.rows["site-jobs"] = [job(4000), job(2)]
    first, second = shell.data("status", code=1)
    assert (first["oldest"], second["oldest"]) == (4000, None)
    assert first["troubles"] == ["site1 has 1 parked or refused"]
    assert second["troubles"][0].startswith("site2 is not reachable; it last answered 2h")
    shown = shell.run("status", code=1, says="site1 has 1 parked or refused")
    assert "1h6m" in shown.stdout
    assert "Next for site2: see that Neutron and Keystone of site2 run" in shown.stderr
    one["parked"] = 0
    shell.run("site", "disable", "site2")
    shell.run("status", says="2 sites, disabled: site2, all others reachable; 2 jobs under way")


def test_status_says_that_xjob_is_stopped_and_since_when(shell: Shell) -> None:
    for name in ("site1", "site2"):
        shell.run("site", "create", name)
    for row in shell.cloud.rows["sites"]:
        row.update(reachability="reachable", last_seen_at=ago(minutes=7))
    says = r"No Xjob runs, or none gets on: none has looked at any site for 7m(\d+s)?\."
    for output in ("table", "json", "yaml"):
        ran = shell.run("status", "-o", output, code=1, says=says)
        assert "Next for xjob: start isthmus-xjob where central runs" in ran.stderr
    assert "2 sites, all reachable when last looked at" in ran.stderr
    one, two = shell.cloud.rows["sites"]
    two["last_seen_at"] = ago(seconds=2)
    assert [row["served"] for row in shell.data("status", code=1)] == ["no", "yes"]
    shell.run(
        "status", code=1, says=r"(?s)No Xjob has looked at site1 for 7m.*\[isthmus_xjob:site1\]"
    )
    one["last_seen_at"] = ago(seconds=2)
    assert "Xjob" not in shell.run("status").stderr


@pytest.mark.parametrize(
    "odd",
    [
        {"epoch": {"epoch": 1, "recovered": True, "behind": "x"}},
        {"id": "site1", "pulse": {"hypervisors": [{}, 7], "northbound": 7}, "epoch": 7},
    ],
)
def test_a_tier_that_answers_in_another_form_is_said_to(shell: Shell, odd: dict[str, Any]) -> None:
    """It was silent for ten seconds, with a traceback, or called a bug of ours."""
    shell.run("site", "create", "site1")
    shell.cloud.rows["sites"][0].update(reachability="reachable", last_seen_at=ago(seconds=1))
    shell.cloud.sites["site1"].holdings |= odd
    (found,) = shell.data("status", code=1)
    assert found["allocates"] == "unknown"
    ran = shell.run("status", code=1, says="Whether site1 gives out addresses is not known")
    assert "in another form than it should" in ran.stderr or "does not say" in ran.stderr


def test_a_central_of_another_version_is_said_to_be(shell: Shell) -> None:
    shell.run("site", "create", "site1")
    del shell.cloud.rows["sites"][0]["reachability"]
    says = "central says nothing of reachability in its /v2.0/sites: it may run another version"
    for command in ("status", "audit"):
        shell.run(command, code=1, says=says)
