"""How deep a body may be nested, found without parsing it."""

import json

import pytest
from neutron_lib.api import validators

from isthmus.neutron.api.body import request_body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[" * 100 + b"]" * 100, False),
        (b"[" * 101 + b"]" * 101, True),
        (b'{"a":' * 101 + b"1" + b"}" * 101, True),
        (json.dumps(["[" * 500]).encode(), False),
        (json.dumps(['\\"' + "[" * 500]).encode(), False),
        (json.dumps([{}] * 500).encode(), False),
        (b'"' + b"[" * 500, True),  # an end that never comes is no string
    ],
)
def test_how_deep_a_body_is(body: bytes, expected: bool) -> None:
    assert request_body.is_nested_deeper(body, 100) is expected


@pytest.mark.parametrize(
    ("form", "value", "fits"),
    [
        ("keys", [{"type": "port", "id": "0" * 8 + "-0000-0000-0000-" + "0" * 12}], True),
        ("keys", [{"type": [], "id": ""}], False),
        ("keys", [{"type": "port", "id": "\ud800"}], False),
        ("keys", None, False),
        ("attributes", ["name"], True),
        ("attributes", 7, False),
        ("digests", None, True),
        ("digests", {"x": "y"}, False),
        ("whole", 7, True),
        ("whole", "7", True),
        ("whole", True, False),
        ("whole", "²", False),
        ("whole", float("inf"), False),
    ],
)
def test_forms(form: str, value: object, fits: bool) -> None:
    request_body.add_validators()
    said = validators.validators[f"type:isthmus_{form}"](value)
    assert (said is None) is fits
