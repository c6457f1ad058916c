"""What a tenant or administrator of a site may not do to central's objects.

Everything here is cheap where it does not apply: networks that the site made itself cost one look
into a dictionary.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import rbac_db_models
from neutron.db.models import securitygroup as group_model
from neutron_lib import constants
from neutron_lib import exceptions as n_exc
from neutron_lib.api import validators
from neutron_lib.db import api as db_api

from isthmus.model.intent import ResourceType
from isthmus.neutron.local.owned import applying
from isthmus.store.local import mapping

_RULES = group_model.SecurityGroupRule.__table__


class BelongsToCentral(n_exc.Conflict):
    """A change of something that this site only has a copy of."""

    message = "%(kind)s %(id)s belongs to central: change it at central"


class GroupOnlyHere(n_exc.BadRequest):
    """A security group that the other sites of a network would not know."""

    message = (
        "Security group %(groups)s is not known at central, and network %(network)s spans sites: "
        "make the group at central and use that one"
    )


def check_owner(context: Any, kind: ResourceType, ids: Collection[str]) -> None:
    """Refuse to change central's objects.

    Raises:
        BelongsToCentral: one of them is central's.
    """
    if applying.current() is not None:
        return
    with db_api.CONTEXT_READER.using(context):
        known = mapping.find_known(context.session.connection(), kind, ids)
    if known:
        raise BelongsToCentral(kind=word(kind), id=min(known))


def word(kind: ResourceType) -> str:
    """Give the word for a type that begins a sentence."""
    return kind.value.replace("_", " ").capitalize()


def find_group_of_rule(context: Any, rule_id: str) -> str | None:
    """Find a rule's security group."""
    with db_api.CONTEXT_READER.using(context):
        found: str | None = context.session.connection().scalar(
            sa.select(_RULES.c.security_group_id).where(_RULES.c.id == rule_id)
        )
    return found


def find_rbac_object(context: Any, policy_id: str) -> tuple[str, str] | None:
    """Find the type and id of what a sharing rule shares."""
    with db_api.CONTEXT_READER.using(context):
        for model in (
            rbac_db_models.NetworkRBAC,
            rbac_db_models.SecurityGroupRBAC,
            rbac_db_models.AddressGroupRBAC,
        ):
            table = model.__table__
            found = context.session.connection().scalar(
                sa.select(table.c.object_id).where(table.c.id == policy_id)
            )
            if found:
                return model.object_type, found
    return None


#: Which sharing rules are of objects that central may own.
SHAREABLE: Mapping[str, ResourceType] = {
    "network": ResourceType.NETWORK,
    "security_group": ResourceType.SECURITY_GROUP,
    "address_group": ResourceType.ADDRESS_GROUP,
}


def groups_of(port: Mapping[str, Any]) -> set[str]:
    """Give the security groups that a request asks for; none where it leaves them to Neutron."""
    groups = port.get("security_groups", constants.ATTR_NOT_SPECIFIED)
    return set(groups) if validators.is_attr_set(groups) else set()


def addresses_of(port: Mapping[str, Any]) -> list[tuple[str | None, str]]:
    """Give the addresses that a request asks for by name, with their subnet if it says one."""
    fixed_ips: Iterable[Mapping[str, Any]] = port.get("fixed_ips") or ()
    if fixed_ips is constants.ATTR_NOT_SPECIFIED:
        return []
    return [
        (one.get("subnet_id"), str(one["ip_address"])) for one in fixed_ips if one.get("ip_address")
    ]


def mac_of(port: Mapping[str, Any]) -> str | None:
    """Give the MAC that a request asks for by name."""
    mac = port.get("mac_address", constants.ATTR_NOT_SPECIFIED)
    return str(mac) if validators.is_attr_set(mac) else None
