"""Numbers that OVN keeps as text, in rows in which anybody may have written."""

from types import SimpleNamespace

import pytest

from isthmus.dataplane.rows import read_revision, requested_key
from isthmus.model.dataplane.ovn import KEY_OPTION, REVISION


@pytest.mark.parametrize(
    ("text", "key", "revision"),
    [
        ("7", 7, 7),
        ("32767", 32767, 32767),
        ("32768", None, 32768),  # no tunnel key of a port
        ("", None, -1),
        ("-1", None, -1),
        ("\xb2", None, -1),  # a digit, and no number
        ("\u0663", None, -1),
        ("9" * 5000, None, -1),
        ("7 ", None, -1),
    ],
)
def test_only_a_number_is_read(text: str, key: int | None, revision: int) -> None:
    assert requested_key({KEY_OPTION: text}) == key
    assert read_revision(SimpleNamespace(external_ids={REVISION: text})) == revision
