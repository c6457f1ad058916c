"""Numbers that OVN keeps as text, in rows in which anybody may have written."""

from types import SimpleNamespace

import pytest

from isthmus.dataplane.rows import read_revision, requested_port_key, requested_switch_key
from isthmus.model.dataplane.ovn import KEY_OPTION, REVISION


@pytest.mark.parametrize(
    ("text", "port_key", "switch_key", "revision"),
    [
        ("7", 7, 7, 7),
        ("32767", 32767, 32767, 32767),
        ("32768", None, 32768, 32768),  # no tunnel key of a port
        ("16777215", None, 16777215, 16777215),
        ("16777216", None, None, 16777216),
        ("", None, None, -1),
        ("-1", None, None, -1),
        ("\xb2", None, None, -1),  # a digit, and no number
        ("\u0663", None, None, -1),
        ("9" * 5000, None, None, -1),
        ("7 ", None, None, -1),
    ],
)
def test_only_a_number_is_read(
    text: str, port_key: int | None, switch_key: int | None, revision: int
) -> None:
    keys = {KEY_OPTION: text}
    assert requested_port_key(SimpleNamespace(options=keys)) == port_key
    assert requested_switch_key(SimpleNamespace(other_config=keys)) == switch_key
    assert read_revision(SimpleNamespace(external_ids={REVISION: text})) == revision
