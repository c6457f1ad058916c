"""Rules of security groups that OVN lost: what Neutron notes of them does not show it.

A rule is an ACL of its group's port group, with the rule's id. Who clears the ACLs of a group, or
puts NB back to a backup, leaves a group that admits nothing, or less than it says, while Neutron
believes that all is written.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.common.ovn import constants as ovn_const
from neutron.db import models_v2
from neutron.db.models import ovn as ovn_models
from neutron.db.models import securitygroup
from neutron_lib.db import standard_attr

from isthmus.dataplane.protocols import Database
from isthmus.federation.lost_rules import find_lost
from isthmus.store.ports import datapath

_NOTES = ovn_models.OVNRevisionNumbers.__table__
_ATTRIBUTES = standard_attr.StandardAttribute.__table__
_PORTS = models_v2.Port.__table__
_BINDINGS = securitygroup.SecurityGroupPortBinding.__table__
_RULES = securitygroup.SecurityGroupRule.__table__

#: Fingerprint of the rules: in OVN, and in Neutron's database.
Print = tuple[int, ...]


def list_lost(
    connection: sa.Connection, nb: Database, networks: Collection[str] = ()
) -> list[dict[str, str]]:
    """List the rules that Neutron believes to have written and OVN has not.

    Args:
        connection: of a transaction that only reads, begun before NB is looked at.
        nb: the northbound database.
        networks: whose ports' groups are looked at; those of all stretched networks if empty.

    Returns:
        `id` and `security_group_id` of each.
    """
    rules = connection.execute(_select_rules(networks)).all()
    return list(find_lost(rules, _read_ids(nb)))


def read_print(connection: sa.Connection, nb: Database) -> Print:
    """Return what changes where a rule is lost, or another one comes into use; quick to read."""
    ids = _read_ids(nb)
    mark = 0
    for one in ids:
        mark ^= hash(one)
    rules = connection.execute(
        sa.select(sa.func.count(), sa.func.max(_RULES.c.standard_attr_id)).select_from(_RULES)
    ).one()
    used = connection.scalar(sa.select(sa.func.count()).select_from(_BINDINGS))
    return (len(ids), mark, rules[0], rules[1] or 0, used or 0)


def _select_rules(networks: Collection[str]) -> "sa.Select[Any]":
    """Select the rules of groups in use that Neutron believes to be in OVN as they are."""
    on = _PORTS.c.network_id
    used = (
        sa.select(_BINDINGS.c.security_group_id)
        .join(_PORTS, _PORTS.c.id == _BINDINGS.c.port_id)
        .where(on.in_(networks) if networks else on.in_(datapath.select_networks()))
    )
    noted = sa.and_(
        _NOTES.c.resource_uuid == _RULES.c.id,
        _NOTES.c.resource_type == ovn_const.TYPE_SECURITY_GROUP_RULES,
    )
    return (
        sa.select(_RULES)
        .join_from(_RULES, _ATTRIBUTES, _ATTRIBUTES.c.id == _RULES.c.standard_attr_id)
        .join(_NOTES, noted)
        .where(
            _RULES.c.security_group_id.in_(used),
            _NOTES.c.revision_number == _ATTRIBUTES.c.revision_number,
        )
        .order_by(_RULES.c.id)
    )


def _read_ids(nb: Database) -> set[str]:
    """Return the ids of the rules for which NB has an ACL."""
    key = ovn_const.OVN_SG_RULE_EXT_ID_KEY
    return {row.external_ids[key] for row in nb.rows("ACL") if key in row.external_ids}
