"""Security groups at central: each takes along, at every site, what its rules refer to."""

import sqlalchemy as sa
from neutron.db import rbac_db_models as rbac
from neutron.db.models import securitygroup as models

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.neutron.api import carried as fate
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.outgoing.change import Changes, Part
from isthmus.neutron.central.resource.row import CentralResource, bring_mapped
from isthmus.store.tiers.locked import LockedObjects

_GROUP = ResourceType.SECURITY_GROUP


def _tell(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """Return what to tell the sites of groups, including what their rules refer to."""
    groups = changes.get_changed(_GROUP)
    keys: set[IntentKey] = set()
    locked = LockedObjects(connection, _GROUP, groups)
    for group_id in groups:
        sites = locked.sites(group_id)
        keys |= {IntentKey(site, _GROUP, group_id) for site in sites}
        if sites:
            keys |= along.bring(connection, {_GROUP: [group_id]}, sites)
    return keys


SECURITY_GROUP = CentralResource(
    kind=_GROUP,
    model=models.SecurityGroup,
    parts={
        models.SecurityGroup: Part(),
        models.SecurityGroupRule: Part("security_group_id"),
        rbac.SecurityGroupRBAC: Part("object_id"),
    },
    attributes={
        "security_groups": {
            **fate.STANDARD,
            "name": fate.CARRIED,
            "stateful": fate.CARRIED,
            "security_group_rules": fate.CARRIED,
            "shared": fate.own("carried as the sharing rules (RBAC) that it stands for"),
        },
        "security_group_rules": {
            **fate.STANDARD,
            "security_group_id": fate.CARRIED,
            "direction": fate.CARRIED,
            "ethertype": fate.CARRIED,
            "protocol": fate.CARRIED,
            "port_range_min": fate.CARRIED,
            "port_range_max": fate.CARRIED,
            "remote_ip_prefix": fate.CARRIED,
            "remote_group_id": fate.CARRIED,
            "remote_address_group_id": fate.CARRIED,
            "belongs_to_default_sg": fate.DERIVED,
            "normalized_cidr": fate.DERIVED,
        },
    },
    tell=_tell,
    tells_of=(_GROUP,),
    rbac=rbac.SecurityGroupRBAC,
    bring=bring_mapped(_GROUP),
)
