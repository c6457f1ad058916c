"""Forms of values that come from another tier: what may stand where a MAC or an id is promised.

And the forms in which a person is told how many there are, and which names come near a wrong one.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

#: Length of Neutron's columns for names.
TEXT = 255
#: Most names that are said to come near another, and up to how many all are said.
_MOST_NEAR = 3
_FEW = 10
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_PRINTABLE = re.compile(r"[!-~]+")
_NO_MACS = frozenset({"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"})


def is_id(value: object) -> bool:
    """Tell whether something is a UUID as Neutron writes it."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def is_text(value: object, most: int = TEXT) -> bool:
    """Tell whether something is a text that Neutron's column takes."""
    return (
        isinstance(value, str)
        and len(value) <= most
        and "\0" not in value
        and not any("\ud800" <= one <= "\udfff" for one in value)  # halves of what is no character
    )


def is_name(value: object, most: int = TEXT) -> bool:
    """Tell whether something can name a machine or a row: printable ASCII, with no blanks."""
    return is_text(value, most) and _PRINTABLE.fullmatch(str(value)) is not None


def is_flag(value: object) -> bool:
    """Tell whether something is true or false."""
    return isinstance(value, bool)


def is_number(value: object) -> bool:
    """Tell whether something is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_mac(value: object) -> bool:
    """Tell whether something is the MAC of one station."""
    return (
        isinstance(value, str)
        and _MAC.fullmatch(value.lower()) is not None
        and value.lower() not in _NO_MACS
    )


def is_address(value: object) -> bool:
    """Tell whether something is an IP address, with no zone."""
    if not isinstance(value, str) or "%" in value:
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def is_prefix(value: object) -> bool:
    """Tell whether something is an IP address or a network."""
    if not isinstance(value, str) or "%" in value:
        return False
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return True


def is_tunnel_address(value: object) -> bool:
    """Tell whether a tunnel may end at an address: one host, and not this one."""
    if not isinstance(value, str) or not is_address(value):
        return False
    address = ipaddress.ip_address(value)
    # One spelling only: owners are compared as text.
    return str(address) == value and not (
        address.is_multicast or address.is_unspecified or address.is_loopback
    )


def is_list(each: Callable[[Any], bool], most: int | None = None) -> Callable[[object], bool]:
    """Make the form of a list: each of its entries has a form, and there are at most so many."""
    return lambda value: (
        isinstance(value, list | tuple)
        and (most is None or len(value) <= most)
        and all(map(each, value))
    )


def counted(count: int, noun: str) -> str:
    """Write how many there are of something.

    >>> [counted(1, "port key"), counted(0, "address"), counted(2, "policy"), counted(3, "job")]
    ['1 port key', '0 addresses', '2 policies', '3 jobs']
    """
    if count == 1:
        return f"1 {noun}"
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{count} {noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{count} {noun[:-1]}ies"
    return f"{count} {noun}s"


def name_near(wrong: str, names: Iterable[str]) -> str:
    """Write behind "there is no X" which names come near it; all where there are few; or nothing.

    >>> [name_near("siet1", ["site1", "site2", "paris"]), name_near("x", ["a", "b"])]
    ['; did you mean site1, site2?', '; there are: a, b']
    """
    known = sorted(set(names) - {""})
    lower = {one.lower(): one for one in reversed(known)}
    near = difflib.get_close_matches(wrong.lower(), lower, n=_MOST_NEAR)
    if near:
        return f"; did you mean {', '.join(lower[one] for one in near)}?"
    return f"; there are: {', '.join(known)}" if 0 < len(known) <= _FEW else ""


#: What is wrong with a value that a person wrote, by the validator's name for it.
_FAULTS = {
    "missing": "it is missing",
    "extra_forbidden": "nothing is called so here",
    "unexpected_keyword_argument": "nothing is called so here",
    "too_long": "it has {actual_length} entries, and may have at most {max_length}",
    "too_short": "it has too few entries: at least {min_length}",
    "string_too_long": "it may have at most {max_length} characters",
    "string_too_short": "it must have at least {min_length} characters",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be {ge} or more",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be {le} or less",
    "int_type": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_type": "it must be a number",
    "float_parsing": "it must be a number",
    "string_type": "it must be a text",
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
    "list_type": "it must be a list",
    "tuple_type": "it must be a list",
    "dict_type": "it must be names with values",
    "model_type": "it must be names with values",
    "dataclass_type": "it must be names with values",
    "dataclass_exact_type": "it must be names with values",
    "literal_error": "it must be {expected}",
    "enum": "it must be {expected}",
}


def say_fault(kind: str, values: Mapping[str, Any], message: str) -> str:
    """Write what is wrong with a value, in our words where there are any.

    >>> say_fault("greater_than_equal", {"ge": 1}, "Input should be greater than or equal to 1")
    'it must be 1 or more'
    >>> say_fault("value_error", {}, "Value error, A name is short")
    'a name is short'

    Args:
        kind: the validator's name for it.
        values: what its message speaks of.
        message: what it says.
    """
    if kind in _FAULTS:
        return _FAULTS[kind].format_map(values)
    said = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return f"{said[:1].lower()}{said[1:]}"


def format_age(seconds: float | None) -> str:
    """Write an age as a person reads it: a unit, and the next smaller one.

    >>> [format_age(one) for one in (None, 5, 200, 4000, 200000, 259205)]
    ['', '5s', '3m20s', '1h6m', '2d7h', '3d']
    """
    if seconds is None:
        return ""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if parts:
            return parts[0] + (f"{count}{unit}" if count else "")
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
