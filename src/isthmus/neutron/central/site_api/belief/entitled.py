"""What a site gets when it asks for itself, on no user's behalf.

That is what central has mapped to it, and what the site derives from it: the default security
groups of projects that are there. For anything else, a user who may see it has to ask.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import securitygroup

from isthmus.federation.identity import default_security_group_id
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.tiers import mapping


def find(
    connection: sa.Connection, site: SiteName, kind: ResourceType, ids: Sequence[str]
) -> list[str]:
    """Return which objects a site may have by itself.

    Args:
        connection: of the transaction.
        site: the site.
        kind: type of the objects.
        ids: the objects.
    """
    mapped = mapping.peek_ids(connection, kind, site, ids)
    left = [one for one in ids if one not in mapped]
    if kind is ResourceType.SECURITY_GROUP and left:
        mapped |= _find_defaults(connection, site, left)
    return [one for one in ids if one in mapped]


def _find_defaults(connection: sa.Connection, site: SiteName, ids: Sequence[str]) -> set[str]:
    group = securitygroup.SecurityGroup
    rows = connection.execute(sa.select(group.id, group.project_id).where(group.id.in_(ids)))
    return {
        row.id
        for row in rows.all()
        if row.id == default_security_group_id(row.project_id)
        and _is_there(connection, site, row.project_id)
    }


def _is_there(connection: sa.Connection, site: SiteName, project_id: str) -> bool:
    """Return whether a project has a network or a port at a site."""
    for model, kind in (
        (models_v2.Network, ResourceType.NETWORK),
        (models_v2.Port, ResourceType.PORT),
    ):
        query = sa.select(model.id).where(
            model.project_id == project_id, model.id.in_(mapping.select_ids(kind, site))
        )
        if connection.execute(query.limit(1)).first() is not None:
            return True
    return False
