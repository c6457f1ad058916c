"""Three-way merge: what becomes of an object that was changed in two tiers at once. Pure.

A port may be changed at central and at its home site while the two cannot see each other. Both
remember what they last agreed on (the base). An attribute that only one side has changed since
takes that side's value, so both sides' work is kept; where both changed the same attribute, central
wins, because a tenant who looks for the truth looks there.

Attributes are compared as wholes. A value in which order says nothing (fixed IPs, security groups)
is brought into one form by `normalise` first, or each side would take the other's order for a
change and the two would send each other the same port for ever.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from isthmus.federation.port import SHARED
from isthmus.model.resource import ORDERED

#: Attributes of a port that may be refused alone and taken together.
_TOGETHER = frozenset({"security_groups", "allowed_address_pairs", "port_security_enabled"})

#: The value of an attribute that a state does not have: equal to nothing but itself.
_ABSENT: Final[Any] = object()


def merge(
    base: Mapping[str, Any] | None, mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> dict[str, Any]:
    """Merge two states of one object.

    Args:
        base: what both sides last agreed on; None where they never did.
        mine: the state of the side that gives way.
        theirs: the state of the side that wins (central's).

    Returns:
        Every attribute of either side. One that only `theirs` lacks is kept as it is in `mine`:
        a peer that does not know an attribute has not removed it.
    """
    merged: dict[str, Any] = {}
    for name in {**mine, **theirs}:
        value = choose(
            (base or {}).get(name, _ABSENT), mine.get(name, _ABSENT), theirs.get(name, _ABSENT)
        )
        merged[name] = value
    return merged


def choose(base: Any, mine: Any, theirs: Any) -> Any:
    """Choose the value of one attribute."""
    if theirs is _ABSENT:
        return mine
    if mine is _ABSENT or mine == theirs:
        return theirs
    if base is not _ABSENT and theirs == base:
        return mine  # only my side has changed it
    return theirs


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of `after` that differ from `before`."""
    return {name: value for name, value in after.items() if before.get(name, _ABSENT) != value}


def parts(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Split a change that was refused as a whole into ever smaller ones, to find what is refused.

    First comes what only the home says, then each attribute by itself. Attributes that may need
    each other (a port without port security has no groups) are tried together before that.
    """
    home = {name: value for name, value in body.items() if name not in SHARED}
    together = {name: value for name, value in body.items() if name in _TOGETHER}
    alone = [{name: value} for name, value in body.items() if name in SHARED]
    found = [home] if home else []
    if len(together) > 1:
        found.append(together)
    return [*found, *alone]


def normalise(state: Mapping[str, Any], attributes: Collection[str]) -> dict[str, Any]:
    """Pick attributes and bring lists into one order, but those whose order counts.

    Args:
        state: an object in the form of Neutron's API.
        attributes: which to keep; one that the state does not have is left out.
    """
    return {
        name: state[name] if name in ORDERED else _in_order(state[name])
        for name in attributes
        if name in state
    }


def _in_order(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return sorted((_in_order(one) for one in value), key=_text)
    if isinstance(value, Mapping):
        return {key: _in_order(one) for key, one in value.items()}
    return value


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
