"""Validators for request bodies, in addition to those of Neutron's attribute maps.

Each value is checked before a method of ours sees the body, so that malformed JSON is a 400 with
the reason, and never an error of the code behind it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import webob.dec
from neutron_lib.api import validators

from isthmus.model.form import is_id, is_list, is_name, is_number, is_text
from isthmus.model.resource import ResourceType
from isthmus.neutron.api.refusals import answer_invalid

#: Nesting limit of a body. A report of a port is 9 deep; a binding profile may be more.
MOST_NESTED = 100
#: Limit of keys of desired states; the most that Xjob can be configured to send at once.
_MOST_KEYS = 1000
#: Limit of attributes of a type that a site may take.
_MOST_ATTRIBUTES = 100
_KINDS = frozenset(one.value for one in ResourceType)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)

#: Tells whether a value has a form, with the word for that form.
Form = tuple[Callable[[Any], bool], str]


def _is_key(value: Any) -> bool:
    # A list is not hashable, so the type is checked first.
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
    """Return whether a value is a non-negative integer, or text of one."""
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
    """Return what is wrong with a text; lone surrogates fail in databases and in logs."""
    return None if is_text(value, most or 255) else f"{repr(value)[:100]} is not a text"


def _check_text_or_none(value: Any, most: Any = None) -> str | None:
    return None if value is None else _check_text(value, most)


def add_validators() -> None:
    """Register the validators with Neutron, as `type:isthmus_NAME`; idempotent."""
    found = {f"isthmus_{name}": _check(form) for name, form in FORMS.items()}
    found |= {"isthmus_text": _check_text, "isthmus_text_or_none": _check_text_or_none}
    for name, check in found.items():
        if f"type:{name}" not in validators.validators:
            validators.add_validator(name, check)


def is_nested_deeper(body: bytes, most: int = MOST_NESTED) -> bool:
    """Return whether JSON is nested deeper than a limit, without parsing it."""
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
    """Wrap a resource of Neutron's and refuse bodies that are nested too deep."""

    @webob.dec.wsgify
    def outer(request: Any) -> Any:
        if not is_nested_deeper(request.body):
            return resource
        return answer_invalid(f"the body is nested deeper than {MOST_NESTED} lists and objects")

    # What Neutron reads of a resource.
    outer.controller, outer.action_status = resource.controller, resource.action_status
    return outer
