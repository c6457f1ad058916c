"""The registry: every resource that central may have at a site."""

from collections.abc import Mapping

from isthmus.model.resource import ResourceType
from isthmus.neutron.local.resource.address_group import ADDRESS_GROUP
from isthmus.neutron.local.resource.network import NETWORK
from isthmus.neutron.local.resource.port import PORT
from isthmus.neutron.local.resource.qos_policy import QOS_POLICY
from isthmus.neutron.local.resource.router import ROUTER
from isthmus.neutron.local.resource.row import LocalResource
from isthmus.neutron.local.resource.security_group import SECURITY_GROUP
from isthmus.neutron.local.resource.subnet import SUBNET
from isthmus.neutron.local.resource.trunk import TRUNK

ROWS: Mapping[ResourceType, LocalResource] = {
    row.kind: row
    for row in (ADDRESS_GROUP, SECURITY_GROUP, QOS_POLICY, NETWORK, SUBNET, ROUTER, PORT, TRUNK)
}
