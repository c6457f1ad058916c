"""`isthmus site delete`: nothing that a site holds goes by one word."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.inside import HOLDS, Inside
from tests.acceptance.shell import small_cloud

LOST = dict(zip(HOLDS, (3, 64, 128, 1, 2, 1), strict=True))


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Inside]:
    """A site that is lost and holds something."""
    with small_cloud() as cloud:
        inside = Inside(tmp_path, cloud)
        inside.run("site", "create", "paris")
        cloud.rows["sites"][0]["holds"] = dict(LOST)
        yield inside


def removals(shell: Inside) -> list[object]:
    return [body for _, path, body in shell.cloud.calls if path.endswith("/remove_site")]


def test_a_site_that_holds_something_is_disabled_first(lost: Inside) -> None:
    says = (
        "is enabled and holds 2 networks, 1 port, 64 addresses, 128 port keys.*site disable paris"
    )
    lost.run("site", "delete", "paris", "--yes", "--confirm", "paris", code=2, says=says)
    assert removals(lost) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "nobody can be asked here: give --yes --confirm paris"),
        (("--yes",), "nobody can be asked here: give --yes --confirm paris"),
        (("--confirm", "paris"), "nobody can be asked here: give --yes --confirm paris"),
    ],
)
def test_where_nobody_can_be_asked_it_takes_yes_and_the_name(
    lost: Inside, options: tuple[str, ...], says: str
) -> None:
    lost.run("site", "disable", "paris")
    ran = lost.run("site", "delete", "paris", *options, code=2, says=says)
    assert ["addresses", "64"] in map(str.split, ran.stdout.splitlines()), "it shows what is lost"
    assert removals(lost) == []
    lost.run("site", "delete", "paris", "--yes", "--confirm", "paris", says="paris is gone")
    assert removals(lost) == [{"holds": LOST}], "nothing but what was shown"


@pytest.mark.parametrize("holds", [LOST, dict.fromkeys(HOLDS, 0)])
@pytest.mark.parametrize("options", [(), ("--yes",)])
def test_another_name_is_refused_whatever_the_site_holds(
    lost: Inside, options: tuple[str, ...], holds: dict[str, int]
) -> None:
    lost.run("site", "disable", "paris")
    lost.cloud.rows["sites"][0]["holds"] = holds
    says = "--confirm 'lyon' is not 'paris': nothing was done"
    lost.run("site", "delete", "paris", "--confirm", "lyon", *options, code=2, says=says)
    assert removals(lost) == []


def test_what_changed_since_it_was_shown_is_not_removed(lost: Inside) -> None:
    lost.run("site", "disable", "paris")
    row = lost.cloud.rows["sites"][0]
    answered = lost.cloud.answer

    def overtake(method: str, target: str, body: object, caller: str) -> tuple[int, object]:
        if target.endswith("/remove_site"):
            row["holds"] = LOST | {"ports": 2}
        return answered(method, target, body, caller)

    lost.cloud.answer = overtake  # type: ignore[method-assign]
    says = "holds other than was shown"
    lost.run("site", "delete", "paris", "--yes", "--confirm", "paris", code=2, says=says)
    assert lost.cloud.rows["sites"] == [row]


@pytest.mark.parametrize(
    ("options", "typed", "code"),
    [
        ((), "paris", 0),
        (("--yes",), "paris", 0),
        (("--confirm", "paris"), "y", 0),
        ((), "y", 1),
        (("--yes",), "", 1),
        (("--confirm", "paris"), "n", 1),
    ],
)
def test_a_person_types_the_name(
    lost: Inside, options: tuple[str, ...], typed: str, code: int
) -> None:
    lost.run("site", "disable", "paris")
    lost.typed = f"{typed}\n"
    ran = lost.run("site", "delete", "paris", *options, code=code, says="its networks end there")
    assert ("Nothing was done" in ran.stderr) == bool(code)
    assert len(removals(lost)) == (not code)
