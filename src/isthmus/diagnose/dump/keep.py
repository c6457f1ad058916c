"""What is kept of a value: the form that it should have, and nothing else of it. Pure.

Writing a dump and reading one go through the same functions: what a hostile hand has put into a
file is left out as a secret is. Texts lose control characters, which terminals obey.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from isthmus.diagnose.evaluate.dhcp import hide

Keep = Callable[[Any], Any]

_LONGEST = 4096
#: Longest sentence of a person or a daemon that is kept.
_LONGEST_SAID = 300
_DEEPEST = 8
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: Of ids, addresses and words: no blank, quote or other character that a shell reads.
_WORD = re.compile(r"(?!-)[\w.:/@+*-]*")
_LINE = re.compile(r"(?!-)[\w.:/@+* -]*")
#: Addresses with ports, by commas.
_ENDPOINTS = re.compile(r"(?=.*[.:])[\da-fA-F.:,\[\]]+")
#: Fields of a tree that are sentences of Isthmus.
_SENTENCES = frozenset({"idle", "lack"})
#: Characters of a sentence that are looked through, before it is cut.
_SEARCHED = 1024
#: What sentences are known to give away: passwords in addresses, what stands behind a name, and
#: what is known by its form (tokens of Keystone and JWT, keys in PEM). Each pattern takes time that
#: grows with the text alone: a hostile hand writes what makes others slow.
_IN_URL = re.compile(r"(?<=://)\S{0,200}@")
_NAMED = re.compile(
    r"(?i)((?:pass(?:word|wd|phrase)?|secret|token|psk|credential|authorization|api[_-]?key)"
    r"[\w-]{0,64}['\"]?\s{0,8}[=:]\s{0,8})(?:(?:basic|bearer)\s{1,8})?"
    r"('[^']*(?:'|$)|\"[^\"]*(?:\"|$)|[^\s,;&]+)"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s{1,8}[\w.~+/=-]{8,}")
_BARE = re.compile(r"\bgAAAA[\w=-]{20,}|\beyJ[\w-]{8,}\.[\w.-]+|-----BEGIN .*")
_HIDDEN = "***"


def text(value: Any) -> str | None:
    """Keep a text of one line, as names are."""
    return _CONTROL.sub("?", value[:_LONGEST]) if isinstance(value, str) else None


def said(value: Any) -> str | None:
    """Keep a sentence of a daemon or an API, without what sentences are known to give away."""
    found = text(value)
    if found is None:
        return None
    found = _BARE.sub(_HIDDEN, _IN_URL.sub(f"{_HIDDEN}@", found[:_SEARCHED]))
    found = _NAMED.sub(rf"\1{_HIDDEN}", found)
    return _BEARER.sub(rf"\1 {_HIDDEN}", found)[:_LONGEST_SAID]


def word(value: Any) -> str | None:
    """Keep an id, an address or a word: what stands in printed commands."""
    short = isinstance(value, str) and len(value) <= _LONGEST
    return value if short and _WORD.fullmatch(value) else None


def line(value: Any) -> str | None:
    """Keep words with blanks between them."""
    short = isinstance(value, str) and len(value) <= _LONGEST
    return value if short and _LINE.fullmatch(value) else None


def number(value: Any) -> int | None:
    """Keep a whole number of 64 bits."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and abs(value) < 1 << 63 else None


def flag(value: Any) -> bool | None:
    """Keep yes or no."""
    return value if isinstance(value, bool) else None


def port_or_word(value: Any) -> int | str | None:
    """Keep a word or a number, as a protocol is."""
    return number(value) if isinstance(value, int) else word(value)


def some(keep: Keep) -> Keep:
    """Return what keeps the values of a list; a bare value is one, as OVSDB has it."""

    def kept(value: Any) -> list[Any]:
        values = value if isinstance(value, list) else [value]
        found = (keep(one) for one in values)
        return [one for one in found if one is not None]

    return kept


def optional(keep: Keep) -> Keep:
    """Return what keeps a value, or the empty list that OVSDB has where there is none."""

    def kept(value: Any) -> Any:
        if isinstance(value, list):
            return keep(value[0]) if len(value) == 1 else []
        return [] if value is None else keep(value)

    return kept


def row(columns: Mapping[str, Keep]) -> Keep:
    """Return what keeps columns of a row that are named."""

    def kept(value: Any) -> dict[str, Any] | None:
        if not isinstance(value, Mapping):
            return None
        return {name: keep(value[name]) for name, keep in columns.items() if name in value}

    return kept


def keys(*names: str) -> Keep:
    """Return what keeps some keys of a map of OVSDB; an asterisk at the end stands for any rest."""
    begins = tuple(one[:-1] for one in names if one.endswith("*"))

    def kept(value: Any) -> dict[str, str]:
        if not isinstance(value, Mapping):
            return {}
        return {
            key: found
            for key, one in value.items()
            if isinstance(key, str) and (key in names or (begins and key.startswith(begins)))
            and (found := text(one)) is not None
        }  # fmt: skip

    return kept


def words_by_word(value: Any) -> dict[str, str]:
    """Keep a map of addresses to addresses, as a load balancer has them."""
    if not isinstance(value, Mapping):
        return {}
    pairs = ((_endpoints(key), _endpoints(one)) for key, one in value.items())
    return {key: one for key, one in pairs if key is not None and one is not None}


def dhcp_options(value: Any) -> dict[str, str]:
    """Keep addresses and numbers of DHCP options; of texts, whether OVN can read them."""
    if not isinstance(value, Mapping):
        return {}
    pairs = (
        (key, hide(key, one[:_LONGEST])) for key, one in value.items()
        if isinstance(key, str) and isinstance(one, str)
    )  # fmt: skip
    return {key: one for key, one in pairs if one is not None}


def _endpoints(value: Any) -> str | None:
    found = text(value)
    is_one = found is not None and (not found or _ENDPOINTS.fullmatch(found))
    return found if is_one else None


def tree(*names: str) -> Keep:
    """Return what keeps a tree of mappings and lists, of which the keys are named.

    Args:
        names: that keys may have, at any depth.
    """
    allowed = frozenset(names)

    def kept(value: Any, depth: int = 0) -> Any:
        if depth > _DEEPEST:
            return None
        if isinstance(value, Mapping):
            return {
                key: text(one) if key in _SENTENCES else kept(one, depth + 1)
                for key, one in value.items() if key in allowed
            }  # fmt: skip
        if isinstance(value, list):
            return [kept(one, depth + 1) for one in value]
        if isinstance(value, bool):
            return value
        return number(value) if isinstance(value, int) else line(value)

    return kept
