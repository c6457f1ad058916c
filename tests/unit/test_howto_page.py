"""How a how-to page is read, and when a command went as it says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.page import COMMAND_S, Shell, Step, match, parse_page, run_step

PAGE = """# Title

Prose with `# no command`.

```console
# one --long \\
    --option
printed
# two    # a word to the reader
```

## Clean up

```yaml
# no command
```

```console
# ping a    # repeat until it answers, within seconds
# ping b    # repeat until it fails
# list c    # fails: it is gone
Not here
# echo '# fails'
```
"""


def test_commands_of_a_page() -> None:
    one, two, *rest = parse_page(PAGE)
    assert one == Step(
        line=6, section="Title", command="one --long \\\n    --option", printed=("printed",)
    )
    assert two == Step(line=9, section="Title", command="two    # a word to the reader")
    assert {step.section for step in rest} == {"Clean up"}
    assert [(step.command, step.repeat, step.fails) for step in rest] == [
        ("ping a", True, False),
        ("ping b", True, True),
        ("list c", False, True),
        ("echo '# fails'", False, False),
    ]
    assert rest[2].printed == ("Not here",)


def test_a_block_begins_with_a_command() -> None:
    with pytest.raises(AssertionError, match="line 2: no command"):
        parse_page("```console\nprinted\n```\n")


@pytest.mark.parametrize(
    ("printed", "output", "same"),
    [
        (("a b",), "a   b\n\n", True),
        (("a",), "a\nb\n", False),
        (("a", "..."), "a\nb\nc\n", True),
        (("...", "c"), "a\nb\nc\n", True),
        (("...", "c"), "a\nb\n", False),
        (("a ... c",), "a b c\n", True),
        (("a ... c",), "a b\nc\n", False),
        (("a ... c ...",), "a c\n", True),
        (("a ... c",), "ac\n", False),
        (("2.... Mbit",), "2.53 Mbit\n", True),
        (("2.... Mbit",), "25.3 Mbit\n", False),
        (("eth0... up",), "eth0@if5 up\n", True),
        (("1.5",), "125\n", False),
        (("a", "b"), "b\na\n", False),
    ],
)
def test_what_is_printed(printed: tuple[str, ...], output: str, same: bool) -> None:
    assert match(printed, output) is same


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    one = Shell(tmp_path, {"GIVEN": "given"})
    yield one
    one.close()


def test_a_shell_keeps_variables_and_says_codes(shell: Shell) -> None:
    assert shell.run("kept=$GIVEN; false") == (1, "")
    assert shell.run("echo $kept; echo error >&2; cat") == (0, "given\nerror\n")
    assert shell.run("sleep 1000 &") == (0, "")
    assert shell.run("kill %1") == (0, "")


def test_a_step_fails_where_the_page_is_wrong(shell: Shell) -> None:
    run_step(shell, Step(line=1, section="", command="echo a", printed=("a",)), "page")
    run_step(shell, Step(line=1, section="", command="false", fails=True), "page")
    wrong = [
        Step(line=7, section="", command="false"),
        Step(line=7, section="", command="true", fails=True),
        Step(line=7, section="", command="echo a", printed=("b",)),
    ]
    for step in wrong:
        with pytest.raises(AssertionError, match="page:7: "):
            run_step(shell, step, "page")


def test_a_step_is_repeated_until_it_is_as_the_page_says(shell: Shell) -> None:
    command = "n=$((n + 1)); echo $n; test $n -gt 2"
    run_step(shell, Step(line=1, section="", command=command, repeat=True), "page")
    assert shell.run("echo $n") == (0, "3\n")
    step = Step(line=1, section="", command="n=$((n + 1)); echo $n", repeat=True, printed=("6",))
    run_step(shell, step, "page")
    assert shell.run("echo $n") == (0, "6\n")


def test_the_shell_may_end_and_says_so(shell: Shell) -> None:
    assert COMMAND_S
    with pytest.raises(AssertionError, match="the shell ended"):
        shell.run("exit 3")
