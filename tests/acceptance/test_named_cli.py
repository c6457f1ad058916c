"""Names beside ids, and names that a shell completes."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.inside import Inside
from tests.acceptance.shell import NET, SUBNET, Shell, ago, job, small_cloud

from isthmus.cli import complete

WEB = "0a6b7c1e-0000-4000-8000-0000000000aa"
BARE = "0a6b7c1e-0000-4000-8000-0000000000bb"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Inside]:
    with small_cloud() as cloud:
        inside = Inside(tmp_path, cloud)
        for name in ("site2", "site1"):
            inside.run("site", "create", name)
        cloud.rows["ports"] = [{"id": WEB, "name": "web"}, {"id": BARE, "name": ""}]
        yield inside


def columns(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_jobs_are_listed_by_the_names_of_what_they_bring(shell: Inside) -> None:
    shell.cloud.rows["site-jobs"] = [
        job(1, type="network", resource_id=NET),
        job(2, resource_id=WEB),
        job(3, type="shadow", resource_id=WEB),
        job(4, resource_id=BARE),
        job(5, type="lease", resource_id="l1"),
    ]
    head, *rows = columns(shell.run("job", "list").stdout)
    assert head[:4] == ["id", "site", "type", "resource_name"]
    assert [row[3] for row in rows] == ["net1", "web", "web", BARE, "l1"]
    head, *rows = columns(shell.run("job", "list", "--long").stdout)
    assert head[3:5] == ["resource_name", "resource_id"]
    assert [row[3:5] for row in rows][:2] == [["net1", NET], ["web", WEB]]
    found = shell.data("job", "list")
    assert [(row["resource_name"], row["resource_id"]) for row in found] == [
        ("net1", NET),
        ("web", WEB),
        ("web", WEB),
        ("", BARE),
        ("", "l1"),
    ]


def test_two_of_one_name_are_told_apart(shell: Inside) -> None:
    shell.cloud.rows["ports"][1]["name"] = "web"
    shell.cloud.rows["site-jobs"] = [job(1, resource_id=WEB), job(2, resource_id=BARE)]
    _, *rows = columns(shell.run("job", "list").stdout)
    assert [row[3] for row in rows] == [WEB, BARE]


def test_a_list_is_complete_although_no_name_is_found(shell: Inside) -> None:
    answered = shell.cloud.answer

    def refuse(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        if "/v2.0/ports" in target:
            return 503, {"NeutronError": {"message": "busy", "type": "X", "detail": ""}}
        return answered(method, target, body, caller)

    shell.cloud.answer = refuse  # type: ignore[method-assign]
    shell.cloud.rows["site-jobs"] = [job(1, resource_id=WEB)]
    assert WEB in shell.run("job", "list").stdout


def test_refusals_have_names_and_ages(shell: Inside) -> None:
    shell.cloud.rows["site-refusals"] = [
        {
            "id": "r1",
            "site": "site1",
            "type": "port",
            "resource_id": WEB,
            "attributes": "",
            "reason": "too-many",
            "changed_at": ago(hours=2),
        }
    ]
    _, row = columns(shell.run("job", "refused").stdout)
    assert row[:4] == ["site1", "port", "web", "too-many"]
    assert row[4].startswith("2h")
    assert row[-1] == "ago"


def test_findings_have_names(shell: Inside) -> None:
    shell.cloud.rows["site-jobs"] = [job(1, resource_id=WEB, state="parked", changed_at=ago(days=1),
                                         not_before=None, last_error="refused")]  # fmt: skip
    head, *rows = columns(shell.run("audit", code=1).stdout)
    assert head[2:5] == ["type", "resource_name", "message"]
    assert rows[0][:4] == ["broken", "site1", "port", "web"]
    head, *rows = columns(shell.run("audit", "--long", code=1).stdout)
    assert head[3:5] == ["resource_name", "name"]
    assert rows[0][3:5] == ["web", WEB]
    (found,) = [row for row in shell.data("audit", code=1) if row["code"] == "job.parked"]
    assert (found["name"], found["resource_name"]) == (WEB, "web")


def test_lists_of_networks_and_leases_have_ids_where_they_are_wanted(shell: Inside) -> None:
    shell.run("network", "extend", "net1", "site1")
    assert "net1" in shell.run("network", "list").stdout
    assert NET in shell.run("network", "list", "--long").stdout
    lease = {"id": "l1", "kind": "subnet", "pool_id": SUBNET, "site": "site1", "size": 1}
    lease |= {"first": "1", "last": "1", "created_at": ago(days=1)}
    shell.cloud.rows["site-leases"] = [lease]
    assert "sub1" in shell.run("lease", "list").stdout
    assert SUBNET in shell.run("lease", "list", "--long").stdout


def test_an_audit_says_that_no_xjob_runs(shell: Inside) -> None:
    for row in shell.cloud.rows["sites"]:
        row.update(reachability="reachable", last_seen_at=ago(minutes=7))
    found = shell.data("audit", code=1)
    assert [(row["code"], row["name"], row["place"]) for row in found] == [
        ("site.not_served", "site1", "central"),
        ("site.not_served", "site2", "central"),
    ]
    assert found[0]["evidence"].startswith("last looked at 7m")
    assert found[0]["remedy"].startswith("Start isthmus-xjob where central runs")
    shell.cloud.rows["sites"][0]["last_seen_at"] = ago(seconds=1)
    (one,) = shell.data("audit", code=1)
    assert (one["name"], one["remedy"][:31]) == ("site1", "See the log of isthmus-xjob for")
    shell.run("site", "disable", "site1")
    assert [row["code"] for row in shell.data("audit", code=1)] == ["site.not_audited"]


# Completion.

#: A machine that is busy takes longer than a person may wait.
PATIENT = [
    sys.executable,
    "-c",
    "from isthmus.cli import complete, main; complete.ANSWER_S = 600; main.run()",
]


def ask(shell: Shell, line: str, kind: str = "bash") -> list[str]:
    """Return what a shell is offered for the last word of a line."""
    words = line.split(" ")
    environment = {**shell.environment, "_ISTHMUS_COMPLETE": f"complete_{kind}"}
    if kind == "bash":
        environment |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    else:
        environment |= {"_TYPER_COMPLETE_ARGS": line}
        if kind == "fish":
            environment["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    ran = subprocess.run(PATIENT, env=environment, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    return ran.stdout.split("\n")[:-1] if ran.stdout.strip() else []


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("isthmus site show ", ["site1", "site2"]),
        ("isthmus job list --site site2", ["site2"]),
        ("isthmus network show n", ["net1"]),
        ("isthmus network extend net1 site1 s", ["site1", "site2"]),
        ("isthmus audit --network ", ["net1"]),
        ("isthmus lease list --pool ", ["net1", "sub1"]),
        ("isthmus port show ", ["web"]),
        ("isthmus job retry ", ["job-0001"]),
        ("isthmus status --os-cloud ", ["away", "central"]),
        ("isthmus --os-cloud ", ["away", "central"]),
        ("isthmus --os-cloud central site show site1", ["site1"]),
        ("isthmus network show x", []),
        ("isthmus site create ", []),
    ],
)
def test_names_are_completed(shell: Inside, line: str, offered: list[str]) -> None:
    shell.cloud.rows["site-jobs"] = [job(1)]
    assert ask(shell, line) == offered


def test_what_fits_is_offered_wherever_it_is_in_a_long_list(shell: Inside) -> None:
    shell.cloud.rows["networks"] += [
        {"id": f"n{number:04}", "name": f"a{number}", "status": "ACTIVE"} for number in range(1500)
    ]
    shell.cloud.rows["networks"].append({"id": "z", "name": "zebra", "status": "ACTIVE"})
    assert ask(shell, "isthmus network show z") == ["zebra"]
    assert len(ask(shell, "isthmus network show a")) == 200


def test_the_cloud_that_is_typed_is_asked_whatever_the_environment_says(shell: Inside) -> None:
    shell.environment["OS_CLOUD"] = "away"
    assert ask(shell, "isthmus site show ") == []
    assert ask(shell, "isthmus --os-cloud central site show ") == ["site1", "site2"]
    assert ask(shell, "isthmus site show --os-cloud central ") == ["site1", "site2"]
    shell.environment["OS_CLOUD"] = "central"
    assert ask(shell, "isthmus --os-cloud away site show ") == []


def test_zsh_and_fish_are_told_what_a_name_is(shell: Inside) -> None:
    shell.cloud.rows["site-jobs"] = [job(1)]
    assert "port for site1, waiting" in "\n".join(ask(shell, "isthmus job show ", "zsh"))
    assert "site1" in "\n".join(ask(shell, "isthmus site show ", "fish"))


def test_a_name_that_a_shell_would_take_for_something_else_is_not_offered(shell: Inside) -> None:
    shell.cloud.rows["networks"] += [
        {"id": f"n{number}", "name": name, "status": "ACTIVE"}
        for number, name in enumerate(("two words", "$(reboot)", "-rf", "", "a;b", "ok-2"))
    ]
    assert ask(shell, "isthmus network show ") == ["net1", "ok-2"]


@pytest.mark.parametrize("cloud", ["away", "mute", "nosuch"])
def test_who_cannot_be_asked_offers_nothing_and_says_nothing(shell: Inside, cloud: str) -> None:
    with shell.mute():
        for line in ("site show ", "network show ", "job retry "):
            assert ask(shell, f"isthmus --os-cloud {cloud} {line}") == []
    shell.path.write_text("{{{")
    assert ask(shell, "isthmus site show ") == []
    assert ask(shell, "isthmus status --os-cloud ") == []


def test_a_person_waits_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete._ask(lambda: [os.environ["NOSUCH"]]) == []
    assert complete._ask(lambda: ["quick"]) == ["quick"]
    monkeypatch.setattr(complete, "ANSWER_S", 0.1)
    never = threading.Event()

    def find() -> list[str]:
        never.wait(60)
        return ["late"]

    assert complete._ask(find) == []
    never.set()
