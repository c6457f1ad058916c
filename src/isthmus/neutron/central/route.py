"""Routing objects to sites, each under the project that owns it."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import address_group, securitygroup

from isthmus.model.intent import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.db.session import now
from isthmus.store import routing

_MODELS: dict[ResourceType, Any] = {
    ResourceType.ADDRESS_GROUP: address_group.AddressGroup,
    ResourceType.SECURITY_GROUP: securitygroup.SecurityGroup,
    ResourceType.NETWORK: models_v2.Network,
    ResourceType.SUBNET: models_v2.Subnet,
    ResourceType.PORT: models_v2.Port,
}


def route(
    connection: sa.Connection, kind: ResourceType, ids: Collection[str], site: SiteName
) -> None:
    """Note that objects are to be at a site; again is harmless."""
    model = _MODELS[kind]
    query = sa.select(model.id, model.project_id).where(model.id.in_(sorted(ids)))
    owners = {row.id: row.project_id for row in connection.execute(query)}
    routing.record(connection, kind, ids, site, owners=owners, now=now())
