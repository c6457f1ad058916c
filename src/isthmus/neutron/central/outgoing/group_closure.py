"""Which security groups and address groups belong together.

A rule may name another group whose members it admits, and that group's rules may name more. A site
that has one of them needs them all, or a rule would point nowhere.

The rules are read as they are now (locking reads). Who must not miss one that is being added holds
the groups (`isthmus.store.tiers.held`), which `step` lets a caller do level by level.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from neutron.db.models import securitygroup as models


def expand_groups(connection: sa.Connection, group_ids: Iterable[str]) -> tuple[set[str], set[str]]:
    """Follow the rules of security groups.

    Args:
        connection: where.
        group_ids: where to start.

    Returns:
        The security groups, those given included, and the address groups that they name.
    """
    groups: set[str] = set(group_ids)
    address_groups: set[str] = set()
    fresh = set(groups)
    while fresh:
        named, addresses = step(connection, fresh)
        address_groups |= addresses
        fresh = named - groups
        groups |= fresh
    return groups, address_groups


def step(connection: sa.Connection, group_ids: Iterable[str]) -> tuple[set[str], set[str]]:
    """Give the security groups and the address groups that the rules of groups name."""
    rule = models.SecurityGroupRule
    found = connection.execute(
        sa.select(rule.remote_group_id, rule.remote_address_group_id)
        .where(
            rule.security_group_id.in_(sorted(group_ids)),
            sa.or_(rule.remote_group_id.is_not(None), rule.remote_address_group_id.is_not(None)),
        )
        .with_for_update(read=True)
    ).all()
    return (
        {row[0] for row in found if row[0] is not None},
        {row[1] for row in found if row[1] is not None},
    )
