"""`isthmus site resync` as a person meets it."""

from typing import Any

from tests.acceptance.shell import NET, Shell, shell

__all__ = ["shell"]


def test_a_site_is_compared_now_and_seen_through(shell: Shell) -> None:
    shell.run("site", "create", "site1")
    asked = {"state": "waiting", "network_id": None, "pages": 0, "noted": 0, "jobs": 0}
    asked |= {"parked": 0, "last_error": "", "created_at": "2026-01-01T00:00:00Z"}
    shell.cloud.defaults["site-renewals"] = lambda: dict(asked)
    ran = shell.run("site", "resync", "site1", says="It is recorded, and isthmus-xjob does it")
    assert "waiting" in ran.stdout
    assert shell.cloud.calls[-1] == (
        "POST", "/central/v2.0/site-renewals", {"site_renewal": {"site": "site1"}}
    )  # fmt: skip
    made = shell.data("site", "resync", "site1", "--network", "net1")
    assert made["network_id"] == NET
    shell.run("site", "resync", "site1", "--network", "nonet", code=2, says="no network 'nonet'")
    shell.run("site", "resync", "nosite", code=2, says="nosite")
    wait = ("site", "resync", "site1", "--wait")
    shell.run(
        *wait, "0.5", code=3, says="no Xjob of central has begun.*isthmus-xjob runs.*It goes on"
    )
    asked |= {"state": "comparing", "pages": 7, "noted": 2}
    shell.run(*wait, "0.5", code=3, says="is being compared: 7 pages, 2 differences")
    asked["last_error"] = "site1 gave no answer"
    shell.run(*wait, "0.5", code=3, says="not compared now: site1 gave no answer")
    asked |= {"state": "done", "last_error": "", "jobs": 2}
    shell.run(*wait, "0.5", code=3, says="2 jobs under way")
    asked |= {"jobs": 0, "parked": 1}
    shell.run(*wait, "9", code=2, says="isthmus job list --site site1 --state parked")
    asked |= {"state": "failed", "last_error": "no such path"}
    shell.run(*wait, "9", code=2, says="cannot be compared: no such path")
    asked |= {"state": "done", "parked": 0, "last_error": "", "ended_at": "2026-01-01T00:00:09Z"}
    ran = shell.run(*wait, "9")
    assert ran.stderr == ""
    assert "done" in ran.stdout
    shell.run(*wait, "-1", code=2)


def test_a_request_that_goes_with_its_site_is_told_of(shell: Shell) -> None:
    shell.run("site", "create", "site1")

    answered = shell.cloud.answer

    def answer(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        if method == "GET" and "/site-renewals/" in target:
            shell.cloud.rows["site-renewals"].clear()
        return answered(method, target, body, caller)

    shell.cloud.answer = answer  # type: ignore[method-assign]
    shell.cloud.defaults["site-renewals"] = lambda: {"state": "waiting"}
    says = "the request is gone: site site1 was deleted, or central was restored"
    shell.run("site", "resync", "site1", "--wait", "9", code=2, says=says)
