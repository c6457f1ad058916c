"""Address groups.

Neutron always gives a new address group an id of its own, so the group is created here as the
object that Neutron's API creates, with the same events.
"""

from collections.abc import Mapping
from typing import Any

import netaddr
from neutron.db import rbac_db_models as rbac
from neutron.db.models import address_group as models
from neutron.objects import address_group as group_object
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import address_group as group_exc

from isthmus.federation.merge import changes
from isthmus.journal import crash
from isthmus.model import attribute
from isthmus.model.resource import ResourceType
from isthmus.neutron.local.apply.owned import check_owned, remove_owned
from isthmus.neutron.local.apply.sharing import share
from isthmus.neutron.local.resource.row import LocalResource, by_id

_UPDATED = ("name", "description")


def ensure(core: Any, context: Any, state: Mapping[str, Any], *, keep_existing: bool) -> None:
    """Create an address group, or update it to what central has.

    Args:
        core: the core plugin.
        context: an administrator's, with no transaction open.
        state: the group as central's API shows it.
        keep_existing: whether to leave an existing group unchanged.

    Raises:
        Conflict: a group of that id exists here and is not central's.
    """
    group_id = state["id"]
    have = ADDRESS_GROUP.find(core, context, group_id)
    if have is None:
        crash.point("apply.address_group.sought")
        _create(core, context, state)
        crash.point("apply.address_group.made")
        share(context, group_object.AddressGroupRBAC, state)
        return
    check_owned(context, ResourceType.ADDRESS_GROUP, group_id)
    if keep_existing:
        return
    share(context, group_object.AddressGroupRBAC, state)
    changed = changes(have, {name: state[name] for name in _UPDATED if name in state})
    if changed:
        core.update_address_group(context, group_id, {"address_group": changed})
    wanted, there = set(state["addresses"]), set(have["addresses"])
    if wanted - there:
        core.add_addresses(context, group_id, {"addresses": sorted(wanted - there)})
    if there - wanted:
        core.remove_addresses(context, group_id, {"addresses": sorted(there - wanted)})


def _create(core: Any, context: Any, state: Mapping[str, Any]) -> None:
    with db_api.CONTEXT_WRITER.using(context):
        group = group_object.AddressGroup(
            context,
            id=state["id"],
            project_id=state["project_id"],
            name=state["name"],
            description=state.get("description") or "",
        )
        group.create()
        for address in state["addresses"]:
            group_object.AddressAssociation(
                context, address_group_id=group.id, address=netaddr.IPNetwork(address)
            ).create()
    made = core.get_address_group(context, state["id"])
    registry.publish(
        resources.ADDRESS_GROUP,
        events.AFTER_CREATE,
        core,
        payload=events.DBEventPayload(context, resource_id=group.id, states=(made,)),
    )


def remove(core: Any, context: Any, group_id: str) -> None:
    """Remove an address group.

    Raises:
        InUse: a rule of a security group refers to it.
        Conflict: it is not central's.
    """
    remove_owned(ADDRESS_GROUP, core, context, group_id, in_use=group_exc.AddressGroupInUse)


ADDRESS_GROUP = LocalResource(
    kind=ResourceType.ADDRESS_GROUP,
    model=models.AddressGroup,
    parts={
        models.AddressGroup: "id",
        models.AddressAssociation: "address_group_id",
        rbac.AddressGroupRBAC: "object_id",
    },
    carried=(*_UPDATED, "addresses", attribute.RBAC),
    not_found=group_exc.AddressGroupNotFound,
    ensure=ensure,
    remove=remove,
    guarded={
        "update_address_group": by_id(),
        "delete_address_group": by_id(),
        "add_addresses": by_id("address_group_id"),
        "remove_addresses": by_id("address_group_id"),
    },
    rbac=rbac.AddressGroupRBAC,
)
