"""Which security groups and address groups belong together.

A rule may refer to a remote group, whose rules may refer to more. A site that has one of them needs
them all, or a rule would refer to nothing.

The rules are read as currently committed (locking reads). A caller that must not miss a rule that
is being added holds the groups (`isthmus.store.tiers.held`); `step` allows that level by level.
"""

from collections.abc import Collection, Iterable

import sqlalchemy as sa
from neutron.db.models import securitygroup as models

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.db.session import now
from isthmus.store.tiers.held import Held


def step(connection: sa.Connection, group_ids: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the security groups and the address groups that the rules of groups refer to."""
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


def map_groups(
    connection: sa.Connection, group_ids: Iterable[str], site: SiteName
) -> set[IntentKey]:
    """Map security groups and everything that their rules refer to to a site.

    Returns:
        Keys of what the site did not have yet.
    """
    return map_groups_to(connection, group_ids, [site])


def map_groups_to(
    connection: sa.Connection, group_ids: Iterable[str], sites: Collection[SiteName]
) -> set[IntentKey]:
    """Map security groups and everything that their rules refer to to sites.

    Level by level: the rules of a group are read once the group is held, so that a rule that is
    added meanwhile is either seen here or tells the site in its own transaction.

    Returns:
        Keys of what a site did not have yet.
    """
    keys: set[IntentKey] = set()
    address_groups: set[str] = set()
    known: set[str] = set()
    fresh = set(group_ids)
    while fresh:
        keys |= map_missing(connection, ResourceType.SECURITY_GROUP, fresh, sites)
        known |= fresh
        named, addresses = step(connection, fresh)
        address_groups |= addresses
        fresh = named - known
    return keys | map_missing(connection, ResourceType.ADDRESS_GROUP, address_groups, sites)


def map_missing(
    connection: sa.Connection, kind: ResourceType, ids: set[str], sites: Collection[SiteName]
) -> set[IntentKey]:
    """Map objects to those of some sites that do not have them; locks only those exclusively.

    Returns:
        Keys of what a site did not have yet.
    """
    held = Held(connection, kind, ids)
    missing = {site: ids - held.at(site) for site in sites if ids - held.at(site)}
    if not missing:
        return set()
    alone = Held(connection, kind, set().union(*missing.values()), alone=True)
    for site, some in missing.items():
        alone.map_to(site, some, now=now())
    return {IntentKey(site, kind, one) for site, some in missing.items() for one in some}
