"""Which rules of security groups OVN lost. Pure."""

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from typing import Any


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
