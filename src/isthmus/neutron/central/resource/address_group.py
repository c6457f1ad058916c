"""Address groups at central: they go where security groups that name them are."""

from neutron.db import rbac_db_models as rbac
from neutron.db.models import address_group as models

from isthmus.model.resource import ResourceType
from isthmus.neutron.api import carried as fate
from isthmus.neutron.central.outgoing.change import Part
from isthmus.neutron.central.resource.row import CentralResource, tell_mapped

_GROUP = ResourceType.ADDRESS_GROUP

ADDRESS_GROUP = CentralResource(
    kind=_GROUP,
    model=models.AddressGroup,
    parts={
        models.AddressGroup: Part(),
        models.AddressAssociation: Part("address_group_id"),
        rbac.AddressGroupRBAC: Part("object_id"),
    },
    attributes={
        "address_groups": {
            **fate.STANDARD,
            "name": fate.CARRIED,
            "addresses": fate.CARRIED,
            "shared": fate.own("carried as the sharing rules (RBAC) that it stands for"),
        },
    },
    tell=tell_mapped(_GROUP),
    tells_of=(_GROUP,),
    rbac=rbac.AddressGroupRBAC,
)
