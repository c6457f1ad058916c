"""Which rules, address groups and translations of Neutron's OVN lost. Pure."""

import ipaddress
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

_ANY = "0.0.0.0/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A row that OVN lost, or has otherwise, as a site tells the audit of it."""

    code: str  #: of the verdict; dotted and stable
    kind: str  #: of the object of Neutron's
    id: str
    what: str
    evidence: str

    def to_dict(self) -> dict[str, str]:
        """Return the form in which holdings show it."""
        return asdict(self)


#: What OVN lost: rows, by the part of the holdings that shows them.
Losses = dict[str, list[dict[str, Any]]]
#: What of such a row is a list, of which each member is lost by itself.
_LISTED = ("missing", "extra")


def confirm_lost(look: Callable[[], Losses]) -> Losses:
    """Look what OVN lost, and again where it lost anything; return what is lost both times.

    Neutron's database is read before OVN, and OVN's copy in memory may be a moment older than the
    database: what is made, changed or deleted just then looks like a loss, and is none.
    """
    first = look()
    if not any(first.values()):
        return first
    return {name: list(_keep(first.get(name, []), rows)) for name, rows in look().items()}


def _keep(
    first: Iterable[Mapping[str, Any]], second: Iterable[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Keep of the rows of a second look what an earlier one has seen."""
    seen = {_name(one): one for one in first}
    for one in second:
        before = seen.get(_name(one))
        if before is None:
            continue
        listed = [name for name in _LISTED if name in one]
        kept = {name: [each for each in one[name] if each in before[name]] for name in listed}
        if any(kept.values()) or not kept:
            yield {**one, **kept}


def _name(row: Mapping[str, Any]) -> str:
    """Spell what makes a row the same one in two looks."""
    return repr(sorted((name, value) for name, value in row.items() if name not in _LISTED))


def find_lost(rules: Iterable[Any], there: Collection[str]) -> Iterator[dict[str, str]]:
    """Find the rules without an ACL.

    Neutron writes one ACL for rules that come to the same.

    Args:
        rules: as Neutron's database has them.
        there: ids of the rules for which OVN has an ACL.
    """
    alike: dict[tuple[Any, ...], list[Any]] = {}
    for one in rules:
        alike.setdefault(_key(one), []).append(one)
    for some in alike.values():
        if not any(one.id in there for one in some):
            yield from ({"id": one.id, "security_group_id": one.security_group_id} for one in some)


def find_lost_addresses(
    wanted: Mapping[str, Collection[str]], there: Mapping[str, Collection[str]]
) -> Iterator[dict[str, Any]]:
    """Find the address groups of which OVN has other addresses than Neutron.

    Args:
        wanted: the addresses of each group, as Neutron has them.
        there: those of its sets in OVN.
    """
    for group_id, addresses in sorted(wanted.items()):
        said = {_normalise(one) for one in addresses}
        found = {_normalise(one) for one in there.get(group_id, ())}
        if said != found:
            missing, extra = sorted(map(str, said - found)), sorted(map(str, found - said))
            yield {"id": group_id, "missing": missing, "extra": extra}


def find_untranslated(
    wanted: Mapping[str, tuple[str, Collection[str]]],
    there: Mapping[str, Collection[tuple[str, str]]],
) -> Iterator[dict[str, str]]:
    """Find the subnets of routers whose source addresses OVN does not translate.

    Neutron writes one translation for each subnet, or one for all, as it is configured.

    Args:
        wanted: the external address of each router, and its subnets.
        there: external address and internal network of the translations that OVN has of it.
    """
    for router_id, (external, subnets) in sorted(wanted.items()):
        have = {inside for outside, inside in there.get(router_id, ()) if outside == external}
        for subnet in sorted(subnets):
            if not have & {subnet, _ANY}:
                yield {"router_id": router_id, "external": external, "internal": subnet}


def _key(rule: Any) -> tuple[Any, ...]:
    return (
        rule.security_group_id,
        rule.direction,
        rule.ethertype,
        rule.protocol,
        rule.port_range_min,
        rule.port_range_max,
        rule.remote_group_id,
        rule.remote_address_group_id,
        _normalise(rule.remote_ip_prefix),
    )


def _normalise(prefix: str | None) -> str | None:
    """Return a prefix as Neutron writes it into OVN."""
    try:
        return prefix and str(ipaddress.ip_network(prefix, strict=False))
    except ValueError:
        return prefix
