"""The operators' commands as processes, against a small cloud on loopback."""

import contextlib
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.testing.cloud import Cloud, running_cloud
from isthmus.testing.until import until

ISTHMUS = [sys.executable, "-c", "from isthmus.cli.main import run; run()"]
NET = "0a6b7c1e-0000-4000-8000-000000000001"
SUBNET = "0a6b7c1e-0000-4000-8000-000000000002"
HOLDS = ("leases", "addresses", "port_keys", "ports", "networks", "networks_only_here")


class Shell:
    """Runs commands as a person with a clouds.yaml would."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.cloud = cloud
        entry = {
            "auth": {
                "auth_url": f"{cloud.url}/v3",
                "username": "admin",
                "password": "secret",
                "project_name": "admin",
                "user_domain_id": "default",
                "project_domain_id": "default",
            },
            "region_name": "central",
            "api_timeout": 5,
        }
        nobody = json.loads(json.dumps(entry))
        nobody["auth"]["auth_url"] = "http://127.0.0.1:1/v3"
        self.path = folder / "clouds.yaml"
        self.entries = {"central": entry, "away": nobody}
        self.path.write_text(yaml.safe_dump({"clouds": self.entries}))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "OS_CLIENT_CONFIG_FILE": str(self.path),
        }

    @contextlib.contextmanager
    def mute(self) -> Iterator[None]:
        """Have a cloud, `mute`, that takes calls and answers none."""
        with socket.create_server(("127.0.0.1", 0)) as taking:
            mute = {**json.loads(json.dumps(self.entries["central"])), "api_timeout": 1}
            mute["auth"]["auth_url"] = f"http://127.0.0.1:{taking.getsockname()[1]}/v3"
            self.path.write_text(yaml.safe_dump({"clouds": {**self.entries, "mute": mute}}))
            yield

    def run(
        self, *arguments: str, code: int = 0, says: str = ""
    ) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            [*ISTHMUS, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert ran.returncode == code, (ran.stdout, ran.stderr)
        assert re.search(says, ran.stderr), ran.stderr
        assert "Traceback" not in ran.stderr
        return ran

    def data(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "-o", "json", code=code).stdout)


@contextlib.contextmanager
def small_cloud() -> Iterator[Cloud]:
    """Run a cloud of two sites with a network and a subnet; sites that are made are as new."""
    with running_cloud("site1", "site2") as cloud:
        cloud.defaults["sites"] = lambda: {
            "reachability": "unknown",
            "last_seen_at": None,
            "last_error": "",
            "waits_for": "",
            "backlog": 0,
            "parked": 0,
            "holds": dict.fromkeys(HOLDS, 0),
        }
        cloud.defaults["site-presences"] = lambda: {
            "withdrawn": False,
            "datapath_key": 16711681,
            "created_at": "2026-01-01T00:00:00Z",
        }
        cloud.rows["networks"] = [
            {"id": NET, "name": "net1", "project_id": "p", "status": "ACTIVE", "subnets": [SUBNET]}
        ]
        cloud.rows["subnets"] = [{"id": SUBNET, "name": "sub1"}]
        epoch = {"epoch": 1, "recovered": True, "reason": ""}
        cloud.rows["site-holdings"] = [{"id": "central", "epoch": epoch}]
        for name, site in cloud.sites.items():
            site.holdings = {"id": name, "epoch": epoch}
        yield cloud


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with small_cloud() as cloud:
        yield Shell(tmp_path, cloud)


def ago(**span: float) -> str:
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(**span)
    return then.replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def job(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"job-{number:04}",
        "site": "site1",
        "type": "port",
        "resource_id": f"port-{number:04}",
        "state": "waiting",
        "generation": 1,
        "attempts": 0,
        "age": number,
        "created_at": "2026-01-01T00:00:00Z",
        "last_error": "",
        **more,
    }


def test_help_names_every_noun_and_imports_none_of_them(shell: Shell) -> None:
    text = shell.run("--help").stdout
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


def test_the_life_of_a_site(shell: Shell) -> None:
    made = shell.data("site", "create", "site1", "--description", "first")
    assert (made["region"], made["availability_zones"]) == ("site1", ["site1"])
    assert made["service_user"] == "default/isthmus-site1"
    shell.run("site", "create", "site2", "--region", "R2", "--zone", "a", "--zone", "b")
    assert [row["name"] for row in shell.data("site", "list")] == ["site1", "site2"]
    assert shell.data("site", "show", "site2")["availability_zones"] == ["a", "b"]
    assert shell.data("site", "drain", "site2")["state"] == "draining"
    assert [row["name"] for row in shell.data("site", "list", "--state", "draining")] == ["site2"]
    assert shell.data("site", "disable", "site2")["state"] == "disabled"
    assert shell.data("site", "enable", "site2")["state"] == "enabled"
    assert shell.data("site", "update", "site2", "--zone", "c")["availability_zones"] == ["c"]
    shell.run("site", "delete", "site2", says="site2 is gone")
    assert [row["name"] for row in shell.data("site", "list")] == ["site1"]
    shell.run("site", "show", "site2", code=2, says="error: ")


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


def test_what_a_removed_site_held_is_shown_and_freed(shell: Shell) -> None:
    shell.run("gone", "list", says="No removed site holds anything")
    made = shell.data("site", "create", "site1")
    holder = f"gone/{made['id']}"
    lease = {"kind": "subnet", "pool_id": SUBNET, "first": "1", "last": "8", "size": 8}
    shell.cloud.rows["site-leases"] = [
        {"id": "l1", "site": holder, **lease},
        {"id": "l2", "site": "site2", **lease},
    ]
    shell.cloud.rows["site-mappings"] = [
        {"id": "r1", "site": holder, "type": "port", "resource_id": "p1"}
    ]
    shell.run("site", "delete", "site1", says=f"8 addresses.*isthmus gone free {holder}")
    (row,) = shell.data("gone", "list")
    assert row == {
        "incarnation": holder, "leases": 1, "addresses": 8, "port_keys": 0, "ports": 1
    }  # fmt: skip
    ran = shell.run("gone", "free", made["id"], code=1, says="Nothing was done")
    assert holder in ran.stdout, "it says what it would free before it asks"
    assert not any(path.endswith("free_for_good") for _, path, _ in shell.cloud.calls)
    assert json.loads(shell.run("gone", "free", holder, "-y", "-o", "json").stdout) == row
    assert ("PUT", "/central/v2.0/site-leases/l1/free_for_good", {"all": True}) in shell.cloud.calls
    shell.run("gone", "free", "gone/other", code=2, says="see isthmus gone list")


def test_a_tier_is_told_that_it_was_restored(shell: Shell, tmp_path: Path) -> None:
    from isthmus.store.sql.engine import open_engine, writing
    from isthmus.store.sql.tables import METADATA
    from isthmus.store.tiers import epoch

    engine = open_engine(f"sqlite:///{tmp_path}/neutron.db")
    conf = tmp_path / "neutron.conf"
    conf.write_text(f"[database]\nconnection = sqlite:///{tmp_path}/neutron.db\n")
    shell.run("restored", "--config-file", str(conf), code=2, says="no tables of Isthmus")
    METADATA.create_all(engine)
    with writing(engine) as connection:
        assert epoch.read(connection).recovered
    said = shell.data("restored", "--config-file", str(conf))
    assert (said["epoch"], said["waits_for"]) == (2, [])
    with writing(engine) as connection:
        assert not epoch.read(connection).recovered
    engine.dispose()
    conf.write_text("[database]\n")
    shell.run("restored", "--config-file", str(conf), code=2, says="connection is not set")


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


def test_networks_are_found_by_name_extended_and_withdrawn(shell: Shell) -> None:
    made = shell.data("network", "extend", "net1", "site1", "site2")
    assert [(row["network_id"], row["site"]) for row in made] == [(NET, "site1"), (NET, "site2")]
    shell.cloud.rows["site-leases"] = [
        {"id": "l", "kind": "subnet", "pool_id": SUBNET, "site": "site1", "size": 64}
    ]
    shown = shell.data("network", "show", "net1")
    assert (shown["sites"], shown["datapath_key"]) == (["site1", "site2"], 16711681)
    assert len(shown["leases"]) == 1
    shell.run("network", "withdraw", "net1", "site2", says="leaves site site2")
    assert [row["site"] for row in shell.data("network", "list", "--network", NET)] == ["site1"]
    shell.run("network", "withdraw", "net1", "site2", code=2, says="is not present at site")
    shell.run("network", "show", "nonet", code=2, says="there is no network 'nonet'")
    shell.cloud.rows["networks"].append({**shell.cloud.rows["networks"][0], "id": "other"})
    shell.run("network", "show", "net1", code=2, says="say which by its id")


def test_jobs_are_filtered_and_paged(shell: Shell) -> None:
    shell.cloud.rows["site-jobs"] = [job(number) for number in range(1200)]
    shell.cloud.rows["site-jobs"][7].update(state="parked", site="site2", type="network")
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
        ("--resource", "port-0007"),
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


def test_leases_show_as_addresses_in_a_table_only(shell: Shell) -> None:
    shell.cloud.rows["site-leases"] = [
        {"id": "a", "kind": "subnet", "pool_id": SUBNET, "site": "site1", "first": "167772162"},
        {"id": "b", "kind": "subnet", "pool_id": SUBNET, "site": "site1", "first": str(2**127)},
        {"id": "c", "kind": "port_key", "pool_id": NET, "site": "site2", "first": "1"},
    ]
    for row in shell.cloud.rows["site-leases"]:
        row.update(last=row["first"], size=1, created_at="")
    text = shell.run("lease", "list").stdout
    assert "10.0.0.2" in text
    assert "8000::" in text
    assert [row["first"] for row in shell.data("lease", "list", "--pool", "sub1")] == [
        "167772162",
        str(2**127),
    ]
    assert len(shell.data("lease", "list", "--pool", "net1")) == 1
    assert len(shell.data("lease", "list", "--kind", "port_key", "--site", "site2")) == 1


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
    shell: Shell, arguments: list[str], code: int, says: str
) -> None:
    shell.run(*arguments, code=code, says=says)


def test_a_silent_keystone_is_named(shell: Shell) -> None:
    says = "Keystone gave no answer in time.*logged in for central: http://127.0.0.1:.*it runs"
    with shell.mute():
        shell.run("--os-cloud", "mute", "status", code=3, says=says)


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
    shell: Shell, status: int, message: str, code: int, says: str
) -> None:
    shell.cloud.refusal = (status, message)
    shell.run("site", "list", code=code, says=says)


def test_escape_sequences_in_names_do_not_reach_the_terminal(shell: Shell) -> None:
    shell.cloud.rows["site-jobs"] = [job(1, last_error="\x1b[2Jgone [red]x[/red]")]
    text = shell.run("job", "list").stdout
    assert "\x1b" not in text
    assert "[red]x[/red]" in text


def test_a_reader_that_stops_reading_is_no_error(shell: Shell) -> None:
    shell.cloud.rows["site-jobs"] = [job(number) for number in range(5000)]
    ran = subprocess.run(
        f"{sys.executable} -c 'from isthmus.cli.main import run; run()' job list -o json | head -1",
        shell=True,
        executable="/bin/bash",
        env=shell.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["["]
    assert ran.stderr == ""


def test_ctrl_c_ends_with_130(shell: Shell) -> None:
    shell.cloud.refusal = None
    shell.cloud.rows["site-jobs"] = [job(1)]  # where there is none, nothing is asked
    process = subprocess.Popen(
        # Whoever runs the tests in the background has them, and what they start, ignore SIGINT.
        ["env", "--default-signal=INT", *ISTHMUS, "job", "cancel", "--site", "site1"],
        env=shell.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until(lambda: any("site-jobs" in path for _, path, _ in shell.cloud.calls))
    assert process.stderr is not None
    assert process.stderr.read(4) == b"Drop", "it waits for an answer"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr


def test_completion_knows_nouns_verbs_and_options(shell: Shell) -> None:
    def complete(line: str, at: int) -> list[str]:
        ran = subprocess.run(
            ISTHMUS,
            env={
                **shell.environment,
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


LEASE = {
    "id": "l1",
    "kind": "subnet",
    "pool_id": SUBNET,
    "site": "site1",
    "first": "2",
    "last": "9",
}


def audited(shell: Shell) -> None:
    """Two sites, and leases that agree."""
    shell.run("site", "create", "site1")
    shell.run("site", "create", "site2")
    shell.cloud.rows["site-holdings"] = [{"id": "central", "leases": [LEASE]}]
    for name, site in shell.cloud.sites.items():
        site.holdings = {"id": name, "leases": [LEASE] if name == "site1" else []}


def test_audit_ends_well_where_all_tiers_agree(shell: Shell) -> None:
    audited(shell)
    shell.run("audit", says="All tiers agree")
    assert shell.data("audit") == []
    shell.run("audit", "--network", "net1", says="All tiers agree")
    assert any(f"network_id={NET}" in path for _, path, _ in shell.cloud.calls)


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


def test_audit_waits_until_all_is_well(shell: Shell) -> None:
    audited(shell)
    ran = shell.run("audit", "--quiet", "--wait", "1", says="^All tiers agree.$")
    shell.cloud.sites["site2"].holdings["leases"] = [LEASE]
    ran = shell.run("audit", "-q", "--wait", "0.1", "-o", "json", code=1)
    assert len(json.loads(ran.stdout)) == 1
    assert "looking again" not in ran.stderr
    process = subprocess.Popen(
        [*ISTHMUS, "audit", "--wait", "30", "-o", "json"],
        env=shell.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    assert "1 finding: lease that central does not know at site2; looking again, for" in line
    shell.cloud.sites["site2"].holdings["leases"] = []
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, json.loads(stdout), stderr) == (0, [], b"")
