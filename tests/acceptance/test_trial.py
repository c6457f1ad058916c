"""The commands of the operator's trial that went wrong, each with the answer that is right.

A person tried some 675 commands. Those that were answered wrongly are here: run against a small
cloud, or, where it takes Neutron, OVN or a lab to see the answer, the test that does is named.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.acceptance.inside import Inside
from tests.acceptance.shell import NET, SUBNET, ago, job, run_by_shell, small_cloud

from isthmus.clients.http.status import to_error

ROOT = Path(__file__).parents[2]
HERE = "tests/acceptance/test_"
LAB = "tests/lab/test_fault_matrix.py::test_it_is_named_and_what_is_printed_heals_it"
WIDE = f"{HERE}eighty_columns.py::test_no_word_is_split"
MANNERS = f"{HERE}manners.py"
PORT = f"{HERE}port_cli.py"
WEB = "0a6b7c1e-0000-4000-8000-0000000000aa"
ROLE = "that takes the role admin or isthmus_reader"

#: What was typed, and the test that has its answer.
SEEN: Mapping[int, tuple[str, str]] = {
    1: (
        "audit --network net1, beside another network",
        "tests/lab/test_fault_matrix.py::test_one_network_of_five_is_named_alone",
    ),
    2: (
        "audit --network net1 --wait 60",
        "tests/unit/test_narrow.py::test_a_fault_of_one_network_is_found_there_alone",
    ),
    3: (
        "site delete site2, which holds servers",
        f"{HERE}site_delete_cli.py::test_where_nobody_can_be_asked_it_takes_yes_and_the_name",
    ),
    4: (
        "audit, when the site is gone",
        f"{HERE}cli.py::test_what_a_removed_site_held_is_shown_and_freed",
    ),
    5: (
        "site create site2, again",
        "tests/neutron/test_restore.py::test_a_site_removed_and_made_again_under_its_name",
    ),
    6: (
        "what `the next sweep sends it again` meant: site resync",
        "tests/neutron/test_resync.py::test_a_row_deleted_by_hand_comes_back_when_xjob_runs_again",
    ),
    7: (
        "what `give it back at the site` meant: lease return",
        "tests/neutron/test_lease_return.py::test_a_lease_that_central_does_not_know_is_given_back",
    ),
    8: (
        "the remedy of a disabled site",
        f"{MANNERS}::test_what_becomes_of_a_site_that_is_disabled",
    ),
    9: ("lab kill site2.nb; audit; status", LAB),
    10: ("lab kill site2.sb; audit; status", LAB),
    11: ("lab kill site2.northd; audit; status", LAB),
    12: ("lab kill site2-h1.controller; audit; status", LAB),
    13: ("lab kill site2-h1.ovsdb; audit; status", LAB),
    14: ("lab kill site2-h1.vswitchd; audit; status", LAB),
    15: (
        "lab server create, while the northbound database is dead",
        "tests/unit/test_lab_server.py::test_of_a_server_that_does_not_come_up_the_next_step_is_said",
    ),
    16: ("ovn-nbctl clear port_group PG acls; audit", LAB),
    17: (
        "lab kill central.xjob; status",
        f"{HERE}status_cli.py::test_status_says_that_xjob_is_stopped_and_since_when",
    ),
    18: (
        "lab kill central.xjob; audit",
        f"{HERE}named_cli.py::test_an_audit_says_that_no_xjob_runs",
    ),
    19: (
        "site disable site2; status",
        f"{MANNERS}::test_a_disabled_site_is_not_among_the_reachable_ones",
    ),
    20: (
        "port show b, whose shadow OVN lost",
        f"{PORT}::test_a_shadow_that_ovn_has_lost_does_not_agree",
    ),
    21: (
        "port show b, with another key",
        f"{PORT}::test_another_key_than_the_home_has_does_not_agree",
    ),
    22: (
        "port show b, of which central has no location",
        f"{PORT}::test_a_location_that_central_has_not_heard_does_not_agree",
    ),
    23: (
        "openstack port set --qos-policy",
        "tests/neutron/test_qos_policies.py::test_a_policy_of_a_network_and_of_a_port_is_at_their_site",
    ),
    24: (
        "openstack network trunk create",
        "tests/lab/test_trunk.py::test_a_subport_is_reached_from_both_sites",
    ),
    25: (
        "a port whose key was lost is made again",
        "tests/neutron/test_port_keys.py::test_a_port_that_comes_back_has_its_own_key_again",
    ),
    26: ("lab up, by who is not root", f"{HERE}lab_cli.py::test_without_root_one_sentence"),
    27: ("lab list, of another user's lab", f"{MANNERS}::test_a_lab_of_another_user_is_not_no_lab"),
    28: ("audit, at 80 columns", WIDE),
    29: ("status, at 80 columns", WIDE),
    30: ("lease list, at 80 columns", WIDE),
    31: ("network list, at 80 columns", WIDE),
    32: ("site list, at 80 columns", WIDE),
    33: (
        "a finding of 400 columns",
        f"{MANNERS}::test_what_does_not_fit_a_terminal_is_printed_as_records",
    ),
    34: (
        "network list, lease list: ids instead of names",
        f"{HERE}eighty_columns.py::test_lists_have_names_and_no_ids",
    ),
    35: (
        "network list: in no order",
        f"{MANNERS}::test_lists_are_sorted_and_have_names_ages_and_addresses",
    ),
    36: (
        "audit: a lease as numbers",
        f"{MANNERS}::test_a_finding_on_a_lease_has_addresses_and_a_command",
    ),
    37: (
        "site list --help: <bool>",
        f"{HERE}eighty_columns.py::test_help_is_in_our_words_and_splits_none",
    ),
    38: ("demo --help: COMMAND", f"{MANNERS}::test_the_demo_has_no_commands_of_its_own"),
    39: (
        "lab up --topology: pydantic's words",
        f"{MANNERS}::test_faults_of_a_file_are_in_our_words",
    ),
    40: ("job list: 1 jobs", f"{MANNERS}::test_one_is_not_several"),
    41: (
        "audit --wait 60: silent",
        f"{HERE}audit_cli.py::test_audit_waits_until_all_is_well",
    ),
    42: (
        "lab shell site1 -- ovn-nbctl show",
        "tests/unit/test_lab_shell.py::test_the_tools_of_ovn_find_the_daemons_of_a_place",
    ),
    43: (
        "lab up, on a disk of 12 MB",
        f"{HERE}lab_cli.py::test_a_disk_that_is_nearly_full_is_said_before_anything_is_made",
    ),
    44: (
        "network extend: nothing to wait with",
        f"{HERE}wait_cli.py::test_extending_waits_for_the_network_and_its_subnets",
    ),
    45: ("completion of names", f"{HERE}named_cli.py::test_names_are_completed"),
    46: (
        "network withdraw: `network 2f89... has 5 ports`",
        f"{MANNERS}::test_a_refusal_of_central_has_the_name_that_was_given",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command that runs here."""

    typed: str
    before: Callable[[Inside], None] = lambda _: None
    code: int = 2
    says: str = ""  #: on stderr
    shows: str = ""  #: on stdout


def strip_rights(shell: Inside) -> None:
    shell.cloud.rows.clear()
    shell.cloud.rows["networks"] = [{"id": NET, "name": "net1"}]


def refuse_login(shell: Inside) -> None:
    """A password that was mistyped, though the right one was used a moment ago."""
    shell.path.write_text(shell.path.read_text().replace("secret", "mistyped"))
    answered = shell.cloud.answer

    def refuse(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        if target.endswith("/auth/tokens"):
            return 401, {"error": {"code": 401, "title": "Unauthorized", "message": "wrong"}}
        return answered(method, target, body, caller)

    shell.cloud.answer = refuse  # type: ignore[method-assign]


def refuse_token(shell: Inside) -> None:
    """A token that Keystone gave, and that the service does not take."""
    answered = shell.cloud.answer

    def refuse(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        if "/v2.0/" in target:
            return 401, {"error": {"code": 401, "title": "Unauthorized", "message": "bad token"}}
        return answered(method, target, body, caller)

    shell.cloud.answer = refuse  # type: ignore[method-assign]


def edit(shell: Inside, change: Callable[[dict[str, Any]], None]) -> None:
    found = yaml.safe_load(shell.path.read_text())
    change(found["clouds"]["central"])
    shell.path.write_text(yaml.safe_dump(found))


def name_region(region: str) -> Callable[[Inside], None]:
    return lambda shell: edit(shell, lambda entry: entry.update(region_name=region))


def cut_before_it_was_reported(shell: Inside) -> None:
    """A server was made at site2 while the site could not reach central."""
    port = {
        "id": WEB,
        "name": "cutsrv",
        "network_id": NET,
        "mac_address": "fa:16:01:00:00:01",
        "fixed_ips": [{"subnet_id": SUBNET, "ip_address": "10.0.0.9"}],
        "status": "ACTIVE",
        "binding:host_id": "h1",
    }
    shell.cloud.sites["site2"].rows["ports"] = [port]
    shell.cloud.sites["site1"].rows["ports"] = []


def write_no_yaml(shell: Inside) -> None:
    shell.path.write_text("{{{")


def have_a_job(shell: Inside) -> None:
    shell.cloud.rows["site-jobs"] = [job(1, created_at=ago(days=2))]


RUN: Mapping[int, Case] = {
    47: Case(typed="status", before=strip_rights, says=ROLE),
    48: Case(
        typed="job list", before=strip_rights, code=0, says=f"or none that you may see: {ROLE}"
    ),
    49: Case(typed="network list", before=strip_rights, code=0, says=f"may see: {ROLE}"),
    50: Case(typed="audit", before=strip_rights, says=f"central shows you nothing.*{ROLE}"),
    51: Case(typed="site list", before=refuse_login, says="answered 401.*check the user, the pass"),
    52: Case(typed="site list", before=refuse_token, says="answered 401.*check the user, the pass"),
    53: Case(typed="site list", before=name_region("centarl"), says="no network endpoint in the c"),
    54: Case(
        typed="status",
        before=lambda shell: shell.path.unlink(),
        says="clouds.yaml: No such file or directory",
    ),
    55: Case(
        typed="status",
        before=write_no_yaml,
        says="is no clouds.yaml: while parsing",
    ),
    56: Case(typed="status", before=name_region("site1"), says="it is another tier, or no Isthmus"),
    57: Case(typed="job list --site nosuch", says="no site 'nosuch'; there are: site1, site2"),
    58: Case(typed="lease list --site nosuch", says="no site 'nosuch'; there are: site1, site2"),
    59: Case(typed="job retry nosuch", says="there is no job nosuch"),
    60: Case(typed="job cancel nosuch", says="there is no job nosuch"),
    61: Case(typed="job cancel --state parked", code=0, says="^0 jobs are dropped"),
    62: Case(typed="site list --state disabled", code=0, says="^No site is like that"),
    63: Case(
        typed="site create paris --region lutetia",
        code=0,
        says="no network endpoint in region 'lutetia'",
    ),
    64: Case(
        typed="port show cutsrv",
        before=cut_before_it_was_reported,
        code=0,
        says="central does not agree: has not heard of it",
        shows=r"site2 +port +fa:16:01:00:00:01 +10\.0\.0\.9 +ACTIVE +h1",
    ),
    65: Case(typed="--version", code=0, shows=r"^\d+\.\d+"),
    66: Case(typed="sit", says="did you mean site"),
    67: Case(typed="--install-completion fish", says="takes no name of one: run it from fish"),
    68: Case(
        typed="job list --site site1",
        before=have_a_job,
        code=0,
        shows=r"^id +site +type +resource_name",
    ),
}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Inside]:
    with small_cloud() as cloud:
        inside = Inside(tmp_path, cloud)
        for name in ("site2", "site1"):
            inside.run("site", "create", name)
        yield inside


def test_every_command_that_went_wrong_has_its_answer() -> None:
    numbers = [*SEEN, *RUN, *BY_SHELL, 71]
    assert numbers == [*range(1, len(numbers) + 1)]
    assert len(numbers) >= 60


@pytest.mark.parametrize("number", SEEN)
def test_the_test_that_is_named_is_there(number: int) -> None:
    file, _, name = SEEN[number][1].partition("::")
    tree = ast.parse((ROOT / file).read_text())
    assert name in {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}


@pytest.mark.parametrize("number", RUN)
def test_the_answer_is_right(shell: Inside, number: int) -> None:
    case = RUN[number]
    case.before(shell)
    ran = shell.run(*case.typed.split(), code=case.code, says=case.says)
    assert re.search(case.shows, ran.stdout, re.MULTILINE), ran.stdout
    assert "bug" not in ran.stderr


#: Lines of a shell: what ends them, and what they say on stderr.
BY_SHELL: Mapping[int, tuple[str, int, str]] = {
    69: ("isthmus status > /dev/full", 1, r"^error: the output cannot be written: No space left"),
    70: ("isthmus site list >&-", 0, r"^$"),
}


@pytest.mark.parametrize("number", BY_SHELL)
def test_the_answer_in_a_shell_is_right(shell: Inside, number: int) -> None:
    line, code, says = BY_SHELL[number]
    ran = run_by_shell(shell, line)
    assert ran.returncode == code, ran.stderr
    assert re.search(says, ran.stderr), ran.stderr


def test_a_folder_that_cannot_be_made_is_said(
    shell: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """71: `ISTHMUS_STATE=/proc/x isthmus lab up`."""
    monkeypatch.setattr("isthmus.lab.labs.check_machine", lambda *_, **__: None)
    shell.environment["ISTHMUS_STATE"] = "/proc/x"
    ran = shell.run("lab", "up", code=1, says="^error: /proc/x: No such file or directory")
    assert "bug" not in ran.stderr


def test_a_page_of_html_is_one_line_of_words() -> None:
    """What an audit had as evidence when Keystone of a site was killed."""
    page = (
        "<html>\n<head><title>503</title></head>\n<body>\n<h1>503 Service Unavailable</h1>\n</body>"
    )
    said = to_error(503, page, name="site2", path="/v2.0/site-holdings").message
    assert "\n" not in said
    assert "<" not in said
    assert "503" in said


def test_no_remedy_names_a_tool_that_refuses_our_plugin() -> None:
    """`neutron-ovn-db-sync-util` ends with "Invalid core plugin" where the core plugin is ours."""
    sources = (ROOT / "src").rglob("*.py")
    assert not [one for one in sources if "neutron-ovn-db-sync-util" in one.read_text()]
