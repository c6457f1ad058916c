"""OVN's match expressions, as far as ACLs have them: true, false, or not known.

Source: ovn-sb(5), "Logical_Flow: match". What this does not know (conntrack, registers, `lookup`)
makes an expression unknown instead of false; beside a true part of an `||` it does no harm.
"""

import ipaddress
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"\s*(?:(?P<string>\"[^\"]*\")|(?P<op>&&|\|\||==|!=|<=|>=|[<>!(){},])"
    r"|(?P<word>[@$]?[0-9A-Za-z_][0-9A-Za-z_.:/-]*))"
)
_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
#: More tokens than any ACL has; whatever is longer is not understood.
_MOST_TOKENS = 20_000
_DEEPEST = 60

Known = bool | None


@dataclass(frozen=True, slots=True)
class Scope:
    """What names stand for."""

    fields: Mapping[str, str | int | bool]  #: of the packet; a field that is not here is not known
    port_groups: Mapping[str, frozenset[str]] = field(default_factory=dict)  #: logical ports
    address_sets: Mapping[str, frozenset[str]] = field(default_factory=dict)


class _NotUnderstoodError(Exception):
    """The text has a form that is not known here."""


def evaluate(text: str, scope: Scope) -> Known:
    """Evaluate an expression; None where it cannot be told."""
    try:
        tokens = _tokens(text)
        reader = _Reader(tokens, scope)
        value = reader.either(0)
        return value if reader.at_end else None
    except _NotUnderstoodError:
        return None


def address_sets_of(text: str) -> frozenset[str]:
    """List the address sets that an expression names."""
    return frozenset(re.findall(r"\$([A-Za-z0-9_.]+)", text))


def _tokens(text: str) -> Sequence[str]:
    found: list[str] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None or len(found) > _MOST_TOKENS:
            raise _NotUnderstoodError
        found.append(match[0].strip())
        at = match.end()
    return found


class _Reader:
    def __init__(self, tokens: Sequence[str], scope: Scope) -> None:
        self._tokens = tokens
        self._at = 0
        self._scope = scope

    @property
    def at_end(self) -> bool:
        return self._at == len(self._tokens)

    def _peek(self) -> str:
        return self._tokens[self._at] if not self.at_end else ""

    def _next(self) -> str:
        if self.at_end:
            raise _NotUnderstoodError
        self._at += 1
        return self._tokens[self._at - 1]

    def either(self, depth: int) -> Known:
        if depth > _DEEPEST:
            raise _NotUnderstoodError
        values = [self.both(depth)]
        while self._peek() == "||":
            self._next()
            values.append(self.both(depth))
        return _any(values)

    def both(self, depth: int) -> Known:
        values = [self.single(depth)]
        while self._peek() == "&&":
            self._next()
            values.append(self.single(depth))
        lifted = _any(None if one is None else not one for one in values)
        return None if lifted is None else not lifted

    def single(self, depth: int) -> Known:
        lexeme = self._next()
        if lexeme == "!":
            value = self.single(depth + 1) if depth < _DEEPEST else None
            return None if value is None else not value
        if lexeme == "(":
            value = self.either(depth + 1)
            if self._next() != ")":
                raise _NotUnderstoodError
            return value
        if lexeme in {"0", "1"} and self._peek() not in {"==", "!=", *_COMPARE}:
            return lexeme == "1"
        if not re.match(r"[A-Za-z_]", lexeme):
            raise _NotUnderstoodError
        relation = self._peek()
        if relation not in {"==", "!=", *_COMPARE}:
            found = self._scope.fields.get(lexeme)
            return found if isinstance(found, bool) else None
        self._next()
        constants = self._constants()
        return self._compare(lexeme, relation, constants)

    def _constants(self) -> list[str]:
        if self._peek() != "{":
            return [self._next()]
        self._next()
        found = []
        while (lexeme := self._next()) != "}":
            if lexeme != ",":
                found.append(lexeme)
        return found

    def _compare(self, name: str, relation: str, constants: Sequence[str]) -> Known:
        if name not in self._scope.fields:
            return None
        value = self._scope.fields[name]
        if relation in _COMPARE:
            bounds = [_number(one) for one in constants]
            if not isinstance(value, int):
                return None
            return any(_COMPARE[relation](value, one) for one in bounds)
        equal = _any(self._equal(value, one) for one in constants)
        if equal is None or relation == "==":
            return equal
        return not equal

    def _equal(self, value: str | int | bool, constant: str) -> Known:
        if constant.startswith("@"):
            members = self._scope.port_groups.get(constant[1:])
            return None if members is None else value in members
        if constant.startswith("$"):
            members = self._scope.address_sets.get(constant[1:])
            if members is None:
                return None
            # Most addresses stand there as they are; a set may hold thousands.
            return str(value) in members or any(_within(str(value), one) for one in members)
        if constant.startswith('"'):
            return value == constant[1:-1]
        if isinstance(value, int):
            return value == _number(constant)
        return _within(value, constant)


def _any(values: Iterable[Known]) -> Known:
    """Return true if one is, false if all are, else not known."""
    found = list(values)
    if True in found:
        return True
    return None if None in found else False


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError as error:
        raise _NotUnderstoodError from error


def _within(address: str, constant: str) -> bool:
    """Compare addresses; the constant may have a prefix length or a mask."""
    if address.lower() == constant.lower():
        return True
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(constant, strict=False)
    except (ValueError, TypeError):
        return False
