"""A name that does not exist is an error that says which come near, not an empty list."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.inside import Inside
from tests.acceptance.shell import NET, job, small_cloud


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Inside]:
    with small_cloud() as cloud:
        yield Inside(tmp_path, cloud)


@pytest.fixture
def two(shell: Inside) -> Inside:
    for name in ("site2", "site1"):
        shell.run("site", "create", name)
    return shell


LISTS = [
    ("job", "list"),
    ("job", "refused"),
    ("job", "retry"),
    ("job", "cancel"),
    ("lease", "list"),
    ("network", "list"),
    ("router", "list"),
]


@pytest.mark.parametrize("arguments", LISTS)
def test_a_site_that_does_not_exist_is_named(two: Inside, arguments: tuple[str, ...]) -> None:
    near = "^error: there is no site 'siet1'; did you mean site1, site2"
    two.run(*arguments, "--site", "siet1", code=2, says=near)
    two.run(*arguments, "--site", "x", code=2, says="no site 'x'; there are: site1, site2")
    two.run(*arguments, "--site", "site1")
    two.run(*arguments, "--site", "central")


@pytest.mark.parametrize("arguments", [*LISTS, ("network", "withdraw", "net1")])
def test_a_list_is_narrowed_by_no_id(two: Inside, arguments: tuple[str, ...]) -> None:
    (row,) = (one for one in two.data("site", "list") if one["name"] == "site1")
    option = () if "withdraw" in arguments else ("--site",)
    says = f"^error: {row['id']} is the id of site1: give its name"
    two.run(*arguments, *option, row["id"], code=2, says=says)


@pytest.mark.parametrize("arguments", LISTS)
def test_who_may_see_no_site_is_told_nothing(shell: Inside, arguments: tuple[str, ...]) -> None:
    shell.run(*arguments, "--site", "nosuch")


@pytest.mark.parametrize(
    "arguments",
    [
        ("site", "show", "site11"),
        ("site", "update", "site11", "--description", "x"),
        ("site", "drain", "site11"),
        ("site", "enable", "site11"),
        ("site", "disable", "site11"),
        ("site", "delete", "site11", "--yes", "--confirm", "site11"),
        ("site", "resync", "site11"),
        ("site", "go-on-without", "site11", "--yes"),
        ("network", "withdraw", "net1", "site11"),
    ],
)
def test_a_site_by_a_wrong_name(two: Inside, arguments: tuple[str, ...]) -> None:
    near = "^error: there is no site 'site11'; did you mean site1, site2"
    two.run(*arguments, code=2, says=near)


def test_a_site_is_found_by_its_id_as_well(two: Inside) -> None:
    (row,) = (one for one in two.data("site", "list") if one["name"] == "site1")
    assert two.data("site", "show", row["id"]) == two.data("site", "show", "site1")


@pytest.mark.parametrize(
    "arguments",
    [
        ("network", "list", "--network", "net11"),
        ("network", "show", "net11"),
        ("network", "extend", "net11", "site1"),
        ("network", "withdraw", "net11", "site1"),
        ("site", "resync", "site1", "--network", "net11"),
        ("audit", "--network", "net11"),
    ],
)
def test_a_network_by_a_wrong_name(two: Inside, arguments: tuple[str, ...]) -> None:
    two.run(*arguments, code=2, says="^error: there is no network 'net11'; did you mean net1")


def test_completion_behind_a_word_that_is_none_is_no_bug(shell: Inside) -> None:
    shell.environment["_ISTHMUS_COMPLETE"] = "complete_bash"
    for line in ("isthmus siet ", "isthmus siet list ", "isthmus site lsit "):
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()))}
        shell.environment.update(words)
        assert shell.run().stderr == "", line


def test_ports_routers_and_pools_by_a_wrong_name(two: Inside) -> None:
    two.cloud.rows["ports"] = [{"id": "p1", "name": "web"}, {"id": "p2", "name": ""}]
    two.cloud.rows["routers"] = [{"id": "r1", "name": "edge"}]
    for verb in ("show", "release"):
        two.run("port", verb, "wbe", code=2, says="there is no port 'wbe'; did you mean web")
    two.run("router", "show", "edeg", code=2, says="there is no router 'edeg'; did you mean edge")
    says = "there is no subnet and no network 'nett'; did you mean net1"
    two.run("lease", "list", "--pool", "nett", code=2, says=says)
    nobody = "00000000-0000-4000-8000-000000000000"
    two.run("port", "show", nobody, code=2, says=f"there is no port '{nobody}'\n")


def test_a_wrong_name_beside_a_right_one(two: Inside) -> None:
    two.cloud.rows["site-jobs"] = [job(1)]
    assert len(two.data("job", "list", "--site", "site1")) == 1
    two.run("job", "list", "--site", "site1", "--site", "siet2", code=2, says="no site 'siet2'")
    two.run("job", "cancel", "--site", "site1", "--site", "siet2", "--yes", code=2)
    assert len(two.cloud.rows["site-jobs"]) == 1


def test_what_is_found_needs_no_second_look(two: Inside) -> None:
    two.cloud.rows["site-jobs"] = [job(1)]
    before = len(two.cloud.calls)
    two.run("job", "list", "--site", "site1")
    assert not [path for _, path, _ in two.cloud.calls[before:] if "/sites" in path]


@pytest.mark.parametrize("status", [400, 404])
def test_a_row_that_goes_between_two_pages_is_no_other_tier(shell: Inside, status: int) -> None:
    shell.cloud.rows["site-jobs"] = [job(1), job(2)]
    answered = shell.cloud.answer

    def overtake(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        if "marker=job-0002" in target:
            shell.cloud.rows["site-jobs"] = [job(1), job(3)]
            fault = {"message": "job-0002 could not be found", "type": "X", "detail": ""}
            return status, {"NeutronError": fault}
        return answered(method, target, body, caller)

    shell.cloud.answer = overtake  # type: ignore[method-assign]
    ids = [row["id"] for row in shell.data("job", "list")]
    assert ids == ["job-0001", "job-0002", "job-0003"]
    said = shell.run("job", "list", "--marker", "job-0002", code=2, says="job-0002 could not")
    assert "another tier" not in said.stderr


@pytest.mark.parametrize("verb", [("retry",), ("cancel", "--yes")])
def test_many_ids_do_not_make_one_long_url(shell: Inside, verb: tuple[str, ...]) -> None:
    ids = [f"0a6b7c1e-0000-4000-8000-{number:012}" for number in range(120)]
    shell.cloud.rows["site-jobs"] = [job(number, id=one) for number, one in enumerate(ids)]
    shell.run("job", *verb, *ids, says="^120 jobs are")
    looks = [path for method, path, _ in shell.cloud.calls if method == "GET"]
    assert max(map(len, looks)) < 4096


def test_nobody_is_asked_about_nothing(shell: Inside) -> None:
    shell.run("job", "cancel", "--state", "parked", says="0 jobs are dropped")


def test_the_version_is_an_option_as_well(shell: Inside) -> None:
    assert shell.run("--version").stdout == shell.run("version").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("port", "show"),
        ("port", "rebind"),
        ("network", "show"),
        ("audit", "--network"),
        ("lease", "list", "--pool"),
        ("job", "list", "--site"),
        ("gone", "free", "--yes"),
    ],
)
def test_a_name_that_is_not_utf_8_or_has_no_end_is_refused(
    shell: Inside, words: tuple[str, ...]
) -> None:
    """The first was called a bug of ours, and the second filled the screen."""
    shell.run("site", "create", "site1")
    ran = shell.run(*words, "caf\udce9", code=2, says="'caf.udce9' is not UTF-8")
    assert "bug" not in ran.stderr
    ran = shell.run(*words, "x" * 20_000, code=2, says="xxx[.]{3}")
    assert len(ran.stderr) < 1000


@pytest.mark.parametrize("arguments", [("job", "list"), ("job", "refused"), ("event", "list")])
def test_a_resource_is_found_by_its_name(two: Inside, arguments: tuple[str, ...]) -> None:
    rows = [job(1, created_at="2026-01-01T00:00:00Z"), job(2, resource_id=NET)]
    for one in rows:
        one |= {"number": 1, "what": "job.parked", "who": "xjob", "details": "", "attributes": []}
        one |= {"reason": "", "changed_at": one["created_at"]}
    for collection in ("site-jobs", "site-refusals", "site-events"):
        two.cloud.rows[collection] = rows
    (found,) = two.data(*arguments, "--resource", "net1")
    assert found["resource_id"] == NET
    assert two.data(*arguments, "--resource", NET) == [found]
    says = "^error: nothing is called 'net11' at central"
    two.run(*arguments, "--resource", "net11", code=2, says=says)
