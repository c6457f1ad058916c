"""A name that does not exist is an error, not an empty list."""

import pytest
from tests.acceptance.test_cli import Shell, job, shell

__all__ = ["shell"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("job", "list"),
        ("job", "refused"),
        ("job", "retry"),
        ("job", "cancel"),
        ("lease", "list"),
        ("network", "list"),
    ],
)
def test_a_site_that_does_not_exist_is_named(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.run(*arguments, "--site", "nosuch")  # who may see no site is told nothing
    for name in ("site1", "site2"):
        shell.run("site", "create", name)
    there = "there is no site 'nosuch'; there are: site1, site2"
    shell.run(*arguments, "--site", "nosuch", code=2, says=there)
    shell.run(*arguments, "--site", "site1")
    shell.run(*arguments, "--site", "central")


def test_what_is_found_needs_no_second_look(shell: Shell) -> None:
    shell.run("site", "create", "site2")
    shell.cloud.rows["site-jobs"] = [job(1)]
    assert len(shell.data("job", "list", "--site", "site1")) == 1


def test_nobody_is_asked_about_nothing(shell: Shell) -> None:
    shell.run("job", "cancel", "--state", "parked", says="0 jobs are dropped")


def test_the_version_is_an_option_as_well(shell: Shell) -> None:
    assert shell.run("--version").stdout == shell.run("version").stdout
