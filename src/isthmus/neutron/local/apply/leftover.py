"""Rows that Neutron keeps besides an object's own, left behind where only that is gone.

A row that was removed by hand, or by a partial restore of the database, leaves its OVN revision
number behind. Making the object collides with that each time, as with another writer. An object's
own goes as it is made again (`owned.marking`); here is what goes with its parts, and with what
Neutron makes by itself.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import ovn as ovn_models
from neutron.db.models import securitygroup
from neutron.ipam.drivers.neutrondb_ipam import db_models as ipam_models
from neutron_lib.db import api as db_api

_REVISIONS = ovn_models.OVNRevisionNumbers.__table__
_USED = models_v2.IPAllocation.__table__
_GROUPS = securitygroup.SecurityGroup.__table__
_GIVEN = ipam_models.IpamAllocation.__table__
_SUBNETS = ipam_models.IpamSubnet.__table__


def clear(context: Any, ids: Collection[str]) -> None:
    """Delete the revision numbers of parts that do not exist here and are about to be created."""
    if not ids:
        return
    with db_api.CONTEXT_READER.using(context):
        found = context.session.connection().scalar(
            sa.select(_REVISIONS.c.resource_uuid)
            .where(_REVISIONS.c.resource_uuid.in_(sorted(ids)))
            .limit(1)
        )
    if found is None:
        return
    with db_api.CONTEXT_WRITER.using(context):
        context.session.connection().execute(
            sa.delete(_REVISIONS).where(_REVISIONS.c.resource_uuid.in_(sorted(ids)))
        )


def clear_parts(context: Any, parts: Mapping[Any, str], object_id: str) -> None:
    """Delete rows of parts of an object that does not exist here and is about to be created.

    Where the database enforces foreign keys there are none; SQLite does not. Those of an object
    that somebody else has made meanwhile stay.

    Args:
        context: of the request.
        parts: models, and the column of each that has the object's id; its own model has `id`.
        object_id: the object's.
    """
    (own,) = (model.__table__ for model, column in parts.items() if column == "id")
    is_gone = ~sa.exists().where(own.c.id == object_id)
    left = {
        model.__table__: sa.and_(model.__table__.c[column] == object_id, is_gone)
        for model, column in parts.items()
        if column != "id"
    }
    with db_api.CONTEXT_READER.using(context):
        there = [sa.exists().where(one) for one in left.values()]
        if not context.session.connection().scalar(sa.select(sa.or_(*there))):
            return
    with db_api.CONTEXT_WRITER.using(context):
        for table, belonging in left.items():
            context.session.connection().execute(sa.delete(table).where(belonging))


def clear_group(context: Any, group_id: str) -> None:
    """Remove what is left of a group whose id is derived, unless the group is here.

    Neutron makes such a one again by itself, whenever a project has no default group.
    """
    there = sa.exists().where(_GROUPS.c.id == group_id)
    left = sa.and_(_REVISIONS.c.resource_uuid == group_id, ~there)
    with db_api.CONTEXT_READER.using(context):
        connection = context.session.connection()
        found = connection.scalar(sa.select(_REVISIONS.c.resource_uuid).where(left).limit(1))
    if found is not None:
        with db_api.CONTEXT_WRITER.using(context):
            context.session.connection().execute(sa.delete(_REVISIONS).where(left))


def clear_addresses(context: Any, fixed_ips: Sequence[Mapping[str, Any]]) -> None:
    """Release addresses in IPAM that no port has, before a port is created with them.

    Both rows are written in one transaction, but no foreign key joins IPAM's row with the port's.
    """
    for one in fixed_ips:
        subnet_id, address = one["subnet_id"], one["ip_address"]
        used = sa.exists().where(_USED.c.subnet_id == subnet_id, _USED.c.ip_address == address)
        subnets = sa.select(_SUBNETS.c.id).where(_SUBNETS.c.neutron_subnet_id == subnet_id)
        left = sa.and_(_GIVEN.c.ipam_subnet_id.in_(subnets), _GIVEN.c.ip_address == address, ~used)
        with db_api.CONTEXT_READER.using(context):
            found = context.session.connection().scalar(sa.select(_GIVEN.c.ip_address).where(left))
        if found is not None:
            with db_api.CONTEXT_WRITER.using(context):
                context.session.connection().execute(sa.delete(_GIVEN).where(left))
