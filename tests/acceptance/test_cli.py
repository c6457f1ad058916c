"""The operators' commands as processes, against a small cloud on loopback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.acceptance.shell import ISTHMUS, NET, SUBNET, Shell, job, processes, shell

from isthmus.lab.labs import STATE_VARIABLE
from isthmus.lab.process.ledger import FILE
from isthmus.testing.until import until

__all__ = ["processes", "shell"]


def test_help_names_every_noun_and_imports_none_of_them(processes: Shell) -> None:
    text = processes.run("--help").stdout
    for noun in (
        "site",
        "network",
        "port",
        "job",
        "lease",
        "status",
        "audit",
        "lab",
        "demo",
        "nfv",
    ):
        assert f" {noun} " in text
    program = (
        "import sys; from isthmus.cli.main import _run; _run(['--help']);"
        "heavy = {'openstack', 'keystoneauth1', 'sqlalchemy', 'yaml', 'isthmus.cli.cloud.site'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "[]"


def test_a_list_of_labs_imports_nothing_that_takes_time(tmp_path: Path) -> None:
    lab = tmp_path / "one"
    lab.mkdir()
    (lab / FILE).touch()
    program = (
        "import sys; from isthmus.cli.main import _run\n"
        "try: _run(['lab', 'list'])\n"
        "except SystemExit: pass\n"
        "heavy = {'cheroot', 'oslo_config', 'requests', 'yaml'}\n"
        "heavy |= {'isthmus.lab.topology', 'isthmus.lab.up'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, STATE_VARIABLE: str(tmp_path)},
    )
    listed, imported = ran.stdout.splitlines()[-2:]
    assert (listed.split(), imported) == (["one", str(lab)], "[]")


def test_commands_of_one_person_log_in_once(processes: Shell) -> None:
    def count() -> int:
        return sum(path.endswith("/auth/tokens") for _, path, _ in processes.cloud.calls)

    processes.run("site", "create", "site1")
    processes.run("site", "list")
    processes.run("job", "list")
    assert count() == 1
    processes.run("status", code=1)  # asks how Keystone is, too
    processes.run("site", "list")
    assert count() == 2
    processes.environment["ISTHMUS_KEEP_LOGIN"] = "0"
    processes.run("site", "list")
    assert count() == 3


def test_the_life_of_a_site(processes: Shell) -> None:
    made = processes.data("site", "create", "site1", "--description", "first")
    assert (made["region"], made["availability_zones"]) == ("site1", ["site1"])
    assert made["service_user"] == "default/isthmus-site1"
    processes.run("site", "create", "site2", "--region", "R2", "--zone", "a", "--zone", "b")
    assert [row["name"] for row in processes.data("site", "list")] == ["site1", "site2"]
    assert processes.data("site", "show", "site2")["availability_zones"] == ["a", "b"]
    assert processes.data("site", "drain", "site2")["state"] == "draining"
    assert [row["name"] for row in processes.data("site", "list", "--state", "draining")] == [
        "site2"
    ]
    assert processes.data("site", "disable", "site2")["state"] == "disabled"
    assert processes.data("site", "enable", "site2")["state"] == "enabled"
    assert processes.data("site", "update", "site2", "--zone", "c")["availability_zones"] == ["c"]
    processes.run("site", "delete", "site2", says="site2 is gone")
    assert [row["name"] for row in processes.data("site", "list")] == ["site1"]
    processes.run("site", "show", "site2", code=2, says="error: ")


def test_who_is_waited_for_and_going_on_without(shell: Shell) -> None:
    for name in ("site1", "site2"):
        shell.run("site", "create", name)
    (row, _) = shell.cloud.rows["sites"]
    row["waits_for"] = "central was restored and this site has yet to register"
    assert "yet to register" in shell.run("site", "list").stdout
    ran = shell.run("status", code=1, says="waits for site1 to register")
    assert "yet to register" in ran.stdout
    shell.run("site", "go-on-without", "site1", code=1, says="Nothing was done")
    shell.run("site", "go-on-without", "site2", says="Nobody waits for site site2")
    acts = [path for method, path, _ in shell.cloud.calls if method == "PUT"]
    assert acts == []
    ran = shell.run("site", "go-on-without", "site1", "--yes")
    (act,) = [path for method, path, _ in shell.cloud.calls if method == "PUT"]
    assert act.endswith("/go_on_without")
    assert ran.stdout == ""
    assert "no longer waits for site site1" in ran.stderr
    assert "Next: isthmus audit --wait 300" in ran.stderr
    for one in shell.cloud.rows["sites"]:
        one["waits_for"] = "central was restored and this site has yet to register"
    said = shell.run("site", "go-on-without", "site1", "-y", "-o", "json", says="waits for site2")
    assert json.loads(said.stdout)["name"] == "site1"


def test_a_restored_site_that_gives_out_no_addresses_is_shown_with_the_next_step(
    shell: Shell,
) -> None:
    for name in ("site1", "site2"):
        shell.run("site", "create", name)
    one, _ = shell.cloud.rows["sites"]
    waits: dict[str, Any] = {"epoch": 2, "recovered": False, "stands_down": False}
    waits["reason"] = "restored; waits for 3 ports that central knows and has yet to send"
    site1, site2 = shell.cloud.sites.values()
    site1.holdings, site2.holdings = {"id": "site1", "epoch": waits}, {"id": "site2"}
    one["ports_due"] = 3
    first, second = shell.data("status", code=1)
    assert (first["allocates"], first["ports_due"], first["waits_for"]) == (
        "no",
        3,
        waits["reason"],
    )
    assert "isthmus-xjob" in first["next_step"]
    assert second["allocates"] == "unknown"
    assert second["next_step"].startswith("it did not say whether it gives out addresses")
    assert "`isthmus lab start " in second["next_step"]
    says = "site1 gives out no addresses: restored; waits for 3 ports"
    ran = shell.run("status", code=1, says=says)
    assert "Next for site1: see that isthmus-xjob runs" in ran.stderr
    waits["stands_down"] = True
    assert "isthmus restored" in shell.data("status", code=1)[0]["next_step"]
    site1.holdings["epoch"] = {"epoch": 2, "recovered": True, "reason": ""}
    assert [row["allocates"] for row in shell.data("status", code=1)] == ["yes", "unknown"]
    # One that cannot be reached is not asked: it would cost a time-out.
    one["reachability"] = "unreachable"
    site1.cut = True
    before = len(shell.cloud.calls)
    assert shell.data("status", code=1)[0]["allocates"] == "unknown"
    assert not [path for _, path, _ in shell.cloud.calls[before:] if path.startswith("/site1")]


def test_what_a_removed_site_held_is_shown_and_freed(processes: Shell) -> None:
    processes.run("gone", "list", says="No removed site holds anything")
    made = processes.data("site", "create", "site1")
    holder = f"gone/{made['id']}"
    lease = {"kind": "subnet", "pool_id": SUBNET, "first": "1", "last": "8", "size": 8}
    processes.cloud.rows["site-leases"] = [
        {"id": "l1", "site": holder, **lease},
        {"id": "l2", "site": "site2", **lease},
    ]
    processes.cloud.rows["site-mappings"] = [
        {"id": "r1", "site": holder, "type": "port", "resource_id": "p1"}
    ]
    processes.run("site", "delete", "site1", says=f"8 addresses.*isthmus gone free {holder}")
    (row,) = processes.data("gone", "list")
    assert row == {
        "incarnation": holder, "leases": 1, "addresses": 8, "port_keys": 0, "ports": 1
    }  # fmt: skip
    ran = processes.run("gone", "free", made["id"], code=1, says="Nothing was done")
    assert holder in ran.stdout, "it says what it would free before it asks"
    assert not any(path.endswith("free_for_good") for _, path, _ in processes.cloud.calls)
    assert json.loads(processes.run("gone", "free", holder, "-y", "-o", "json").stdout) == row
    assert (
        "PUT",
        "/central/v2.0/site-leases/l1/free_for_good",
        {"all": True},
    ) in processes.cloud.calls
    processes.run("gone", "free", "gone/other", code=2, says="see isthmus gone list")


def test_a_tier_is_told_that_it_was_restored(processes: Shell, tmp_path: Path) -> None:
    from isthmus.store.sql.engine import open_engine, writing
    from isthmus.store.sql.tables import METADATA
    from isthmus.store.tiers import epoch

    engine = open_engine(f"sqlite:///{tmp_path}/neutron.db")
    conf = tmp_path / "neutron.conf"
    conf.write_text(f"[database]\nconnection = sqlite:///{tmp_path}/neutron.db\n")
    processes.run("restored", "--config-file", str(conf), code=2, says="no tables of Isthmus")
    METADATA.create_all(engine)
    with writing(engine) as connection:
        assert epoch.read(connection).recovered
    said = processes.data("restored", "--config-file", str(conf))
    assert (said["epoch"], said["waits_for"]) == (2, [])
    with writing(engine) as connection:
        assert not epoch.read(connection).recovered
    engine.dispose()
    conf.write_text("[database]\n")
    processes.run("restored", "--config-file", str(conf), code=2, says="connection is not set")


def test_a_table_has_the_names_of_the_api_and_is_never_cut(shell: Shell) -> None:
    shell.run("site", "create", "site1", "--description", "x")
    header, row = shell.run("site", "list").stdout.splitlines()
    assert header.split()[:4] == ["name", "region", "availability_zones", "state"]
    assert row.split()[:4] == ["site1", "site1", "site1", "enabled"]
    shell.cloud.rows["site-jobs"] = [job(1, state="parked", last_error="why " * 100)]
    assert ("why " * 100).strip() in shell.run("job", "list").stdout


def test_yaml_and_json_say_the_same(shell: Shell) -> None:
    shell.run("site", "create", "site1")
    as_yaml = shell.run("site", "list", "-o", "yaml").stdout
    assert yaml.safe_load(as_yaml) == shell.data("site", "list")


def test_networks_are_found_by_name_extended_and_withdrawn(processes: Shell) -> None:
    made = processes.data("network", "extend", "net1", "site1", "site2")
    assert [(row["network_id"], row["site"]) for row in made] == [(NET, "site1"), (NET, "site2")]
    processes.cloud.rows["site-leases"] = [
        {"id": "l", "kind": "subnet", "pool_id": SUBNET, "site": "site1", "size": 64}
    ]
    shown = processes.data("network", "show", "net1")
    assert (shown["sites"], shown["datapath_key"]) == (["site1", "site2"], 16711681)
    assert len(shown["leases"]) == 1
    processes.run("network", "withdraw", "net1", "site2", says="leaves site site2")
    assert [row["site"] for row in processes.data("network", "list", "--network", NET)] == ["site1"]
    processes.run("network", "withdraw", "net1", "site2", code=2, says="is not present at site")
    processes.run("network", "show", "nonet", code=2, says="there is no network 'nonet'")
    processes.cloud.rows["networks"].append({**processes.cloud.rows["networks"][0], "id": "other"})
    processes.run("network", "show", "net1", code=2, says="say which by its id")


def test_jobs_are_filtered_and_paged(shell: Shell) -> None:
    shell.cloud.rows["site-jobs"] = [job(number) for number in range(1200)]
    parked = {"state": "parked", "site": "site2", "type": "network", "resource_id": NET}
    shell.cloud.rows["site-jobs"][7].update(parked)
    assert len(shell.data("job", "list")) == 1200
    calls = [path for _, path, _ in shell.cloud.calls if "site-jobs" in path]
    assert len(calls) == 4, "three pages and the end"
    assert [row["id"] for row in shell.data("job", "list", "--limit", "2")] == [
        "job-0000",
        "job-0001",
    ]
    assert [row["id"] for row in shell.data("job", "list", "--marker", "job-1198")] == ["job-1199"]
    for options in (
        ("--site", "site2"),
        ("--state", "parked"),
        ("--type", "network"),
        ("--resource", NET),
    ):
        assert [row["id"] for row in shell.data("job", "list", *options)] == ["job-0007"]
    assert len(shell.data("job", "list", "--older-than", "19m")) == 1200 - 19 * 60
    shell.run("job", "list", "--older-than", "soon", code=2, says="is no time span")


def test_jobs_are_retried_and_cancelled(shell: Shell) -> None:
    shell.cloud.rows["site-jobs"] = [job(number, state="parked") for number in range(3)]
    shell.run("job", "retry", "job-0001", "nojob", says="1 job is due")
    assert shell.data("job", "show", "job-0001")["state"] == "waiting"
    shell.run("job", "retry", "--state", "parked", says="2 jobs are due")
    shell.run("job", "retry", code=2, says="say which jobs")
    shell.run("job", "cancel", "job-0001", code=1)
    assert len(shell.data("job", "list")) == 3, "nobody said yes"
    shell.run("job", "cancel", "--site", "site1", "--yes", says="3 jobs are dropped")
    assert shell.data("job", "list") == []


def test_leases_show_as_addresses_in_a_table_only(processes: Shell) -> None:
    processes.cloud.rows["site-leases"] = [
        {"id": "a", "kind": "subnet", "pool_id": SUBNET, "site": "site1", "first": "167772162"},
        {"id": "b", "kind": "subnet", "pool_id": SUBNET, "site": "site1", "first": str(2**127)},
        {"id": "c", "kind": "port_key", "pool_id": NET, "site": "site2", "first": "1"},
    ]
    for row in processes.cloud.rows["site-leases"]:
        row.update(last=row["first"], size=1, created_at="")
    text = processes.run("lease", "list").stdout
    assert "10.0.0.2" in text
    assert "8000::" in text
    assert [row["first"] for row in processes.data("lease", "list", "--pool", "sub1")] == [
        "167772162",
        str(2**127),
    ]
    assert len(processes.data("lease", "list", "--pool", "net1")) == 1
    assert len(processes.data("lease", "list", "--kind", "port_key", "--site", "site2")) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nosuch"], 2, "No such command"),
        (["site", "show"], 2, "Missing argument"),
        (["site", "list", "-o", "xml"], 2, "xml"),
        (["site", "list", "--os-cloud", "nope"], 2, "known clouds: away, central"),
        (
            ["--os-cloud", "away", "site", "list"],
            3,
            "Keystone cannot be reached.*logged in for central: http://127.0.0.1:1: Conn",
        ),
        (["site", "update", "site1"], 2, "say what to change"),
    ],
)
def test_mistakes_are_one_clear_sentence(
    processes: Shell, arguments: list[str], code: int, says: str
) -> None:
    processes.run(*arguments, code=code, says=says)


def test_a_silent_keystone_is_named(processes: Shell) -> None:
    says = (
        r"Keystone gave no answer in time.*logged in for central: http://127.0.0.1:.*Next: see that"
    )
    with processes.mute():
        processes.run("--os-cloud", "mute", "status", code=3, says=says)


@pytest.mark.parametrize(
    ("status", "message", "code", "says"),
    [
        (403, "rule:get_site is disallowed", 2, "403"),
        (409, "site holds 3 objects", 2, "site holds 3 objects"),
        (500, "boom", 1, "500"),
        (503, "overloaded", 3, "503"),
    ],
)
def test_what_central_answers_decides_the_exit_code(
    processes: Shell, status: int, message: str, code: int, says: str
) -> None:
    processes.cloud.refusal = (status, message)
    processes.run("site", "list", code=code, says=says)


def test_escape_sequences_in_names_do_not_reach_the_terminal(shell: Shell) -> None:
    shell.cloud.rows["site-jobs"] = [job(1, last_error="\x1b[2Jgone [red]x[/red]")]
    text = shell.run("job", "list").stdout
    assert "\x1b" not in text
    assert "[red]x[/red]" in text


def test_a_reader_that_stops_reading_is_no_error(processes: Shell) -> None:
    processes.cloud.rows["site-jobs"] = [job(number) for number in range(5000)]
    ran = subprocess.run(
        f"{sys.executable} -c 'from isthmus.cli.main import run; run()' job list -o json | head -1",
        shell=True,
        executable="/bin/bash",
        env=processes.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["["]
    assert ran.stderr == ""


def test_ctrl_c_ends_with_130(processes: Shell) -> None:
    processes.cloud.refusal = None
    processes.cloud.rows["site-jobs"] = [job(1)]  # where there is none, nothing is asked
    process = subprocess.Popen(
        [*ISTHMUS, "job", "cancel", "--site", "site1"],
        env=processes.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until(lambda: any("site-jobs" in path for _, path, _ in processes.cloud.calls))
    assert process.stderr is not None
    assert process.stderr.read(4) == b"Drop", "it waits for an answer"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr


def test_completion_knows_nouns_verbs_and_options(processes: Shell) -> None:
    def complete(line: str, at: int) -> list[str]:
        ran = subprocess.run(
            ISTHMUS,
            env={
                **processes.environment,
                "_ISTHMUS_COMPLETE": "complete_bash",
                "COMP_WORDS": line,
                "COMP_CWORD": str(at),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.stdout.split()

    assert {"site", "job", "lab"} <= set(complete("isthmus ", 1))
    assert {"list", "show", "drain"} <= set(complete("isthmus site ", 2))
    assert "--older-than" in complete("isthmus job list --", 3)
