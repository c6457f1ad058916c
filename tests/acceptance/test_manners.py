"""What operators met when they tried the commands, with the answers that are right."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from rich.console import Console
from tests.acceptance.inside import Inside
from tests.acceptance.shell import LEASE, NET, SUBNET, ago, job, run_by_shell, small_cloud

from isthmus import errors
from isthmus.cli import main, render
from isthmus.cli.render import Format
from isthmus.lab.topology import parse_topology

OTHER = "0a6b7c1e-0000-4000-8000-000000000003"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Inside]:
    """Two sites; they were not made in the order of their names."""
    with small_cloud() as cloud:
        inside = Inside(tmp_path, cloud)
        for name in ("site2", "site1"):
            inside.run("site", "create", name)
        yield inside


@pytest.fixture
def member(shell: Inside) -> Inside:
    """Somebody who may see nothing of an operator's."""
    shell.cloud.rows.clear()
    shell.cloud.rows["networks"] = [{"id": NET, "name": "net1"}]
    return shell


# What is written wrong.


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sit",), "No such command 'sit'; did you mean site"),
        (("netwrok", "list"), "No such command 'netwrok'; did you mean network"),
        (("site", "lsit"), "No such command 'lsit'. Did you mean 'list'"),
        (("--install-completion", "fish"), "takes no name of one: run it from fish"),
        (("job", "retry", "nosuch"), "^error: there is no job nosuch: a job goes when it is done"),
        (("job", "cancel", "nosuch"), "^error: there is no job nosuch: a job goes when it is done"),
        (("job", "list", "--state", "prked"), "'--state': 'prked' is not one of 'waiting'"),
        (("site", "resync", "site1", "--wait", "x"), "'--wait': it must be a number"),
        (("job", "list", "--limit", "0"), "'--limit': it must be 1 or more"),
        (("job", "list", "--older-than", "1w"), "say for instance 90s, 10m, 2h or 1d"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(
    shell: Inside, arguments: tuple[str, ...], says: str
) -> None:
    shell.run(*arguments, code=2, says=says)


def test_of_several_jobs_those_that_are_gone_are_named(shell: Inside) -> None:
    shell.cloud.rows["site-jobs"] = [job(1)]
    ran = shell.run("job", "retry", "job-0001", "job-0009", says="There is no job job-0009: ")
    assert "1 job is due." in ran.stderr


def test_nobody_is_told_to_add_a_site_where_the_list_was_narrowed(shell: Inside) -> None:
    ran = shell.run("site", "list", "--state", "disabled", says="^No site is like that")
    assert "site create" not in ran.stderr


def test_a_region_that_is_not_in_the_catalogue_is_said(shell: Inside) -> None:
    says = "no network endpoint in region 'lutetia'.*isthmus site update paris --region NAME"
    shell.run("site", "create", "paris", "--region", "lutetia", says=says)
    assert shell.data("site", "show", "paris")["region"] == "lutetia"
    shell.cloud.rows["sites"].pop(0)
    assert shell.run("site", "create", "site2").stderr == ""


def test_a_site_is_made_although_keystone_goes_away_then(shell: Inside) -> None:
    answered = shell.cloud.answer

    def expire(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        status, answer = answered(method, target, body, caller)
        if target.endswith("/auth/tokens"):
            if any(row["name"] == "paris" for row in shell.cloud.rows["sites"]):
                return 503, {"error": {"code": 503, "message": "down"}}
            answer["token"]["expires_at"] = "2026-01-01T00:00:01.000000Z"
        return status, answer

    shell.cloud.answer = expire  # type: ignore[method-assign]
    says = "^Whether Keystone's catalogue .* region 'paris' was not found out: login for paris fail"
    assert "paris" in shell.run("site", "create", "paris", says=says).stdout


def test_a_region_of_clouds_yaml_that_does_not_exist_is_a_refusal(shell: Inside) -> None:
    text = shell.path.read_text().replace("region_name: central", "region_name: centarl")
    shell.path.write_text(text)
    shell.run("site", "list", code=2, says="central has no network endpoint in the catalogue")


def test_the_demo_has_no_commands_of_its_own(shell: Inside) -> None:
    text = shell.run("demo", "--help").stdout
    assert "COMMAND" not in text
    assert "--sites" in text


def test_a_lab_of_another_user_is_not_no_lab(
    shell: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.environment["ISTHMUS_STATE"] = str(tmp_path / "labs")
    assert shell.run("lab", "list", says="No lab is up").stdout == ""
    (tmp_path / "labs" / "lab").mkdir(parents=True)
    monkeypatch.setattr("os.access", lambda *_: False)
    shell.run("lab", "list", code=2, says="labs/lab may be read by who made it alone")
    shared = tmp_path / "labs/.shared/lab"
    shared.mkdir(parents=True)
    (shared / "clouds.yaml").write_text("clouds: {}")
    monkeypatch.setattr("os.access", lambda path, _: Path(path).name == "clouds.yaml")
    assert shell.data("lab", "list") == [{"name": "lab", "folder": str(tmp_path / "labs/lab")}]
    said = shell.run("lab", "status", "-o", "env").stdout
    assert said.splitlines()[0] == f"export OS_CLIENT_CONFIG_FILE={shared}/clouds.yaml"


def test_of_a_lab_of_another_user_one_sentence_is_said(
    shell: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.environment["ISTHMUS_STATE"] = str(tmp_path / "labs")
    folder = tmp_path / "labs" / "lab"
    folder.mkdir(parents=True)

    def refuse(self: object) -> None:
        raise PermissionError

    monkeypatch.setattr("isthmus.lab.process.ledger.Ledger.read", refuse)
    shell.run("lab", "status", code=2, says="labs/lab may be read by who made it alone: become")


# Where the words go.


def test_a_full_disk_and_closed_outputs_are_no_bugs(shell: Inside) -> None:
    for output in ("", " -o json"):
        full = run_by_shell(shell, f"isthmus site list{output} > /dev/full")
        assert full.returncode == 1
        assert full.stderr == "error: the output cannot be written: No space left on device\n"
    for closed in (">&-", "2>&-", ">&- 2>&-", "<&-"):
        ran = run_by_shell(shell, f"isthmus site list {closed}")
        assert (ran.returncode, ran.stderr) == (0, ""), closed


def test_a_file_that_cannot_be_used_is_named(
    shell: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/var/lib/isthmus/ledger.jsonl")

    monkeypatch.setattr("isthmus.operate.status.collect_status", deny)
    says = "^error: /var/lib/isthmus/ledger.jsonl: Permission denied"
    ran = shell.run("status", code=1, says=says)
    assert "bug" not in ran.stderr
    shell.environment[main.DEBUG_VARIABLE] = "1"
    with pytest.raises(PermissionError):
        shell.run("status")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "clouds.yaml: No such file or directory"),
        ("{{{", "is no clouds.yaml: while parsing"),
        ("[1]", "not a valid mapping"),
        ("clouds: 3", "is no clouds.yaml: "),
        ("clouds: {}", "known clouds: none, in .*clouds.yaml"),
    ],
)
def test_clouds_yaml_that_is_of_no_use(shell: Inside, text: str | None, says: str) -> None:
    if text is None:
        shell.path.unlink()
    else:
        shell.path.write_text(text)
    shell.run("status", code=2, says=says)


def test_a_login_that_is_not_accepted_is_a_refusal(shell: Inside) -> None:
    shell.path.write_text(shell.path.read_text().replace("secret", "mistyped"))
    answered = shell.cloud.answer

    def refuse(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        if target.endswith("/auth/tokens"):
            fault = {"code": 401, "title": "Unauthorized", "message": "wrong password"}
            return 401, {"error": fault}
        return answered(method, target, body, caller)

    shell.cloud.answer = refuse  # type: ignore[method-assign]
    says = "Keystone answered 401 .*check the user, the password and the project"
    shell.run("site", "list", code=2, says=says)


def test_a_site_is_no_central(shell: Inside) -> None:
    text = shell.path.read_text().replace("region_name: central", "region_name: site1")
    shell.path.write_text(text)
    for arguments in (("status",), ("site", "show", "site2"), ("job", "list"), ("audit",)):
        shell.run(*arguments, code=2, says="has no /v2.0/s.*: it is another tier, or no Isthmus")


# Who may see nothing.


@pytest.mark.parametrize("noun", ["job", "network", "lease", "router"])
def test_an_empty_list_says_that_it_may_be_ones_roles(member: Inside, noun: str) -> None:
    says = "or none that you may see: that takes the role admin or isthmus_reader"
    member.run(noun, "list", says=says)
    assert member.data(noun, "list") == []


def test_an_empty_list_says_nothing_of_roles_to_who_sees_sites(shell: Inside) -> None:
    for noun in ("job", "network", "lease", "router"):
        assert "you may see" not in shell.run(noun, "list").stderr


def test_an_audit_by_who_may_see_nothing(member: Inside) -> None:
    says = "central shows you nothing of what it holds: that takes the role admin or isthmus_reader"
    member.run("audit", code=2, says=says)


# Lists.


def presence(network: str, site: str) -> dict[str, Any]:
    row = {"id": f"{network}{site}", "network_id": network, "site": site, "withdrawn": False}
    return row | {"datapath_key": 16711681, "created_at": ago(days=3)}


def lease(number: int, **more: Any) -> dict[str, Any]:
    return {**LEASE, "id": f"l{number}", "first": str(167772160 + number)} | {
        "last": str(167772160 + number + 4),
        "size": 5,
        "created_at": ago(days=2),
        **more,
    }


def test_lists_are_sorted_and_have_names_ages_and_addresses(shell: Inside) -> None:
    shell.cloud.rows["networks"].append({**shell.cloud.rows["networks"][0], "id": OTHER})
    shell.cloud.rows["networks"][-1]["name"] = "dmz"
    rows = [presence(OTHER, "site2"), presence(NET, "site2"), presence(NET, "site1")]
    shell.cloud.rows["site-presences"] = rows
    lines = shell.run("network", "list").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["dmz", "site2"],
        ["net1", "site1"],
        ["net1", "site2"],
    ]
    assert re.search(r"  3d\S* ago$", lines[1])
    assert [row["network_id"] for row in shell.data("network", "list")] == [OTHER, NET, NET]
    assert shell.data("network", "show", "net1")["sites"] == ["site1", "site2"]
    shell.cloud.rows["networks"][-1]["name"] = "net1"  # which says nothing then
    assert NET in shell.run("network", "list").stdout
    shell.cloud.rows["networks"].pop()

    other = {"kind": "port_key", "pool_id": NET, "first": "1", "last": "5"}
    shell.cloud.rows["site-leases"] = [lease(9), lease(1, site="site2"), lease(3, **other)]
    lines = shell.run("lease", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["port_key", "subnet", "subnet"]
    assert lines[2].split()[3:5] == ["10.0.0.1", "10.0.0.5"]
    assert re.search(r"  2d\S* ago$", lines[2])
    assert [line.split()[1] for line in lines[1:]] == ["net1", "sub1", "sub1"]
    assert {row["pool_id"] for row in shell.data("lease", "list")} == {NET, SUBNET}


def test_a_table_has_no_blanks_at_the_ends_of_its_lines(shell: Inside) -> None:
    shell.cloud.rows["site-jobs"] = [job(1), job(2, last_error="no route")]
    for arguments in (("job", "list"), ("site", "list"), ("site", "show", "site1"), ("status",)):
        code = int(arguments == ("status",))  # the sites are new, and nobody has looked at them
        lines = shell.run(*arguments, code=code).stdout.splitlines()
        assert lines
        assert [line for line in lines if line != line.rstrip()] == [], arguments


def test_one_is_not_several(shell: Inside) -> None:
    shell.cloud.rows["sites"].pop(0)
    (row,) = shell.cloud.rows["sites"]
    row.update(reachability="reachable", last_seen_at=ago(seconds=1), backlog=1)
    shell.cloud.rows["site-jobs"] = [job(1)]
    shell.run("status", says="^1 site, all reachable; 1 job under way\\.")
    shell.run("job", "cancel", "job-0001", code=1, says="^Drop 1 job, with")
    shell.run("job", "retry", "job-0001", says="^1 job is due\\.")
    shell.run("job", "cancel", "job-0001", "--yes", says="^1 job is dropped\\.")


def test_a_disabled_site_is_not_among_the_reachable_ones(shell: Inside) -> None:
    for row in shell.cloud.rows["sites"]:
        row.update(reachability="reachable", last_seen_at=ago(days=1))
    ran = shell.run("status", code=1, says="2 sites, all reachable when last looked at; 0 jobs")
    assert re.search(r"  1d\S* ago  ", ran.stdout)
    for row in shell.cloud.rows["sites"]:
        row["last_seen_at"] = ago(seconds=1)
    shell.run("status", says="^2 sites, all reachable; 0 jobs")
    shell.run("site", "disable", "site2")
    shell.run("status", says="2 sites, disabled: site2, all others reachable; 0 jobs")
    shell.run("site", "disable", "site1")
    shell.run("status", says="2 sites, disabled: site1, site2; 0 jobs")


def test_a_finding_on_a_lease_has_addresses_and_a_command(shell: Inside) -> None:
    leases = [lease(1), lease(9)]
    shell.cloud.rows["site-holdings"] = [{"id": "central", "leases": leases[:1]}]
    for name, site in shell.cloud.sites.items():
        site.holdings = {"id": name, "leases": leases if name == "site1" else []}
    ran = shell.run("audit", code=1, says="checks: ")
    assert f"subnet {SUBNET} 10.0.0.9..10.0.0.13 of site1" in ran.stdout
    assert "isthmus lease return site1 l9" in ran.stdout


def test_what_becomes_of_a_site_that_is_disabled(shell: Inside) -> None:
    shell.cloud.rows["site-holdings"] = [{"id": "central", "leases": []}]
    shell.cloud.sites["site1"].cut = True
    shell.run("site", "disable", "site2")
    ran = shell.run("audit", "-o", "json", code=1)
    remedies = {one["place"]: one["remedy"] for one in json.loads(ran.stdout)}
    assert remedies["site2"].startswith("`isthmus site enable site2` where")
    assert remedies["site1"].startswith("Start what does not run of Neutron and Keystone of site1")
    assert "`isthmus status` says since when" in remedies["site1"]


def test_a_refusal_of_central_has_the_name_that_was_given(shell: Inside) -> None:
    shell.cloud.rows["site-presences"] = [presence(NET, "site1")]
    answered = shell.cloud.answer

    def refuse(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        if method == "DELETE":
            message = f"network {NET} has 5 ports at site site1: delete what is there first"
            fault = {"message": message, "type": errors.InUse.code, "detail": ""}
            return 409, {"NeutronError": fault}
        return answered(method, target, body, caller)

    shell.cloud.answer = refuse  # type: ignore[method-assign]
    says = "^error: network net1 has 5 ports at site site1: delete what is there first"
    shell.run("network", "withdraw", "net1", "site1", code=2, says=says)
    shell.cloud.rows["ports"] = [{"id": OTHER, "name": "web"}]
    shell.run("port", "release", "web", code=2, says="^error: port web lives nowhere")


# Eighty columns.


def draw(
    width: int, rows: list[dict[str, Any]], columns: tuple[str, ...], wraps: str = ""
) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    with mock.patch.object(render, "open_console", return_value=console):
        render.print_rows(rows, columns, Format.TABLE, wraps=wraps)
    return out.getvalue().splitlines()


def test_what_does_not_fit_a_terminal_is_printed_as_records() -> None:
    finding = {
        "severity": "broken",
        "place": "site1",
        "type": "shadow",
        "name": NET,
        "message": "shadow port missing",
        "evidence": "",
        "remedy": "`isthmus site resync site1` sends it now; if it stays, see the jobs.",
    }
    lines = draw(80, [finding, finding], tuple(finding))
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert re.search("^severity +broken *$", text, re.MULTILINE)
    assert text.count(NET) == 2
    assert "evidence" not in text, "what is empty is left out"
    assert len([line for line in lines if not line.strip()]) == 1, "between two records"
    assert "missing" in text
    wide = draw(300, [finding, finding], tuple(finding))
    assert len(wide) == 3
    assert wide[0].split() == [*finding]


def test_what_fits_a_terminal_stays_a_table() -> None:
    lines = draw(80, [{"name": "site1", "state": "enabled"}], ("name", "state"))
    assert [line.split() for line in lines] == [["name", "state"], ["site1", "enabled"]]


# Words of a library.


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sites: []", "sites: it has too few entries: at least 1"),
        ("sites: [{name: a, hosts: 0}]", "hosts: it must be 1 or more"),
        ("sites: [{name: a, hosts: 999}]", "hosts: it must be 200 or less"),
        ("sites: [{name: a, hots: 2}]", "hots: nothing is called so here"),
        ("sites: [{}]", "name: it is missing"),
        ("sites: [{name: A}]", "name: a name is a lower-case letter"),
        ("sites: [{name: a, flavour: x}]", "flavour: it must be 'local' or 'stock'"),
        (
            "sites: [{name: a, hosts: [" + "b, " * 201 + "c]}]",
            "it has 202 entries, and may have at most 200",
        ),
    ],
)
def test_faults_of_a_file_are_in_our_words(text: str, says: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        parse_topology(text)
    assert says in caught.value.message
    assert not re.search("(?i)input should|value error|after validation", caught.value.message)


def test_a_column_that_may_wrap_keeps_rows_together() -> None:
    """The hops of `isthmus why` filled two screens with records."""
    hop = "the receiver as the sender's site knows it: site1"
    rows = [{"there": "passes", "back": "not looked at", "hop": hop}]
    columns = ("there", "back", "hop")
    for width, most in ((80, 2), (60, 3)):
        lines = draw(width, rows, columns, wraps="hop")
        assert len(lines) == most
        assert max(map(len, lines)) <= width
        assert lines[1].startswith("passes  not looked at  the receiver")
    assert len(draw(30, rows, columns, wraps="hop")) > 3, "a word that has no room: a record"
    with mock.patch.object(render, "open_console", return_value=Console(width=60)):
        assert render.fits(rows, columns), "nobody looks"
