"""`--wait`, on what takes time, as a person meets it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.inside import Inside
from tests.acceptance.shell import NET, SUBNET, job, small_cloud

from isthmus import errors
from isthmus.operate.cloud import wait_until_done

LEASE = "0a6b7c1e-0000-4000-8000-0000000000cc"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Inside]:
    with small_cloud() as cloud:
        inside = Inside(tmp_path, cloud)
        inside.run("site", "create", "site1")
        yield inside


def carry_at_second_look(shell: Inside, plural: str, done: threading.Event) -> None:
    """Have what is under way done when somebody has looked twice."""
    answered, looks = shell.cloud.answer, []

    def answer(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        if f"/{plural}" in target and method == "GET" and "marker" not in target:
            looks.append(target)
            if len(looks) == 2:
                done.set()
                shell.cloud.rows["site-jobs"] = []
                for row in [*shell.cloud.rows.get(plural, ())]:
                    if row.get("withdrawn"):
                        shell.cloud.rows[plural].remove(row)
        return answered(method, target, body, caller)

    shell.cloud.answer = answer  # type: ignore[method-assign]


@pytest.mark.parametrize("resource", [NET, SUBNET])
def test_extending_waits_for_the_network_and_its_subnets(shell: Inside, resource: str) -> None:
    extend = ("network", "extend", "net1", "site1", "--wait")
    shell.cloud.rows["site-jobs"] = [job(1, type="network", resource_id=resource)]
    says = "^error: not done in 0.1 s: 1 job under way to site1. It goes on"
    shell.run(*extend, "0.1", code=3, says=says)
    shell.cloud.rows["site-jobs"][0].update(state="parked", last_error="no such VLAN")
    says = "site1 refused the network: no such VLAN.*isthmus job retry job-0001"
    shell.run(*extend, "60", code=2, says=says)
    shell.cloud.rows["site-jobs"][0].update(state="waiting", last_error="")
    done = threading.Event()
    carry_at_second_look(shell, "site-jobs", done)
    ran = shell.run(*extend, "600", says="1 job under way to site1; looking again")
    assert done.is_set()
    assert "site1" in ran.stdout


def test_what_waits_for_another_site_is_not_waited_for(shell: Inside) -> None:
    shell.cloud.rows["site-jobs"] = [
        job(1, type="network", resource_id=NET, site="site2"),
        job(2, resource_id="other"),
    ]
    shell.run("network", "extend", "net1", "site1", "--wait", "0.1")


def test_withdrawing_waits_until_the_site_has_let_go(shell: Inside) -> None:
    shell.run("network", "extend", "net1", "site1")
    (presence,) = shell.cloud.rows["site-presences"]
    presence["withdrawn"] = True
    answered = shell.cloud.answer

    def keep(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        if method == "DELETE":  # it goes when the site has removed it
            return 204, None
        return answered(method, target, body, caller)

    shell.cloud.answer = keep  # type: ignore[method-assign]
    withdraw = ("network", "withdraw", "net1", "site1")
    shell.run(*withdraw, says="^Network net1 leaves site site1")
    shell.run(*withdraw, "--wait", "0.1", code=3, says="site1 has yet to say that it has none")
    presence["withdrawn"] = False
    says = "wanted at site site1 again: it stays there"
    shell.run(*withdraw, "--wait", "60", code=2, says=says)
    presence["withdrawn"] = True
    done = threading.Event()
    carry_at_second_look(shell, "site-presences", done)
    shell.run(*withdraw, "--wait", "600", says="^Network net1 has left site site1")


def test_a_port_is_released_when_its_home_has_let_go(shell: Inside) -> None:
    shell.cloud.rows["ports"] = [{"id": "p1", "name": "web"}]
    mapping = {"id": "m1", "type": "port", "resource_id": "p1", "site": "site1", "withdrawn": True}
    shell.cloud.rows["site-mappings"] = [mapping]
    release = ("port", "release", "web")
    shell.run(*release, says="^Site site1 is asked to release it")
    shell.run(*release, "--wait", "0.1", code=3, says="site1 has yet to say that it has let go")
    shell.cloud.rows["site-jobs"] = [job(1, resource_id="p1", state="parked", last_error="in use")]
    shell.run(*release, "--wait", "60", code=2, says="site1 refused the port: in use")
    shell.cloud.rows["site-jobs"] = []
    mapping["withdrawn"] = False
    shell.run(*release, "--wait", "60", code=2, says="used at site site1 again: it stays there")
    mapping["withdrawn"] = True
    done = threading.Event()
    carry_at_second_look(shell, "site-mappings", done)
    shell.run(*release, "--wait", "600", says="^Site site1 no longer has the port")


def test_a_lease_is_returned_when_the_site_was_told(shell: Inside) -> None:
    give = ("lease", "return", "site1", LEASE)
    shell.run(*give, says="shows it under way")
    shell.cloud.rows["site-jobs"] = [job(1, type="lease", resource_id=LEASE)]
    shell.run(*give, "--wait", "0.1", code=3, says="1 job under way to site1")
    shell.cloud.rows["site-jobs"] = []
    shell.run(*give, "--wait", "60", says="^Site site1 has been told")


def test_jobs_are_tried_again_until_they_are_done(shell: Inside) -> None:
    retry = ("job", "retry", "job-0001", "job-0002", "--wait")
    rows = [job(1, state="parked", last_error="no such VLAN"), job(2)]
    shell.cloud.rows["site-jobs"] = rows
    shell.run(*retry, "0.1", code=3, says="^2 jobs are due.*\n.*2 jobs under way to site1")
    answered = shell.cloud.answer

    def refuse_again(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        answer = answered(method, target, body, caller)
        if "retry" in target:
            rows[0]["state"] = "parked"
        return answer

    shell.cloud.answer = refuse_again  # type: ignore[method-assign]
    says = "site1 refused the port: no such VLAN.*isthmus job retry job-0001"
    shell.run(*retry, "60", code=2, says=says)
    shell.cloud.answer = answered  # type: ignore[method-assign]
    done = threading.Event()
    carry_at_third_look(shell, done)
    shell.run(*retry, "600", says="2 jobs under way to site1.*looking again(.*\n)+2 jobs are done")
    assert done.is_set()


def carry_at_third_look(shell: Inside, done: threading.Event) -> None:
    """Have jobs done when somebody has looked twice behind the look that found them."""
    answered, looks = shell.cloud.answer, []

    def answer(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        if "/site-jobs" in target and method == "GET" and "marker" not in target:
            looks.append(target)
            if len(looks) == 3:
                done.set()
                shell.cloud.rows["site-jobs"] = []
        return answered(method, target, body, caller)

    shell.cloud.answer = answer  # type: ignore[method-assign]


def test_a_site_is_awaited_until_it_answers(shell: Inside) -> None:
    says = "not done in 0.1 s: site site2 has yet to answer Xjob"
    shell.run("site", "create", "site2", "--wait", "0.1", code=3, says=says)
    row = next(one for one in shell.cloud.rows["sites"] if one["name"] == "site2")
    row["last_error"] = "no route to host"
    enable = ("site", "enable", "site2", "--wait")
    shell.run(*enable, "0.1", code=3, says="has yet to answer Xjob: no route to host")
    row.update(reachability="reachable", waits_for="it has yet to register")
    shell.run(*enable, "0.1", code=3, says="site site2: it has yet to register")
    row["waits_for"] = ""
    assert "reachable" in shell.run(*enable, "60").stdout
    says = "site site3 is disabled: nobody looks whether it answers"
    shell.run("site", "create", "site3", "--state", "disabled", "--wait", "60", code=2, says=says)


def test_a_central_that_is_away_for_a_moment_is_asked_again() -> None:
    said: list[Any] = [errors.Unreachable("central is away"), "a job", ""]
    told: list[str] = []

    def look() -> str:
        found = said.pop(0)
        if isinstance(found, Exception):
            raise found
        return str(found)

    wait_until_done(look, wait_s=60, tell=lambda what, _: told.append(what), pause=lambda _: None)
    assert told == ["central is away", "a job"]
