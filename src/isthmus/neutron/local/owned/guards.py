"""What users of a site may not do to central's objects.

Everything here is cheap where it does not apply: networks of the site's own cost one look-up in a
dictionary.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from neutron_lib import constants
from neutron_lib import exceptions as n_exc
from neutron_lib.api import validators
from neutron_lib.db import api as db_api

from isthmus.model.resource import ResourceType
from isthmus.neutron.local.owned import applying
from isthmus.store.local import mapping


class BelongsToCentral(n_exc.Conflict):
    """A change of an object of which this site only has a copy."""

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
    if not ids or applying.current() is not None:
        return
    with db_api.CONTEXT_READER.using(context):
        known = mapping.find_known(context.session.connection(), kind, ids)
    if known:
        raise BelongsToCentral(kind=word(kind), id=min(known))


def word(kind: ResourceType) -> str:
    """Return the word for a type at the beginning of a sentence."""
    return kind.value.replace("_", " ").capitalize()


def groups_of(port: Mapping[str, Any]) -> set[str]:
    """Return the requested security groups of a port; none where Neutron chooses them."""
    groups = port.get("security_groups", constants.ATTR_NOT_SPECIFIED)
    return set(groups) if validators.is_attr_set(groups) else set()


def addresses_of(port: Mapping[str, Any]) -> list[tuple[str | None, str]]:
    """Return the requested addresses of a port, each with its subnet if one is given."""
    fixed_ips: Iterable[Mapping[str, Any]] = port.get("fixed_ips") or ()
    if fixed_ips is constants.ATTR_NOT_SPECIFIED:
        return []
    return [
        (one.get("subnet_id"), str(one["ip_address"])) for one in fixed_ips if one.get("ip_address")
    ]


def mac_of(port: Mapping[str, Any]) -> str | None:
    """Return the requested MAC of a port."""
    mac = port.get("mac_address", constants.ATTR_NOT_SPECIFIED)
    return str(mac) if validators.is_attr_set(mac) else None
