"""The forms of what comes over the wire, beside those that Neutron's attribute maps know.

Each is checked before a method of ours sees the body, so that odd JSON is a 400 with the reason,
and never an error of whatever would have been done with it.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import webob
import webob.dec
from neutron_lib.api import validators

from isthmus import errors
from isthmus.model.form import is_id, is_list, is_name, is_number, is_text
from isthmus.model.intent import ResourceType

#: How deep a body may be nested. A report of a port is 9 deep; a binding profile may be more.
MOST_NESTED = 100
#: Most keys of desired states; as many as Xjob may be told to carry at once.
_MOST_KEYS = 1000
#: Most attributes of a type that a site may take.
_MOST_ATTRIBUTES = 100
_KINDS = frozenset(one.value for one in ResourceType)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)

#: Tells whether a value has a form, with the word for that form.
Form = tuple[Callable[[Any], bool], str]


def _is_key(value: Any) -> bool:
    # A list hashes to nothing, so it is looked at whether it is text first.
    return (
        isinstance(value, Mapping)
        and is_text(value.get("type"))
        and value["type"] in _KINDS
        and is_id(value.get("id"))
    )


def _is_digests(value: Any) -> bool:
    return value is None or (
        isinstance(value, Mapping)
        and all(is_id(one) and is_text(digest, 64) for one, digest in value.items())
    )


def is_whole(value: Any) -> bool:
    """Tell whether something is a whole number from zero on, in digits or as text of them."""
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) <= 40
    return is_number(value) and 0 <= value < 1 << 128


#: Forms by the name of the validator, without its prefix.
FORMS: Mapping[str, Form] = {
    "keys": (is_list(_is_key, _MOST_KEYS), f"a list of at most {_MOST_KEYS} {{type, id}}"),
    "attributes": (
        is_list(is_name, _MOST_ATTRIBUTES),
        f"a list of at most {_MOST_ATTRIBUTES} names",
    ),
    "digests": (_is_digests, "digests by id"),
    "whole": (is_whole, "a whole number"),
}


def _check(form: Form) -> Callable[[Any, Any], str | None]:
    holds, word = form

    def check(value: Any, _limits: Any = None) -> str | None:
        return None if holds(value) else f"{repr(value)[:100]} is not {word}"

    return check


def _check_text(value: Any, most: Any = None) -> str | None:
    """Say what is wrong with a text; halves of characters fail in databases and in logs."""
    return None if is_text(value, most or 255) else f"{repr(value)[:100]} is not a text"


def _check_text_or_none(value: Any, most: Any = None) -> str | None:
    return None if value is None else _check_text(value, most)


def add_validators() -> None:
    """Make the forms known to Neutron, as `type:isthmus_NAME`; idempotent."""
    found = {f"isthmus_{name}": _check(form) for name, form in FORMS.items()}
    found |= {"isthmus_text": _check_text, "isthmus_text_or_none": _check_text_or_none}
    for name, check in found.items():
        if f"type:{name}" not in validators.validators:
            validators.add_validator(name, check)


def is_nested_deeper(body: bytes, most: int = MOST_NESTED) -> bool:
    """Tell whether JSON is nested deeper than so many lists and objects, without parsing it."""
    if body.count(b"[") + body.count(b"{") <= most:
        return False
    depth = 0
    for token in _TOKEN.finditer(body):
        first = token.group()[:1]
        if first in b"[{":
            depth += 1
            if depth > most:
                return True
        elif first in b"]}":
            depth -= 1
    return False


def bounded(resource: Any) -> Any:
    """Stand before a resource of Neutron's and refuse what is nested too deep to be looked at."""

    @webob.dec.wsgify
    def outer(request: Any) -> Any:
        if not is_nested_deeper(request.body):
            return resource
        said = {
            "type": errors.Invalid.code,
            "message": f"the body is nested deeper than {MOST_NESTED} lists and objects",
            "detail": "",
        }
        return webob.Response(
            status=400,
            content_type="application/json",
            body=json.dumps({"NeutronError": said}).encode(),
        )

    # What Neutron looks at of a resource.
    outer.controller, outer.action_status = resource.controller, resource.action_status
    return outer
