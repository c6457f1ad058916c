"""Digests of what a site should hold and of what it holds, page by page. Pure.

Both tiers make the digest of the same *carried* state: the attributes that the site says it takes
of an object, in one order, and nothing else, no revision numbers and no times. So two digests are
equal where carrying the object once more would change nothing.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.federation.leases.lease import merge
from isthmus.federation.merge import normalise
from isthmus.model import attribute
from isthmus.model.lease import Block
from isthmus.model.resource import ResourceType

#: Digest of an object that central knows to be gone, or that is to leave the site.
GONE = ""
#: Objects on a page: about 12 KB where the pages differ, and one digest where they do not.
PAGE = 200
#: Hexadecimal digits; two of a page's objects look alike by accident once in 10**15 pages.
_DIGITS = 20

#: What a rule of a security group says.
RULE: tuple[str, ...] = (
    "id",
    "project_id",
    "security_group_id",
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_group_id",
    "remote_address_group_id",
    "description",
)

#: What a rule of a QoS policy says; each type of rule has some of it.
LIMIT: tuple[str, ...] = (
    "id",
    "type",
    "direction",
    "max_kbps",
    "max_burst_kbps",
    "max_kpps",
    "max_burst_kpps",
    "min_kbps",
    "min_kpps",
    "dscp_mark",
)

Digests = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The objects of one type with ids above `after`, up to and including `until`."""

    kind: ResourceType
    after: str
    until: str  #: the last page has none
    digests: Digests = field(default_factory=dict)
    network: str = ""  #: id of the only network whose objects are on it; empty for all

    @property
    def digest(self) -> str:
        """Return the digest of the page as a whole; what is gone is as if it had never been."""
        there = sorted(one for one in self.digests.items() if one[1] != GONE)
        return _hash(there)


def make_digest(state: Mapping[str, Any] | None, attributes: Collection[str]) -> str:
    """Make the digest of one object.

    Args:
        state: the object as its tier's API shows it; None where it is gone.
        attributes: those that are carried. One that the state does not have counts as None.
    """
    if state is None:
        return GONE
    shown = {name: _or_none(state.get(name)) for name in attributes}
    for name, read in _READ.items():
        if name in shown:
            shown[name] = read(state)
    return _hash(normalise(shown, sorted(shown)))


def pick_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what a security group's rule says."""
    return {name: _or_none(rule.get(name)) for name in RULE}


def pick_limit(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what a QoS policy's rule says."""
    return {name: rule[name] for name in LIMIT if rule.get(name) is not None}


def _or_none(value: Any) -> Any:
    """Treat an empty string as None: Neutron shows either."""
    return None if value == "" else value


def _rules(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [pick_rule(rule) for rule in state.get("security_group_rules") or ()]


def _limits(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [pick_limit(rule) for rule in state.get("rules") or ()]


def _blocks(state: Mapping[str, Any]) -> list[str]:
    """Normalise leased numbers, however they are cut into blocks."""
    blocks = [
        Block(int(one["first"]), int(one["last"])) for one in state.get(attribute.LEASES) or ()
    ]
    return [f"{one.first}-{one.last}" for one in merge(blocks)]


def _leased(state: Mapping[str, Any]) -> list[dict[str, str]]:
    """Leave the addresses out that follow from the MAC: each tier adds those by itself."""
    return [
        {"subnet_id": one["subnet_id"], "ip_address": one["ip_address"]}
        for one in state.get("fixed_ips") or ()
        if one["subnet_id"] not in state.get(attribute.AUTO_SUBNETS, ())
    ]


#: What is not compared as it is shown.
_READ: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "fixed_ips": _leased,
    "security_group_rules": _rules,
    "rules": _limits,
    attribute.LEASES: _blocks,
}


def cut_page(ids: Iterable[str], limit: int = PAGE) -> tuple[str, list[str]]:
    """Choose a page's objects.

    Args:
        ids: those after the page before, in order; one more than `limit` where there are as many.
        limit: how many a page may have.

    Returns:
        The end of the page, empty where it is the last one, and the ids.
    """
    found = list(ids)
    if len(found) <= limit:
        return "", found
    return found[limit - 1], found[:limit]


def find_differing(wanted: Digests, held: Digests) -> set[str]:
    """List the objects that are not as wanted: other, missing, or there although gone."""
    return {
        one for one in wanted.keys() | held.keys() if wanted.get(one, GONE) != held.get(one, GONE)
    }


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
