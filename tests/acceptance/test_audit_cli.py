"""`isthmus audit`: what it finds, and what it ends with."""

import json
import subprocess
from typing import Any

import pytest
from tests.acceptance.shell import ISTHMUS, LEASE, NET, Shell, ago, audited, job, processes, shell

__all__ = ["processes", "shell"]


def test_audit_ends_well_where_all_tiers_agree(processes: Shell) -> None:
    audited(processes)
    processes.run("audit", says="All tiers agree")
    assert processes.data("audit") == []
    processes.run("audit", "--network", "net1", says="All tiers agree")
    assert any(f"network_id={NET}" in path for _, path, _ in processes.cloud.calls)


def test_audit_says_what_differs_and_ends_with_1(shell: Shell) -> None:
    audited(shell)
    shell.cloud.sites["site2"].holdings["leases"] = [LEASE]
    shell.cloud.rows["site-jobs"] = [
        job(1, state="parked", last_error="bad", changed_at="2026-01-01T00:00:00Z")
        | {"not_before": "2026-01-01T00:00:00Z"}
    ]
    ran = shell.run("audit", "-o", "json", code=1)
    assert [(one["message"], one["place"]) for one in json.loads(ran.stdout)] == [
        ("refused by the site", "site1"),
        ("lease that central does not know", "site2"),
    ]


def test_audit_tells_of_sites_that_do_not_answer(shell: Shell) -> None:
    audited(shell)
    shell.cloud.sites["site1"].cut = True
    shell.run("site", "disable", "site2")
    ran = shell.run("audit", "-o", "json", code=1)
    reasons = {one["place"]: one["evidence"] for one in json.loads(ran.stdout)}
    assert "cannot be reached" in reasons["site1"]
    assert reasons["site2"] == "an operator has disabled it"


def test_audit_tells_of_a_site_that_answers_the_person_and_not_xjob(shell: Shell) -> None:
    audited(shell)
    one, _two = shell.cloud.rows["sites"]
    one.update(reachability="unreachable", last_seen_at=ago(hours=2), last_error="no route")
    (found,) = shell.data("audit", code=1)
    assert (found["code"], found["name"]) == ("site.not_reachable", "site1")
    assert found["evidence"].startswith("it last answered 2h")
    assert found["evidence"].endswith(" ago: no route")
    shell.cloud.sites["site1"].cut = True
    assert [found["code"] for found in shell.data("audit", code=1)] == ["site.not_audited"]


def test_audit_waits_until_all_is_well(processes: Shell) -> None:
    audited(processes)
    ran = processes.run("audit", "--quiet", "--wait", "1", says="^All tiers agree.$")
    processes.cloud.sites["site2"].holdings["leases"] = [LEASE]
    ran = processes.run("audit", "-q", "--wait", "0.1", "-o", "json", code=1)
    assert len(json.loads(ran.stdout)) == 1
    assert "looking again" not in ran.stderr
    process = subprocess.Popen(
        [*ISTHMUS, "audit", "--wait", "600", "-o", "json"],
        env=processes.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    assert "1 finding: lease that central does not know at site2; looking again, for" in line
    processes.cloud.sites["site2"].holdings["leases"] = []
    stdout, stderr = process.communicate(timeout=300)
    assert (process.returncode, json.loads(stdout), stderr) == (0, [], b"")


@pytest.mark.parametrize(
    "odd",
    [
        {"ovn": {"port_keys": [{}]}},
        {"ovn": {"ports": ["x"], "shadows": [1]}},
        {"leases": [{}]},
        {"id": "site1"},
    ],
)
def test_a_site_of_another_version_hides_no_other_site(shell: Shell, odd: dict[str, Any]) -> None:
    """It was called a bug of ours, and nothing of all the others was shown."""
    audited(shell)
    shell.cloud.sites["site1"].holdings["leases"] = [{**LEASE, "last": "99"}]
    shell.cloud.sites["site2"].holdings |= odd
    found = {one["code"]: one for one in shell.data("audit", code=1)}
    assert found.keys() == {"site.not_audited", "lease.larger"}
    assert found["lease.larger"]["place"] == "site1"
    silent = found["site.not_audited"]
    assert (silent["name"], silent["severity"]) == ("site2", "unknown")
    assert silent["evidence"].startswith("its answer has another form than it should: ")
    assert "versions of Isthmus" in silent["remedy"]
