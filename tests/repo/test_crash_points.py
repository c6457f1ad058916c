"""Every crash point is listed, used exactly once, and where it is listed."""

import re
from pathlib import Path

from isthmus.journal.crash import POINTS

SOURCE = Path(__file__).resolve().parents[2] / "src" / "isthmus"
CALL = re.compile(r"""crash\.point\(\s*["']([^"']+)["']\s*\)""")


def test_points_are_where_the_list_says() -> None:
    used = [
        (name, str(path.relative_to(SOURCE)))
        for path in SOURCE.rglob("*.py")
        for name in CALL.findall(path.read_text())
    ]
    assert sorted(used) == sorted(POINTS)


def test_names_are_unique() -> None:
    assert len({name for name, _ in POINTS}) == len(POINTS)
