"""RBAC rows of an object, ids included."""

from collections.abc import Mapping
from typing import Any

from neutron_lib.db import api as db_api

from isthmus.model import attribute


def share(context: Any, rbac: Any, state: Mapping[str, Any]) -> None:
    """Update an object's RBAC rows to what central has.

    Args:
        context: an administrator's.
        rbac: Neutron's class of such rows for objects of this type.
        state: the object, with `isthmus:rbac`; nothing is changed where it has none.
    """
    if attribute.RBAC not in state:
        return
    wanted = {row["id"]: row for row in state[attribute.RBAC]}
    with db_api.CONTEXT_WRITER.using(context):
        have = {row.id: row for row in rbac.get_objects(context, object_id=state["id"])}
        for row_id, row in have.items():
            if row_id not in wanted:
                row.delete()
        for row_id, row in wanted.items():
            if row_id not in have:
                rbac(
                    context,
                    id=row_id,
                    object_id=state["id"],
                    project_id=row["project_id"],
                    target_project=row["target_project"],
                    action=row["action"],
                ).create()
            elif have[row_id].target_project != row["target_project"]:
                have[row_id].target_project = row["target_project"]
                have[row_id].update()
