"""What tenants call things moves no cursor, on any way to a terminal."""

from collections.abc import Callable

import pytest

from isthmus.cli import render
from isthmus.cli.render import Format

EVIL = "web\x1b[2J\x9b1m\u202eexe"


@pytest.mark.parametrize("say", [render.note, render.fail])
def test_a_sentence_is_harmless(
    say: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    say(f"port {EVIL} is there twice")
    said = capsys.readouterr().err
    assert "is there twice" in said
    assert not {"\x1b", "\x9b", "\u202e"} & {*said}


@pytest.mark.parametrize("output", Format)
def test_an_answer_is_harmless(output: Format, capsys: pytest.CaptureFixture[str]) -> None:
    render.print_row({"name": EVIL}, output)
    said = capsys.readouterr().out
    assert "web" in said
    assert not {"\x1b", "\x9b", "\u202e"} & {*said}


def test_names_in_other_languages_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_row({"name": "Zürich 東京"}, Format.YAML)
    assert capsys.readouterr().out == "name: Zürich 東京\n"


def test_what_is_waited_for_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    with render.Waiting("begins") as waiting:
        waiting.say(EVIL)
        waiting.tell(EVIL, 10)
    said = capsys.readouterr().err
    assert said.count("web") == 2
    assert not {"\x1b", "\x9b", "\u202e"} & {*said}
