"""What QoS policies say of floating IPs and gateways, as central's database has it.

A floating IP's own policy comes before that of its external network, as in ML2/OVN. Of its rules
those count that OVN carries out there: bandwidth limits and DSCP marks.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db.models import l3
from neutron.db.qos import models as qos

from isthmus.model.exits.request import Direction, Limit

_FLOATING = l3.FloatingIP.__table__
_OF_FLOATING = qos.QosFIPPolicyBinding.__table__
_OF_NETWORKS = qos.QosNetworkPolicyBinding.__table__
_RATES = qos.QosBandwidthLimitRule.__table__
_MARKS = qos.QosDscpMarkingRule.__table__

#: Runs a query, by a plain read or a locking one.
Rows = Callable[["sa.Select[Any]"], list[Any]]


def list_limits(rows: Rows, floating: Mapping[str, str]) -> dict[str, tuple[Limit, ...]]:
    """List what limits floating IPs, by id; those without a limit are missing.

    Args:
        rows: runs a query.
        floating: the external network of each floating IP.
    """
    if not floating:
        return {}
    own = {
        row.fip_id: row.policy_id
        for row in rows(sa.select(_OF_FLOATING).where(_OF_FLOATING.c.fip_id.in_(sorted(floating))))
    }
    networks = sorted(set(floating.values()))
    of_networks = {
        row.network_id: row.policy_id
        for row in rows(sa.select(_OF_NETWORKS).where(_OF_NETWORKS.c.network_id.in_(networks)))
    }
    policies = {
        one: own.get(one) or of_networks.get(network_id) for one, network_id in floating.items()
    }
    said = _read_rules(rows, {one for one in policies.values() if one})
    return {one: said[policy] for one, policy in policies.items() if policy in said}


def _read_rules(rows: Rows, policies: Collection[str]) -> dict[str, tuple[Limit, ...]]:
    if not policies:
        return {}
    ids = sorted(policies)
    rates = {
        (row.qos_policy_id, Direction(row.direction)): row
        for row in rows(sa.select(_RATES).where(_RATES.c.qos_policy_id.in_(ids)))
        if row.max_kbps
    }
    marks = {
        (row.qos_policy_id, Direction.EGRESS): row.dscp_mark
        for row in rows(sa.select(_MARKS).where(_MARKS.c.qos_policy_id.in_(ids)))
    }
    found: dict[str, list[Limit]] = {}
    for policy, direction in sorted(rates.keys() | marks.keys()):
        rate = rates.get((policy, direction))
        found.setdefault(policy, []).append(
            Limit(
                direction,
                max_kbps=rate.max_kbps if rate is not None else None,
                burst_kbps=(rate.max_burst_kbps or None) if rate is not None else None,
                dscp=marks.get((policy, direction)),
            )
        )
    return {policy: tuple(limits) for policy, limits in found.items()}


def find_limited(connection: sa.Connection, policies: Collection[str]) -> set[str]:
    """Find the routers that answer for floating IPs which policies limit, or may limit."""
    if not policies:
        return set()
    own = (
        sa.select(_FLOATING.c.router_id)
        .join_from(_FLOATING, _OF_FLOATING, _FLOATING.c.id == _OF_FLOATING.c.fip_id)
        .where(_OF_FLOATING.c.policy_id.in_(sorted(policies)))
    )
    by_network = (
        sa.select(_FLOATING.c.router_id)
        .join_from(
            _FLOATING, _OF_NETWORKS, _FLOATING.c.floating_network_id == _OF_NETWORKS.c.network_id
        )
        .where(_OF_NETWORKS.c.policy_id.in_(sorted(policies)))
    )
    return {*connection.scalars(own), *connection.scalars(by_network)} - {None}


def find_on_networks(connection: sa.Connection, network_ids: Collection[str]) -> set[str]:
    """Find the routers that answer for floating IPs of external networks."""
    query = sa.select(_FLOATING.c.router_id).where(
        _FLOATING.c.floating_network_id.in_(sorted(network_ids))
    )
    return set(connection.scalars(query)) - {None} if network_ids else set()
